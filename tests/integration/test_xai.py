"""The xAI adapter: the real SDK over HTTP against a server that answers as xAI does, well and badly."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from domain.costs import CostBasis
from domain.errors import ProviderUnusable
from domain.failures import MESSAGES, FailureCode
from domain.providers import Access, ImageOptions, PictureArrived, PictureFailed, PictureRequest, Reference
from providers.outbound import Outbound
from providers.xai import XaiProvider
from tests.wire import xai as wire
from tests.wire.pictures import BLUE, FACE, GREEN, RED, SETTING, asked, b64
from tests.wire.server import Answer, WireServer, ask, json_answer

KEY = "xai-0123456789abcdefghij"
MODEL = "grok-imagine-image-2.0"
COST_MICRO_USD = 60_000
FACE_URI = {"type": "image_url", "url": f"data:image/png;base64,{b64(RED)}"}
SETTING_URI = {"type": "image_url", "url": f"data:image/jpeg;base64,{b64(GREEN)}"}


@pytest_asyncio.fixture
async def provider(server: WireServer) -> AsyncIterator[XaiProvider]:
    """The adapter, pointed at it."""
    outbound = Outbound()
    provider = XaiProvider(Access(KEY, f"{server.url}/v1", is_trusted=True), outbound, 5)
    yield provider
    await provider.aclose()
    await outbound.aclose()


async def failed(provider: XaiProvider, model: str = MODEL) -> PictureFailed:
    """The one thing said, which is a failure."""
    (event,) = await ask(provider, asked(model))
    assert isinstance(event, PictureFailed)
    return event


async def test_a_prompt_becomes_one_generation(server: WireServer, provider: XaiProvider) -> None:
    """The options go out in xAI's own words, and the price comes back with the picture."""
    server.answer = wire.picture(b64_json=b64(BLUE), revised_prompt="A red fox")
    request = asked(MODEL, aspect_ratio="19.5:9", resolution="1.5K", quality="low")
    assert await ask(provider, request) == [
        PictureArrived(BLUE, "A red fox", "req_xai", COST_MICRO_USD, CostBasis.REPORTED)
    ]
    (received,) = server.received
    assert (received.method, received.path) == ("POST", "/v1/images/generations")
    assert received.headers["authorization"] == f"Bearer {KEY}"
    assert received.json == {
        "model": MODEL,
        "prompt": "A fox",
        "response_format": "b64_json",
        "aspect_ratio": "19.5:9",
        "resolution": "1.5k",
        "quality": "low",
    }


@pytest.mark.parametrize(
    ("references", "sent"),
    [((FACE,), {"image": FACE_URI}), ((FACE, SETTING), {"images": [FACE_URI, SETTING_URI]})],
)
async def test_references_go_as_json(
    server: WireServer, provider: XaiProvider, references: tuple[Reference, ...], sent: dict[str, object]
) -> None:
    """As data URIs, because xAI takes no forms; one and several have names of their own."""
    server.answer = wire.picture()
    (arrived,) = await ask(provider, PictureRequest(MODEL, "A fox", ImageOptions(), references=references))
    assert isinstance(arrived, PictureArrived)
    (received,) = server.received
    assert (received.path, received.headers["content-type"]) == ("/v1/images/edits", "application/json")
    body = received.json
    assert body.pop("prompt").startswith("Reference 1: the face of the person to show")
    assert body == {"model": MODEL, "response_format": "b64_json", **sent}


async def test_an_address_instead_of_the_picture_is_fetched(server: WireServer, provider: XaiProvider) -> None:
    """Even though base64 was asked for; the key stays at home."""
    server.first = [wire.picture(url=f"{server.url}/made/1.jpeg")]
    server.answer = Answer(200, [BLUE], {"content-type": "image/jpeg"})
    (arrived,) = await ask(provider, asked(MODEL))
    assert arrived == PictureArrived(BLUE, None, "req_xai", COST_MICRO_USD, CostBasis.REPORTED)
    assert "authorization" not in server.received[1].headers


async def test_a_picture_may_be_a_data_uri(server: WireServer, provider: XaiProvider) -> None:
    """Some captures show base64 with the head of one."""
    server.answer = wire.picture(b64_json=f"data:image/jpeg;base64,{b64(BLUE)}")
    (arrived,) = await ask(provider, asked(MODEL))
    assert isinstance(arrived, PictureArrived)
    assert arrived.data == BLUE


@pytest.mark.parametrize(
    ("ticks", "cost"),
    [
        (200_000_000, 20_000),
        (0, 0),
        (None, None),
        (-1, None),
        ("many", None),
        (True, None),
        (1.5, None),
        (float("inf"), None),
    ],
)
async def test_the_price_is_what_xai_says(
    server: WireServer, provider: XaiProvider, ticks: object, cost: int | None
) -> None:
    """A report that makes no sense gives no price."""
    server.answer = wire.picture(ticks=ticks)
    (arrived,) = await ask(provider, asked(MODEL))
    assert isinstance(arrived, PictureArrived)
    assert (arrived.cost_micro_usd, arrived.cost_basis) == (cost, CostBasis.REPORTED)


@pytest.mark.parametrize(
    ("ticks", "is_charged", "cost"), [(wire.TICKS, True, COST_MICRO_USD), (None, True, None), (0, False, 0)]
)
@pytest.mark.parametrize("is_listed", [True, False])
async def test_a_withheld_picture_is_a_refusal(
    server: WireServer, provider: XaiProvider, ticks: object, is_charged: bool, cost: int | None, is_listed: bool
) -> None:
    """In an answer that is a success otherwise; it was free only if the answer says so, and has the price it tells."""
    server.answer = wire.picture(respect_moderation=False, ticks=ticks) if is_listed else wire.nothing(ticks)
    told = await failed(provider)
    assert (told.failure.code, told.failure.is_charged) == (FailureCode.REFUSED_OUTPUT, is_charged)
    assert told.request_id == "req_xai"
    assert told.cost_micro_usd == cost
    assert cost is None or told.cost_basis is CostBasis.REPORTED
    assert not told.failure.is_retryable


async def test_what_xai_says_is_for_admins_alone(server: WireServer, provider: XaiProvider) -> None:
    """Its errors are texts, some of them with escapes, and quote the key."""
    server.answer = wire.error(400, f"Incorrect%20API%20key%20provided:%20{KEY}.%20You%20can%20obtain%20another")
    told = await failed(provider)
    assert (told.failure.code, told.failure.message) == (FailureCode.INVALID_KEY, MESSAGES[FailureCode.INVALID_KEY])
    assert told.detail == "Incorrect API \u2026 You can obtain another"
    assert told.request_id == "req_error"


async def test_a_limit_says_how_long(server: WireServer, provider: XaiProvider) -> None:
    """By its header."""
    plain = wire.error(429, "Too many requests")
    server.answer = replace(plain, headers={**plain.headers, "retry-after": "7"})
    told = (await failed(provider)).failure
    assert (told.code, told.retry_after_s, told.is_retryable) == (FailureCode.RATE_LIMITED, 7, True)


async def test_its_list_of_image_models_is_offered(server: WireServer, provider: XaiProvider) -> None:
    """The free call that needs the key; what we know comes first."""
    server.answer = json_answer({"models": [{"id": "grok-9-image"}, {"id": "grok-imagine-image"}]})
    assert [model.id for model in await provider.check()] == ["grok-imagine-image", "grok-9-image"]
    (received,) = server.received
    assert (received.method, received.path) == ("GET", "/v1/image-generation-models")
    assert received.headers["authorization"] == f"Bearer {KEY}"


async def test_a_wrong_key_fails_the_check(server: WireServer, provider: XaiProvider) -> None:
    """Though xAI calls it a bad request; its own words are not kept."""
    server.answer = wire.error(400, f"Incorrect API key provided: {KEY}")
    with pytest.raises(ProviderUnusable) as caught:
        await provider.check()
    assert caught.value.message == MESSAGES[FailureCode.INVALID_KEY]


def test_the_estimate_counts_tier_quality_and_references() -> None:
    """Two references at a cent each."""
    provider = XaiProvider(Access(KEY), Outbound())
    assert provider.price_micro_usd(MODEL, ImageOptions(resolution="2K", quality="medium"), 2) == 100_000
    assert provider.price_micro_usd("grok-imagine-image", ImageOptions(), 2) == 20_000
    assert provider.price_micro_usd("grok-9-image", ImageOptions(), 0) is None
