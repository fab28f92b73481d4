"""Gab AI: the real SDK over HTTP; what it shares with every OpenAI-compatible server is tested there."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest_asyncio

from domain.failures import FailureCode
from domain.providers import Access, PictureArrived, PictureFailed
from providers.gab import GabProvider
from providers.outbound import Outbound
from tests.wire import compatible as wire
from tests.wire.pictures import BLUE, asked
from tests.wire.server import Answer, WireServer, ask, json_answer

KEY = "gab_0123456789abcdef0123456789abcdef"
MODEL = "seedream-4.5"


@pytest_asyncio.fixture
async def provider(server: WireServer) -> AsyncIterator[GabProvider]:
    """The adapter, pointed at it."""
    provider = GabProvider(Access(KEY, f"{server.url}/v1", is_trusted=True), Outbound(), 5)
    yield provider
    await provider.aclose()


async def test_a_prompt_becomes_a_picture(server: WireServer, provider: GabProvider) -> None:
    """The model, the prompt and what was wished for, with the key."""
    server.answer = wire.picture()
    assert await ask(provider, asked(MODEL, size="1024x1024")) == [PictureArrived(BLUE)]
    (received,) = server.received
    assert (received.method, received.path) == ("POST", "/v1/images/generations")
    assert received.headers["authorization"] == f"Bearer {KEY}"
    assert received.json == {"model": MODEL, "prompt": "A fox", "size": "1024x1024"}


async def test_it_needs_a_key_and_no_address(server: WireServer) -> None:
    """It has an address of its own."""
    assert GabProvider(Access(KEY), Outbound()).problem is None
    assert GabProvider(Access(None), Outbound()).problem == "No API key is set for Gab AI."


async def test_of_its_models_those_that_make_images_are_offered(server: WireServer, provider: GabProvider) -> None:
    """Its list holds models that talk, too."""
    ids = ["arya", "gpt-image-2", "nano-banana-pro", "seedream-4.5", "veo-3", "gpt-5.5"]
    server.answer = json_answer({"data": [{"id": id} for id in ids]})
    assert [model.id for model in await provider.check()] == ["gpt-image-2", "nano-banana-pro", "seedream-4.5"]
    assert provider.model("seedream-4.5").max_references == 0


async def test_the_days_limit_says_when_it_is_lifted(server: WireServer, provider: GabProvider) -> None:
    """It tells the moment and not the time to wait."""
    lifted = datetime.now(UTC) + timedelta(hours=3)
    told = wire.error(429)
    server.answer = Answer(429, told.pieces, {**told.headers, "x-ratelimit-reset": str(int(lifted.timestamp()))})
    (failed,) = await ask(provider, asked(MODEL))
    assert isinstance(failed, PictureFailed)
    assert failed.failure.code is FailureCode.RATE_LIMITED
    assert failed.failure.retry_after_s is not None
    assert 3 * 3600 - 60 < failed.failure.retry_after_s <= 3 * 3600


async def test_spent_credits_are_told(server: WireServer, provider: GabProvider) -> None:
    """By the status alone."""
    server.answer = wire.error(402, kind="message")
    (failed,) = await ask(provider, asked(MODEL))
    assert isinstance(failed, PictureFailed)
    assert (failed.failure.code, failed.failure.is_charged) == (FailureCode.INSUFFICIENT_CREDIT, False)
