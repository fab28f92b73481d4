"""The registry: every kind of provider has an entry, and starting costs no SDK."""

import subprocess
import sys

import pytest

from domain.errors import ProviderUnusable
from domain.failures import FailureCode
from domain.providers import PictureFailed, ProviderKind, usable
from providers.offline import OfflineProvider
from providers.registry import Access, all_providers, provider_for
from tests.wire.pictures import asked
from tests.wire.server import ask


def test_every_kind_has_an_entry() -> None:
    """Without any key, the offline provider alone is usable, and each of the others says why it isn't."""
    providers = all_providers({})
    assert list(providers) == list(ProviderKind)
    assert all(provider.kind is kind for kind, provider in providers.items())
    assert [kind for kind, provider in providers.items() if provider.problem is None] == [ProviderKind.OFFLINE]
    assert providers[ProviderKind.OPENAI].problem == "No API key is set for OpenAI."
    assert providers[ProviderKind.GEMINI].problem == "No API key is set for Google Gemini."
    assert providers[ProviderKind.ANTHROPIC].problem == "Anthropic's API has no image generation."


def test_a_key_makes_a_provider_usable() -> None:
    """With a key the vendors' providers are usable; the offline one can be exchanged."""
    offline = OfflineProvider(0)
    keys = {kind: Access("a-key") for kind in (ProviderKind.OPENAI, ProviderKind.GEMINI)}
    providers = all_providers(keys, offline)
    assert providers[ProviderKind.OFFLINE] is offline
    for kind in keys:
        assert usable(providers[kind]) is providers[kind]


async def test_an_unusable_provider_fails_in_words() -> None:
    """Whoever asks it all the same gets the reason, from each of its methods."""
    provider = provider_for(ProviderKind.ANTHROPIC, Access("a-key"))
    (only,) = await ask(provider, asked("claude"))
    assert isinstance(only, PictureFailed)
    assert (only.failure.code, only.failure.message) == (FailureCode.INVALID_REQUEST, provider.problem)
    for refused in (provider.check(), _usable(provider)):
        with pytest.raises(ProviderUnusable, match="has no image generation"):
            await refused
    assert (list(provider.models), provider.model("claude").max_references) == ([], 0)


async def _usable(provider: object) -> None:
    usable(provider)  # type: ignore[arg-type]  # whatever provider a test has


def test_access_does_not_show_its_key() -> None:
    """A key does not get into a log by way of its holder."""
    assert "secret" not in repr(Access("secret"))


def test_importing_the_providers_imports_no_sdk() -> None:
    """Starting stays quick: SDKs and their HTTP client are imported by the first call."""
    script = (
        "import sys, providers.registry\n"
        "heavy = {'openai', 'google.genai', 'httpx2', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    assert ended.stdout == "[]\n"
