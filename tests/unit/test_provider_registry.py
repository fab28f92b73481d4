"""The registry: every kind of provider has an entry, and starting costs no SDK."""

import subprocess
import sys

import pytest

from domain.errors import ProviderUnusable
from domain.failures import FailureCode
from domain.providers import Access, PictureFailed, ProviderKind
from providers.offline import OfflineProvider
from providers.outbound import Outbound
from providers.registry import Registry
from tests.wire.pictures import asked
from tests.wire.server import ask


@pytest.fixture
def registry() -> Registry:
    """The registry, with connections that nobody uses here."""
    return Registry(Outbound(), 5)


def test_every_kind_has_an_entry(registry: Registry) -> None:
    """Without any access, the offline provider alone is usable, and each of the others says why it isn't."""
    providers = {kind: registry.provider(kind, Access()) for kind in ProviderKind}
    assert all(provider.kind is kind for kind, provider in providers.items())
    assert {kind.value: provider.problem for kind, provider in providers.items()} == {
        "OFFLINE": None,
        "OPENAI": "No API key is set for OpenAI.",
        "GEMINI": "No API key is set for Google Gemini.",
        "IMAGEN": providers[ProviderKind.IMAGEN].problem,
        "XAI": "No API key is set for xAI.",
        "OPENROUTER": "No API key is set for OpenRouter.",
        "OLLAMA": "No address is set for Ollama.",
        "OPENAI_COMPATIBLE": "No address is set for OpenAI-compatible.",
        "GAB": "No API key is set for Gab AI.",
        "ANTHROPIC": "Anthropic's API has no image generation.",
    }
    assert (providers[ProviderKind.IMAGEN].problem or "").startswith("No API key is set for Google Imagen.")
    assert [kind for kind, provider in providers.items() if not provider.makes_images] == [ProviderKind.ANTHROPIC]


@pytest.mark.parametrize("kind", set(ProviderKind) - {ProviderKind.ANTHROPIC}, ids=str)
def test_access_makes_a_provider_usable(registry: Registry, kind: ProviderKind) -> None:
    """With a key and an address there is no problem any more; some need one of the two alone."""
    assert registry.provider(kind, Access("a-key", "https://images.example/v1")).problem is None
    sparse = registry.provider(kind, Access())
    key, address = "a-key" if sparse.needs_key else None, "https://images.example" if sparse.needs_base_url else None
    assert registry.provider(kind, Access(key, address)).problem is None


def test_the_placeholder_can_be_exchanged() -> None:
    """Another offline provider takes its place."""
    offline = OfflineProvider(0)
    assert Registry(Outbound(), 5, offline).provider(ProviderKind.OFFLINE, Access()) is offline


async def test_an_unusable_provider_fails_in_words(registry: Registry) -> None:
    """Whoever asks it all the same gets the reason, from each of its methods."""
    provider = registry.provider(ProviderKind.ANTHROPIC, Access("a-key"))
    (only,) = await ask(provider, asked("claude"))
    assert isinstance(only, PictureFailed)
    assert (only.failure.code, only.failure.message) == (FailureCode.INVALID_REQUEST, provider.problem)
    with pytest.raises(ProviderUnusable, match="has no image generation"):
        await provider.check()
    assert (list(provider.models), provider.model("claude").max_references) == ([], 0)


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
