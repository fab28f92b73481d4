"""The OpenAI adapter: the real SDK over HTTP against a server that answers as OpenAI does, well and badly."""

import asyncio
import gc
import sys
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from domain.costs import CostBasis
from domain.failures import MESSAGES, FailureCode
from domain.providers import Access, OutputFormat, PictureArrived, PictureFailed, PictureRequest, PreviewArrived
from providers.openai import OpenAIProvider
from providers.outbound import Outbound
from tests.wire import openai as wire
from tests.wire.pictures import BLUE, FACE, GREEN, RED, SETTING, asked, b64
from tests.wire.server import Answer, Ending, WireServer, ask, json_answer, text_answer

KEY = "sk-secret-0123456789"
STREAMING = "gpt-image-2"
WHOLE = "a-model-of-tomorrow"
OUR_GENERATORS = {"RemoteProvider.generate", "RemoteProvider._to_the_end", "OpenAIProvider._ask", "_events"}
COST_MICRO_USD = 20 * 5 + 100 * 8 + 1000 * 30


def connected(url: str, timeout_s: float = 5) -> OpenAIProvider:
    """The adapter, pointed at a server of ours."""
    return OpenAIProvider(Access(KEY, f"{url}/v1", is_trusted=True), Outbound(), timeout_s)


@pytest_asyncio.fixture
async def provider(server: WireServer) -> AsyncIterator[OpenAIProvider]:
    """The adapter, pointed at it."""
    provider = connected(server.url)
    yield provider
    await provider.aclose()


async def outcome(provider: OpenAIProvider, model: str = WHOLE) -> PictureArrived | PictureFailed:
    """The last thing said; no key may be in it, and nothing of what the vendor wrote but for admins."""
    last = (await ask(provider, asked(model)))[-1]
    assert not isinstance(last, PreviewArrived)
    assert "sk-" not in repr(last)
    assert "own words" not in repr(replace(last, detail=None) if isinstance(last, PictureFailed) else last)
    return last


async def test_a_prompt_becomes_one_streamed_generation(server: WireServer, provider: OpenAIProvider) -> None:
    """A prompt is sent once with its options, and the previews come before the picture, its id and its cost."""
    server.answer = wire.stream(*wire.PARTIALS, wire.COMPLETED)
    request = asked(STREAMING, size="1024x1536", quality="low", background="opaque", output_format=OutputFormat.WEBP)
    assert await ask(provider, request) == [
        PreviewArrived(RED),
        PreviewArrived(GREEN),
        PictureArrived(BLUE, None, "req_stream", COST_MICRO_USD, CostBasis.USAGE),
    ]
    (received,) = server.received
    assert (received.method, received.path) == ("POST", "/v1/images/generations")
    assert received.headers["authorization"] == f"Bearer {KEY}"
    assert received.json == {
        "model": STREAMING,
        "prompt": "A fox",
        "n": 1,
        "size": "1024x1536",
        "quality": "low",
        "background": "opaque",
        "output_format": "webp",
        "stream": True,
        "partial_images": 3,
    }


async def test_references_become_named_files_of_an_edit(server: WireServer, provider: OpenAIProvider) -> None:
    """References go out in order as named, typed files, and the prompt says what each of them shows."""
    server.answer = wire.stream({**wire.COMPLETED, "type": "image_edit.completed"})
    plain = asked(STREAMING)
    request = PictureRequest(STREAMING, plain.prompt, plain.options, references=(FACE, SETTING))
    assert await ask(provider, request) == [PictureArrived(BLUE, None, "req_stream", COST_MICRO_USD, CostBasis.USAGE)]
    (received,) = server.received
    assert received.path == "/v1/images/edits"
    form = await received.form()
    files = [upload for upload in form.getlist("image[]") if not isinstance(upload, str)]
    assert [(file.filename, file.content_type, await file.read()) for file in files] == [
        ("reference-1.png", "image/png", RED),
        ("reference-2.jpg", "image/jpeg", GREEN),
    ]
    assert form["prompt"] == (
        'Reference 1: the face of the person to show ("Ada").\n'
        "Reference 2: the setting to place the scene in (\"The 'old' harbour\").\n\nA fox"
    )
    assert (form["n"], form["stream"], form["model"]) == ("1", "true", STREAMING)
    await form.close()


async def test_an_unknown_model_is_asked_without_streaming(server: WireServer, provider: OpenAIProvider) -> None:
    """A model we know nothing of passes through with the fewest parameters; its whole answer is read."""
    server.answer = wire.picture(revised_prompt="A red fox")
    assert await ask(provider, asked(WHOLE)) == [PictureArrived(BLUE, "A red fox", "req_json", None, CostBasis.USAGE)]
    assert server.received[0].json == {"model": WHOLE, "prompt": "A fox", "n": 1}


async def test_a_whole_answer_to_a_streaming_call_is_not_thrown_away(
    server: WireServer, provider: OpenAIProvider
) -> None:
    """A gateway that ignores `stream` has made a paid picture all the same."""
    server.answer = wire.picture()
    assert await ask(provider, asked(STREAMING)) == [
        PictureArrived(BLUE, None, "req_json", COST_MICRO_USD, CostBasis.USAGE)
    ]


REFUSED = "Your request was rejected by the safety system. sk-secret own words"
OUTPUT: dict[str, object] = {"moderation_details": {"moderation_stage": "output", "categories": ["x"]}}
INPUT: dict[str, object] = {"moderation_details": {"moderation_stage": "input"}}
F = FailureCode

ERRORS = [
    (wire.error(400, "moderation_blocked", message=REFUSED), (F.REFUSED_INPUT, False, False)),
    (wire.error(400, "moderation_blocked", extra=INPUT), (F.REFUSED_INPUT, False, False)),
    (wire.error(400, "moderation_blocked", extra=OUTPUT), (F.REFUSED_OUTPUT, False, True)),
    (wire.error(400, "content_policy_violation"), (F.REFUSED_INPUT, False, False)),
    (wire.error(400, None, message=REFUSED), (F.REFUSED_INPUT, False, False)),
    (wire.error(451), (F.REFUSED_INPUT, False, False)),
    (wire.error(401, "invalid_api_key", message=f"Incorrect API key: {KEY}"), (F.INVALID_KEY, False, False)),
    (wire.error(400, "invalid_api_key"), (F.INVALID_KEY, False, False)),
    (wire.error(402), (F.INSUFFICIENT_CREDIT, False, False)),
    (wire.error(400, "billing_hard_limit_reached"), (F.INSUFFICIENT_CREDIT, False, False)),
    (wire.error(429, "insufficient_quota"), (F.INSUFFICIENT_CREDIT, False, False)),
    (wire.error(429, None, extra={"type": "insufficient_quota"}), (F.INSUFFICIENT_CREDIT, False, False)),
    (wire.error(429, "rate_limit_exceeded"), (F.RATE_LIMITED, True, False)),
    (wire.error(403), (F.PERMISSION_DENIED, False, False)),
    (wire.error(404, "model_not_found"), (F.MODEL_GONE, False, False)),
    (wire.error(408), (F.TIMEOUT, False, False)),
    (wire.error(409), (F.PROVIDER_UNAVAILABLE, True, False)),
    (wire.error(418), (F.INVALID_REQUEST, False, False)),
    (wire.error(422), (F.INVALID_REQUEST, False, False)),
    (wire.error(500, "server_error"), (F.PROVIDER_UNAVAILABLE, True, False)),
    (wire.error(502, "server_error"), (F.PROVIDER_UNAVAILABLE, False, True)),
    (wire.error(503), (F.PROVIDER_UNAVAILABLE, True, False)),
    (text_answer("<html>Bad gateway, own words</html>", 502), (F.PROVIDER_UNAVAILABLE, False, True)),
    (text_answer("<html>Timed out</html>", 504), (F.TIMEOUT, False, True)),
    (text_answer("<html>own words</html>", 200), (F.BAD_RESPONSE, False, True)),
    (json_answer([1, 2]), (F.EMPTY_RESULT, False, True)),
    (json_answer({"data": "oops"}), (F.EMPTY_RESULT, False, True)),
    (json_answer({"data": []}), (F.EMPTY_RESULT, False, True)),
    (wire.picture(b64_json=7), (F.EMPTY_RESULT, False, True)),
    (wire.picture(b64_json="not base64!"), (F.BAD_RESPONSE, False, True)),
    (wire.picture(b64_json=b64(BLUE)[:-3]), (F.BAD_RESPONSE, False, True)),
    (wire.picture(b64_json="caf\u00e9"), (F.BAD_RESPONSE, False, True)),
    (Answer(204, (), {"content-type": "application/json"}), (F.BAD_RESPONSE, False, True)),
    (json_answer({"data": []}, ending=Ending.CUT), (F.PROVIDER_UNAVAILABLE, False, True)),
    (json_answer({"data": []}, ending=Ending.RESET), (F.PROVIDER_UNAVAILABLE, False, True)),
]


@pytest.mark.parametrize(("answer", "expected"), ERRORS)
async def test_every_bad_answer_has_its_code(
    server: WireServer, provider: OpenAIProvider, answer: Answer, expected: tuple[FailureCode, bool, bool]
) -> None:
    """Each refusal, error and broken 200 becomes one failure in our own words, after exactly one request."""
    server.answer = answer
    failed = await outcome(provider)
    assert isinstance(failed, PictureFailed)
    told = failed.failure
    assert (told.code, told.is_retryable, told.is_charged) == expected
    assert told.message == MESSAGES[told.code]
    assert failed.request_id == answer.headers.get("x-request-id")
    assert len(server.received) == 1


PRECISE = [
    (wire.error(404), F.INVALID_REQUEST, "The provider's address does not lead to its image API."),
    (
        wire.error(400, "invalid_value", extra={"param": "size"}),
        F.INVALID_REQUEST,
        "The provider did not accept the size.",
    ),
    (wire.error(400, "unknown", extra={"param": "own words"}), F.INVALID_REQUEST, MESSAGES[F.INVALID_REQUEST]),
    (wire.error(413), F.INVALID_REQUEST, "The request is too large for the provider."),
    (
        wire.error(400, "unsupported_file_mimetype"),
        F.INVALID_REQUEST,
        "The provider could not read one of the reference images.",
    ),
    (
        wire.error(403, message="Your organization must be verified to use the model"),
        F.PERMISSION_DENIED,
        "OpenAI asks for the organisation to be verified before it may use this model.",
    ),
    (
        Answer(302, (), {"location": "/elsewhere"}),
        F.BAD_RESPONSE,
        "The provider's address leads elsewhere.",
    ),
]


@pytest.mark.parametrize(("answer", "code", "message"), PRECISE)
async def test_what_can_be_said_more_precisely_is(
    server: WireServer, provider: OpenAIProvider, answer: Answer, code: FailureCode, message: str
) -> None:
    """Some errors have a sentence of their own, and no redirect is followed to find out more."""
    server.answer = answer
    failed = await outcome(provider)
    assert isinstance(failed, PictureFailed)
    assert (failed.failure.code, failed.failure.message) == (code, message)
    assert len(server.received) == 1


async def test_what_was_paid_for_nothing_is_told(server: WireServer, provider: OpenAIProvider) -> None:
    """A picture that can't be read was made of tokens all the same."""
    server.answer = wire.stream({**wire.COMPLETED, "b64_json": "%%%%"})
    failed = await outcome(provider, STREAMING)
    assert isinstance(failed, PictureFailed)
    assert (failed.failure.code, failed.failure.is_charged) == (F.BAD_RESPONSE, True)
    assert (failed.cost_micro_usd, failed.cost_basis) == (COST_MICRO_USD, CostBasis.USAGE)


STREAMS = [
    (wire.stream(), F.EMPTY_RESULT, True),
    (wire.stream({"type": "something.else"}), F.EMPTY_RESULT, True),
    (wire.stream({"type": "image_generation.completed"}), F.EMPTY_RESULT, True),
    (wire.stream({"type": "image_generation.completed", "b64_json": "%%%%"}), F.BAD_RESPONSE, True),
    (wire.stream({"error": {"code": "server_error", "message": "own words"}}), F.PROVIDER_UNAVAILABLE, True),
    (wire.stream({"error": {"code": "moderation_blocked", "message": "x", **OUTPUT}}), F.REFUSED_OUTPUT, True),
    (wire.stream({"error": {"code": "rate_limit_exceeded", "message": "x"}}), F.RATE_LIMITED, False),
    (wire.stream({"error": {"code": "own words", "message": "x"}}), F.BAD_RESPONSE, True),
    (Answer(200, [b"data: {broken\n\n"], {"content-type": "text/event-stream"}), F.BAD_RESPONSE, True),
    (wire.stream(*wire.PARTIALS, ending=Ending.CUT), F.PROVIDER_UNAVAILABLE, True),
    (wire.stream(*wire.PARTIALS, ending=Ending.RESET), F.PROVIDER_UNAVAILABLE, True),
]


@pytest.mark.parametrize(("answer", "code", "is_charged"), STREAMS)
async def test_every_broken_stream_has_its_code(
    server: WireServer, provider: OpenAIProvider, answer: Answer, code: FailureCode, is_charged: bool
) -> None:
    """A stream that ends early, empty, in an error or in nonsense is one failure, after exactly one request."""
    server.answer = answer
    failed = await outcome(provider, STREAMING)
    assert isinstance(failed, PictureFailed)
    assert (failed.failure.code, failed.failure.is_charged) == (code, is_charged)
    assert failed.failure.is_retryable == (code is FailureCode.RATE_LIMITED)
    assert len(server.received) == 1


@pytest.mark.parametrize(
    ("headers", "message", "seconds"),
    [
        ({"retry-after": "7"}, "", 7),
        ({"retry-after-ms": "1500"}, "", 2),
        ({"retry-after": "Fri, 31 Dec 2100 23:59:59 GMT"}, "", 86_400),
        ({"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT"}, "", 0),
        ({"retry-after": "soon"}, "Rate limit reached. Please try again in 1m2.5s.", 63),
        ({}, "Please try again in 250ms.", 1),
        ({"retry-after": "-3"}, "", None),
        ({"retry-after": "9" * 400}, "", None),
    ],
)
async def test_the_time_to_wait_is_told(
    server: WireServer, provider: OpenAIProvider, headers: dict[str, str], message: str, seconds: int | None
) -> None:
    """The wait comes from the header or from the message, in whole seconds and at most a day."""
    plain = wire.error(429, "rate_limit_exceeded", message=message)
    server.answer = Answer(429, plain.pieces, {**plain.headers, **headers})
    failed = await outcome(provider)
    assert isinstance(failed, PictureFailed)
    assert failed.failure.retry_after_s == seconds
    assert len(server.received) == 1


@pytest.mark.parametrize(
    "answer",
    [Answer(ending=Ending.HANG), wire.stream(*wire.PARTIALS, ending=Ending.HANG)],
    ids=["before any event", "between events"],
)
async def test_a_call_ends_at_its_deadline(server: WireServer, answer: Answer) -> None:
    """A vendor that goes silent is a timeout that may have been charged, and the connection is closed."""
    provider = connected(server.url, timeout_s=1.0)
    server.answer = answer
    failed = await asyncio.wait_for(outcome(provider, STREAMING), 30)
    assert isinstance(failed, PictureFailed)
    assert (failed.failure.code, failed.failure.is_charged) == (FailureCode.TIMEOUT, True)
    await asyncio.wait_for(server.hung_up.wait(), 10)
    assert len(server.received) == 1
    await provider.aclose()


async def test_a_slow_drip_does_not_outlive_the_deadline(server: WireServer) -> None:
    """Bytes that keep coming do not move the deadline; they would go on for ten seconds, and then end well."""
    provider = connected(server.url, timeout_s=1.2)
    server.answer = Answer(200, [b": still working\n\n"] * 1_000, {"content-type": "text/event-stream"})
    failed = await outcome(provider, STREAMING)
    assert isinstance(failed, PictureFailed)
    assert failed.failure.code is FailureCode.TIMEOUT
    await provider.aclose()


async def test_closing_the_generator_closes_the_call(server: WireServer, provider: OpenAIProvider) -> None:
    """A consumer that leaves after the first preview ends the HTTP call, there and then: nothing waits for the
    garbage collector.
    """
    left_open: list[str] = []
    sys.set_asyncgen_hooks(finalizer=lambda generator: left_open.append(repr(generator)))
    server.answer = wire.stream(wire.PARTIALS[0], ending=Ending.HANG)
    events = provider.generate(asked(STREAMING))
    assert await anext(events) == PreviewArrived(RED)
    assert not server.hung_up.is_set()
    await events.aclose()
    await asyncio.wait_for(server.hung_up.wait(), 10)
    gc.collect()
    # The SDK leaves one of its own behind; its response is closed all the same.
    assert [text for text in left_open if any(f" {name} " in text for name in OUR_GENERATORS)] == []


async def test_cancelling_the_consumer_closes_the_call(server: WireServer, provider: OpenAIProvider) -> None:
    """A cancelled task that waits for the vendor ends the HTTP call and stays cancelled."""
    server.answer = Answer(ending=Ending.HANG)
    task = asyncio.create_task(ask(provider, asked(STREAMING)))
    await asyncio.wait_for(server.arrived.wait(), 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(server.hung_up.wait(), 10)


async def test_nobody_there_is_unpaid_and_worth_another_try(server: WireServer) -> None:
    """A refused connection can't have been charged."""
    url = server.url
    await server.__aexit__()
    provider = connected(url)
    failed = await outcome(provider)
    assert isinstance(failed, PictureFailed)
    told = failed.failure
    assert (told.code, told.is_retryable, told.is_charged) == (FailureCode.PROVIDER_UNAVAILABLE, True, False)
    await provider.aclose()


async def test_compressed_answers_are_refused(server: WireServer, provider: OpenAIProvider) -> None:
    """An answer that could unpack to any size is not unpacked, and none is asked for."""
    server.answer = json_answer({"data": []}, content_encoding="gzip")
    failed = await outcome(provider)
    assert isinstance(failed, PictureFailed)
    assert failed.failure.code is FailureCode.BAD_RESPONSE
    assert server.received[0].headers["accept-encoding"] == "identity"
