"""The Gemini adapter: the real SDK over HTTP against a server that answers as Google does, well and badly."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from domain.costs import CostBasis
from domain.errors import ProviderUnusable
from domain.failures import MESSAGES, FailureCode
from domain.providers import (
    Access,
    ImageOptions,
    PictureArrived,
    PictureFailed,
    PictureRequest,
    ProviderKind,
    check_options,
    in_own_words,
)
from providers.catalogue import GEMINI
from providers.gemini import WORDS_ONLY, GeminiProvider
from providers.outbound import Outbound
from providers.prices import GEMINI_TOKEN_PRICES
from tests.wire import gemini as wire
from tests.wire.pictures import BLUE, FACE, GREEN, RED, SETTING, asked, b64
from tests.wire.server import Answer, Ending, WireServer, ask, json_answer, text_answer

KEY = "AIza-secret-0123456789"
MODEL = "gemini-3-pro-image"
F = FailureCode


@pytest_asyncio.fixture
async def provider(server: WireServer) -> AsyncIterator[GeminiProvider]:
    """The adapter, pointed at it."""
    provider = GeminiProvider(Access(KEY, server.url, is_trusted=True), Outbound(), 5)
    yield provider
    await provider.aclose()


async def failed(provider: GeminiProvider) -> PictureFailed:
    """The one thing said, a failure; the key isn't in it, and what the vendor wrote is for admins alone."""
    (only,) = await ask(provider, asked(MODEL))
    assert isinstance(only, PictureFailed)
    assert "AIza" not in repr(only)
    assert "own words" not in only.failure.message
    return only


async def test_a_prompt_becomes_one_request(server: WireServer, provider: GeminiProvider) -> None:
    """A prompt is sent once with its ratio and tier, and the picture comes with the vendor's id and its price."""
    server.answer = wire.candidate(wire.inline())
    request = asked(MODEL, aspect_ratio="16:9", resolution="4K")
    assert await ask(provider, request) == [PictureArrived(BLUE, None, "resp_1", 240_000)]
    (received,) = server.received
    assert (received.method, received.path) == ("POST", f"/v1/models/{MODEL}:generateContent")
    assert received.headers["x-goog-api-key"] == KEY
    assert received.json == {
        "contents": [{"role": "user", "parts": [{"text": "A fox"}]}],
        "generationConfig": {
            "responseModalities": ["IMAGE"],
            "imageConfig": {"aspectRatio": "16:9", "imageSize": "4K"},
        },
    }


async def test_references_become_inline_parts(server: WireServer, provider: GeminiProvider) -> None:
    """References follow the text in order, each with its type, and the text says what each of them shows."""
    server.answer = wire.candidate(wire.inline())
    plain = asked(MODEL)
    await ask(provider, PictureRequest(MODEL, plain.prompt, plain.options, references=(FACE, SETTING)))
    text, *pictures = server.received[0].json["contents"][0]["parts"]
    assert text["text"].startswith('Reference 1: the face of the person to show ("Ada").\nReference 2: the setting')
    assert text["text"].endswith("\n\nA fox")
    # The SDK writes this one name with an underscore; Google reads both.
    sent = [(part["inlineData"]["mime_type"], part["inlineData"]["data"]) for part in pictures]
    assert [(mime_type, base64.urlsafe_b64decode(data)) for mime_type, data in sent] == [
        ("image/png", RED),
        ("image/jpeg", GREEN),
    ]


async def test_drafts_of_its_thinking_are_skipped(server: WireServer, provider: GeminiProvider) -> None:
    """A picture among the thoughts is a draft; the first one outside of them counts."""
    server.answer = wire.candidate(
        wire.inline(RED, thought=True), {"text": "Here:"}, wire.inline(BLUE), wire.inline(GREEN)
    )
    (arrived,) = await ask(provider, asked(MODEL))
    assert arrived == PictureArrived(BLUE, None, "resp_1", 134_000)


async def test_a_model_without_a_known_price_has_no_cost(server: WireServer, provider: GeminiProvider) -> None:
    """An unknown model passes through, and no price is invented for it."""
    server.answer = wire.candidate(wire.inline())
    assert await ask(provider, asked("gemini-of-tomorrow")) == [PictureArrived(BLUE, None, "resp_1", None)]


COUNTED = {"candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 2000}], "candidatesTokenCount": 2000}


@pytest.mark.parametrize(
    ("model", "usage", "cost", "basis"),
    [
        (MODEL, COUNTED, 5 * 2 + 2000 * 120, CostBasis.USAGE),
        (MODEL, {**COUNTED, "thoughtsTokenCount": 300}, 5 * 2 + 2000 * 120 + 300 * 12, CostBasis.USAGE),
        (MODEL, {**COUNTED, "candidatesTokenCount": 2100}, 5 * 2 + 2000 * 120 + 100 * 12, CostBasis.USAGE),
        (MODEL, {**COUNTED, "candidatesTokenCount": None}, 5 * 2 + 2000 * 120, CostBasis.USAGE),
        (MODEL, {"candidatesTokensDetails": [{"modality": "TEXT", "tokenCount": 9}]}, 240_000, CostBasis.LISTED),
        (MODEL, {"candidatesTokensDetails": [{"modality": "IMAGE"}]}, 240_000, CostBasis.LISTED),
        (MODEL, {}, 240_000, CostBasis.LISTED),
        (MODEL, {**COUNTED, "promptTokenCount": 10**400}, 240_000, CostBasis.LISTED),
        (MODEL, {**COUNTED, "thoughtsTokenCount": -1}, 240_000, CostBasis.LISTED),
        ("gemini-nano-banana-2.1", COUNTED, 113_000, CostBasis.LISTED),
        ("gemini-of-tomorrow", COUNTED, None, CostBasis.LISTED),
    ],
)
async def test_counted_tokens_are_firmer_than_the_list(
    server: WireServer,
    provider: GeminiProvider,
    model: str,
    usage: dict[str, object],
    cost: int | None,
    basis: CostBasis,
) -> None:
    """What Google counted decides where its prices are known, thoughts and words included; else the listed price does."""
    server.answer = wire.candidate(wire.inline(), usage=usage)
    request = asked(model, resolution="4K")
    assert await ask(provider, request) == [PictureArrived(BLUE, None, "resp_1", cost, basis)]


TALKED = {"candidatesTokensDetails": [{"modality": "TEXT", "tokenCount": 30}], "candidatesTokenCount": 30}
NOTHING = {"candidatesTokenCount": None}


@pytest.mark.parametrize(
    ("answer", "code", "is_charged", "cost"),
    [
        (wire.candidate(finish="IMAGE_SAFETY", usage=COUNTED), F.REFUSED_OUTPUT, True, 5 * 2 + 2000 * 120),
        (wire.candidate(finish="IMAGE_SAFETY", usage=NOTHING), F.REFUSED_OUTPUT, True, 5 * 2),
        (wire.candidate(finish="ESCALATION", usage=NOTHING), F.REFUSED_INPUT, True, 5 * 2),
        (wire.candidate({"text": "No"}, usage=TALKED), F.EMPTY_RESULT, True, 5 * 2 + 30 * 12),
        (
            wire.candidate(finish="NO_IMAGE", usage={**NOTHING, "thoughtsTokenCount": 100}),
            F.EMPTY_RESULT,
            True,
            5 * 2 + 100 * 12,
        ),
        (wire.candidate(finish="NO_IMAGE", usage={**NOTHING, "promptTokenCount": 0}), F.EMPTY_RESULT, False, 0),
        (wire.blocked("SAFETY", usage={"promptTokenCount": 5}), F.REFUSED_INPUT, True, 5 * 2),
        (wire.blocked("SAFETY"), F.REFUSED_INPUT, False, None),
        # What the tokens are that came, nobody tells.
        (wire.candidate(finish="IMAGE_SAFETY"), F.REFUSED_OUTPUT, True, None),
        (wire.candidate(finish="NO_IMAGE", usage={**NOTHING, "promptTokenCount": None}), F.EMPTY_RESULT, True, None),
    ],
)
async def test_counted_tokens_are_paid_without_a_picture_too(
    server: WireServer,
    provider: GeminiProvider,
    answer: Answer,
    code: FailureCode,
    is_charged: bool,
    cost: int | None,
) -> None:
    """Whatever the reason why there is none: the tokens that are told at their prices, and nothing made up."""
    server.answer = answer
    told = await failed(provider)
    assert (told.failure.code, told.failure.is_charged, told.cost_micro_usd) == (code, is_charged, cost)
    assert cost is None or told.cost_basis is CostBasis.USAGE


def test_token_prices_and_prices_per_picture_agree() -> None:
    """The two lists tell the same: a picture of 1K is 1,120 tokens."""
    provider = GeminiProvider(Access(KEY), Outbound())
    for model, prices in GEMINI_TOKEN_PRICES.items():
        listed = provider.price_micro_usd(model, ImageOptions(resolution="1K"), 0)
        assert listed == pytest.approx(1_120 * prices.image_out, rel=0.01)


@pytest.mark.parametrize(
    ("model", "word", "resolution"),
    [
        (MODEL, "standard", "1K"),
        (MODEL, "hd", "4K"),
        ("gemini-3.1-flash-lite-image", "hd", "1K"),
        ("gemini-of-tomorrow", "hd", "4K"),
    ],
)
def test_words_for_quality_mean_a_tier(model: str, word: str, resolution: str) -> None:
    """Google's models have no qualities: the words of others become a tier, unless a tier is asked for."""
    entry = GEMINI.model(model)
    meant = in_own_words(entry, ImageOptions(quality=word))
    assert meant == ImageOptions(resolution=resolution)
    check_options(ProviderKind.GEMINI, entry, meant, references=0)
    assert in_own_words(entry, ImageOptions(quality=word, resolution="1K")) == ImageOptions(resolution="1K")


NO_PICTURE = [
    *((wire.blocked(reason), F.REFUSED_INPUT, False) for reason in ("SAFETY", "OTHER", "PROHIBITED_CONTENT", "NEWLY")),
    *((wire.blocked(reason), F.REFUSED_INPUT, False) for reason in ("BLOCKLIST", "IMAGE_SAFETY", "JAILBREAK")),
    *(
        (wire.candidate(finish=reason), F.REFUSED_OUTPUT, True)
        for reason in ("SAFETY", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "PROHIBITED_CONTENT", "IMAGE_RECITATION")
    ),
    (wire.candidate(wire.inline(), finish="IMAGE_SAFETY"), F.REFUSED_OUTPUT, True),
    (wire.candidate(finish="ESCALATION"), F.REFUSED_INPUT, False),
    (wire.candidate(finish="NO_IMAGE"), F.EMPTY_RESULT, True),
    (wire.candidate(finish="IMAGE_OTHER"), F.EMPTY_RESULT, True),
    (wire.candidate(finish="MAX_TOKENS"), F.EMPTY_RESULT, True),
    (wire.candidate(wire.inline(RED, thought=True), finish="NO_IMAGE"), F.EMPTY_RESULT, True),
    (json_answer({"candidates": [{"finishReason": "NO_IMAGE"}]}), F.EMPTY_RESULT, True),
    (json_answer({"candidates": [{}]}), F.EMPTY_RESULT, True),
    (json_answer({"candidates": []}), F.EMPTY_RESULT, True),
    (json_answer({}), F.EMPTY_RESULT, True),
    (json_answer([{"candidates": 1}]), F.EMPTY_RESULT, True),
    (wire.candidate(wire.inline(b"%PDF", "application/pdf")), F.BAD_RESPONSE, True),
    (wire.candidate(wire.inline(b"")), F.BAD_RESPONSE, True),
    (wire.candidate({"inlineData": {"mimeType": "image/png", "data": "not base64!"}}), F.BAD_RESPONSE, True),
    (wire.candidate({"inlineData": {"mimeType": "image/png", "data": b64(BLUE)[:-3]}}), F.BAD_RESPONSE, True),
    (wire.candidate({"inlineData": {"mimeType": "image/png", "data": 7}}), F.BAD_RESPONSE, True),
    (json_answer({"candidates": "own words"}), F.EMPTY_RESULT, True),
    (text_answer("<html>own words</html>"), F.BAD_RESPONSE, True),
    (text_answer('{"candidates": [', media_type="application/json"), F.BAD_RESPONSE, True),
    (Answer(204), F.BAD_RESPONSE, True),
]


@pytest.mark.filterwarnings("ignore:.*is not a valid:UserWarning")
@pytest.mark.parametrize(("answer", "code", "is_charged"), NO_PICTURE)
async def test_every_answer_without_a_picture_has_its_code(
    server: WireServer, provider: GeminiProvider, answer: Answer, code: FailureCode, is_charged: bool
) -> None:
    """Each form of refusal, nothing, and nonsense in a 200 becomes one failure, after exactly one request."""
    server.answer = answer
    told = (await failed(provider)).failure
    assert (told.code, told.message, told.is_charged, told.is_retryable) == (code, MESSAGES[code], is_charged, False)
    assert len(server.received) == 1


async def test_an_unfinished_answer_is_not_continued(server: WireServer, provider: GeminiProvider) -> None:
    """An answer that offers to be continued is left as it is: each continuation would be paid."""
    body = {"candidates": [{"finishReason": "CONTINUATION", "continuationToken": b64(b"more")}]}
    server.answer = json_answer(body)
    assert (await failed(provider)).failure.code is F.EMPTY_RESULT
    assert len(server.received) == 1


async def test_words_instead_of_a_picture_are_told_apart(server: WireServer, provider: GeminiProvider) -> None:
    """A model that only talked gets its user a hint, its admin what it said, and the vendor's id for its support."""
    server.answer = wire.candidate({"text": "own words"})
    told = await failed(provider)
    assert (told.failure.code, told.failure.message, told.request_id) == (F.EMPTY_RESULT, WORDS_ONLY, "resp_1")
    assert told.detail == "own words"


BAD_KEY = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "12.3s"}
ODD_RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "soon"}

ERRORS = [
    (wire.error(400, "INVALID_ARGUMENT", BAD_KEY, message=f"own words {KEY}"), (F.INVALID_KEY, False, None)),
    (wire.error(400, "INVALID_ARGUMENT", message="API key expired."), (F.INVALID_KEY, False, None)),
    (wire.error(401, "UNAUTHENTICATED"), (F.INVALID_KEY, False, None)),
    (wire.error(403, "PERMISSION_DENIED"), (F.PERMISSION_DENIED, False, None)),
    (wire.error(400, "INVALID_ARGUMENT"), (F.INVALID_REQUEST, False, None)),
    (wire.error(404, "NOT_FOUND"), (F.MODEL_GONE, False, None)),
    (wire.error(429, "RESOURCE_EXHAUSTED", RETRY), (F.RATE_LIMITED, True, 13)),
    (wire.error(429, "RESOURCE_EXHAUSTED", ODD_RETRY), (F.RATE_LIMITED, True, None)),
    (wire.error(429, "RESOURCE_EXHAUSTED", "odd"), (F.RATE_LIMITED, True, None)),
    (
        wire.error(429, "RESOURCE_EXHAUSTED", RETRY, message="Quota exceeded, limit: 0, model: x"),
        (F.INSUFFICIENT_CREDIT, False, None),
    ),
    (
        wire.error(429, "RESOURCE_EXHAUSTED", message="Your prepayment credits are depleted."),
        (F.INSUFFICIENT_CREDIT, False, None),
    ),
    (wire.error(500, "INTERNAL"), (F.PROVIDER_UNAVAILABLE, True, None)),
    (wire.error(503, "UNAVAILABLE"), (F.PROVIDER_UNAVAILABLE, True, None)),
    (json_answer([{"error": {"code": 503, "status": "UNAVAILABLE"}}], 503), (F.PROVIDER_UNAVAILABLE, True, None)),
]


@pytest.mark.parametrize(("answer", "expected"), ERRORS)
async def test_every_error_has_its_code(
    server: WireServer, provider: GeminiProvider, answer: Answer, expected: tuple[FailureCode, bool, int | None]
) -> None:
    """A wrong key is a 400, a quota says when to come back, and nothing of it was charged; one request each."""
    server.answer = answer
    told = (await failed(provider)).failure
    assert (told.code, told.is_retryable, told.retry_after_s) == expected
    assert (told.message, told.is_charged) == (MESSAGES[told.code], False)
    assert len(server.received) == 1


LOST = [
    (wire.error(504, "DEADLINE_EXCEEDED"), F.TIMEOUT),
    (text_answer("<html>own words</html>", 502), F.PROVIDER_UNAVAILABLE),
    (json_answer({}, ending=Ending.CUT), F.PROVIDER_UNAVAILABLE),
    (json_answer({}, ending=Ending.RESET), F.PROVIDER_UNAVAILABLE),
]


@pytest.mark.parametrize(("answer", "code"), LOST)
async def test_a_lost_answer_may_be_paid_and_is_not_asked_again(
    server: WireServer, provider: GeminiProvider, answer: Answer, code: FailureCode
) -> None:
    """When the vendor may have done the work, the failure says so and forbids a retry by itself."""
    server.answer = answer
    told = (await failed(provider)).failure
    assert (told.code, told.is_charged, told.is_retryable) == (code, True, False)
    assert len(server.received) == 1


async def test_an_account_that_is_not_served_is_told(server: WireServer, provider: GeminiProvider) -> None:
    """A region or a billing that stands against it has a sentence of its own."""
    server.answer = wire.error(400, "FAILED_PRECONDITION", message="User location is not supported")
    told = (await failed(provider)).failure
    assert told.code is F.PERMISSION_DENIED
    assert told.message == "Google does not serve this account here: its region or its billing stands against it."


async def test_a_redirect_is_not_followed(server: WireServer, provider: GeminiProvider) -> None:
    """The key does not travel to wherever an answer points."""
    server.answer = Answer(307, (), {"location": f"{server.url}/elsewhere"})
    assert (await failed(provider)).failure.code is F.BAD_RESPONSE
    assert len(server.received) == 1


async def test_a_call_ends_at_its_deadline(server: WireServer) -> None:
    """A vendor that goes silent is a timeout that may have been charged, and the connection is closed."""
    provider = GeminiProvider(Access(KEY, server.url, is_trusted=True), Outbound(), 1.5)
    server.answer = Answer(ending=Ending.HANG)
    told = (await asyncio.wait_for(failed(provider), 30)).failure
    assert (told.code, told.is_charged) == (F.TIMEOUT, True)
    await asyncio.wait_for(server.hung_up.wait(), 10)
    assert len(server.received) == 1
    await provider.aclose()


async def test_cancelling_closes_the_call(server: WireServer, provider: GeminiProvider) -> None:
    """A cancelled task that waits for the vendor ends the HTTP call and stays cancelled."""
    server.answer = Answer(ending=Ending.HANG)
    task = asyncio.create_task(ask(provider, asked(MODEL)))
    await asyncio.wait_for(server.arrived.wait(), 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(server.hung_up.wait(), 10)


async def test_nobody_there_is_unpaid_and_asked_once(server: WireServer) -> None:
    """A refused connection can't have been charged, and the SDK's hidden second attempt is switched off."""
    url = server.url
    await server.__aexit__()
    provider = GeminiProvider(Access(KEY, url, is_trusted=True), Outbound(), 8)
    started = time.monotonic()
    told = (await failed(provider)).failure
    assert (told.code, told.is_charged, told.is_retryable) == (F.PROVIDER_UNAVAILABLE, False, True)
    assert time.monotonic() - started < 2.5
    await provider.aclose()


@pytest.mark.parametrize("model", ["../files", "a/../b", "x?key=1", "", "a b", "m:generateContent/..", "x" * 200])
async def test_a_model_that_is_no_name_is_not_asked_for(
    server: WireServer, provider: GeminiProvider, model: str
) -> None:
    """The model is part of the address here, so that what isn't a name never gets there."""
    (only,) = await ask(provider, asked(model))
    assert isinstance(only, PictureFailed)
    assert (only.failure.code, only.failure.message) == (F.INVALID_REQUEST, "This is not the name of a model.")
    assert server.received == []


async def test_the_vendors_environment_does_not_leak(server: WireServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, address, version or Vertex switch is taken from the environment; only our own headers are sent."""
    monkeypatch.setenv("GOOGLE_API_KEY", "leak-1")
    monkeypatch.setenv("GEMINI_API_KEY", "leak-2")
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", "http://127.0.0.1:9/leak")
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
    monkeypatch.setenv("GOOGLE_GENAI_USE_ENTERPRISE", "true")
    monkeypatch.setenv("GOOGLE_GENAI_API_VERSION", "leak")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "leak")
    provider = GeminiProvider(Access(KEY, server.url, is_trusted=True), Outbound(), 5)
    server.answer = wire.candidate(wire.inline())
    assert len(await ask(provider, asked(MODEL))) == 1
    (received,) = server.received
    assert received.path == f"/v1/models/{MODEL}:generateContent"
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


async def test_closing_lets_go_of_connections(server: WireServer, provider: GeminiProvider) -> None:
    """An idle connection is kept for the next call and closed with the provider; a later call opens another one."""
    server.answer = replace(wire.candidate(wire.inline()), ending=Ending.KEPT_ALIVE)
    assert len(await ask(provider, asked(MODEL))) == 1
    assert not server.hung_up.is_set()
    await provider.aclose()
    await asyncio.wait_for(server.hung_up.wait(), 10)
    assert len(await ask(provider, asked(MODEL))) == 1


async def test_a_check_lists_the_models_that_make_images(server: WireServer, provider: GeminiProvider) -> None:
    """Of Google's list, the image models, those we know first; nothing of it costs anything."""
    names = ("gemini-of-tomorrow-image", "gemini-3-pro", "imagen-4.0-generate-001", MODEL, "gemini-nano-banana-2.1")
    server.answer = json_answer({"models": [{"name": f"models/{name}"} for name in names]})
    models = await provider.check()
    assert [(received.method, received.path) for received in server.received] == [("GET", "/v1/models?pageSize=1000")]
    assert [model.id for model in models] == ["gemini-nano-banana-2.1", MODEL, "gemini-of-tomorrow-image"]


async def test_a_failed_check_says_why_in_our_words(server: WireServer, provider: GeminiProvider) -> None:
    """A wrong key is told, and the vendor's answer isn't kept, not even as a cause."""
    server.answer = wire.error(400, "INVALID_ARGUMENT", BAD_KEY, message=KEY)
    with pytest.raises(ProviderUnusable) as caught:
        await provider.check()
    assert caught.value.message == MESSAGES[F.INVALID_KEY]
    assert caught.value.__suppress_context__


async def test_without_a_key_nothing_is_asked(server: WireServer) -> None:
    """No key means a problem in words, a failure in words, and no request."""
    provider = GeminiProvider(Access("  ", server.url, is_trusted=True), Outbound())
    assert provider.problem == "No API key is set for Google Gemini."
    told = (await failed(provider)).failure
    assert (told.code, told.message) == (F.INVALID_KEY, provider.problem)
    assert server.received == []
