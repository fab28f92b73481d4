"""The floors of the benchmarks over HTTP: what a server must do at least.

GET answers with the list page: one SQL, the rows by hand, orjson. POST takes a picture in: the raw body streamed to
disk, and one decode at the scale of the largest variant. Nothing else.
"""

import asyncio
import os
import sqlite3
import tempfile
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import uvicorn
from PIL import Image

COLUMNS = "i.id, i.picture_key, i.variant_keys, i.recipe, u.name"
STATEMENT = f"SELECT {COLUMNS} FROM image i JOIN user_account u ON u.id = i.owner_id WHERE i.owner_id = %s ORDER BY i.created_at DESC, i.id DESC LIMIT 21"
HEADERS = [(b"content-type", b"application/json")]


class Floor:
    """A plain ASGI application over one database."""

    def __init__(self, url: str, owner: UUID) -> None:
        self._url = url
        self._owner = owner
        self._pool: Any = None
        self._file: sqlite3.Connection | None = None

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer a request."""
        if scope["method"] == "POST":
            body = await _take_in(receive)
        else:
            body = orjson.dumps({"data": {"images": {"nodes": [_node(row) for row in (await self._rows())[:20]]}}})
        headers = [*HEADERS, (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _rows(self) -> list[Any]:
        if self._url.startswith("sqlite"):
            if self._file is None:
                self._file = sqlite3.connect(self._url.removeprefix("sqlite:///"))
            return self._file.execute(STATEMENT.replace("%s", "?"), (self._owner.hex,)).fetchall()
        if self._pool is None:
            self._pool = await asyncpg.create_pool(self._url, min_size=10, max_size=10, reset=_nothing)
        rows: list[Any] = await self._pool.fetch(STATEMENT.replace("%s", "$1"), self._owner)
        return rows


async def _take_in(receive: Any) -> bytes:
    with tempfile.TemporaryFile() as file:
        while True:
            message = await receive()
            file.write(message["body"])
            if not message.get("more_body"):
                break
        return await asyncio.to_thread(_decode, file)


def _decode(file: Any) -> bytes:
    file.seek(0)
    with Image.open(file) as picture:
        picture.draft("RGB", (600, 600))
        picture.load()
        return str(picture.size).encode()


async def _nothing(_connection: Any) -> None:
    """Reads leave nothing behind to reset."""


def _node(row: Any) -> dict[str, Any]:
    id, key, variants, recipe, owner_name = row
    small = orjson.loads(variants)
    base = "http://localhost/files/"
    return {
        "id": str(id),
        "picture": {
            "original": f"{base}{key}?expires=1795180000&signature=0123456789abcdef0123456789abcdef",
            **{
                size.lower(): f"{base}{name}?expires=1795180000&signature=0123456789abcdef0123456789abcdef"
                for size, name in small.items()
            },
        },
        "recipe": {"prompt": orjson.loads(recipe)["prompt"]},
        "owner": {"name": owner_name},
    }


if __name__ == "__main__":
    uvicorn.run(
        Floor(os.environ["FLOOR_URL"], UUID(os.environ["FLOOR_OWNER"])),
        port=int(os.environ["PORT"]),
        log_level="warning",
        lifespan="off",
    )
