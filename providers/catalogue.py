"""What each vendor's models can do and cost, as data; no calls. Unknown ids get their vendor's general limits.

Model names age in months: an entry is a fact with a source and a date, and an id that isn't here still passes through.
"""

from dataclasses import dataclass, replace
from re import compile as pattern

from domain.providers import ImageModel, ImageOptions, OutputFormat, ProviderKind, SizeRule


@dataclass(frozen=True, slots=True)
class Catalogue:
    """One vendor's models, the default one first and the retired ones last; `general` is the pattern for unknown ids."""

    kind: ProviderKind
    name: str
    general: ImageModel
    models: tuple[ImageModel, ...]

    def model(self, id: str) -> ImageModel:
        """The model's entry, or the vendor's general limits under that id."""
        known = next((model for model in self.models if model.id == id), None)
        return known or replace(self.general, id=id, name=id)


@dataclass(frozen=True, slots=True)
class TokenPrices:
    """US dollars per million tokens, which is the same as micro-dollars per token."""

    text_in: float
    image_in: float
    image_out: float


def _gone(id: str, replaced_by: str, pattern: ImageModel) -> ImageModel:
    return replace(pattern, id=id, name=id, is_retired=True, replaced_by=replaced_by)


# Source: our own offline adapter, which honours all of these.
_OFFLINE = ImageModel(
    id="placeholder-1",
    name="Placeholder",
    sizes=("512x512", "1024x1024", "1536x1024", "1024x1536", "1920x1080", "1080x1920"),
    aspect_ratios=("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9"),
    resolutions=("512", "1K", "2K", "4K"),
    styles=("dawn", "dusk", "forest", "sea"),
    output_formats=(OutputFormat.ORIGINAL, OutputFormat.PNG, OutputFormat.WEBP, OutputFormat.JPEG),
    max_references=16,
    streams_previews=True,
    takes_seed=True,
)

OFFLINE = Catalogue(ProviderKind.OFFLINE, "Offline placeholder", _OFFLINE, (_OFFLINE,))


# Source: openai 3.52.0, types/image_generate_params.py and types/image_edit_params.py (2026-11-20). Prompt, the three
# standard sizes, qualities, backgrounds and 16 references hold for every GPT image model.
_OPENAI = ImageModel(
    id="gpt-image",
    name="GPT Image",
    sizes=("auto", "1024x1024", "1536x1024", "1024x1536"),
    qualities=("auto", "low", "medium", "high"),
    backgrounds=("auto", "opaque", "transparent"),
    output_formats=(OutputFormat.ORIGINAL, OutputFormat.PNG, OutputFormat.WEBP, OutputFormat.JPEG),
    max_references=16,
)
_GPT_IMAGE = replace(_OPENAI, streams_previews=True)

# Source: same file: any WIDTHxHEIGHT in multiples of 16, 1:3 to 3:1, up to 3840x2160, for gpt-image-2 and 2.5; the
# pixels by docs.anyfast.ai and docs.fast-token.com (2026-11-20).
_GPT_IMAGE_2 = replace(
    _GPT_IMAGE,
    sizes=(*_OPENAI.sizes, "2048x2048", "2048x1152", "1152x2048", "3840x2160", "2160x3840"),
    size_rule=SizeRule(step_px=16, max_side_px=3840, min_pixels=655_360, max_pixels=8_294_400, max_ratio=3),
)
_GPT_IMAGE_25 = replace(_GPT_IMAGE_2, qualities=(*_OPENAI.qualities, "xhigh", "max"))

OPENAI = Catalogue(
    ProviderKind.OPENAI,
    "OpenAI",
    _OPENAI,
    (
        replace(_GPT_IMAGE_25, id="gpt-image-2.5-sunburst", name="GPT Image 2.5 Sunburst"),
        replace(_GPT_IMAGE_25, id="gpt-image-2.5-flare", name="GPT Image 2.5 Flare"),
        # Source: openai 3.52.0 names both 2.6 models in types/image_model.py only, so nothing beyond the general
        # limits is claimed for them (2026-11-20).
        replace(_GPT_IMAGE, id="gpt-image-2.6-sunburst", name="GPT Image 2.6 Sunburst"),
        replace(_GPT_IMAGE, id="gpt-image-2.6-flare", name="GPT Image 2.6 Flare"),
        replace(_GPT_IMAGE_2, id="gpt-image-2", name="GPT Image 2"),
        replace(_GPT_IMAGE, id="gpt-image-1.5", name="GPT Image 1.5"),
        replace(_GPT_IMAGE, id="gpt-image-1-mini", name="GPT Image 1 mini"),
        # Source: openai 3.52.0, types/image_model.py: shut down 2026-10-23; the DALL-E models on 2026-05-12.
        _gone("gpt-image-1", "gpt-image-2.5-sunburst", _OPENAI),
        _gone("dall-e-3", "gpt-image-2.5-sunburst", _OPENAI),
        _gone("dall-e-2", "gpt-image-2.5-flare", _OPENAI),
    ),
)

# Source: developers.openai.com/api/docs/models/gpt-image-2.6-sunburst and .../gpt-image-1-mini (2026-11-20).
_GPT_IMAGE_2_PRICES = TokenPrices(text_in=5.0, image_in=8.0, image_out=30.0)
TOKEN_PRICES = {
    "gpt-image-2": _GPT_IMAGE_2_PRICES,
    "gpt-image-2.5-sunburst": _GPT_IMAGE_2_PRICES,
    "gpt-image-2.5-flare": _GPT_IMAGE_2_PRICES,
    "gpt-image-2.6-sunburst": _GPT_IMAGE_2_PRICES,
    "gpt-image-2.6-flare": _GPT_IMAGE_2_PRICES,
    "gpt-image-1-mini": TokenPrices(text_in=2.0, image_in=2.5, image_out=8.0),
}
"""By model id; a model that isn't here has no known price."""


# Source: google-genai 3.4.0, _gaos/types/interactions/imageconfig.py: ratios and tiers (2026-11-20).
_TEN_RATIOS = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
_FOURTEEN_RATIOS = (*_TEN_RATIOS, "1:4", "4:1", "1:8", "8:1")

# The product's own default is a wide picture at the highest tier. Source: ai.google.dev/gemini-api/docs: 14 references
# per request, one picture per call, no choice of format (2026-11-20).
_GEMINI = ImageModel(
    id="gemini-image",
    name="Gemini image",
    aspect_ratios=_FOURTEEN_RATIOS,
    resolutions=("512", "1K", "2K", "4K"),
    output_formats=(OutputFormat.ORIGINAL,),
    max_references=14,
    defaults=ImageOptions(aspect_ratio="16:9"),
)
_WIDE_4K = ImageOptions(aspect_ratio="16:9", resolution="4K")

GEMINI = Catalogue(
    ProviderKind.GEMINI,
    "Google Gemini",
    _GEMINI,
    (
        # Source: TanStack AI release ai-gemini 0.36.0 (2026-10-07): all 14 ratios, the 512 tier is refused.
        replace(
            _GEMINI,
            id="gemini-nano-banana-2.1",
            name="Nano Banana 2.1",
            resolutions=("1K", "2K", "4K"),
            defaults=_WIDE_4K,
        ),
        # Source: ai.google.dev/gemini-api/docs/changelog: generally available since 2026-05-28.
        replace(
            _GEMINI,
            id="gemini-3-pro-image",
            name="Nano Banana Pro",
            aspect_ratios=_TEN_RATIOS,
            resolutions=("1K", "2K", "4K"),
            defaults=_WIDE_4K,
        ),
        replace(_GEMINI, id="gemini-3.1-flash-image", name="Nano Banana 2", defaults=_WIDE_4K),
        # Source: ai.google.dev/gemini-api/docs/models/gemini-3.1-flash-lite-image: 1K alone (2026-11-20).
        replace(
            _GEMINI,
            id="gemini-3.1-flash-lite-image",
            name="Nano Banana 2 Lite",
            resolutions=("1K",),
            defaults=ImageOptions(aspect_ratio="16:9", resolution="1K"),
        ),
        # Source: ai.google.dev/gemini-api/docs/deprecations: the previews ended 2026-06-25, 2.5 Flash on 2026-10-02.
        # Flash users are sent to 2.1, because 3.1 Flash itself is said to have ended on 2026-10-29 (unconfirmed).
        _gone("gemini-3-pro-image-preview", "gemini-3-pro-image", _GEMINI),
        _gone("gemini-3.1-flash-image-preview", "gemini-nano-banana-2.1", _GEMINI),
        _gone("gemini-2.5-flash-image", "gemini-nano-banana-2.1", _GEMINI),
    ),
)

# Source: Google's price list as quoted by aifreeapi.com (2026-03) and docs.laozhang.ai (2026-10). Micro-dollars.
PICTURE_PRICES = {
    "gemini-nano-banana-2.1": {"1K": 33_600, "2K": 50_400, "4K": 113_000},
    "gemini-3-pro-image": {"1K": 134_000, "2K": 134_000, "4K": 240_000},
    "gemini-3.1-flash-image": {"512": 45_000, "1K": 67_000, "2K": 101_000, "4K": 151_000},
    _OFFLINE.id: dict.fromkeys(_OFFLINE.resolutions, 0),
}
"""Price of one picture by model id and tier; a model that isn't here has no price per picture."""


# Source: gpt-image-1's prices for 1024x1024 (0.011, 0.042 and 0.167 dollars) at its 40 dollars per million output tokens.
# Nobody tells the counts of its successors: what they charge is taken from their answers, this only estimates it.
_OUTPUT_TOKENS = {"low": 272, "medium": 1_056, "high": 4_160, "auto": 4_160}
_TOKENS_PIXELS = 1024 * 1024
_SIZE = pattern(r"([0-9]{1,5})x([0-9]{1,5})")


def picture_price_micro_usd(model: str, options: ImageOptions) -> int | None:
    """What one picture will cost, about: by the vendor's price per picture, where a missing tier means 1K, or by tokens."""
    if model in TOKEN_PRICES:
        tokens = _OUTPUT_TOKENS.get(options.quality or "auto")
        size = _SIZE.fullmatch(options.size or "")
        share = int(size[1]) * int(size[2]) / _TOKENS_PIXELS if size else 1.0
        return None if tokens is None else round(tokens * share * TOKEN_PRICES[model].image_out)
    return PICTURE_PRICES.get(model, {}).get(options.resolution or "1K")
