"""The Ollama adapter over HTTP against a server that answers as Ollama does, in versions that make images and that don't."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from domain.costs import CostBasis
from domain.errors import ProviderUnusable, UnsupportedByModel
from domain.failures import MESSAGES, FailureCode
from domain.providers import (
    Access,
    ImageOptions,
    PictureArrived,
    PictureFailed,
    PictureRequest,
    ProviderKind,
    check_options,
)
from providers.ollama import NO_IMAGE_MODEL, OllamaProvider
from providers.outbound import Outbound
from tests.wire import ollama as wire
from tests.wire.pictures import BLUE, FACE, GREEN, RED, SETTING, asked
from tests.wire.server import Answer, Ending, WireServer, ask, json_answer, text_answer

MODEL = "x/flux2-klein:4b"
F = FailureCode
MADE = [PictureArrived(BLUE, None, None, 0, CostBasis.LISTED)]
NO_IMAGES = "This version of Ollama makes no images: that ended with 0.32.5. Use 0.32.5, or another provider."
NOT_THERE = "Ollama has not got this model. Get it there by `ollama pull` and the model's name."
NOT_OLLAMA = "The provider's address does not lead to Ollama."
NOT_RUN = "Ollama could not run this model on its machine."

Connect = Callable[..., OllamaProvider]


@pytest_asyncio.fixture
async def connect(server: WireServer) -> AsyncIterator[Connect]:
    """Makes adapters that are pointed at it, with what a test adds to the address, and a key."""
    made: list[OllamaProvider] = []

    def connected(path: str = "", key: str | None = None) -> OllamaProvider:
        made.append(OllamaProvider(Access(key, server.url + path, is_trusted=True), Outbound(), 5))
        return made[-1]

    yield connected
    for provider in made:
        await provider.aclose()


async def failed(provider: OllamaProvider) -> PictureFailed:
    """The one thing said, a failure; what Ollama wrote is for admins alone. Nothing was paid, ever."""
    (only,) = await ask(provider, asked(MODEL))
    assert isinstance(only, PictureFailed)
    assert "own words" not in only.failure.message
    assert not only.failure.is_charged
    return only


async def test_steps_are_read_until_the_picture(server: WireServer, connect: Connect) -> None:
    """A prompt is sent once; the steps are no previews, and the picture costs nothing."""
    server.answer = wire.picture()
    assert await ask(connect(), asked(MODEL)) == MADE
    (received,) = server.received
    assert (received.method, received.path) == ("POST", "/api/generate")
    assert received.json == {"model": MODEL, "prompt": "A fox"}
    assert "authorization" not in received.headers


async def test_size_and_seed_have_their_own_places(server: WireServer, connect: Connect) -> None:
    """A size becomes two numbers, and a seed is an option, also when it is zero."""
    server.answer = wire.picture()
    await ask(connect(), asked(MODEL, size="1536x1024", seed=0))
    assert server.received[0].json == {
        "model": MODEL,
        "prompt": "A fox",
        "width": 1536,
        "height": 1024,
        "options": {"seed": 0},
    }


async def test_references_are_sent_as_base64(server: WireServer, connect: Connect) -> None:
    """References go out in order, and the prompt says what each of them shows."""
    server.answer = wire.picture()
    await ask(connect(), PictureRequest(MODEL, "A fox", ImageOptions(), references=(FACE, SETTING)))
    body = server.received[0].json
    assert [base64.b64decode(text, validate=True) for text in body["images"]] == [RED, GREEN]
    assert body["prompt"].startswith('Reference 1: the face of the person to show ("Ada").\n')


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/", "/behind/a/gateway", "/behind/a/gateway/v1"])
async def test_the_address_may_end_as_for_sdks(server: WireServer, connect: Connect, path: str) -> None:
    """With and without /v1, the native API beside it is asked."""
    server.answer = wire.picture()
    assert await ask(connect(path), asked(MODEL)) == MADE
    prefix = "/behind/a/gateway" if "gateway" in path else ""
    assert server.received[0].path == f"{prefix}/api/generate"


async def test_a_key_is_for_a_gateway(server: WireServer, connect: Connect) -> None:
    """None is needed; one that is given is sent, and shown to nobody."""
    server.answer = wire.error(401, "wrong key gateway-0123456789")
    told = await failed(connect(key="gateway-0123456789"))
    assert server.received[0].headers["authorization"] == "Bearer gateway-0123456789"
    assert (told.failure.code, told.failure.message) == (F.INVALID_KEY, MESSAGES[F.INVALID_KEY])
    assert "0123456789" not in repr(told)


ERRORS = [
    (wire.error(400, "image generation models are not currently supported"), F.INVALID_REQUEST, NO_IMAGES),
    (wire.error(404, f"model '{MODEL}' not found"), F.MODEL_GONE, NOT_THERE),
    (wire.error(404, f'model "{MODEL}" not found, try pulling it first'), F.MODEL_GONE, NOT_THERE),
    (text_answer("404 page not found", 404, "text/plain"), F.INVALID_REQUEST, NOT_OLLAMA),
    (text_answer("<html>own words</html>", 405), F.INVALID_REQUEST, NOT_OLLAMA),
    (wire.error(400, '"llama" does not support generate'), F.INVALID_REQUEST, "This model makes no images."),
    (wire.error(400, "width and height must be <= 4096"), F.INVALID_REQUEST, None),
    (wire.error(403), F.PERMISSION_DENIED, None),
    (wire.error(429), F.RATE_LIMITED, None),
    (wire.error(500, "mlx runner failed: out of memory (exit: exit status 1)"), F.PROVIDER_UNAVAILABLE, NOT_RUN),
    (wire.error(500), F.PROVIDER_UNAVAILABLE, None),
    (wire.error(503, "server busy, please try again."), F.PROVIDER_UNAVAILABLE, None),
    (text_answer("<html>own words</html>", 502), F.PROVIDER_UNAVAILABLE, None),
    (text_answer("<html>own words</html>", 504), F.TIMEOUT, None),
    (json_answer(["odd"], 400), F.INVALID_REQUEST, None),
]


@pytest.mark.parametrize(("answer", "code", "message"), ERRORS)
async def test_every_error_has_its_code(
    server: WireServer, connect: Connect, answer: Answer, code: FailureCode, message: str | None
) -> None:
    """What can be mended on Ollama's machine is told in words that say how; one request each."""
    server.answer = answer
    told = (await failed(connect())).failure
    assert (told.code, told.message) == (code, message or MESSAGES[code])
    assert told.is_retryable == (code in {F.RATE_LIMITED, F.PROVIDER_UNAVAILABLE})
    assert len(server.received) == 1


NO_PICTURE = [
    (wire.lines(*wire.STEPS, {"done": True}), F.EMPTY_RESULT, None),
    (wire.lines({"response": "own ", "done": False}, {"response": "", "done": True}), F.EMPTY_RESULT, NO_IMAGE_MODEL),
    (Answer(200), F.EMPTY_RESULT, None),
    (wire.lines({"image": "", "done": True}), F.EMPTY_RESULT, None),
    (wire.lines({"image": 7, "done": True}), F.EMPTY_RESULT, None),
    (wire.lines({"image": "not base64!", "done": True}), F.BAD_RESPONSE, None),
    (wire.lines(*wire.STEPS, {"error": "own words"}), F.BAD_RESPONSE, None),
    (text_answer("<html>own words</html>"), F.BAD_RESPONSE, None),
    (Answer(204), F.BAD_RESPONSE, None),
    (Answer(302, (), {"location": "/elsewhere"}), F.BAD_RESPONSE, "The provider's address leads elsewhere."),
]


@pytest.mark.parametrize(("answer", "code", "message"), NO_PICTURE)
async def test_every_answer_without_a_picture_has_its_code(
    server: WireServer, connect: Connect, answer: Answer, code: FailureCode, message: str | None
) -> None:
    """Nothing, words, and nonsense become one failure, after exactly one request."""
    server.answer = answer
    told = (await failed(connect())).failure
    assert (told.code, told.message) == (code, message or MESSAGES[code])
    assert len(server.received) == 1


@pytest.mark.parametrize("ending", [Ending.CUT, Ending.RESET])
async def test_a_lost_answer_may_be_asked_for_again(server: WireServer, connect: Connect, ending: Ending) -> None:
    """Elsewhere a lost picture may have been paid; here another try costs time alone."""
    server.answer = wire.lines(*wire.STEPS, ending=ending)
    told = (await failed(connect())).failure
    assert (told.code, told.is_retryable) == (F.PROVIDER_UNAVAILABLE, True)
    assert len(server.received) == 1


async def test_cancelling_in_mid_stream_ends_the_call(server: WireServer, connect: Connect) -> None:
    """Whoever stops waiting hangs up, so that the machine stops working too."""
    server.answer = wire.lines(*wire.STEPS, ending=Ending.HANG)
    task = asyncio.create_task(ask(connect(), asked(MODEL)))
    await asyncio.wait_for(server.arrived.wait(), 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(server.hung_up.wait(), 30)


async def test_the_environment_does_not_leak(
    server: WireServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither Ollama's own variables nor those of vendors have a say; only our own headers are sent."""
    for name in ("OLLAMA_HOST", "OLLAMA_API_KEY", "OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENROUTER_API_KEY"):
        monkeypatch.setenv(name, "leak")
    server.answer = wire.picture()
    assert await ask(connect(), asked(MODEL)) == MADE
    (received,) = server.received
    assert {name: value for name, value in received.headers.items() if name not in {"host", "content-length"}} == {
        "accept": "*/*",
        "accept-encoding": "identity",
        "connection": "keep-alive",
        "content-type": "application/json",
        "user-agent": "atelier",
    }


LIST = [
    {"name": "x/z-image-turbo:latest", "capabilities": ["image"]},
    {"name": "llava:latest", "capabilities": ["completion", "vision"]},
    {"name": "someone/sdxl:q4", "capabilities": ["image"]},
    {"name": "x/flux2-klein:9b-fp8"},
    {"name": "llama3:8b"},
    {"name": 7},
    "odd",
]


async def test_a_check_lists_what_makes_images(server: WireServer, connect: Connect) -> None:
    """Of the machine's models those with the ability; where the list says nothing of it, those we know by name."""
    server.answer = json_answer({"models": LIST})
    models = await connect("/v1").check()
    assert [(received.method, received.path) for received in server.received] == [("GET", "/api/tags")]
    assert [model.id for model in models] == ["x/z-image-turbo", "someone/sdxl:q4", "x/flux2-klein:9b-fp8"]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (text_answer("404 page not found", 404, "text/plain"), NOT_OLLAMA),
        (json_answer({"data": []}), "The address does not answer as the provider's API does."),
    ],
)
async def test_a_failed_check_says_why(server: WireServer, connect: Connect, answer: Answer, message: str) -> None:
    """An address of something else is told."""
    server.answer = answer
    with pytest.raises(ProviderUnusable) as caught:
        await connect().check()
    assert caught.value.message == message


def test_an_address_is_all_it_needs() -> None:
    """There is no address to assume: on a server, the machine beside it is somebody else's."""
    assert OllamaProvider(Access(), Outbound()).problem == "No address is set for Ollama."
    assert OllamaProvider(Access(None, "http://127.0.0.1:11434"), Outbound()).problem is None


def test_every_model_is_free() -> None:
    """Known or not."""
    provider = OllamaProvider(Access(), Outbound())
    assert {provider.price_micro_usd(model, ImageOptions(), 3) for model in (MODEL, "someone/sdxl")} == {0}


@pytest.mark.parametrize(
    ("model", "options", "references"),
    [
        (MODEL, ImageOptions(size="4096x4096"), 0),
        (MODEL, ImageOptions(size="1000x1000"), 0),
        (MODEL, ImageOptions(quality="hd"), 0),
        (MODEL, ImageOptions(), 11),
        ("x/z-image-turbo", ImageOptions(), 1),
    ],
)
def test_what_would_be_dropped_is_refused(model: str, options: ImageOptions, references: int) -> None:
    """Ollama rounds and shrinks sizes by itself; what would come out different isn't asked for."""
    provider = OllamaProvider(Access(), Outbound())
    with pytest.raises(UnsupportedByModel):
        check_options(ProviderKind.OLLAMA, provider.model(model), options, references)
