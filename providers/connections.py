"""The HTTP client that every vendor's SDK is given: our headers and no others, no redirects, bounded answers.

Imported only when a provider is first called.
"""

from collections.abc import AsyncIterator, Mapping

import httpx2

CONNECT_TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 128 * 1024 * 1024
"""A 4K PNG in base64 is about 45 MB; previews come on top."""

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
    credentials: Mapping[str, str], timeout_s: float, max_answer_bytes: int = MAX_ANSWER_BYTES
) -> httpx2.AsyncClient:
    """A client whose requests carry `credentials` and nothing that an SDK found in the environment.

    Redirects aren't followed: they would take the key along to another host.
    """

    async def keep_own_headers(request: httpx2.Request) -> None:
        for name in set(request.headers) - _OWN_HEADERS:
            del request.headers[name]
        # Compressed answers are refused below, because their true size isn't known before they are unpacked.
        request.headers.update({**credentials, "accept-encoding": "identity", "user-agent": "atelier"})

    async def bound(response: httpx2.Response) -> None:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise httpx2.DecodingError("compressed answer", request=response.request)
        if isinstance(response.stream, httpx2.AsyncByteStream):
            response.stream = _BoundedStream(response.stream, max_answer_bytes, response.request)

    return httpx2.AsyncClient(
        timeout=timeout(timeout_s),
        follow_redirects=False,
        event_hooks={"request": [keep_own_headers], "response": [bound]},
    )


class _BoundedStream(httpx2.AsyncByteStream):
    """A body that breaks off when it grows past its limit."""

    def __init__(self, stream: httpx2.AsyncByteStream, max_bytes: int, request: httpx2.Request) -> None:
        self._stream = stream
        self._left = max_bytes
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            self._left -= len(chunk)
            if self._left < 0:
                raise httpx2.DecodingError("answer too large", request=self._request)
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
