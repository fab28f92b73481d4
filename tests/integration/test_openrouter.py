"""The OpenRouter adapter: the real SDK of OpenAI over HTTP against a server that answers as OpenRouter does."""

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from domain.costs import CostBasis
from domain.errors import ProviderUnusable, UnsupportedByModel
from domain.failures import MESSAGES, FailureCode
from domain.providers import (
    Access,
    ImageOptions,
    OutputFormat,
    PictureArrived,
    PictureFailed,
    PictureRequest,
    ProviderKind,
    check_options,
    in_own_words,
)
from providers.gemini import WORDS_ONLY
from providers.openrouter import OpenRouterProvider, cost_micro_usd
from providers.outbound import Outbound
from providers.remotes import NOT_FETCHED
from tests.wire import openrouter as wire
from tests.wire.pictures import BLUE, FACE, GREEN, RED, SETTING, asked, b64
from tests.wire.server import Answer, Ending, WireServer, ask, json_answer, text_answer

KEY = "sk-or-v1-secret-0123456789"
CHAT = "google/gemini-3.1-flash-image"
IMAGES = "a-lab/a-model-of-tomorrow"
F = FailureCode


@pytest_asyncio.fixture
async def provider(server: WireServer) -> AsyncIterator[OpenRouterProvider]:
    """The adapter, pointed at it."""
    provider = OpenRouterProvider(Access(KEY, f"{server.url}/api/v1", is_trusted=True), Outbound(), 5)
    yield provider
    await provider.aclose()


async def failed(provider: OpenRouterProvider, model: str) -> PictureFailed:
    """The one thing said, a failure; the key isn't in it, and what the vendor wrote is for admins alone."""
    (only,) = await ask(provider, asked(model))
    assert isinstance(only, PictureFailed)
    assert "secret" not in repr(only)
    assert "own words" not in only.failure.message
    return only


async def test_a_model_that_talks_is_asked_by_chat(server: WireServer, provider: OpenRouterProvider) -> None:
    """A prompt becomes one message that wants a picture, and the picture comes with the vendor's id and the price paid."""
    server.answer = wire.drawn()
    request = asked(CHAT, aspect_ratio="16:9", resolution="4K")
    assert await ask(provider, request) == [PictureArrived(BLUE, None, "gen-1", 40_000, CostBasis.REPORTED)]
    (received,) = server.received
    assert (received.method, received.path) == ("POST", "/api/v1/chat/completions")
    assert received.headers["authorization"] == f"Bearer {KEY}"
    assert received.json == {
        "model": CHAT,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "A fox"}]}],
        "modalities": ["image", "text"],
        "image_config": {"aspect_ratio": "16:9", "image_size": "4K"},
    }


async def test_chat_has_a_name_of_its_own_for_the_smallest_tier(
    server: WireServer, provider: OpenRouterProvider
) -> None:
    """512 is called 0.5K there."""
    server.answer = wire.drawn()
    await ask(provider, asked(CHAT, resolution="512"))
    assert server.received[0].json["image_config"] == {"image_size": "0.5K"}


async def test_every_other_model_is_asked_by_the_images_api(server: WireServer, provider: OpenRouterProvider) -> None:
    """A model we know nothing of goes where new models go, with every option under its own name."""
    server.answer = wire.picture()
    request = asked(
        IMAGES,
        aspect_ratio="16:9",
        resolution="2K",
        quality="high",
        background="transparent",
        output_format=OutputFormat.WEBP,
        seed=0,
    )
    assert await ask(provider, request) == [PictureArrived(BLUE, None, "req_images", 40_000, CostBasis.REPORTED)]
    (received,) = server.received
    assert (received.method, received.path) == ("POST", "/api/v1/images")
    assert received.json == {
        "model": IMAGES,
        "prompt": "A fox",
        "n": 1,
        "aspect_ratio": "16:9",
        "resolution": "2K",
        "quality": "high",
        "background": "transparent",
        "output_format": "webp",
        "seed": 0,
    }


async def test_a_size_is_sent_as_it_was_asked_for(server: WireServer, provider: OpenRouterProvider) -> None:
    """Pixels go out as pixels, and nothing that wasn't asked for goes out."""
    server.answer = wire.picture()
    await ask(provider, asked(IMAGES, size="1024x1536", output_format=OutputFormat.ORIGINAL))
    assert server.received[0].json == {"model": IMAGES, "prompt": "A fox", "n": 1, "size": "1024x1536"}


REFERENCES = [
    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{b64(RED)}"}},
    {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{b64(GREEN)}"}},
]


async def test_references_follow_the_message_as_data_uris(server: WireServer, provider: OpenRouterProvider) -> None:
    """In a chat they are parts of the message, in order, and the text says what each of them shows."""
    server.answer = wire.drawn()
    await ask(provider, PictureRequest(CHAT, "A fox", ImageOptions(), references=(FACE, SETTING)))
    text, *pictures = server.received[0].json["messages"][0]["content"]
    assert text["text"].startswith('Reference 1: the face of the person to show ("Ada").\n')
    assert pictures == REFERENCES


async def test_references_of_an_order_are_input_references(server: WireServer, provider: OpenRouterProvider) -> None:
    """In the images API they have a field of their own."""
    server.answer = wire.picture()
    await ask(provider, PictureRequest(IMAGES, "A fox", ImageOptions(), references=(FACE, SETTING)))
    assert server.received[0].json["input_references"] == REFERENCES
    assert server.received[0].json["prompt"].endswith("\n\nA fox")


NONE_IN_CHAT = [
    (wire.chat(finish="content_filter", native="PROHIBITED_CONTENT"), F.REFUSED_OUTPUT, True),
    (wire.chat("data:image/png;base64,AAAA", finish="content_filter"), F.REFUSED_OUTPUT, True),
    (wire.chat(refusal="own words"), F.REFUSED_OUTPUT, True),
    (wire.chat(native="IMAGE_SAFETY"), F.REFUSED_OUTPUT, True),
    # It told a price for that, too.
    (wire.chat(native="ESCALATION"), F.REFUSED_INPUT, True),
    (wire.chat(native="NO_IMAGE"), F.EMPTY_RESULT, True),
    (wire.chat(native=None), F.EMPTY_RESULT, True),
    (wire.chat(finish="error", native=None), F.BAD_RESPONSE, True),
    (wire.chat(""), F.EMPTY_RESULT, True),
    (wire.chat("data:image/png;base64,not base64!"), F.BAD_RESPONSE, True),
    (json_answer({"id": "gen-1", "choices": []}), F.EMPTY_RESULT, True),
    (json_answer({"id": 7, "choices": [7]}), F.EMPTY_RESULT, True),
    (json_answer([]), F.EMPTY_RESULT, True),
    (text_answer("<html>own words</html>"), F.BAD_RESPONSE, True),
    (text_answer('{"choices": [', media_type="application/json"), F.BAD_RESPONSE, True),
]
NONE_OF_IMAGES = [
    (wire.picture(b64_json=None), F.EMPTY_RESULT, True),
    (wire.picture(b64_json="not base64!"), F.BAD_RESPONSE, True),
    (json_answer({"data": []}), F.EMPTY_RESULT, True),
    (json_answer({"data": 7}), F.EMPTY_RESULT, True),
    (text_answer("<html>own words</html>"), F.BAD_RESPONSE, True),
]


@pytest.mark.parametrize(
    ("model", "answer", "code", "is_charged"),
    [*((CHAT, *case) for case in NONE_IN_CHAT), *((IMAGES, *case) for case in NONE_OF_IMAGES)],
)
async def test_every_answer_without_a_picture_has_its_code(
    server: WireServer, provider: OpenRouterProvider, model: str, answer: Answer, code: FailureCode, is_charged: bool
) -> None:
    """Each form of refusal, nothing, and nonsense in a 200 becomes one failure, after exactly one request."""
    server.answer = answer
    told = (await failed(provider, model)).failure
    wanted = WORDS_ONLY if "STOP" in repr(answer) and code is F.EMPTY_RESULT else MESSAGES[code]
    assert (told.code, told.message, told.is_charged, told.is_retryable) == (code, wanted, is_charged, False)
    assert len(server.received) == 1


async def test_words_instead_of_a_picture_are_told_apart(server: WireServer, provider: OpenRouterProvider) -> None:
    """A model that only talked gets its user a hint; an admin may read what it said."""
    server.answer = wire.chat(content="own words", native="completed")
    told = await failed(provider, CHAT)
    assert (told.failure.code, told.failure.message, told.request_id) == (F.EMPTY_RESULT, WORDS_ONLY, "gen-1")
    assert told.detail == "own words"


async def test_a_picture_elsewhere_is_only_fetched_from_where_it_may_be(
    server: WireServer, provider: OpenRouterProvider
) -> None:
    """An answer can't send the server to its own network: the picture is lost, and was paid."""
    server.answer = wire.chat("http://127.0.0.1:9/made.png")
    told = (await failed(provider, CHAT)).failure
    assert (told.code, told.message, told.is_charged) == (F.BAD_RESPONSE, NOT_FETCHED, True)
    assert len(server.received) == 1


RAW = {"provider_name": "OpenAI", "raw": json.dumps({"error": {"code": "moderation_blocked"}})}
WAIT = json_answer({"error": wire.told(429)}, 429, retry_after="12")

ERRORS: list[tuple[Answer, tuple[FailureCode, bool, bool, int | None]]] = [
    (wire.error(400), (F.INVALID_REQUEST, False, False, None)),
    (wire.error(400, f"{IMAGES} is not a valid model ID"), (F.MODEL_GONE, False, False, None)),
    (wire.error(400, "Provider returned error", **RAW), (F.REFUSED_INPUT, False, False, None)),
    (wire.error(400, "Your request was rejected by the safety system"), (F.REFUSED_INPUT, False, False, None)),
    (wire.error(401), (F.INVALID_KEY, False, False, None)),
    (wire.error(402), (F.INSUFFICIENT_CREDIT, False, False, None)),
    (wire.error(403, reasons=["violence"], flagged_input="A fox"), (F.REFUSED_INPUT, False, False, None)),
    (wire.error(403), (F.PERMISSION_DENIED, False, False, None)),
    (wire.error(404), (F.MODEL_GONE, False, False, None)),
    # It waited for a vendor that was at work.
    (wire.error(408), (F.TIMEOUT, False, True, None)),
    (json_answer({"error": wire.told(408)}), (F.TIMEOUT, False, True, None)),
    (wire.error(413), (F.INVALID_REQUEST, False, False, None)),
    (WAIT, (F.RATE_LIMITED, True, False, 12)),
    (wire.error(500), (F.PROVIDER_UNAVAILABLE, True, False, None)),
    (wire.error(502), (F.PROVIDER_UNAVAILABLE, False, True, None)),
    (wire.error(503), (F.PROVIDER_UNAVAILABLE, True, False, None)),
    (wire.error(524), (F.TIMEOUT, False, True, None)),
    (wire.error(529), (F.PROVIDER_UNAVAILABLE, True, False, None)),
    # The same in a 200: an error at the top, or of the only choice.
    (json_answer({"error": wire.told(402)}), (F.INSUFFICIENT_CREDIT, False, False, None)),
    (json_answer({"error": wire.told(403, reasons=["x"])}), (F.REFUSED_INPUT, False, False, None)),
    (json_answer({"error": wire.told(429), "choices": None}), (F.RATE_LIMITED, True, False, None)),
    (json_answer({"error": wire.told(502)}), (F.PROVIDER_UNAVAILABLE, False, True, None)),
    (json_answer({"error": wire.told("server_error")}), (F.PROVIDER_UNAVAILABLE, False, True, None)),
    (json_answer({"error": wire.told(7)}), (F.BAD_RESPONSE, False, True, None)),
    (json_answer({"error": wire.told(True)}), (F.BAD_RESPONSE, False, True, None)),
    (json_answer({"error": "own words"}), (F.BAD_RESPONSE, False, True, None)),
]


@pytest.mark.parametrize("model", [CHAT, IMAGES])
@pytest.mark.parametrize(("answer", "expected"), ERRORS)
async def test_every_error_has_its_code(
    server: WireServer,
    provider: OpenRouterProvider,
    model: str,
    answer: Answer,
    expected: tuple[FailureCode, bool, bool, int | None],
) -> None:
    """Both ways of asking know every error, by its status or inside of a 200; one request each."""
    server.answer = answer
    told = (await failed(provider, model)).failure
    assert (told.code, told.is_retryable, told.is_charged, told.retry_after_s) == expected
    assert len(server.received) == 1


async def test_an_error_of_the_only_choice_counts(server: WireServer, provider: OpenRouterProvider) -> None:
    """What went wrong while the vendor behind it answered is told inside of the choice."""
    choice = {"finish_reason": "error", "error": wire.told(502, "own words"), "message": {"content": ""}}
    server.answer = json_answer({"id": "gen-1", "choices": [choice]})
    told = await failed(provider, CHAT)
    assert (told.failure.code, told.failure.is_charged, told.detail) == (F.PROVIDER_UNAVAILABLE, True, "own words")


@pytest.mark.parametrize(
    ("message", "code", "words"),
    [
        (
            "No endpoints found that support the requested output modalities: image, text",
            F.INVALID_REQUEST,
            "This model does not make pictures.",
        ),
        (
            "No endpoints available matching your guardrail restrictions and data policy.",
            F.PERMISSION_DENIED,
            "No provider of this model is allowed by the privacy settings of the OpenRouter account.",
        ),
    ],
)
async def test_what_a_404_means_is_told(
    server: WireServer, provider: OpenRouterProvider, message: str, code: FailureCode, words: str
) -> None:
    """Not every 404 is a model that is gone: some can be mended, and say how."""
    server.answer = wire.error(404, message)
    told = (await failed(provider, CHAT)).failure
    assert (told.code, told.message) == (code, words)


FREE = {**wire.USAGE, "cost": 0}


def at_the_top(usage: object) -> Answer:
    """An error inside of a success that tells a price."""
    return json_answer({"error": wire.told(502), "usage": usage})


@pytest.mark.parametrize(
    ("model", "answer", "free", "code"),
    [
        (CHAT, wire.chat(finish="content_filter"), wire.chat(finish="content_filter", usage=FREE), F.REFUSED_OUTPUT),
        (CHAT, wire.chat(refusal="No"), wire.chat(refusal="No", usage=FREE), F.REFUSED_OUTPUT),
        (CHAT, wire.chat(finish="error"), wire.chat(finish="error", usage=FREE), F.BAD_RESPONSE),
        (CHAT, wire.chat(content="own words"), wire.chat(content="own words", usage=FREE), F.EMPTY_RESULT),
        (CHAT, wire.chat("http://127.0.0.1:9/x"), wire.chat("http://127.0.0.1:9/x", usage=FREE), F.BAD_RESPONSE),
        (CHAT, at_the_top(wire.USAGE), at_the_top(FREE), F.PROVIDER_UNAVAILABLE),
        (IMAGES, wire.picture(b64_json=None), wire.picture(b64_json=None, usage=FREE), F.EMPTY_RESULT),
    ],
)
async def test_what_was_paid_for_nothing_is_told(
    server: WireServer, provider: OpenRouterProvider, model: str, answer: Answer, free: Answer, code: FailureCode
) -> None:
    """The price of an answer without a picture is the one it tells; nothing was charged only if it says so."""
    server.first = [answer, free]
    paid, unpaid = await failed(provider, model), await failed(provider, model)
    assert (paid.failure.code, paid.failure.is_charged) == (code, True)
    assert (paid.cost_micro_usd, paid.cost_basis) == (40_000, CostBasis.REPORTED)
    assert (unpaid.failure.code, unpaid.failure.is_charged) == (code, False)
    assert (unpaid.cost_micro_usd, unpaid.cost_basis) == (0, CostBasis.REPORTED)


@pytest.mark.parametrize("ending", [Ending.CUT, Ending.RESET])
@pytest.mark.parametrize("model", [CHAT, IMAGES])
async def test_a_lost_answer_may_be_paid_and_is_not_asked_again(
    server: WireServer, provider: OpenRouterProvider, model: str, ending: Ending
) -> None:
    """An answer that breaks off came after the work began."""
    server.answer = json_answer({}, ending=ending)
    told = (await failed(provider, model)).failure
    assert (told.code, told.is_charged, told.is_retryable) == (F.PROVIDER_UNAVAILABLE, True, False)
    assert len(server.received) == 1


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        ({"cost": 0.04}, 40_000),
        ({"cost": 0}, 0),
        ({"cost": 0.0000016}, 2),
        ({"cost": 0.04, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.04}}, 40_000),
        ({"cost": 0.002, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.04}}, 42_000),
        ({"cost": 0.002, "is_byok": True}, None),
        ({"cost": -1}, None),
        ({"cost": True}, None),
        ({"cost": "0.04"}, None),
        ({"cost": float("nan")}, None),
        ({"cost": 1e300}, None),
        ({"cost": float("inf")}, None),
        ({}, None),
        (None, None),
    ],
)
def test_dollars_become_micro_dollars(usage: object, cost: int | None) -> None:
    """The price is the one that was told; with a key kept at OpenRouter, what the vendor behind it takes comes on top."""
    assert cost_micro_usd(usage) == cost


async def test_the_environment_does_not_leak(server: WireServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that is meant for OpenAI, or set for OpenRouter, reaches the wire: only our own headers do."""
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_ADMIN_KEY", "OPENROUTER_API_KEY"):
        monkeypatch.setenv(name, "leak")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/leak")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Leak: yes\nAuthorization: Bearer leak")
    provider = OpenRouterProvider(Access(KEY, f"{server.url}/api/v1", is_trusted=True), Outbound(), 5)
    server.answer = wire.picture()
    assert isinstance((await ask(provider, asked(IMAGES)))[0], PictureArrived)
    (received,) = server.received
    assert "leak" not in repr(received).lower()
    assert {name: value for name, value in received.headers.items() if name not in {"host", "content-length"}} == {
        "accept": "application/json",
        "accept-encoding": "identity",
        "authorization": f"Bearer {KEY}",
        "connection": "keep-alive",
        "content-type": "application/json",
        "user-agent": "atelier",
    }
    await provider.aclose()


async def test_a_check_asks_for_the_key_and_lists_image_models(
    server: WireServer, provider: OpenRouterProvider
) -> None:
    """The list is open to everybody, so the key is asked for apart; of the list, what we know comes first."""
    server.answer = json_answer({"data": [{"id": IMAGES}, {"id": CHAT}, {"id": 7}, "odd"]})
    models = await provider.check()
    assert [(received.method, received.path) for received in server.received] == [
        ("GET", "/api/v1/key"),
        ("GET", "/api/v1/images/models"),
    ]
    assert [model.id for model in models] == [CHAT, IMAGES]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (wire.error(401, KEY), MESSAGES[F.INVALID_KEY]),
        (json_answer({"data": {"label": "sk"}}), "The address does not answer as the provider's API does."),
    ],
)
async def test_a_failed_check_says_why_in_our_words(
    server: WireServer, provider: OpenRouterProvider, answer: Answer, message: str
) -> None:
    """A wrong key or a wrong address is told, and the vendor's answer isn't kept, not even as a cause."""
    server.answer = answer
    with pytest.raises(ProviderUnusable) as caught:
        await provider.check()
    assert caught.value.message == message
    assert caught.value.__suppress_context__


async def test_without_a_key_nothing_is_asked(server: WireServer) -> None:
    """No key means a problem in words, a failure in words, and no request."""
    provider = OpenRouterProvider(Access(" ", server.url, is_trusted=True), Outbound())
    assert provider.problem == "No API key is set for OpenRouter."
    told = (await failed(provider, CHAT)).failure
    assert (told.code, told.message) == (F.INVALID_KEY, provider.problem)
    assert server.received == []


def test_the_price_is_told_afterwards() -> None:
    """Nobody can tell beforehand what the vendor behind it will take."""
    provider = OpenRouterProvider(Access(KEY), Outbound())
    assert {provider.price_micro_usd(model, ImageOptions(), 0) for model in (CHAT, IMAGES)} == {None}


@pytest.mark.parametrize(
    ("model", "resolution", "quality"),
    [
        ("google/gemini-3-pro-image", "4K", None),
        ("google/gemini-3.1-flash-lite-image", "1K", None),
        ("bytedance-seed/seedream-4.5", "4K", None),
        ("openai/gpt-5-image", None, "high"),
        (IMAGES, None, "high"),
    ],
)
def test_hd_means_what_the_model_has(model: str, resolution: str | None, quality: str | None) -> None:
    """The word of another vendor becomes the highest tier, or a quality where the model has some."""
    provider = OpenRouterProvider(Access(KEY), Outbound())
    entry = provider.model(model)
    options = in_own_words(entry, ImageOptions(quality="hd"))
    assert (options.resolution, options.quality) == (resolution, quality)
    check_options(ProviderKind.OPENROUTER, entry, options, references=0)


def test_what_a_model_has_not_got_is_refused() -> None:
    """OpenAI's models take no ratio there."""
    provider = OpenRouterProvider(Access(KEY), Outbound())
    with pytest.raises(UnsupportedByModel, match="aspectRatio"):
        check_options(
            ProviderKind.OPENROUTER, provider.model("openai/gpt-5-image"), ImageOptions(aspect_ratio="16:9"), 0
        )
