"""Access to OpenAI: its key, its headers, its connections, and the check that costs nothing."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from domain.errors import ProviderUnusable
from domain.failures import MESSAGES, FailureCode
from domain.providers import Access, PictureFailed
from providers.openai import OpenAIProvider
from providers.outbound import Outbound
from providers.remotes import WRONG_ADDRESS
from tests.wire import openai as wire
from tests.wire.pictures import asked
from tests.wire.server import Answer, Ending, WireServer, ask, json_answer, text_answer

KEY = "sk-secret-0123456789"
WHOLE = "a-model-of-tomorrow"


def connected(key: str | None, url: str = "https://api.example") -> OpenAIProvider:
    """The adapter, with that key and at that address."""
    return OpenAIProvider(Access(key, f"{url}/v1", is_trusted=True), Outbound(), 5)


@pytest_asyncio.fixture
async def provider(server: WireServer) -> AsyncIterator[OpenAIProvider]:
    """The adapter, pointed at it."""
    provider = connected(KEY, server.url)
    yield provider
    await provider.aclose()


async def test_the_vendors_environment_does_not_leak(server: WireServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that the SDK reads from the environment reaches the wire: only our own headers do."""
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/elsewhere")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-machine")
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-of-the-admin")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-leak")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-leak")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Leak: yes\nAuthorization: Bearer leak\nUser-Agent: leak")
    provider = connected(KEY, server.url)
    server.answer = wire.picture()
    await ask(provider, asked(WHOLE))
    (received,) = server.received
    assert "leak" not in repr(received).lower()
    assert {name: value for name, value in received.headers.items() if name not in {"host", "content-length"}} == {
        "accept": "application/json",
        "accept-encoding": "identity",
        "authorization": f"Bearer {KEY}",
        "connection": "keep-alive",
        "content-type": "application/json",
        "user-agent": "atelier",
        "x-stainless-raw-response": "true",
    }
    await provider.aclose()


async def test_closing_lets_go_of_connections(server: WireServer, provider: OpenAIProvider) -> None:
    """An idle connection is kept for the next call and closed with the provider; a later call opens another one."""
    server.answer = replace(wire.picture(), ending=Ending.KEPT_ALIVE)
    assert len(await ask(provider, asked(WHOLE))) == 1
    assert not server.hung_up.is_set()
    await provider.aclose()
    await asyncio.wait_for(server.hung_up.wait(), 30)
    assert len(await ask(provider, asked(WHOLE))) == 1


async def test_a_check_costs_nothing(server: WireServer, provider: OpenAIProvider) -> None:
    """Checking lists the models and leaves it at that; those that make images are offered, the known ones first."""
    ids = ["gpt-5.4", "gpt-image-9", "gpt-image-2", "chatgpt-image-latest", "dall-e-3", None]
    server.answer = json_answer({"object": "list", "data": [{"id": id} for id in ids]})
    offered = [model.id for model in await provider.check()]
    assert offered == ["gpt-image-2", "dall-e-3", "gpt-image-9", "chatgpt-image-latest"]
    assert [(received.method, received.path) for received in server.received] == [("GET", "/v1/models")]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (wire.error(401, "invalid_api_key", message=KEY), MESSAGES[FailureCode.INVALID_KEY]),
        (text_answer("<html>"), WRONG_ADDRESS),
        (json_answer({"hello": 1}), "The address does not answer as the provider's API does."),
    ],
)
async def test_a_failed_check_says_why_in_our_words(
    server: WireServer, provider: OpenAIProvider, answer: Answer, message: str
) -> None:
    """A wrong key or a wrong address is told, and the vendor's answer isn't kept, not even as a cause."""
    server.answer = answer
    with pytest.raises(ProviderUnusable) as caught:
        await provider.check()
    assert caught.value.message == message
    assert caught.value.__suppress_context__


async def test_without_a_key_nothing_is_asked(server: WireServer) -> None:
    """No key means a problem in words, a failure in words, and no request, even with a key in the environment."""
    provider = connected(None, server.url)
    assert provider.problem == "No API key is set for OpenAI."
    (failed,) = await ask(provider, asked(WHOLE))
    assert isinstance(failed, PictureFailed)
    assert (failed.failure.code, failed.failure.message) == (FailureCode.INVALID_KEY, provider.problem)
    with pytest.raises(ProviderUnusable, match="No API key is set for OpenAI"):
        await provider.check()
    assert server.received == []


async def test_a_key_that_cannot_be_a_header_is_a_problem() -> None:
    """A pasted line break or a letter with an accent is told before it breaks a header."""
    assert connected("sk-\u00e9").problem == "The API key for OpenAI has characters that no key has."
    assert connected("sk-a\nX: y").problem == "The API key for OpenAI has characters that no key has."
