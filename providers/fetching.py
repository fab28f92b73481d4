"""Getting the picture at an address that somebody else names: few redirects, bounded bytes, pictures alone.

What an address leads to is told in three sentences only, so that nobody can look around in a network by asking us.
Imported only when something is first fetched.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

import httpx2

from domain.errors import FetchRefused, InvalidImage, InvalidImageReason
from domain.picture_formats import HEAD_BYTES, sniffed
from providers.addresses import AddressRefused
from providers.connections import timeout

MAX_REDIRECTS = 3
PAUSES_S = (0.3, 1.0)
"""Before another try where the connection or the server failed: the picture may have been paid for."""

REFUSED = "That address can't be fetched from."
NO_PICTURE = "There is no picture to be had from that address."

_DEFAULT_PORTS = {"http": 80, "https": 443}
_MAX_PORT = 65_535
# A name as it is looked up, or an address of either kind; others are hosts to some parsers, and something else to others.
_HOST = re.compile(rb"[a-z0-9._:-]+")
# Connections aren't kept: each request's address is checked, and a server leaves nothing for whoever asks it next.
_HEADERS = {"accept": "image/*", "accept-encoding": "identity", "connection": "close", "user-agent": "atelier"}
_REDIRECTS = frozenset(
    {
        HTTPStatus.MOVED_PERMANENTLY,
        HTTPStatus.FOUND,
        HTTPStatus.SEE_OTHER,
        HTTPStatus.TEMPORARY_REDIRECT,
        HTTPStatus.PERMANENT_REDIRECT,
    }
)


class Fetching:
    """Fetches over `guarded`, and over `unguarded` what lies where a trusted provider does."""

    def __init__(
        self, guarded: httpx2.AsyncBaseTransport, unguarded: httpx2.AsyncBaseTransport, timeout_s: float
    ) -> None:
        self._guarded = guarded
        self._unguarded = unguarded
        self._timeout = timeout(timeout_s)

    async def fetch(self, url: str, max_bytes: int, like: str | None) -> bytes:
        """The picture there. Raises FetchRefused, InvalidImage."""
        for pause_s in PAUSES_S:
            try:
                return await self._fetched(url, max_bytes, like)
            except _Failed:
                await asyncio.sleep(pause_s)
        return await self._fetched(url, max_bytes, like)

    async def _fetched(self, url: str, max_bytes: int, like: str | None) -> bytes:
        try:
            return await self._followed(url, max_bytes, like)
        except (AddressRefused, httpx2.InvalidURL, ValueError):
            # What is no address may be told by an error of any kind of text.
            raise FetchRefused(REFUSED) from None
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            raise _Failed(REFUSED) from None
        except (httpx2.TransportError, OSError):
            # Some errors of TLS come as an OSError.
            raise _Failed(NO_PICTURE) from None

    async def _followed(self, url: str, max_bytes: int, like: str | None) -> bytes:
        place = _checked(httpx2.URL(url))
        trusted = _host_and_port(httpx2.URL(like)) if like else None
        is_trusted = True
        for _ in range(1 + MAX_REDIRECTS):
            # Once it has led elsewhere, it doesn't lead back to where only a trusted provider may send us.
            is_trusted = is_trusted and _host_and_port(place) == trusted
            async with self._answer(place, is_trusted=is_trusted) as answer:
                if answer.status_code not in _REDIRECTS:
                    return await _picture(answer, max_bytes)
                place = _next(place, answer)
        raise FetchRefused(NO_PICTURE)

    @asynccontextmanager
    async def _answer(self, place: httpx2.URL, *, is_trusted: bool) -> AsyncIterator[httpx2.Response]:
        # Without a client, which would add cookies, and log the address.
        request = httpx2.Request("GET", place, headers=_HEADERS, extensions={"timeout": self._timeout.as_dict()})
        transport = self._unguarded if is_trusted else self._guarded
        answer = await transport.handle_async_request(request)
        try:
            yield answer
        finally:
            await answer.aclose()


class _Failed(FetchRefused):
    """It may well go better another time."""


def _checked(url: httpx2.URL) -> httpx2.URL:
    """An address that may be asked, as far as it can be told from the address itself. Raises FetchRefused."""
    is_web = url.scheme in _DEFAULT_PORTS and _HOST.fullmatch(url.raw_host) and not url.userinfo
    if not is_web or not (url.port is None or 0 < url.port <= _MAX_PORT):
        raise FetchRefused(REFUSED)
    return url


def _host_and_port(url: httpx2.URL) -> tuple[bytes, int | None]:
    return url.raw_host, url.port or _DEFAULT_PORTS.get(url.scheme)


def _next(place: httpx2.URL, answer: httpx2.Response) -> httpx2.URL:
    there = _checked(place.join(answer.headers.get("location", "")))
    if place.scheme == "https" and there.scheme != "https":
        raise FetchRefused(REFUSED)
    return there


async def _picture(answer: httpx2.Response, max_bytes: int) -> bytes:
    """The body, once it is seen to begin as a picture, and no more of it than is allowed."""
    if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise _Failed(NO_PICTURE)
    if answer.status_code != HTTPStatus.OK or answer.headers.get("content-encoding", "identity") != "identity":
        # The true size of what is compressed isn't known before it is unpacked.
        raise FetchRefused(NO_PICTURE)
    if int(answer.headers.get("content-length", 0)) > max_bytes:
        raise _too_large(max_bytes)
    body = bytearray()
    is_seen = False
    async for chunk in answer.aiter_raw():
        body += chunk
        if not is_seen and len(body) >= HEAD_BYTES:
            sniffed(bytes(body[:HEAD_BYTES]))
            is_seen = True
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
    if not is_seen:
        sniffed(bytes(body))
    return bytes(body)


def _too_large(max_bytes: int) -> InvalidImage:
    message = f"The picture is too large; at most {max_bytes:,} bytes are allowed."
    return InvalidImage(message, InvalidImageReason.TOO_LARGE)
