"""The HTTP client that every SDK is given, against a server of ours."""

import httpx2
import pytest

from providers.connections import connect
from tests.wire.server import Answer, WireServer


async def test_an_answer_that_grows_past_the_limit_is_broken_off() -> None:
    """An endless body can't fill the memory: the client stops reading at its limit."""
    async with WireServer() as server, connect({}, 5, max_answer_bytes=1_000) as client:
        server.answer = Answer(200, [b"x" * 1_000])
        assert len((await client.get(server.url)).content) == 1_000
        server.answer = Answer(200, [b"x" * 500] * 3)
        with pytest.raises(httpx2.DecodingError, match="answer too large"):
            await client.get(server.url)


async def test_only_our_headers_are_sent() -> None:
    """Whatever an SDK adds is taken off, and the credentials win over a header of the same name."""
    async with WireServer() as server, connect({"authorization": "Bearer ours"}, 5) as client:
        await client.get(server.url, headers={"Authorization": "Bearer theirs", "Cookie": "a=b", "X-Telemetry": "1"})
    assert set(server.received[0].headers) == {
        "host",
        "accept",
        "accept-encoding",
        "connection",
        "user-agent",
        "authorization",
    }
    assert server.received[0].headers["authorization"] == "Bearer ours"
