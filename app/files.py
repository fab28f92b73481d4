"""The endpoint behind the local object store's signed URLs: `GET /files/{key}?expires=..&signature=..`."""

import os
import stat
from pathlib import Path

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.staticfiles import NotModifiedResponse

from domain.pictures import MEDIA_TYPES
from domain.ports import Clock
from storage.objects.local import LocalObjectStore

_TYPES = {f".{extension}": media_type for media_type, extension in MEDIA_TYPES.items()}
_GUARDS = {
    # A picture is a stranger's upload: a browser must never take it for a page of ours.
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    # Front ends live on other sites than the server.
    "Cross-Origin-Resource-Policy": "cross-origin",
}


def files_route(store: LocalObjectStore, clock: Clock) -> Route:
    """The route to mount where the store's `base_url` leads."""

    async def serve(request: Request) -> Response:
        key, expires = request.path_params["key"], request.query_params.get("expires", "")
        now = clock.now()
        if not (expires.isascii() and expires.isdigit() and len(expires) <= 12):  # noqa: PLR2004 - digits of a time far away
            return _problem(403, "The link is incomplete.")
        if not store.verify(key, int(expires), request.query_params.get("signature", ""), now):
            return _problem(403, "The link is wrong or has expired. Ask for a new one.")
        path = store.path(key)
        found = await to_thread.run_sync(_stat, path)
        if found is None:
            return _problem(404, "There is no such file any more.")
        max_age_s = int(expires) - int(now.timestamp())
        headers = {**_GUARDS, "Cache-Control": f"private, max-age={max_age_s}, immutable"}
        media_type = _TYPES.get(path.suffix, "application/octet-stream")
        response = FileResponse(path, headers=headers, media_type=media_type, stat_result=found)
        if response.headers["etag"] in _tags(request):
            return NotModifiedResponse(response.headers)
        return response

    return Route("/files/{key:path}", serve, methods=["GET"])


def _stat(path: Path) -> os.stat_result | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found if stat.S_ISREG(found.st_mode) else None


def _tags(request: Request) -> list[str]:
    return [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]


def _problem(status: int, title: str) -> Response:
    headers = {**_GUARDS, "Cache-Control": "no-store"}
    return JSONResponse({"status": status, "title": title}, status, headers, "application/problem+json")
