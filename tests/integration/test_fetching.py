"""Fetching pictures over real sockets: what comes through, what is tried again, and what a request tells of us."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path

import pytest
import pytest_asyncio

from domain.errors import FetchRefused, InvalidImage, InvalidImageReason
from providers.fetching import MAX_REDIRECTS, NO_PICTURE, PAUSES_S, REFUSED
from providers.outbound import LATE, MAX_FETCHES, Outbound
from tests.fakes.names import FakeNames
from tests.pictures import corners, encoded, svg
from tests.wire.certificates import certified
from tests.wire.pictures import RED
from tests.wire.server import Answer, Ending, WireServer

MAX_BYTES = 100_000
LOOPBACK = [ip_network("127.0.0.0/8")]
PICTURE = Answer(200, [RED])


@pytest_asyncio.fixture
async def server() -> AsyncIterator[WireServer]:
    """Where pictures lie."""
    async with WireServer() as server:
        server.answer = PICTURE
        yield server


@pytest_asyncio.fixture
async def outbound() -> AsyncIterator[Outbound]:
    """A way out that may reach it."""
    outbound = Outbound(LOOPBACK)
    yield outbound
    await outbound.aclose()


def leads_to(url: str, status: int = 302, **headers: str) -> Answer:
    """A redirect."""
    return Answer(status, [], {"location": url, **headers})


async def refusal(outbound: Outbound, url: str, like: str | None = None) -> str:
    """How fetching is refused, in words."""
    with pytest.raises(FetchRefused) as refused:
        await outbound.fetch_result(url, MAX_BYTES, like=like)
    return refused.value.message


async def not_taken(outbound: Outbound, url: str, max_bytes: int = MAX_BYTES) -> InvalidImageReason:
    """Why what lies there isn't taken."""
    with pytest.raises(InvalidImage) as refused:
        await outbound.fetch(url, max_bytes)
    return refused.value.reason


async def test_a_picture_is_fetched(server: WireServer, outbound: Outbound) -> None:
    """What lies there comes back as it is, after one request that tells nothing of ours."""
    assert await outbound.fetch(f"{server.url}/a/fox.png?size=1#part", MAX_BYTES) == RED
    (received,) = server.received
    assert (received.method, received.path, received.body) == ("GET", "/a/fox.png?size=1", b"")
    assert received.headers == {
        "host": f"127.0.0.1:{server.port}",
        "accept": "image/*",
        "accept-encoding": "identity",
        "connection": "close",
        "user-agent": "atelier",
    }


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "AVIF", "HEIF"])
async def test_every_format_that_is_taken_in_is_fetched(server: WireServer, outbound: Outbound, format: str) -> None:
    """Each is known by its first bytes, also when they come one by one."""
    picture = encoded(corners(), format)
    server.answer = Answer(200, [*(picture[at : at + 1] for at in range(20)), picture[20:]])
    assert await outbound.fetch(server.url, MAX_BYTES) == picture


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", InvalidImageReason.EMPTY),
        (b"Dear sir or madam", InvalidImageReason.NOT_AN_IMAGE),
        (b"<html>" + b" " * 5_000, InvalidImageReason.NOT_AN_IMAGE),
        (svg(), InvalidImageReason.UNSUPPORTED_FORMAT),
    ],
)
async def test_what_is_not_a_picture_is_not_taken(
    server: WireServer, outbound: Outbound, body: bytes, reason: InvalidImageReason
) -> None:
    """Its first bytes tell, whatever its headers say."""
    server.answer = Answer(200, [body], {"content-type": "image/png"})
    assert await not_taken(outbound, server.url) is reason
    assert len(server.received) == 1


async def test_what_is_not_a_picture_is_not_read(server: WireServer, outbound: Outbound) -> None:
    """After its first bytes nothing more is waited for."""
    server.answer = Answer(200, [b"<html>" * 100], {}, Ending.HANG)
    assert await not_taken(outbound, server.url) is InvalidImageReason.NOT_AN_IMAGE
    await asyncio.wait_for(server.hung_up.wait(), 30)


async def test_the_limit_of_bytes_is_exact(server: WireServer, outbound: Outbound) -> None:
    """A picture of just as many bytes as are allowed comes through; of one more, it doesn't."""
    assert await outbound.fetch(server.url, len(RED)) == RED
    assert await not_taken(outbound, server.url, len(RED) - 1) is InvalidImageReason.TOO_LARGE


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed(server: WireServer, outbound: Outbound, status: int) -> None:
    """To addresses whole and relative, and nothing is carried along: no cookie, no part of the address before."""
    server.first = [
        leads_to("/b?c=d", status, **{"set-cookie": "seen=1; Path=/"}),
        leads_to(f"{server.url}/e", status),
        leads_to(f"//127.0.0.1:{server.port}/f", status),
    ]
    assert await outbound.fetch(f"{server.url}/a?token=1", MAX_BYTES) == RED
    assert [received.path for received in server.received] == ["/a?token=1", "/b?c=d", "/e", "/f"]
    assert not any({"cookie", "referer"} & set(received.headers) for received in server.received)


async def test_a_redirects_own_body_is_not_read(server: WireServer, outbound: Outbound) -> None:
    """The connection to who only sends us on is given up at once."""
    server.first = [Answer(302, [b"Moved"], {"location": "/b"}, Ending.HANG)]
    assert await outbound.fetch(server.url, MAX_BYTES) == RED
    await asyncio.wait_for(server.hung_up.wait(), 30)


async def test_redirects_come_to_an_end(server: WireServer, outbound: Outbound) -> None:
    """Who is sent on and on gives up; a redirect to nowhere is one, too."""
    for location in (f"{server.url}/again", ""):
        server.received.clear()
        server.answer = leads_to(location)
        assert await refusal(outbound, server.url) == NO_PICTURE
        assert len(server.received) == 1 + MAX_REDIRECTS


@pytest.mark.parametrize("status", [201, 204, 206, 300, 304, 400, 401, 403, 404, 410, 429])
async def test_only_a_200_has_a_picture(server: WireServer, outbound: Outbound, status: int) -> None:
    """Any other answer is refused, in one sentence that doesn't tell which it was, and not asked for again."""
    server.answer = Answer(status, [] if status in {204, 304} else [RED])
    assert await refusal(outbound, server.url) == NO_PICTURE
    assert len(server.received) == 1


@pytest.mark.parametrize(
    "failed",
    [
        Answer(500, [b"sorry"]),
        Answer(503),
        Answer(200, [RED], ending=Ending.CUT),
        Answer(200, [RED], ending=Ending.RESET),
    ],
)
async def test_a_fault_of_the_moment_is_tried_again(server: WireServer, outbound: Outbound, failed: Answer) -> None:
    """A picture that was paid for isn't given up at the first fault."""
    server.first = [failed, failed]
    assert await outbound.fetch(server.url, MAX_BYTES) == RED
    assert len(server.received) == 3


async def test_a_fault_that_stays_is_given_up(server: WireServer, outbound: Outbound) -> None:
    """After a few tries, and in words that don't tell what the fault was."""
    server.answer = Answer(500, [b"sorry"])
    assert await refusal(outbound, server.url) == NO_PICTURE
    assert len(server.received) == 1 + len(PAUSES_S)


async def test_where_nobody_listens(server: WireServer, outbound: Outbound) -> None:
    """A closed port sounds like an address that is refused."""
    port = server.port
    await server.__aexit__()
    assert await refusal(outbound, f"http://127.0.0.1:{port}") == REFUSED


@pytest.mark.parametrize(
    "url",
    [
        "",
        "fox.png",
        "//host/fox.png",
        "http://",
        "http:///fox.png",
        "http://a b/",
        "http://[::1/",
        "http://a/\ud800",
        "http://\ud800/",
        "http://a/?\udfff#\ud800",
        "http://a/\0",
        "http://xn--/",
        "http://" + "a" * 70_000,
        "http://a/" + "b" * 70_000,
        "http://a:" + "9" * 5_000,
        "http://[v1.a]/",
        "http://a\u2100b/",
    ],
)
async def test_what_is_no_address_is_refused(url: str) -> None:
    """Nonsense is refused like everything else."""
    assert await refusal(Outbound(resolve=FakeNames()), url) == REFUSED


@pytest.mark.parametrize("host", ["[v1.a", "a[b.test", "a]b.test", "{a}.test", "a!b.test", "a'b.test"])
async def test_a_host_that_is_no_name_is_not_looked_up(host: str) -> None:
    """Not everybody who reads the address takes it for a host."""
    names = FakeNames(**{host.replace(".", "_"): [["127.0.0.1"]]})
    assert await refusal(Outbound(LOOPBACK, resolve=names), f"http://{host}/") == REFUSED
    assert names.asked == []


@pytest.mark.parametrize(
    "location", ["http://[::1", "http://[x]/", "//[", "http://a:x/", "http://xn--/", "\ud800", "\0"]
)
async def test_a_redirect_to_what_is_no_address_is_refused(server: WireServer, location: str) -> None:
    """As it is when it is asked for."""
    server.answer = leads_to(location.encode(errors="surrogatepass").decode("latin-1"))
    assert await refusal(Outbound(LOOPBACK, resolve=FakeNames()), server.url) in {REFUSED, NO_PICTURE}


async def test_only_so_many_fetches_run_at_once(server: WireServer) -> None:
    """The others wait, and get their turn."""
    running, most, everybody_is_here = 0, 0, asyncio.Event()

    async def slow(_: str) -> list[str]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == MAX_FETCHES:
            everybody_is_here.set()
        await released.wait()
        running -= 1
        return ["127.0.0.1"]

    released = asyncio.Event()
    outbound = Outbound(LOOPBACK, resolve=slow)
    fetches = [
        asyncio.create_task(outbound.fetch(f"http://{number}.test:{server.port}", MAX_BYTES))
        for number in range(3 * MAX_FETCHES)
    ]
    await everybody_is_here.wait()
    for is_trusted in (True, False):
        found = await outbound.fetch_result(server.url, MAX_BYTES, is_trusted=is_trusted)
        assert found == RED, "a result waits for no import"
    released.set()
    assert await asyncio.gather(*fetches) == [RED] * len(fetches)
    assert most == MAX_FETCHES
    await outbound.aclose()


async def test_waiting_for_a_place_has_an_end_too(server: WireServer) -> None:
    """Whoever imports is told that it takes too long; a result was paid for, and waits for as long as its call may."""
    looked_up, everybody_is_here, released = 0, asyncio.Event(), asyncio.Event()

    async def stubborn(_: str) -> list[str]:
        nonlocal looked_up
        looked_up += 1
        if looked_up == 2 * MAX_FETCHES:
            everybody_is_here.set()
        while not released.is_set():
            with suppress(asyncio.CancelledError):
                await released.wait()
        return ["127.0.0.1"]

    outbound = Outbound(LOOPBACK, resolve=stubborn, fetch_timeout_s=0.2)
    holding = [
        asyncio.create_task(fetch(f"http://{number}.test:{server.port}", MAX_BYTES))
        for number in range(MAX_FETCHES)
        for fetch in (outbound.fetch, outbound.fetch_result)
    ]
    await everybody_is_here.wait()
    result = asyncio.create_task(outbound.fetch_result(server.url, MAX_BYTES))
    try:
        with pytest.raises(FetchRefused, match=LATE):
            await asyncio.wait_for(outbound.fetch(server.url, MAX_BYTES), 5)
        assert not result.done()
    finally:
        released.set()
    assert await result == RED
    await asyncio.gather(*holding, return_exceptions=True)
    await outbound.aclose()


async def test_the_environments_proxies_are_not_used(
    server: WireServer, outbound: Outbound, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy would connect for us to what we would have refused."""
    async with WireServer() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        assert await outbound.fetch(server.url, MAX_BYTES) == RED
        async with outbound.client({}, 5, is_trusted=False) as client:
            assert (await client.get(server.url)).content == RED
        assert proxy.connections == 0


async def test_addresses_stay_out_of_the_log(
    server: WireServer, outbound: Outbound, caplog: pytest.LogCaptureFixture
) -> None:
    """A result's address opens it for whoever has it."""
    with caplog.at_level(logging.INFO):
        await outbound.fetch(f"{server.url}/?signature=secret", MAX_BYTES)
        server.answer = Answer(404)
        await refusal(outbound, f"{server.url}/?signature=secret")
    assert "secret" not in caplog.text


async def test_a_certificate_is_for_the_name_and_not_for_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connecting to an address that was looked up before takes nothing from TLS: the name is still proved."""
    trusted, shown = certified(tmp_path, "pictures.test")
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    outbound = Outbound(LOOPBACK, resolve=FakeNames(pictures_test=[["127.0.0.1"]], other_test=[["127.0.0.1"]]))
    async with WireServer(shown) as server:
        server.answer = PICTURE
        assert await outbound.fetch(f"https://pictures.test:{server.port}", MAX_BYTES) == RED
        assert server.received[0].headers["host"] == f"pictures.test:{server.port}"
        assert await refusal(outbound, f"https://other.test:{server.port}") == REFUSED
        assert len(server.received) == 1
    await outbound.aclose()


async def test_a_redirect_never_leaves_tls(server: WireServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From https:// to http:// is a step down that nobody takes for us."""
    trusted, shown = certified(tmp_path, "pictures.test")
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    outbound = Outbound(LOOPBACK, resolve=FakeNames(pictures_test=[["127.0.0.1"]]))
    async with WireServer(shown) as safe:
        safe.answer = leads_to(f"{server.url}/plain")
        assert await refusal(outbound, f"https://pictures.test:{safe.port}") == REFUSED
    assert server.connections == 0
    await outbound.aclose()


async def test_a_trusted_providers_own_host_is_fetched_from(server: WireServer) -> None:
    """What the operator has set may answer with addresses of its own, wherever it stands."""
    outbound = Outbound()
    assert await outbound.fetch_result(f"{server.url}/files/1", MAX_BYTES, like=f"{server.url}/v1") == RED
    await outbound.aclose()


async def test_a_trusted_provider_opens_its_own_host_alone(server: WireServer) -> None:
    """Not another port of it, not another host, and not what a third party sends back to it."""
    outbound = Outbound([ip_network("127.0.0.2/32")], resolve=FakeNames(public_test=[["127.0.0.2"]]))
    async with WireServer() as neighbour:
        for like in (f"{neighbour.url}/v1", "http://ollama.test/v1", "", "nonsense://"):
            assert await refusal(outbound, server.url, like=like) == REFUSED
        neighbour.answer = leads_to(server.url)
        assert await refusal(outbound, neighbour.url, like=neighbour.url) == REFUSED
        assert server.connections == 0
    async with WireServer(host="127.0.0.2") as back:
        elsewhere = f"http://public.test:{back.port}"
        back.answer = leads_to(server.url)
        assert await refusal(outbound, elsewhere, like=server.url) == REFUSED
        assert server.connections == 0
        server.answer = leads_to(elsewhere)
        assert await refusal(outbound, server.url, like=server.url) == REFUSED
        assert (server.connections, back.connections) == (1, 2)
    await outbound.aclose()


async def test_waiting_has_an_end(server: WireServer) -> None:
    """For a name service that never answers, for an answer that never comes, and for one that never ends."""

    async def never(_: str) -> list[str]:
        await asyncio.Event().wait()
        return []

    outbound = Outbound(LOOPBACK, resolve=never, fetch_timeout_s=0.2)
    assert await refusal(outbound, "http://slow.test") == LATE
    server.answer = Answer(200, [RED], ending=Ending.HANG)
    assert await refusal(outbound, server.url) == LATE
    await asyncio.wait_for(server.hung_up.wait(), 30)
    await outbound.aclose()
