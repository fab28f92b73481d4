"""The list page: the viewer's 20 newest images with four URLs, prompt and owner, over HTTP, 32 connections.

The floor is a plain ASGI handler: one SQL by asyncpg (PostgreSQL) or sqlite3 (embedded), the same answer by orjson.
Servers on one core, load on the other, rounds in turn; a ratio is taken inside a round.
"""

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import orjson

from app.samples import ensure_samples
from app.settings import load_settings
from app.wiring import Atelier, compose
from bench.measuring import percentile
from bench.processes import ROOT, Client, Load, Served, load, load_on_second_core, post, process
from domain.images import Image, ImageSource, Recipe
from domain.pictures import Picture, VariantSize
from domain.providers import ProviderKind
from domain.users import User

IMAGES = 2_000
CONNECTIONS = 32
ROUNDS = 5
SECONDS = 4.0
QUERY = """{ images(first: 20) { nodes {
  id picture { original thumbnail medium large } recipe { prompt } owner { name }
} pageInfo { hasNextPage endCursor } } }"""
PROMPT = "An identity image of somebody who is at home on steep paths, at dawn, above the clouds, by an artist."


async def run() -> None:
    """Measure on SQLite, and on PostgreSQL when TEST_POSTGRES_URL says where."""
    with tempfile.TemporaryDirectory() as folder:
        environ = {"ATELIER_DATA_DIR": folder, "LOG_LEVEL": "WARNING", "SECRET_KEY": "k" * 48}
        await _measure("SQLite", environ)
        if address := os.environ.get("TEST_POSTGRES_URL"):
            name = f"bench_{uuid4().hex[:8]}"
            await administer(address, f"CREATE DATABASE {name}")
            try:
                url = address.rpartition("/")[0] + f"/{name}"
                await _measure("PostgreSQL", {**environ, "DATABASE_URL": url, "SEED_SAMPLES": "true"})
            finally:
                await administer(address, f"DROP DATABASE {name} WITH (FORCE)")
        else:
            print("PostgreSQL not measured: TEST_POSTGRES_URL is not set")


async def administer(address: str, statement: str) -> None:
    """Run a statement that stands in no transaction."""
    connection = await asyncpg.connect(address)
    await connection.execute(statement)
    await connection.close()


async def _measure(name: str, environ: dict[str, str]) -> None:
    await asyncio.to_thread(_migrate, environ)
    token, owner_id = await _seed(environ)
    request = post(
        "/graphql", orjson.dumps({"query": QUERY}), Authorization=f"Bearer {token}", Content_Type="application/json"
    )
    floor_request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    settings = load_settings(environ)
    floor_environ = {**environ, "FLOOR_URL": settings.database_url.get_secret_value(), "FLOOR_OWNER": owner_id}
    async with (
        process(["main.py", "serve", "--no-worker"], environ) as ours,
        process(["-m", "bench.floors"], floor_environ, "/") as floor,
    ):
        with load_on_second_core():
            size = await _check(ours, request)
            rounds = [await _round(ours, request, floor, floor_request) for _ in range(ROUNDS)]
    print(f"{name}: {size:,} bytes a page, {CONNECTIONS} connections, {ROUNDS} rounds of {SECONDS:.0f} s")
    _report("atelier", [mine for mine, _ in rounds])
    _report("floor  ", [lowest for _, lowest in rounds])
    throughput = statistics.median(mine.per_second / lowest.per_second for mine, lowest in rounds)
    cpu = statistics.median(mine.cpu_s / lowest.cpu_s for mine, lowest in rounds)
    print(f"  atelier / floor: {throughput:.2f} of its throughput, {cpu:.1f} x its CPU", flush=True)


async def _check(ours: Served, request: bytes) -> int:
    client = await Client.connect(ours.port)
    status, body = await client.send(request)
    answer = orjson.loads(body)
    if status != 200 or "errors" in answer or len(answer["data"]["images"]["nodes"]) != 20:  # noqa: PLR2004 - HTTP OK, and the size of the page
        raise RuntimeError(f"not a page: {status} {body[:500]!r}")
    client.close()
    return len(body)


async def _round(ours: Served, request: bytes, floor: Served, floor_request: bytes) -> tuple[Load, Load]:
    mine = await load(ours, request, CONNECTIONS, SECONDS)
    return mine, await load(floor, floor_request, CONNECTIONS, SECONDS)


def _report(name: str, loads: list[Load]) -> None:
    per_second = statistics.median(one.per_second for one in loads)
    cpu_us = statistics.median(one.cpu_s for one in loads) * 1e6
    p50, p99 = (statistics.median(percentile(one.waits_s, p) for one in loads) * 1000 for p in (50, 99))
    print(f"  {name}: {per_second:6.0f} pages/s, {cpu_us:5.0f} us CPU each, p50 {p50:.1f} ms, p99 {p99:.1f} ms")


def _migrate(environ: dict[str, str]) -> None:
    subprocess.run(
        [sys.executable, "main.py", "migrate"],
        cwd=ROOT,
        env={**os.environ, **environ},
        check=True,
        stdout=subprocess.DEVNULL,
    )


async def _seed(environ: dict[str, str]) -> tuple[str, str]:
    atelier = compose(load_settings(environ))
    admin = await ensure_samples(atelier)
    if admin is None:
        raise RuntimeError("an empty database has samples")
    await _add_images(atelier, admin.user)
    token, _ = atelier.accounts.token_for(admin.user)
    await atelier.aclose()
    return token, str(admin.user.id)


async def _add_images(atelier: Atelier, owner: User) -> None:
    newest = datetime.now(UTC)
    async with atelier.unit_of_work() as work:
        for age in range(IMAGES):
            await work.images.add(_image(owner, newest - timedelta(seconds=age)))
        await work.commit()


def _image(owner: User, created_at: datetime) -> Image:
    id = uuid4()
    key = f"{owner.community_id}/images/{id}"
    recipe = Recipe(
        prompt=PROMPT,
        structured_prompt=None,
        prompt_version=1,
        revised_prompt=None,
        identity={"name": "Mountain Runner"},
        reference_hashes=("0" * 64,),
        provider=ProviderKind.OFFLINE,
        model="offline",
        options={"n": 1},
        cost_micro_usd=None,
        parent_image_id=None,
    )
    variants = {VariantSize.LARGE: 600, VariantSize.MEDIUM: 300, VariantSize.THUMBNAIL: 100}
    return Image(
        id=id,
        community_id=owner.community_id,
        owner_id=owner.id,
        source=ImageSource.GENERATED,
        picture=Picture(
            key=f"{key}.png",
            sha256="0" * 64,
            media_type="image/png",
            size_bytes=1_500_000,
            width_px=1536,
            height_px=864,
            placeholder="3OcRJYB4d3h/iIeHeEh3eIhw+j2w",
            variant_keys={size: f"{key}_{side}.jpg" for size, side in variants.items()},
        ),
        filename="Mountain Runner 1.png",
        is_public=False,
        recipe=recipe,
        generation_id=None,
        generation_index=None,
        created_at=created_at,
    )
