"""Nobody gets this server to connect to what isn't public: every way that is known, over real sockets.

`house` stands for what is private: whatever is tried, nobody may have connected to it. The rest of the world that must
not be reached is watched over by tests/conftest.py, which fails a test that connects to another machine.
"""

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from ipaddress import ip_network
from typing import Self

import pytest
import pytest_asyncio

from domain.errors import FetchRefused, InvalidImage, InvalidImageReason, ProviderUnusable
from domain.failures import FailureCode
from domain.providers import Access, PictureFailed, ProviderKind
from providers.fetching import NO_PICTURE, REFUSED
from providers.outbound import LATE, Outbound
from providers.registry import Registry
from tests.fakes.names import FakeNames
from tests.wire.pictures import RED, asked
from tests.wire.server import Answer, WireServer, ask

MAX_BYTES = 1_000_000
PUBLIC = [ip_network("127.0.0.1/32")]
"""What the tests let stand for the internet."""

HOSTS = [
    "127.0.0.2",
    "0.0.0.0",
    "localhost",
    "localhost.",
    "LOCALHOST",
    "private.test",
    "private.test.",
    "both.test",
    "mapped.test",
    "127.2",
    "127.0.2",
    "0x7f.2",
    "0x7f.0x0.0x0.0x2",
    "0x7f000002",
    "0177.0.0.2",
    "017700000002",
    "2130706434",
    "127.0.0.2.",
    "127。0。0。2",
    "１２７.0.0.2",  # noqa: RUF001  the ambiguity is the point
    "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
    "127.0.0.1%2f@127.0.0.2",
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000::0001]",
    "[::127.0.0.2]",
    "[::ffff:127.0.0.2]",
    "[::ffff:7f00:2]",
    "[0:0:0:0:0:ffff:7f00:0002]",
    "[::ffff:0:127.0.0.2]",
    "[64:ff9b::127.0.0.2]",
    "[64:ff9b:1::127.0.0.2]",
    "[2002:7f00:2::]",
    "[2001:0:7f00:2::]",
    "[fe80::1]",
    "[fe80::1%25lo]",
    "[fd00::1]",
    "[fec0::1]",
    "[ff02::1]",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "[fd00:ec2::254]",
    "metadata.test",
    "168.63.129.16",
    "255.255.255.255",
    "224.0.0.1",
    "someone@127.0.0.2",
    "someone:secret@127.0.0.2",
    "127.0.0.1@127.0.0.2",
]


@pytest_asyncio.fixture
async def house() -> AsyncIterator[list[WireServer]]:
    """What is private, on both kinds of loopback where the machine has them: nobody ever connects to it."""
    async with AsyncExitStack() as stack:
        house = [await stack.enter_async_context(WireServer(host="127.0.0.2"))]
        with suppress(OSError):
            house.append(await stack.enter_async_context(WireServer(host="::1")))
        for server in house:
            server.answer = Answer(200, [RED])
        yield house
        assert [server.connections for server in house] == [0] * len(house)


@pytest_asyncio.fixture
async def world() -> AsyncIterator[WireServer]:
    """A server that anybody may connect to."""
    async with WireServer() as server:
        server.answer = Answer(200, [RED])
        yield server


@pytest.fixture
def names() -> FakeNames:
    """A name service that says what an attacker wants."""
    names = FakeNames(
        private_test=[["127.0.0.2"]],
        both_test=[["127.0.0.1", "127.0.0.2"]],
        mapped_test=[["::ffff:127.0.0.2"]],
        metadata_test=[["169.254.169.254"]],
        localhost=[["127.0.0.2", "::1"]],
    )
    names.answers |= {f"{name}.": said for name, said in names.answers.items()}
    return names


@pytest_asyncio.fixture
async def outbound(names: FakeNames) -> AsyncIterator[Outbound]:
    """The way out."""
    outbound = Outbound(PUBLIC, resolve=names)
    yield outbound
    await outbound.aclose()


async def refusal(outbound: Outbound, url: str) -> str:
    """How fetching is refused, in words."""
    with pytest.raises(FetchRefused) as refused:
        await outbound.fetch(url, MAX_BYTES)
    return refused.value.message


def ports(house: list[WireServer]) -> list[int]:
    """Where the house listens."""
    return [server.port for server in house]


@pytest.mark.parametrize("host", HOSTS)
async def test_no_way_to_write_a_host_leads_inside(house: list[WireServer], outbound: Outbound, host: str) -> None:
    """Names, addresses of both kinds, numbers of every base, and hosts that pretend to be another."""
    for port in ports(house):
        assert await refusal(outbound, f"http://{host}:{port}/") == REFUSED
        assert await refusal(outbound, f"https://{host}:{port}/") == REFUSED


@pytest.mark.parametrize("host", HOSTS)
async def test_no_redirect_leads_inside(
    house: list[WireServer], world: WireServer, outbound: Outbound, host: str
) -> None:
    """Every step is checked as the first one was."""
    for port in ports(house):
        world.received.clear()
        world.first = [Answer(302, [], {"location": f"http://127.0.0.1:{world.port}/on"})]
        world.answer = Answer(302, [], {"location": f"http://{host}:{port}/"})
        assert await refusal(outbound, world.url) == REFUSED
        assert [received.path for received in world.received] == ["/", "/on"]


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "file://127.0.0.1/etc/passwd",
        "ftp://127.0.0.1:{port}/",
        "gopher://127.0.0.1:{port}/_GET",
        "dict://127.0.0.1:{port}/",
        "ldap://127.0.0.1:{port}/",
        "ws://127.0.0.1:{port}/",
        "unix:///var/run/docker.sock",
        "data:image/png;base64,iVBORw0KGgo=",
        "jar:http://127.0.0.1:{port}/!/",
        "javascript:alert(1)",
        "http:127.0.0.1:{port}",
        "http:/127.0.0.1:{port}/",
        "http://127.0.0.1:{port}@127.0.0.2/",
        "http://someone@127.0.0.1:{port}/",
        "http://someone:secret@127.0.0.1:{port}/",
        "http://127.0.0.1:0/",
        "http://127.0.0.1:-1/",
        "http://127.0.0.1:65536/",
        "http://127.0.0.1:{port}x/",
        "http://127.0.0.1:{port}\r\nX: y/",
        "http://127.0.0.1\\@127.0.0.2:{port}/",
    ],
)
async def test_no_other_scheme_or_form_is_followed(world: WireServer, outbound: Outbound, url: str) -> None:
    """Neither when it is asked for, nor when an answer leads there: nothing is connected to, not even what is public."""
    assert await refusal(outbound, url.format(port=world.port)) == REFUSED
    assert world.connections == 0
    world.answer = Answer(302, [], {"location": url.format(port=world.port).replace("\r\n", " ")})
    if not url.startswith(("http:1", "http:/1")):  # which are relative, in an answer
        assert await refusal(outbound, world.url) == REFUSED
        assert world.connections == 1


async def test_a_name_that_changes_its_mind_changes_nothing(
    house: list[WireServer], world: WireServer, outbound: Outbound, names: FakeNames
) -> None:
    """A name is asked once for each connection, and what was checked is what is connected to."""
    names.answers["rebind.test"] = [["127.0.0.1"], ["127.0.0.2"]]
    assert await outbound.fetch(f"http://rebind.test:{world.port}/", MAX_BYTES) == RED
    assert names.asked == ["rebind.test"]
    for port in (world.port, *ports(house)):
        assert await refusal(outbound, f"http://rebind.test:{port}/") == REFUSED
    assert world.connections == 1


async def test_a_name_that_changes_its_mind_between_redirects(
    house: list[WireServer], world: WireServer, outbound: Outbound, names: FakeNames
) -> None:
    """The second step asks anew, and is refused."""
    names.answers["rebind.test"] = [["127.0.0.1"], ["127.0.0.2"]]
    world.answer = Answer(302, [], {"location": f"http://rebind.test:{house[0].port}/"})
    assert await refusal(outbound, f"http://rebind.test:{world.port}/") == REFUSED
    assert len(world.received) == 1


async def test_a_name_that_changes_its_mind_between_tries(
    house: list[WireServer], world: WireServer, outbound: Outbound, names: FakeNames
) -> None:
    """So does another try after a fault."""
    names.answers["rebind.test"] = [["127.0.0.1"], ["127.0.0.2"]]
    world.answer = Answer(500)
    assert await refusal(outbound, f"http://rebind.test:{world.port}/") == REFUSED
    assert len(world.received) == 1


KINDS = [kind for kind in ProviderKind if Registry(Outbound(), 1).provider(kind, Access()).makes_images]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not ProviderKind.OFFLINE])
@pytest.mark.parametrize("host", ["127.0.0.2", "private.test", "0x7f.2", "[::1]", "unknown.test"])
async def test_no_profile_leads_inside(
    house: list[WireServer], outbound: Outbound, kind: ProviderKind, host: str
) -> None:
    """A profile's address is held to the same: the call is refused in words, free, and isn't made again."""
    for port in ports(house):
        provider = Registry(outbound, 5).provider(kind, Access("key-of-somebody-0123", f"http://{host}:{port}/v1"))
        with pytest.raises(ProviderUnusable, match=r"^The address may not be connected to from this server\.$"):
            await provider.check()
        (failed,) = await ask(provider, asked("a-model-of-tomorrow"))
        assert isinstance(failed, PictureFailed)
        assert (failed.failure.code, failed.failure.message) == (
            FailureCode.INVALID_REQUEST,
            "The address may not be connected to from this server.",
        )
        assert not failed.failure.is_charged
        assert not failed.failure.is_retryable
        await provider.aclose()


class Pouring:
    """A server that, once it is asked, sends a head and then the same again and again until the other side hangs up."""

    def __init__(self, head: str, piece: bytes, pause_s: float = 0) -> None:
        self._head = head
        self._piece = piece
        self._pause_s = pause_s
        self.sent_bytes = 0
        self.hung_up = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._pour, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await asyncio.wait_for(self.hung_up.wait(), 30)
        self._server.close()
        await self._server.wait_closed()

    async def _pour(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(self._head.replace("\n", "\r\n").encode())
            while not reader.at_eof():
                writer.write(self._piece)
                await writer.drain()
                self.sent_bytes += len(self._piece)
                await asyncio.sleep(self._pause_s)
        writer.close()
        self.hung_up.set()


OK = "HTTP/1.1 200 OK\n"
PIECE = RED.ljust(50_000, b"\0")
CHUNK = b"c350\r\n" + PIECE + b"\r\n"


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (f"{OK}\n", PIECE),
        (f"{OK}Transfer-Encoding: chunked\n\n", CHUNK),
        (f"{OK}Content-Length: 999999\nTransfer-Encoding: chunked\n\n", CHUNK),
    ],
)
async def test_an_endless_body_is_broken_off(outbound: Outbound, head: str, piece: bytes) -> None:
    """Whether it says how long it will be, says it in pieces, or lies: it is read up to the limit, and hung up on."""
    async with Pouring(head, piece) as server:
        with pytest.raises(InvalidImage) as refused:
            await outbound.fetch(server.url, MAX_BYTES)
    assert refused.value.reason is InvalidImageReason.TOO_LARGE
    # What the machine holds on the way comes on top.
    assert server.sent_bytes < MAX_BYTES + 20_000_000


async def test_a_body_that_is_too_long_by_its_own_word_is_not_read(world: WireServer, outbound: Outbound) -> None:
    """Its length is believed when it is to its disadvantage."""
    world.answer = Answer(200, [], {"content-length": str(MAX_BYTES + 1)})
    with pytest.raises(InvalidImage) as refused:
        await outbound.fetch(world.url, MAX_BYTES)
    assert refused.value.reason is InvalidImageReason.TOO_LARGE
    assert len(world.received) == 1


@pytest.mark.parametrize("length", [str(len(RED) + 1), f"{len(RED)}, {len(RED) + 1}", "-1", "many", "9" * 5_000])
async def test_a_length_that_is_a_lie_is_refused(world: WireServer, outbound: Outbound, length: str) -> None:
    """Less than was promised is no picture, and what is no number is no answer."""
    world.answer = Answer(200, [RED], {"content-length": length})
    assert await refusal(outbound, world.url) == NO_PICTURE


async def test_more_than_was_promised_is_left_alone(world: WireServer, outbound: Outbound) -> None:
    """Of a body that is longer than its own word no more is taken than that, and nothing is left for the next."""
    world.answer = Answer(
        200, [RED, b"HTTP/1.1 200 OK\r\n\r\n"], {"content-length": str(len(RED)), "connection": "keep-alive"}
    )
    for _ in range(2):
        assert await outbound.fetch(world.url, MAX_BYTES) == RED
    assert world.connections == 2


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (f"{OK}Content-Length: 500000\n\n", RED[:1]),
        (f"{OK}Transfer-Encoding: chunked\n\n", b"1\r\n\x89\r\n"),
        (OK, b"X-Header: y\r\n"),
        ("HTTP/1.1 100 Continue\n\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
)
async def test_a_trickle_is_given_up(head: str, piece: bytes) -> None:
    """Something comes all the time, so that no single wait is long: the whole of it has an end all the same."""
    outbound = Outbound(PUBLIC, fetch_timeout_s=0.3)
    async with Pouring(head, piece, 0.01) as server:
        assert await refusal(outbound, server.url) == LATE
    await outbound.aclose()


async def test_an_endless_head_is_given_up(outbound: Outbound) -> None:
    """Headers are bounded, too."""
    async with Pouring(OK, b"X-Header: " + b"y" * 10_000 + b"\r\n") as server:
        assert await refusal(outbound, server.url) == NO_PICTURE


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "x-unknown"])
async def test_what_is_compressed_is_not_unpacked(world: WireServer, outbound: Outbound, encoding: str) -> None:
    """A small answer may be a huge one inside."""
    world.answer = Answer(200, [gzip.compress(RED + bytes(10 * MAX_BYTES))], {"content-encoding": encoding})
    assert await refusal(outbound, world.url) == NO_PICTURE
    assert len(world.received) == 1
