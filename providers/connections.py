"""The HTTP client that every vendor's SDK is given: our headers and no others, no redirects, bounded answers.

Answers are bounded here, before anybody parses them: a member's server may send what takes long to read.

Imported only when a provider is first called.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping

import httpx2

CONNECT_TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 128 * 1024 * 1024
"""A 4K PNG in base64 is about 45 MB; previews come on top."""
MAX_LIST_BYTES = 2 * 1024 * 1024
MAX_ERROR_BYTES = 64 * 1024
"""No more of an error is read: its status says the most."""
MAX_MARKS = 200_000
MAX_LIST_MARKS = 100_000
"""How many values an answer may have, about: megabytes of tiny ones stop everything while they are parsed."""

# What begins a value or a line. Base64 has none of them, so that a picture has few, however large it is.
_MARKS = b",[{\n\r"
_SMALL_CHUNK_BYTES = 512

_OWN_HEADERS = frozenset(
    {
        "host",
        "accept",
        "connection",
        "content-length",
        "content-type",
        "transfer-encoding",
        "x-server-timeout",
        # openai looks on the sent request for its own mark that the plain response is wanted.
        "x-stainless-raw-response",
    }
)


def timeout(total_s: float) -> httpx2.Timeout:
    """Waiting times of one call: short until connected, then the whole time that the call may take."""
    return httpx2.Timeout(total_s, connect=min(CONNECT_TIMEOUT_S, total_s))


def connect(
    credentials: Mapping[str, str],
    timeout_s: float,
    max_answer_bytes: int = MAX_ANSWER_BYTES,
    transport: httpx2.AsyncBaseTransport | None = None,
    certificates: ssl.SSLContext | None = None,
) -> httpx2.AsyncClient:
    """A client whose requests carry `credentials` and nothing that an SDK found in the environment.

    Redirects aren't followed: they would take the key along to another host. Without a `transport` the client has its
    own connections, which go where they are told to, and trusts `certificates`; reading its own takes long.
    """

    async def keep_own_headers(request: httpx2.Request) -> None:
        for name in set(request.headers) - _OWN_HEADERS:
            del request.headers[name]
        # Compressed answers are refused below, because their true size isn't known before they are unpacked.
        request.headers.update({**credentials, "accept-encoding": "identity", "user-agent": "atelier"})

    async def bound(response: httpx2.Response) -> None:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise httpx2.DecodingError("compressed answer", request=response.request)
        # Whatever it says that it is written in: some of what Python decodes takes long, or unpacks.
        response.encoding = "utf-8"
        if not isinstance(response.stream, httpx2.AsyncByteStream):
            return
        if not response.is_success:
            response.stream = _Beginning(response.stream, MAX_ERROR_BYTES)
        elif response.request.method == "GET":
            response.stream = _BoundedStream(response.stream, MAX_LIST_BYTES, MAX_LIST_MARKS, response.request)
        else:
            response.stream = _BoundedStream(response.stream, max_answer_bytes, MAX_MARKS, response.request)

    return httpx2.AsyncClient(
        timeout=timeout(timeout_s),
        follow_redirects=False,
        verify=certificates or True,
        transport=transport,
        event_hooks={"request": [keep_own_headers], "response": [bound]},
    )


class _BoundedStream(httpx2.AsyncByteStream):
    """A body that breaks off when it grows past its limits."""

    def __init__(self, stream: httpx2.AsyncByteStream, max_bytes: int, max_marks: int, request: httpx2.Request) -> None:
        self._stream = stream
        self._bytes_left = max_bytes
        self._marks_left = max_marks
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            self._bytes_left -= len(chunk)
            self._marks_left -= sum(map(chunk.count, _MARKS)) + (len(chunk) < _SMALL_CHUNK_BYTES)
            if self._bytes_left < 0 or self._marks_left < 0:
                raise httpx2.DecodingError("answer too large", request=self._request)
            yield chunk
            # Many chunks may come without a wait between them, while others want their turn.
            await asyncio.sleep(0)

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Beginning(httpx2.AsyncByteStream):
    """A body that ends at its limit."""

    def __init__(self, stream: httpx2.AsyncByteStream, max_bytes: int) -> None:
        self._stream = stream
        self._left = max_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            yield chunk[: self._left]
            self._left -= len(chunk)
            if self._left <= 0:
                return
            await asyncio.sleep(0)

    async def aclose(self) -> None:
        await self._stream.aclose()
