"""From access data to providers: one adapter of every kind, whether it can be called or not."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

from domain.errors import ProviderUnusable
from domain.failures import FailureCode, failure
from domain.providers import (
    Access,
    ImageModel,
    ImageOptions,
    ImageProvider,
    PictureFailed,
    PictureRequest,
    ProviderEvent,
    ProviderKind,
)
from providers.compatible import CompatibleProvider
from providers.gab import GabProvider
from providers.gemini import GeminiProvider
from providers.imagen import ImagenProvider
from providers.offline import OfflineProvider
from providers.ollama import OllamaProvider
from providers.openai import OpenAIProvider
from providers.openrouter import OpenRouterProvider
from providers.outbound import Outbound
from providers.xai import XaiProvider

_REMOTE: dict[ProviderKind, Callable[[Access, Outbound, float], ImageProvider]] = {
    ProviderKind.OPENAI: OpenAIProvider,
    ProviderKind.GEMINI: GeminiProvider,
    ProviderKind.IMAGEN: ImagenProvider,
    ProviderKind.XAI: XaiProvider,
    ProviderKind.OPENROUTER: OpenRouterProvider,
    ProviderKind.OLLAMA: OllamaProvider,
    ProviderKind.OPENAI_COMPATIBLE: CompatibleProvider,
    ProviderKind.GAB: GabProvider,
}

# Source: Anthropic's API reference: the Messages API takes images in and gives text out (2026-11-20).
_UNUSABLE = {
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
    def makes_images(self) -> bool:
        """It doesn't."""
        return False

    @property
    def needs_key(self) -> bool:
        """As every vendor of models."""
        return True

    @property
    def needs_base_url(self) -> bool:
        """It has its own."""
        return False

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

    async def check(self) -> Sequence[ImageModel]:
        """Raises ProviderUnusable."""
        raise ProviderUnusable(self._problem, self._kind)

    async def aclose(self) -> None:
        """Nothing to let go of."""


class Registry:
    """Makes providers of every kind, with the connections that they share.

    `timeouts_s` has the kinds that have another time for a call than `timeout_s`.
    """

    def __init__(
        self,
        outbound: Outbound,
        timeout_s: float,
        offline: ImageProvider | None = None,
        timeouts_s: Mapping[ProviderKind, float] | None = None,
    ) -> None:
        self._outbound = outbound
        self._timeout_s = timeout_s
        self._timeouts_s = timeouts_s or {}
        self._offline = offline or OfflineProvider()

    def provider(self, kind: ProviderKind, access: Access) -> ImageProvider:
        """A provider with that access; never fails: what is wrong is said by its `problem`."""
        if make := _REMOTE.get(kind):
            return make(access, self._outbound, self._timeouts_s.get(kind, self._timeout_s))
        if kind is ProviderKind.OFFLINE:
            return self._offline
        return UnusableProvider(kind, *_UNUSABLE[kind])
