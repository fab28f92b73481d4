"""OpenAI-compatible servers: the real SDK over HTTP against one that answers in the many ways in which they do."""

from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import ip_network

import pytest
import pytest_asyncio

from domain.errors import ProviderUnusable
from domain.failures import MESSAGES, FailureCode
from domain.providers import Access, OutputFormat, PictureArrived, PictureFailed, PictureRequest
from providers.compatible import CompatibleProvider
from providers.outbound import Outbound
from providers.remotes import NOT_FETCHED, WRONG_ADDRESS
from tests.wire import compatible as wire
from tests.wire.pictures import BLUE, FACE, GREEN, RED, SETTING, asked, b64
from tests.wire.server import Answer, WireServer, ask, json_answer, text_answer

KEY = "sk-of-the-gateway-0123456789"
MODEL = "flux.1-schnell"
PICTURE_AT_ITS_PLACE = Answer(200, [GREEN], {"content-type": "image/png"})


@pytest_asyncio.fixture
async def outbound() -> AsyncIterator[Outbound]:
    """The way out, to public addresses alone."""
    outbound = Outbound()
    yield outbound
    await outbound.aclose()


@pytest_asyncio.fixture
async def provider(server: WireServer, outbound: Outbound) -> AsyncIterator[CompatibleProvider]:
    """The adapter, pointed at it by the operator, who may point anywhere."""
    provider = CompatibleProvider(Access(KEY, f"{server.url}/v1", is_trusted=True), outbound, 5)
    yield provider
    await provider.aclose()


async def the_only(provider: CompatibleProvider, request: PictureRequest) -> PictureArrived | PictureFailed:
    """The one thing said."""
    (event,) = await ask(provider, request)
    assert isinstance(event, PictureArrived | PictureFailed)
    return event


async def test_an_answer_that_repeats_the_key_is_not_passed_on(
    server: WireServer, provider: CompatibleProvider
) -> None:
    """What a server says of its own is stored and shown, also to who doesn't have the key."""
    repeated = {"x-request-id": f"req-{KEY}"}
    answer = wire.picture(b64_json=b64(BLUE), revised_prompt=f"A fox of {KEY}")
    server.answer = replace(answer, headers={**answer.headers, **repeated})
    assert await the_only(provider, asked(MODEL)) == PictureArrived(BLUE)
    server.answer = replace(text_answer("no", 500), headers=repeated)
    failed = await the_only(provider, asked(MODEL))
    assert isinstance(failed, PictureFailed)
    assert KEY not in str(failed)


async def test_only_what_was_asked_for_is_sent(server: WireServer, provider: CompatibleProvider) -> None:
    """A bare request has a model and a prompt; everything else is there when it was wished for."""
    server.answer = wire.picture()
    assert await the_only(provider, asked(MODEL)) == PictureArrived(BLUE)
    wishes = asked(
        MODEL,
        size="640x480",
        quality="hd",
        style="vivid",
        background="opaque",
        output_format=OutputFormat.WEBP,
        seed=7,
    )
    await the_only(provider, wishes)
    bare, full = server.received
    assert (bare.method, bare.path) == ("POST", "/v1/images/generations")
    assert bare.json == {"model": MODEL, "prompt": "A fox"}
    assert full.json == {
        "model": MODEL,
        "prompt": "A fox",
        "size": "640x480",
        "quality": "hd",
        "style": "vivid",
        "background": "opaque",
        "output_format": "webp",
        "seed": 7,
    }


@pytest.mark.parametrize(("references", "names"), [((FACE,), ["image"]), ((FACE, SETTING), ["image[]", "image[]"])])
async def test_references_are_files_of_an_edit(
    server: WireServer, provider: CompatibleProvider, references: tuple[object, ...], names: list[str]
) -> None:
    """One goes by the name that every server knows, several as a list; the options go along as fields."""
    server.answer = wire.picture()
    plain = asked(MODEL, size="640x480", seed=7, style="natural")
    request = PictureRequest(MODEL, plain.prompt, plain.options, references=references)  # type: ignore[arg-type]  # of references
    assert await the_only(provider, request) == PictureArrived(BLUE)
    (received,) = server.received
    assert (received.method, received.path) == ("POST", "/v1/images/edits")
    form = await received.form()
    files = [(name, value) for name, value in form.multi_items() if not isinstance(value, str)]
    assert [name for name, _ in files] == names
    assert [await file.read() for _, file in files] == [RED, GREEN][: len(names)]
    fields = {name: value for name, value in form.multi_items() if isinstance(value, str)}
    assert fields.pop("prompt").endswith("A fox")
    assert fields == {"model": MODEL, "size": "640x480", "seed": "7", "style": "natural"}
    await form.close()


@pytest.mark.parametrize(
    "entry",
    [
        {"b64_json": b64(BLUE)},
        {"b64_json": f"data:image/png;base64,{b64(BLUE)}"},
        {"url": f"data:image/png;base64,{b64(BLUE)}"},
        {"b64_json": "", "url": f"data:image/png;base64,{b64(BLUE)}"},
        {"b64_json": b64(BLUE), "url": "http://127.0.0.1:9/elsewhere"},
    ],
)
async def test_a_picture_may_be_in_the_answer_itself(
    server: WireServer, provider: CompatibleProvider, entry: dict[str, object]
) -> None:
    """As base64, with or without the head of a data URI, in either field."""
    server.answer = wire.picture(**entry)
    assert await the_only(provider, asked(MODEL)) == PictureArrived(BLUE)
    assert len(server.received) == 1


@pytest.mark.parametrize(
    ("url", "path"),
    [("{}/made/1.png?sig=x", "/made/1.png?sig=x"), ("/made/1.png", "/made/1.png"), ("1.png", "/v1/1.png")],
)
async def test_a_picture_is_fetched_from_where_the_server_itself_is(
    server: WireServer, provider: CompatibleProvider, url: str, path: str
) -> None:
    """By an address on its own host, absolute or relative, though that host is a private one; without the key."""
    server.first = [wire.picture(url=url.format(server.url), revised_prompt="A red fox")]
    server.answer = PICTURE_AT_ITS_PLACE
    assert await the_only(provider, asked(MODEL)) == PictureArrived(GREEN, "A red fox")
    _, fetched = server.received
    assert (fetched.method, fetched.path) == ("GET", path)
    assert KEY not in repr(fetched)


async def test_a_profile_fetches_where_the_operator_allows_it(server: WireServer) -> None:
    """A profile's server in a network that the operator has opened may name pictures there."""
    outbound = Outbound([ip_network("127.0.0.0/8")])
    provider = CompatibleProvider(Access(None, f"{server.url}/v1"), outbound, 5)
    server.first = [wire.picture(url="/made/1.png")]
    server.answer = PICTURE_AT_ITS_PLACE
    assert await the_only(provider, asked(MODEL)) == PictureArrived(GREEN)
    await provider.aclose()
    await outbound.aclose()


async def test_a_profile_reaches_no_private_server(server: WireServer, outbound: Outbound) -> None:
    """Unless the operator allows it, nothing is connected, nothing is charged, and no other try is made."""
    provider = CompatibleProvider(Access(KEY, f"{server.url}/v1"), outbound, 5)
    failed = await the_only(provider, asked(MODEL))
    assert isinstance(failed, PictureFailed)
    told = failed.failure
    assert (told.code, told.is_charged, told.is_retryable) == (FailureCode.INVALID_REQUEST, False, False)
    with pytest.raises(ProviderUnusable):
        await provider.check()
    assert server.connections == 0
    await provider.aclose()


@pytest.mark.parametrize("url", ["{}/x.png", "//{}/x.png", "file:///etc/passwd", "//[bad", "ftp://x/y"])
async def test_a_picture_elsewhere_in_the_house_is_not_fetched(
    server: WireServer, provider: CompatibleProvider, url: str
) -> None:
    """The server can't send us to its neighbours: the picture is lost, and paid all the same."""
    async with WireServer() as neighbour:
        there = neighbour.url if url.startswith("{}") else neighbour.url.removeprefix("http://")
        server.answer = wire.picture(url=url.format(there))
        failed = await the_only(provider, asked(MODEL))
        assert neighbour.connections == 0
    assert isinstance(failed, PictureFailed)
    told = failed.failure
    assert (told.code, told.message, told.is_charged) == (FailureCode.BAD_RESPONSE, NOT_FETCHED, True)


async def test_what_lies_there_must_be_a_picture(server: WireServer, provider: CompatibleProvider) -> None:
    """A page of an error, say, is none."""
    server.first = [wire.picture(url="/made/1.png")]
    server.answer = text_answer("<html>Gone</html>")
    failed = await the_only(provider, asked(MODEL))
    assert isinstance(failed, PictureFailed)
    assert (failed.failure.code, failed.failure.is_charged) == (FailureCode.BAD_RESPONSE, True)


SAID = f'The key {KEY} may not paint "A fox that looks at the moon over the sea", see https://x.example/?key={KEY}'


@pytest.mark.parametrize("kind", ["object", "text", "detail", "fields", "message"])
async def test_what_the_server_says_is_for_admins_alone(
    server: WireServer, provider: CompatibleProvider, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """In whatever shape it says it: without the key, the prompt and addresses, and never in the message or in a log."""
    server.answer = wire.error(400, SAID, kind)
    failed = await the_only(provider, asked(MODEL, "A fox that looks at the moon over the sea"))
    assert isinstance(failed, PictureFailed)
    assert failed.failure.message == MESSAGES[FailureCode.INVALID_REQUEST]
    assert failed.detail == 'The key \u2026 may not paint "\u2026", see \u2026'
    assert "may not paint" not in caplog.text


async def test_a_server_may_need_no_key(server: WireServer, outbound: Outbound) -> None:
    """Without a key none is sent, not even the one that the SDK insists on; without an address nobody can be asked."""
    provider = CompatibleProvider(Access(None, f"{server.url}/v1", is_trusted=True), outbound, 5)
    server.answer = wire.picture()
    assert provider.problem is None
    assert await the_only(provider, asked(MODEL)) == PictureArrived(BLUE)
    assert "authorization" not in server.received[0].headers
    assert CompatibleProvider(Access(KEY), outbound).problem == "No address is set for OpenAI-compatible."
    await provider.aclose()


async def test_its_models_are_those_that_it_lists(server: WireServer, provider: CompatibleProvider) -> None:
    """All of them, because no name tells what a model makes; each has the general limits."""
    server.answer = json_answer({"data": [{"id": "flux.1-schnell"}, {"id": "qwen-image"}, {"id": 7}, "x"]})
    offered = await provider.check()
    assert [model.id for model in offered] == ["flux.1-schnell", "qwen-image"]
    assert [(received.method, received.path) for received in server.received] == [("GET", "/v1/models")]
    assert offered[0].takes_seed


async def test_a_wrong_address_is_told(server: WireServer, provider: CompatibleProvider) -> None:
    """What isn't there, and what isn't a list."""
    for answer, message in (
        (text_answer("Not found", 404), "The provider's address does not lead to its image API."),
        (json_answer({"models": []}), "The address does not answer as the provider's API does."),
        (text_answer("<html>Welcome</html>"), WRONG_ADDRESS),
    ):
        server.answer = answer
        with pytest.raises(ProviderUnusable) as caught:
            await provider.check()
        assert caught.value.message == message
