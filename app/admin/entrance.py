"""The way in to the operators' page: built when it is first asked for, and guarded against other sites.

Knows nothing of the library that draws the page: the server imports this module at every start.
"""

import asyncio
import secrets
from collections.abc import Sequence
from urllib.parse import urlsplit

from anyio import to_thread
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.wiring import Atelier

ADMIN_PATH = "/admin"
MAX_FORM_BYTES = 1_000_000
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def admin_page(atelier: Atelier) -> Mount:
    """The route of the page and everything below it."""
    return Mount(ADMIN_PATH, _WhenAsked(atelier), name="admin", max_body_size=MAX_FORM_BYTES)


class _WhenAsked:
    """The page. The library and its templates are read when somebody first asks, which keeps the start short."""

    def __init__(self, atelier: Atelier) -> None:
        self._atelier = atelier
        self._building = asyncio.Lock()
        self._page: Starlette | None = None
        self._guarded: ASGIApp | None = None

    @property
    def routes(self) -> Sequence[BaseRoute]:
        """What the names of addresses within the page are looked up in."""
        return self._page.routes if self._page else ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._building:
            if self._guarded is None:
                self._page = await to_thread.run_sync(_build, self._atelier)
                self._guarded = Guard(self._page, self._atelier.settings.public_url, picture_origin(self._atelier))
        await self._guarded(scope, receive, send)


def _build(atelier: Atelier) -> Starlette:
    from app.admin.page import build_page

    return build_page(atelier)


def picture_origin(atelier: Atelier) -> str:
    """Where browsers fetch pictures from: the server itself, or the store."""
    parts = urlsplit(atelier.objects.url("origin").url)
    return f"{parts.scheme}://{parts.netloc}"


class Guard:
    """Refuses what another site makes a browser send, and tells browsers what the page may do: very little."""

    def __init__(self, app: ASGIApp, public_url: str, picture_origin: str) -> None:
        self._app = app
        self._public = urlsplit(public_url)
        self._picture_origin = picture_origin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if Headers(scope=scope).get("host") == self._public.netloc:
            # Behind a proxy the request itself came by plain HTTP: addresses and cookies follow what browsers see.
            scope = {**scope, "scheme": self._public.scheme}
        nonce = secrets.token_urlsafe(16)
        scope.setdefault("state", {})["nonce"] = nonce

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message.setdefault("headers", [])
                MutableHeaders(scope=message).update(self._headers(scope, nonce))
            await send(message)

        if self._is_foreign(scope):
            await PlainTextResponse("The request came from another site.", 403)(scope, receive, guarded)
        else:
            await self._app(scope, receive, guarded)

    def _is_foreign(self, scope: Scope) -> bool:
        """Whether another site makes the browser change something: browsers name the site, other clients need not."""
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if scope["type"] != "http" or scope["method"] in _SAFE or origin is None:
            return False
        return urlsplit(origin).netloc not in {headers.get("host"), self._public.netloc}

    def _headers(self, scope: Scope, nonce: str) -> dict[str, str]:
        is_static = scope["path"].startswith(f"{ADMIN_PATH}/static/")
        return {
            "content-security-policy": (
                f"default-src 'none'; script-src 'self' 'nonce-{nonce}'; connect-src 'self'; "
                # The library sets styles from scripts, and its icons are data: in its style sheet.
                "style-src 'self' 'unsafe-inline'; font-src 'self'; "
                f"img-src 'self' data: {self._picture_origin}; "
                "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
            ),
            "x-frame-options": "DENY",
            "x-content-type-options": "nosniff",
            # Not `no-referrer`: with that browsers call the page's own forms another site's.
            "referrer-policy": "same-origin",
            "cache-control": "public, max-age=3600" if is_static else "no-store",
        }
