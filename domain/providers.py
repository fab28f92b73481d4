"""Image providers as the rules see them: what a model can do, what is asked of it, and what it answers.

An adapter is asked for exactly one picture per call; several pictures are several calls, each a step of its own.
"""

import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Protocol

from domain.costs import CostBasis
from domain.errors import UnsupportedByModel
from domain.failures import GenerationFailure
from domain.pictures import EncodedPicture

# A model's id becomes part of a URL at some vendors.
_MODEL_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_:-]|[./](?![./])){0,127}")
_SIZE = re.compile(r"([0-9]{1,5})x([0-9]{1,5})")


TRANSPARENT = "transparent"
SHOWN_CHARS = 50


class ProviderKind(StrEnum):
    """The providers Atelier knows by name."""

    OFFLINE = "OFFLINE"
    OPENAI = "OPENAI"
    GEMINI = "GEMINI"
    IMAGEN = "IMAGEN"
    XAI = "XAI"
    OPENROUTER = "OPENROUTER"
    OLLAMA = "OLLAMA"
    OPENAI_COMPATIBLE = "OPENAI_COMPATIBLE"
    GAB = "GAB"
    ANTHROPIC = "ANTHROPIC"


class ReferenceRole(StrEnum):
    """What a reference image shows the model."""

    FACE = "FACE"
    BODY = "BODY"
    STYLE = "STYLE"
    SETTING = "SETTING"


class OutputFormat(StrEnum):
    """File formats that a picture may be asked for in."""

    ORIGINAL = "ORIGINAL"
    WEBP = "WEBP"
    AVIF = "AVIF"
    JPEG = "JPEG"
    PNG = "PNG"


@dataclass(frozen=True, slots=True)
class ImageOptions:
    """What is asked of the model; None leaves the model's own default. `n` counts pictures (1-10)."""

    n: int = 1
    size: str | None = None
    aspect_ratio: str | None = None
    resolution: str | None = None
    quality: str | None = None
    style: str | None = None
    background: str | None = None
    output_format: OutputFormat | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class SizeRule:
    """Which sizes a model takes beside those that forms offer: sides in pixels, and the longer one to the shorter."""

    step_px: int
    max_side_px: int
    min_pixels: int
    max_pixels: int
    max_ratio: int

    def allows(self, size: str) -> bool:
        """Whether `size` is WIDTHxHEIGHT within the rule."""
        match = _SIZE.fullmatch(size)
        if match is None:
            return False
        short, long = sorted((int(match[1]), int(match[2])))
        return (
            short % self.step_px == long % self.step_px == 0
            and self.min_pixels <= short * long <= self.max_pixels
            and long <= min(self.max_side_px, short * self.max_ratio)
        )

    def __str__(self) -> str:
        return (
            f"any WIDTHxHEIGHT in steps of {self.step_px} up to {self.max_side_px:,}, "
            f"of {self.min_pixels:,} to {self.max_pixels:,} pixels, at most {self.max_ratio}:1"
        )


@dataclass(frozen=True, slots=True)
class QualityWord:
    """What a quality of another vendor's means for a model: one of its own qualities, or a resolution."""

    word: str
    quality: str | None = None
    resolution: str | None = None


@dataclass(frozen=True, slots=True)
class ImageModel:
    """What one model can do. An empty list means that the option can't be set; `replaced_by` goes with retirement.

    `size_rule` allows more sizes than the `sizes` that forms offer. `quality_words` says what the words `standard` and
    `hd` mean here: a quality of the model's own, or a resolution.
    """

    id: str
    name: str
    sizes: tuple[str, ...] = ()
    size_rule: SizeRule | None = None
    aspect_ratios: tuple[str, ...] = ()
    resolutions: tuple[str, ...] = ()
    qualities: tuple[str, ...] = ()
    quality_words: tuple[QualityWord, ...] = ()
    styles: tuple[str, ...] = ()
    backgrounds: tuple[str, ...] = ()
    output_formats: tuple[str, ...] = ()
    max_images: int = 10
    max_references: int = 0
    max_prompt_chars: int = 32_000
    streams_previews: bool = False
    takes_seed: bool = False
    is_retired: bool = False
    replaced_by: str | None = None
    defaults: ImageOptions = field(default_factory=ImageOptions)


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference image on its way to a provider: upright, without metadata, re-encoded by us."""

    name: str
    role: ReferenceRole
    sha256: str
    picture: EncodedPicture


@dataclass(frozen=True, slots=True)
class PictureRequest:
    """One picture to make. `index` (from 0) tells the pictures of one generation apart."""

    model: str
    prompt: str
    options: ImageOptions
    index: int = 0
    references: tuple[Reference, ...] = ()


@dataclass(frozen=True, slots=True)
class PreviewArrived:
    """A partial picture that the provider really streamed; untrusted bytes."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PictureArrived:
    """The finished picture; untrusted bytes, of whatever type the provider chose."""

    data: bytes
    revised_prompt: str | None = None
    request_id: str | None = None
    cost_micro_usd: int | None = None
    cost_basis: CostBasis = CostBasis.LISTED


@dataclass(frozen=True, slots=True)
class PictureFailed:
    """No picture came. `request_id` is the provider's own, for its support.

    `detail` is what the provider said, redacted and cut short: for admins, who look after its account. A cost is what it
    told that it took all the same.
    """

    failure: GenerationFailure
    request_id: str | None = None
    detail: str | None = None
    cost_micro_usd: int | None = None
    cost_basis: CostBasis = CostBasis.LISTED


ProviderEvent = PreviewArrived | PictureArrived | PictureFailed


@dataclass(frozen=True, slots=True)
class Access:
    """How a vendor is reached: by the server's own settings, which are trusted with any address, or by a profile."""

    api_key: str | None = field(default=None, repr=False)
    base_url: str | None = None
    is_trusted: bool = False


class ImageProvider(Protocol):
    """One vendor. Yields any number of previews, then exactly one picture or failure; raises nothing of the SDK's."""

    @property
    def kind(self) -> ProviderKind:
        """Which vendor this is."""

    @property
    def name(self) -> str:
        """The vendor's name as people write it."""

    @property
    def makes_images(self) -> bool:
        """Whether the vendor makes images at all."""

    @property
    def needs_key(self) -> bool:
        """Whether the vendor asks for an API key."""

    @property
    def needs_base_url(self) -> bool:
        """Whether it has no address of its own, so that a profile must give one. Others take one from operators alone."""

    @property
    def models(self) -> Sequence[ImageModel]:
        """The models we know the limits of; the first is the default."""

    def model(self, id: str) -> ImageModel:
        """The model's limits; an unknown id gets the vendor's general ones and passes through."""

    @property
    def problem(self) -> str | None:
        """Why it can't be used as configured (in words), or None."""

    def price_micro_usd(self, model: str, options: ImageOptions, references: int) -> int | None:
        """What one picture will cost, about, in micro-USD; None where the vendor has no price that can be told."""

    def generate(self, request: PictureRequest) -> AsyncGenerator[ProviderEvent, None]:
        """Ask for one picture, once: no retries inside. Closing the generator ends the call."""

    async def check(self) -> Sequence[ImageModel]:
        """Call the vendor without cost. Returns the image models it offers this key, those we know first.

        Raises ProviderUnusable in words.
        """

    async def aclose(self) -> None:
        """Let go of connections."""


def is_model_id(text: str) -> bool:
    """Whether a model could be called so."""
    return _MODEL_ID.fullmatch(text) is not None


def check_offered(provider: ProviderKind, model: ImageModel) -> None:
    """Refuse a model that its provider has retired. Raises UnsupportedByModel with its successor."""
    if model.is_retired:
        raise UnsupportedByModel(
            f"{model.id} was retired by its provider."
            + (f" Use {model.replaced_by} instead." if model.replaced_by else ""),
            provider=provider,
            model=model.id,
            option="model",
            supported=[model.replaced_by] if model.replaced_by else [],
        )


def with_defaults(options: ImageOptions, defaults: ImageOptions) -> ImageOptions:
    """The options asked for, and the defaults where nothing was asked for.

    A size says everything about the shape: the default ratio and resolution then stay out of it, and the other way.
    """
    shaped = {"aspect_ratio", "resolution"} if options.size else set()
    if options.aspect_ratio or options.resolution:
        shaped.add("size")
    missing = {
        part.name: getattr(defaults, part.name)
        for part in fields(options)
        if getattr(options, part.name) is None and part.name not in shaped
    }
    return replace(options, **missing)


def in_own_words(model: ImageModel, options: ImageOptions) -> ImageOptions:
    """The options with `standard` and `hd` put into what the model calls them; an explicit resolution stays."""
    meant = next((known for known in model.quality_words if known.word == options.quality), None)
    if meant is None:
        return options
    return replace(options, quality=meant.quality, resolution=options.resolution or meant.resolution)


def check_options(provider: ProviderKind, model: ImageModel, options: ImageOptions, references: int) -> None:
    """Refuse, before anything is paid, what the model can't do. Raises UnsupportedByModel with what it can."""

    def refuse(option: str, value: object, supported: Sequence[str]) -> UnsupportedByModel:
        offer = f"Supported: {', '.join(supported)}." if supported else "It can't be set for this model."
        return UnsupportedByModel(
            f"{model.name} does not take {option} {str(value)[:SHOWN_CHARS]}. {offer}",
            provider=provider,
            model=model.id,
            option=option,
            supported=supported,
        )

    check_offered(provider, model)
    if not 1 <= options.n <= model.max_images:
        raise refuse("n", options.n, [f"1-{model.max_images}"])
    if references > model.max_references:
        raise refuse("references", references, [f"0-{model.max_references}"])
    if options.seed is not None and not model.takes_seed:
        raise refuse("seed", options.seed, [])
    rule = model.size_rule
    if options.size is not None and options.size not in model.sizes and not (rule and rule.allows(options.size)):
        raise refuse("size", options.size, (*model.sizes, str(rule)) if rule else model.sizes)
    chosen = (
        ("aspectRatio", options.aspect_ratio, model.aspect_ratios),
        ("resolution", options.resolution, model.resolutions),
        ("quality", options.quality, model.qualities),
        ("style", options.style, model.styles),
        ("background", options.background, model.backgrounds),
        ("outputFormat", options.output_format, model.output_formats),
    )
    for name, value, supported in chosen:
        if value is not None and value not in supported:
            words = [known.word for known in model.quality_words] if name == "quality" else []
            raise refuse(name, value, [*supported, *words])
    if options.background == TRANSPARENT and options.output_format is OutputFormat.JPEG:
        raise refuse("outputFormat", "JPEG with a transparent background", [OutputFormat.PNG, OutputFormat.WEBP])
