"""The Imagen adapter: the real SDK over HTTP against a server that answers as Vertex AI does, well and badly."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from domain.costs import CostBasis
from domain.errors import ProviderUnusable, UnsupportedByModel
from domain.failures import MESSAGES, FailureCode
from domain.providers import (
    Access,
    ImageModel,
    ImageOptions,
    OutputFormat,
    PictureArrived,
    PictureFailed,
    ProviderKind,
    check_options,
    in_own_words,
)
from providers.catalogue import GEMINI, IMAGEN
from providers.imagen import ImagenProvider
from providers.outbound import Outbound
from tests.wire import gemini
from tests.wire import imagen as wire
from tests.wire.pictures import BLUE, asked, b64
from tests.wire.server import Answer, Ending, WireServer, ask, json_answer, text_answer

KEY = "AQ.secret-0123456789"
MODEL = "imagen-of-tomorrow"
PATH = f"/v1beta1/publishers/google/models/{MODEL}:predict"
F = FailureCode


@pytest_asyncio.fixture
async def provider(server: WireServer) -> AsyncIterator[ImagenProvider]:
    """The adapter, pointed at it."""
    provider = ImagenProvider(Access(KEY, server.url, is_trusted=True), Outbound(), 5)
    yield provider
    await provider.aclose()


async def failed(provider: ImagenProvider) -> PictureFailed:
    """The one thing said, a failure; the key isn't in it, and what the vendor wrote is for admins alone."""
    (only,) = await ask(provider, asked(MODEL))
    assert isinstance(only, PictureFailed)
    assert "secret" not in repr(only)
    assert "own words" not in only.failure.message
    return only


async def test_a_prompt_becomes_one_prediction(server: WireServer, provider: ImagenProvider) -> None:
    """A prompt is sent once, to Vertex AI and with the key alone; the picture comes with the prompt that was used."""
    server.answer = wire.picture(prompt="A red fox")
    request = asked(MODEL, aspect_ratio="16:9", resolution="2K", output_format=OutputFormat.JPEG)
    assert await ask(provider, request) == [PictureArrived(BLUE, "A red fox", None, None, CostBasis.LISTED)]
    (received,) = server.received
    assert (received.method, received.path) == ("POST", PATH)
    assert received.headers["x-goog-api-key"] == KEY
    assert "authorization" not in received.headers
    assert received.json == {
        "instances": [{"prompt": "A fox"}],
        "parameters": {
            "sampleCount": 1,
            "aspectRatio": "16:9",
            "includeRaiReason": True,
            "outputOptions": {"mimeType": "image/jpeg"},
            "sampleImageSize": "2K",
        },
    }


async def test_nothing_is_sent_that_was_not_asked_for(server: WireServer, provider: ImagenProvider) -> None:
    """The vendor's own format and shape are what comes without a wish."""
    server.answer = wire.picture()
    assert await ask(provider, asked(MODEL, output_format=OutputFormat.ORIGINAL)) == [PictureArrived(BLUE)]
    assert server.received[0].json["parameters"] == {"sampleCount": 1, "includeRaiReason": True}


NO_PICTURE = [
    (wire.filtered(), F.REFUSED_OUTPUT, False),
    (wire.predicted(), F.EMPTY_RESULT, True),
    (json_answer({"predictions": []}), F.EMPTY_RESULT, True),
    (wire.picture(bytesBase64Encoded=""), F.EMPTY_RESULT, True),
    (wire.predicted({"mimeType": "image/png"}), F.EMPTY_RESULT, True),
    (json_answer([]), F.EMPTY_RESULT, True),
    (wire.picture(bytesBase64Encoded="not base64!"), F.BAD_RESPONSE, True),
    (wire.picture(bytesBase64Encoded=b64(BLUE)[:-3]), F.BAD_RESPONSE, True),
    (text_answer("<html>own words</html>"), F.BAD_RESPONSE, True),
    (text_answer('{"predictions": [', media_type="application/json"), F.BAD_RESPONSE, True),
    (Answer(204), F.BAD_RESPONSE, True),
]


@pytest.mark.parametrize(("answer", "code", "is_charged"), NO_PICTURE)
async def test_every_answer_without_a_picture_has_its_code(
    server: WireServer, provider: ImagenProvider, answer: Answer, code: FailureCode, is_charged: bool
) -> None:
    """A filtered picture is a refusal that isn't charged; nothing and nonsense in a 200 are failures that may be."""
    server.answer = answer
    told = (await failed(provider)).failure
    assert (told.code, told.message, told.is_charged, told.is_retryable) == (code, MESSAGES[code], is_charged, False)
    assert len(server.received) == 1


async def test_the_reason_for_a_filter_is_for_admins(server: WireServer, provider: ImagenProvider) -> None:
    """What Google says of it may be read by who looks after the account."""
    server.answer = wire.filtered("Unable to show generated images.")
    assert (await failed(provider)).detail == "Unable to show generated images."


PRACTICES = "The prompt could not be submitted. It contains words that violate Google's Responsible AI practices."
BLOCKED = "Image generation failed: The response is blocked, as it may violate our policies."
BAD_KEY = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
EXPRESS = "The provider does not accept the API key. Imagen takes one of Vertex AI in express mode."

ERRORS = [
    (gemini.error(400, "INVALID_ARGUMENT", message=PRACTICES), F.REFUSED_INPUT, None, False),
    (gemini.error(400, "INVALID_ARGUMENT", message="It violates our usage guidelines."), F.REFUSED_INPUT, None, False),
    (gemini.error(400, "INVALID_ARGUMENT", message=BLOCKED), F.REFUSED_OUTPUT, None, False),
    (gemini.error(400, "INVALID_ARGUMENT", BAD_KEY), F.INVALID_KEY, None, False),
    (gemini.error(401, "UNAUTHENTICATED", message="API keys are not supported"), F.INVALID_KEY, EXPRESS, False),
    (gemini.error(403, "PERMISSION_DENIED"), F.PERMISSION_DENIED, None, False),
    (gemini.error(400, "INVALID_ARGUMENT"), F.INVALID_REQUEST, None, False),
    (gemini.error(404, "NOT_FOUND", message="Publisher Model was not found"), F.MODEL_GONE, None, False),
    (gemini.error(429, "RESOURCE_EXHAUSTED"), F.RATE_LIMITED, None, False),
    (gemini.error(500, "INTERNAL"), F.PROVIDER_UNAVAILABLE, None, False),
    (gemini.error(503, "UNAVAILABLE"), F.PROVIDER_UNAVAILABLE, None, False),
    (gemini.error(504, "DEADLINE_EXCEEDED"), F.TIMEOUT, None, True),
    (text_answer("<html>own words</html>", 502), F.PROVIDER_UNAVAILABLE, None, True),
    (json_answer({}, ending=Ending.CUT), F.PROVIDER_UNAVAILABLE, None, True),
    (json_answer({}, ending=Ending.RESET), F.PROVIDER_UNAVAILABLE, None, True),
]


@pytest.mark.parametrize(("answer", "code", "message", "is_charged"), ERRORS)
async def test_every_error_has_its_code(
    server: WireServer,
    provider: ImagenProvider,
    answer: Answer,
    code: FailureCode,
    message: str | None,
    is_charged: bool,
) -> None:
    """Refusals before and after the work, keys of the wrong kind, and all that Gemini's API can say; one request each."""
    server.answer = answer
    told = (await failed(provider)).failure
    assert (told.code, told.message, told.is_charged) == (code, message or MESSAGES[code], is_charged)
    assert told.is_retryable == (code in {F.RATE_LIMITED, F.PROVIDER_UNAVAILABLE} and not is_charged)
    assert len(server.received) == 1


async def test_cancelling_closes_the_call(server: WireServer, provider: ImagenProvider) -> None:
    """A cancelled task that waits for the vendor ends the HTTP call and stays cancelled."""
    server.answer = Answer(ending=Ending.HANG)
    task = asyncio.create_task(ask(provider, asked(MODEL)))
    await asyncio.wait_for(server.arrived.wait(), 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(server.hung_up.wait(), 30)


async def test_the_environment_does_not_leak(server: WireServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, project, place, credentials or version is taken from the environment; only our own headers are sent."""
    for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY", "GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION"):
        monkeypatch.setenv(name, "leak")
    monkeypatch.setenv("GOOGLE_VERTEX_BASE_URL", "http://127.0.0.1:9/leak")
    monkeypatch.setenv("GOOGLE_GENAI_API_VERSION", "leak")
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "false")
    monkeypatch.setenv("GOOGLE_GENAI_USE_ENTERPRISE", "false")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/leak.json")
    provider = ImagenProvider(Access(KEY, server.url, is_trusted=True), Outbound(), 5)
    server.answer = wire.picture()
    assert await ask(provider, asked(MODEL)) == [PictureArrived(BLUE)]
    (received,) = server.received
    assert received.path == PATH
    assert "leak" not in repr(received)
    assert {name: value for name, value in received.headers.items() if name not in {"host", "content-length"}} == {
        "accept": "*/*",
        "accept-encoding": "identity",
        "connection": "keep-alive",
        "content-type": "application/json",
        "user-agent": "atelier",
        "x-goog-api-key": KEY,
        "x-server-timeout": "5",
    }
    await provider.aclose()


async def test_a_check_lists_the_models_of_imagen(server: WireServer, provider: ImagenProvider) -> None:
    """Of Google's models those that this adapter can ask."""
    names = ("imagen-of-tomorrow", "imagen-4.0-generate-001", "gemini-3-pro-image", "veo-4")
    server.answer = json_answer({"publisherModels": [{"name": f"publishers/google/models/{name}"} for name in names]})
    models = await provider.check()
    (received,) = server.received
    assert (received.method, received.path.partition("?")[0]) == ("GET", "/v1beta1/publishers/google/models")
    assert [model.id for model in models] == ["imagen-4.0-generate-001", "imagen-of-tomorrow"]


async def test_a_failed_check_says_why_in_our_words(server: WireServer, provider: ImagenProvider) -> None:
    """A key of another kind is told, and the vendor's answer isn't kept, not even as a cause."""
    server.answer = gemini.error(401, "UNAUTHENTICATED", message=KEY)
    with pytest.raises(ProviderUnusable) as caught:
        await provider.check()
    assert caught.value.message == EXPRESS
    assert caught.value.__suppress_context__


async def test_without_a_key_nothing_is_asked(server: WireServer) -> None:
    """No key means a problem in words that say which key it takes, and that it is late for one."""
    provider = ImagenProvider(Access(" ", server.url, is_trusted=True), Outbound())
    assert provider.problem == (
        "No API key is set for Google Imagen. It takes one of Vertex AI in express mode. "
        "Google has retired Imagen: Google Gemini replaces it."
    )
    told = (await failed(provider)).failure
    assert (told.code, told.message) == (F.INVALID_KEY, provider.problem)
    assert server.received == []


@pytest.mark.parametrize("model", IMAGEN.models, ids=lambda model: model.id)
def test_every_model_we_know_is_refused_with_its_successor(model: ImageModel) -> None:
    """Whoever asks for one is told of a Gemini model that lives, before anything is paid."""
    with pytest.raises(UnsupportedByModel) as caught:
        check_options(ProviderKind.IMAGEN, model, ImageOptions(), references=0)
    (successor,) = caught.value.supported
    assert successor in {each.id for each in GEMINI.offered(None)}


def test_an_unknown_model_passes_through_with_general_limits() -> None:
    """What Google may still serve to somebody is asked for, in Imagen's shapes and without references."""
    entry = IMAGEN.model(MODEL)
    options = in_own_words(entry, ImageOptions(aspect_ratio="4:3", quality="hd"))
    assert options.resolution == "2K"
    check_options(ProviderKind.IMAGEN, entry, options, references=0)
    for refused in (ImageOptions(aspect_ratio="21:9"), ImageOptions(seed=1), ImageOptions(resolution="4K")):
        with pytest.raises(UnsupportedByModel):
            check_options(ProviderKind.IMAGEN, entry, refused, references=0)
    with pytest.raises(UnsupportedByModel):
        check_options(ProviderKind.IMAGEN, entry, ImageOptions(), references=1)
