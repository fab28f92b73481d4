"""The HTTP client that every SDK is given, against a server of ours."""

import asyncio
from ipaddress import ip_network
from pathlib import Path

import httpx2
import pytest

from domain.providers import Access, PictureArrived
from providers.addresses import AddressRefused
from providers.connections import MAX_ERROR_BYTES, MAX_LIST_BYTES, MAX_LIST_MARKS, MAX_MARKS, connect
from providers.outbound import MAX_FETCHES, Outbound
from providers.xai import XaiProvider
from tests.fakes.names import FakeNames
from tests.wire import compatible as wire
from tests.wire.certificates import certified
from tests.wire.pictures import BLUE, asked
from tests.wire.server import Answer, Ending, WireServer, ask


def vendor(url: str, access: Access, outbound: Outbound, timeout_s: float = 5) -> XaiProvider:
    """A vendor whose own address is that one."""

    class Vendor(XaiProvider):
        default_base_url = url

    return Vendor(access, outbound, timeout_s)


async def test_an_answer_that_grows_past_the_limit_is_broken_off() -> None:
    """An endless body can't fill the memory: the client stops reading at its limit."""
    async with WireServer() as server, connect({}, 5, max_answer_bytes=1_000) as client:
        server.answer = Answer(200, [b"x" * 1_000])
        assert len((await client.post(server.url)).content) == 1_000
        server.answer = Answer(200, [b"x" * 500] * 3)
        with pytest.raises(httpx2.DecodingError, match="answer too large"):
            await client.post(server.url)


@pytest.mark.parametrize("mark", [b",", b"{", b"[", b"\n", b"\r"])
async def test_an_answer_of_too_many_values_is_broken_off(mark: bytes) -> None:
    """However few bytes they are: parsing millions of them would stop everything else. A list may have more."""
    async with WireServer() as server, connect({}, 5) as client:
        server.answer = Answer(200, [mark * MAX_MARKS])
        assert len((await client.post(server.url)).content) == MAX_MARKS
        server.answer = Answer(200, [mark * (MAX_MARKS + 1)], ending=Ending.HANG)
        with pytest.raises(httpx2.DecodingError, match="answer too large"):
            await client.post(server.url)
        server.answer = Answer(200, [mark * MAX_LIST_MARKS])
        assert len((await client.get(server.url)).content) == MAX_LIST_MARKS
        server.answer = Answer(200, [mark * (MAX_LIST_MARKS + 1)], ending=Ending.HANG)
        with pytest.raises(httpx2.DecodingError, match="answer too large"):
            await client.get(server.url)


async def test_an_answer_in_too_many_pieces_is_broken_off() -> None:
    """Pieces of one byte each are dearer than anything that could be in them."""
    chunked = {"transfer-encoding": "chunked", "content-length": "0"}
    async with WireServer() as server, connect({}, 5) as client:
        server.answer = Answer(200, [b"1\r\nx\r\n" * MAX_MARKS, b"0\r\n\r\n"], chunked)
        assert len((await client.post(server.url)).content) == MAX_MARKS
        server.answer = Answer(200, [b"1\r\nx\r\n" * (MAX_MARKS + 1)], chunked, Ending.HANG)
        with pytest.raises(httpx2.DecodingError, match="answer too large"):
            await client.post(server.url)


async def test_a_list_is_bounded_more_narrowly() -> None:
    """Nobody's list of models is as long as a picture."""
    async with WireServer() as server, connect({}, 5) as client:
        server.answer = Answer(200, [b"x" * MAX_LIST_BYTES])
        assert len((await client.get(server.url)).content) == MAX_LIST_BYTES
        server.answer = Answer(200, [b"x" * (MAX_LIST_BYTES + 1)], ending=Ending.HANG)
        with pytest.raises(httpx2.DecodingError, match="answer too large"):
            await client.get(server.url)


@pytest.mark.parametrize("status", [302, 400, 404, 429, 500])
async def test_of_an_error_the_beginning_is_read(status: int) -> None:
    """It tells enough, whatever comes after it, and the status counts."""
    async with WireServer() as server, connect({}, 5) as client:
        server.answer = Answer(status, [b"[" * 60_000, b"]" * 60_000], ending=Ending.HANG)
        answer = await client.post(server.url)
        assert answer.status_code == status
        assert answer.content == b"[" * 60_000 + b"]" * (MAX_ERROR_BYTES - 60_000)
        await asyncio.wait_for(server.hung_up.wait(), 30)


@pytest.mark.parametrize("charset", ["punycode", "idna", "zlib", "bz2", "utf-7", "unicode_escape", "latin-1"])
async def test_what_an_answer_says_of_its_encoding_is_not_believed(charset: str) -> None:
    """JSON is always UTF-8; some of what Python would decode for a server takes long, unpacks, or isn't text."""
    async with WireServer() as server, connect({}, 5) as client:
        server.answer = Answer(400, ["caf\u00e9-0".encode()], {"content-type": f"text/html; charset={charset}"})
        assert (await client.post(server.url)).text == "caf\u00e9-0"


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


async def test_who_is_not_trusted_connects_to_what_is_public() -> None:
    """The operator's own settings lead anywhere; everybody else's to public addresses, and to networks that are allowed."""
    outbound, allowing = Outbound(), Outbound([ip_network("127.0.0.0/8")])
    async with WireServer() as server:
        async with outbound.client({}, 5, is_trusted=True) as client:
            assert (await client.get(server.url)).status_code == 200
        async with allowing.client({}, 5, is_trusted=False) as client:
            assert (await client.get(server.url)).status_code == 200
        async with outbound.client({}, 5, is_trusted=False) as client:
            with pytest.raises(AddressRefused):
                await client.get(server.url)
        assert server.connections == 2
    await outbound.aclose()
    await allowing.aclose()


async def test_a_guarded_client_keeps_the_same_rules() -> None:
    """Its own key and no other headers, no redirects, no endless answers."""
    outbound = Outbound([ip_network("127.0.0.0/8")])
    async with WireServer() as server, outbound.client({"authorization": "Bearer one"}, 5, is_trusted=False) as client:
        server.answer = Answer(302, [], {"location": f"{server.url}/elsewhere", "set-cookie": "a=b"})
        assert (await client.get(server.url, headers={"X-Telemetry": "1"})).status_code == 302
        async with outbound.client({"authorization": "Bearer two"}, 5, is_trusted=False) as another:
            await another.get(server.url)
        assert [received.headers["authorization"] for received in server.received] == ["Bearer one", "Bearer two"]
        assert not any({"x-telemetry", "cookie"} & set(received.headers) for received in server.received)
        server.answer = Answer(200, [b"{}"], {"content-encoding": "gzip"})
        with pytest.raises(httpx2.DecodingError, match="compressed answer"):
            await client.get(server.url)
    await outbound.aclose()


async def test_guarded_connections_outlive_their_clients() -> None:
    """A client for each call is cheap, because all share what is open; in the end all of it is closed."""
    outbound = Outbound([ip_network("127.0.0.0/8")])
    async with WireServer() as server, WireServer() as another:
        server.answer = Answer(200, [b"{}"], ending=Ending.KEPT_ALIVE)
        # Slow enough for the first one to have seen it, if the connection to it had been closed meanwhile.
        another.answer = Answer(200, [b"{}"] * 5)
        for url in (server.url, another.url):
            async with outbound.client({}, 5, is_trusted=False) as client:
                await client.get(url)
        assert not server.hung_up.is_set()
        await outbound.aclose()
        await asyncio.wait_for(server.hung_up.wait(), 30)


async def test_every_address_of_a_name_is_tried() -> None:
    """Where nobody listens at the first address, the next one is connected to."""
    names = FakeNames(name_test=[["127.0.0.2", "127.0.0.1", "127.0.0.3"]])
    outbound = Outbound([ip_network("127.0.0.0/8")], resolve=names)
    async with WireServer() as server, outbound.client({}, 5, is_trusted=False) as client:
        assert (await client.get(f"http://name.test:{server.port}")).status_code == 200
        assert server.received[0].headers["host"] == f"name.test:{server.port}"
        names.answers["name.test"] = [["127.0.0.2", "127.0.0.3"]]
        with pytest.raises(httpx2.ConnectError):
            await client.get(f"http://name.test:{server.port}")
    await outbound.aclose()


async def test_a_vendors_own_address_is_not_looked_up_with_those_that_people_name() -> None:
    """Whoever's key it is: a vendor waits for no name of anybody's, and stands where we say that it stands."""
    names = FakeNames()
    outbound = Outbound(resolve=names)
    async with WireServer() as server:
        server.answer = wire.picture()
        provider = vendor(f"{server.url}/v1", Access("key-of-somebody-0123"), outbound)
        (arrived,) = await ask(provider, asked("grok-imagine-image"))
        assert isinstance(arrived, PictureArrived)
        await provider.aclose()
        named = vendor("", Access("key-of-somebody-0123", f"http://name.test:{server.port}/v1"), outbound)
        assert not isinstance((await ask(named, asked("grok-imagine-image")))[0], PictureArrived)
        await named.aclose()
    assert names.asked == ["name.test"]
    await outbound.aclose()


async def test_what_a_vendor_names_is_held_to_what_is_public() -> None:
    """A profile without an address opens nothing in the house: a result there isn't fetched, on no host."""
    outbound = Outbound()
    async with WireServer() as server:
        provider = vendor(f"{server.url}/v1", Access("key-of-somebody-0123"), outbound)
        server.first = [wire.picture(url="/made/1.png")]
        server.answer = Answer(200, [BLUE])
        assert not isinstance((await ask(provider, asked("grok-imagine-image")))[0], PictureArrived)
        assert len(server.received) == 1
        await provider.aclose()
    await outbound.aclose()


async def test_what_vendors_name_waits_for_no_servers_of_people() -> None:
    """Somebody's server that names what never answers takes the places of its like, and no others."""
    waiting, everybody_is_here = 0, asyncio.Event()

    async def never(_: str) -> list[str]:
        nonlocal waiting
        waiting += 1
        if waiting == MAX_FETCHES:
            everybody_is_here.set()
        await asyncio.Event().wait()
        return []

    outbound = Outbound([ip_network("127.0.0.0/8")], resolve=never)
    async with WireServer() as theirs, WireServer() as server:
        theirs.answer = wire.picture(url="http://never.test/1.png")
        named = [vendor("", Access("key-of-somebody-0123", theirs.url), outbound, 60) for _ in range(2 * MAX_FETCHES)]
        asking = [asyncio.create_task(ask(provider, asked("grok-imagine-image"))) for provider in named]
        await everybody_is_here.wait()
        provider = vendor(f"{server.url}/v1", Access("key-of-somebody-0123"), outbound)
        server.first = [wire.picture(url=f"{server.url}/1.png")]
        server.answer = Answer(200, [BLUE])
        (arrived,) = await ask(provider, asked("grok-imagine-image"))
        assert isinstance(arrived, PictureArrived)
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        for each in (*named, provider):
            await each.aclose()
    assert waiting == MAX_FETCHES
    await outbound.aclose()


async def test_vendors_are_called_through_the_operators_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where that is the only way out, it is for everybody's profiles: the vendor's name is the proxy's to look up."""
    outbound = Outbound()
    async with WireServer() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        proxy.answer = wire.picture()
        provider = vendor("http://vendor.test/v1", Access("key-of-somebody-0123"), outbound)
        (arrived,) = await ask(provider, asked("grok-imagine-image"))
        assert isinstance(arrived, PictureArrived)
        assert proxy.received[0].path == "http://vendor.test/v1/images/generations"
        await provider.aclose()
    await outbound.aclose()


async def test_trusted_clients_check_certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the authorities that the environment names, and for the name that was called."""
    trusted, shown = certified(tmp_path, "localhost")
    async with WireServer(shown) as server:
        outbound = Outbound()
        async with outbound.client({}, 5, is_trusted=True) as client:
            with pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await client.get(f"https://localhost:{server.port}")
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        outbound = Outbound()
        async with outbound.client({}, 5, is_trusted=True) as client:
            assert (await client.get(f"https://localhost:{server.port}")).status_code == 200
            with pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await client.get(f"https://127.0.0.1:{server.port}")
        assert len(server.received) == 1
