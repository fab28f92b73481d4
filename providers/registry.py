"""From access data to providers: which kinds this server can call, and why the others can't be called."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from domain.errors import ProviderUnusable
from domain.failures import FailureCode, failure
from domain.providers import (
    ImageModel,
    ImageOptions,
    ImageProvider,
    PictureFailed,
    PictureRequest,
    ProviderEvent,
    ProviderKind,
)
from providers.gemini import GeminiProvider
from providers.offline import OfflineProvider
from providers.openai import OpenAIProvider
from providers.remotes import DEFAULT_TIMEOUT_S


@dataclass(frozen=True, slots=True)
class Access:
    """How one vendor is reached: the server's own settings, or somebody's connection profile."""

    api_key: str | None = field(default=None, repr=False)
    base_url: str | None = None
    timeout_s: float = DEFAULT_TIMEOUT_S


_REMOTE: dict[ProviderKind, Callable[[str | None, str | None, float], ImageProvider]] = {
    ProviderKind.OPENAI: OpenAIProvider,
    ProviderKind.GEMINI: GeminiProvider,
}

# Source: the vendors' API references; Imagen's end: ai.google.dev/gemini-api/docs/imagen (2026-11-20).
_UNUSABLE = {
    ProviderKind.IMAGEN: ("Google Imagen", "Google has shut Imagen down. Use Google Gemini instead."),
    ProviderKind.XAI: ("xAI", "This server can't make images with xAI."),
    ProviderKind.OPENROUTER: ("OpenRouter", "This server can't make images with OpenRouter."),
    ProviderKind.OLLAMA: ("Ollama", "This server can't make images with Ollama."),
    ProviderKind.OPENAI_COMPATIBLE: ("OpenAI-compatible", "This server can't make images with such an endpoint."),
    ProviderKind.GAB: ("Gab AI", "This server can't make images with Gab AI."),
    ProviderKind.ANTHROPIC: ("Anthropic", "Anthropic's API has no image generation."),
}


class UnusableProvider:
    """A vendor that is known by name and can't be asked for pictures."""

    def __init__(self, kind: ProviderKind, name: str, problem: str) -> None:
        self._kind = kind
        self._name = name
        self._problem = problem

    @property
    def kind(self) -> ProviderKind:
        """Which vendor this is."""
        return self._kind

    @property
    def name(self) -> str:
        """As people write it."""
        return self._name

    @property
    def models(self) -> Sequence[ImageModel]:
        """None."""
        return ()

    def model(self, id: str) -> ImageModel:
        """An entry without any abilities."""
        return ImageModel(id=id, name=id)

    @property
    def problem(self) -> str | None:
        """Why it can't be asked."""
        return self._problem

    def price_micro_usd(self, model: str, options: ImageOptions, references: int) -> int | None:
        """Nobody knows."""
        return None

    async def generate(self, request: PictureRequest) -> AsyncGenerator[ProviderEvent, None]:
        """Fail in words, without a call."""
        yield PictureFailed(failure(FailureCode.INVALID_REQUEST, self._problem))

    async def check(self) -> None:
        """Raises ProviderUnusable."""
        raise ProviderUnusable(self._problem, self._kind)

    async def aclose(self) -> None:
        """Nothing to let go of."""


def provider_for(kind: ProviderKind, access: Access) -> ImageProvider:
    """A provider with that access; never fails: what is wrong is said by its `problem`."""
    if make := _REMOTE.get(kind):
        return make(access.api_key, access.base_url, access.timeout_s)
    if kind is ProviderKind.OFFLINE:
        return OfflineProvider()
    return UnusableProvider(kind, *_UNUSABLE[kind])


def all_providers(
    access: Mapping[ProviderKind, Access], offline: ImageProvider | None = None
) -> dict[ProviderKind, ImageProvider]:
    """One provider of every kind, in the order of the enum; `offline` takes the place of the usual placeholder."""
    providers = {kind: provider_for(kind, access.get(kind, Access())) for kind in ProviderKind}
    return providers if offline is None else {**providers, ProviderKind.OFFLINE: offline}
