"""What each vendor's pictures cost, as data, in micro-dollars: each price with its source and date, none made up."""

from dataclasses import dataclass
from re import compile as pattern

from domain.providers import ImageOptions, ProviderKind


@dataclass(frozen=True, slots=True)
class TokenPrices:
    """US dollars per million tokens, which is the same as micro-dollars per token. `text_out` is for words and thoughts."""

    text_in: float
    image_in: float
    image_out: float
    text_out: float = 0.0


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
"""By model id of OpenAI's; a model that isn't here has no known price."""


# Source: Google's price list, as quoted by yingtu.ai (2026-06), whichllm.io and lumenfall.ai (2026-11-21): pictures go in
# at the price of text. The counts per tier (docs.cloud.google.com/vertex-ai) give the prices per picture below.
GEMINI_TOKEN_PRICES = {
    "gemini-3-pro-image": TokenPrices(text_in=2.0, image_in=2.0, image_out=120.0, text_out=12.0),
    "gemini-3.1-flash-image": TokenPrices(text_in=0.5, image_in=0.5, image_out=60.0, text_out=3.0),
}
"""By model id of Google's; a model that isn't here is paid by the picture."""

# Source: Google's price list as quoted by aifreeapi.com (2026-03) and docs.laozhang.ai (2026-10). Micro-dollars.
PICTURE_PRICES = {
    (ProviderKind.GEMINI, "gemini-nano-banana-2.1"): {"1K": 33_600, "2K": 50_400, "4K": 113_000},
    (ProviderKind.GEMINI, "gemini-3-pro-image"): {"1K": 134_000, "2K": 134_000, "4K": 240_000},
    (ProviderKind.GEMINI, "gemini-3.1-flash-image"): {"512": 45_000, "1K": 67_000, "2K": 101_000, "4K": 151_000},
    # Source: docs.x.ai/developers/cost-tracking: 200,000,000 ticks (2026-11-21).
    (ProviderKind.XAI, "grok-imagine-image"): {"1K": 20_000, "2K": 20_000},
}
"""Price of one picture by vendor, model id and tier; a model that isn't here has no price per picture."""

# Source: xAI's page of the model as quoted by docs.laozhang.ai/ja/api-capabilities/grok-imagine-image (2026-10-13), which
# says nothing of 1.5K. Micro-dollars.
QUALITY_PRICES = {
    "grok-imagine-image-2.0": {
        ("1K", "low"): 40_000,
        ("1K", "medium"): 60_000,
        ("2K", "low"): 60_000,
        ("2K", "medium"): 80_000,
    }
}
"""The same by tier and quality, where both decide: at xAI."""

REFERENCE_PRICES = {"grok-imagine-image-2.0": 10_000}
"""What each reference adds, where that is told and counts. Source: the same page."""


# Source: gpt-image-1's prices for 1024x1024 (0.011, 0.042 and 0.167 dollars) at its 40 dollars per million output tokens.
# Nobody tells the counts of its successors: what they charge is taken from their answers, this only estimates it.
_OUTPUT_TOKENS = {"low": 272, "medium": 1_056, "high": 4_160, "auto": 4_160}
_TOKENS_PIXELS = 1024 * 1024
# Source: apidog.com/blog/gpt-image-2-5-api (2026-11-20).
_PREVIEW_TOKENS = 100
_SIZE = pattern(r"([0-9]{1,5})x([0-9]{1,5})")


def picture_price_micro_usd(
    kind: ProviderKind, model: str, options: ImageOptions, references: int = 0, previews: int = 0
) -> int | None:
    """What one picture will cost, about: by the vendor's price per picture, where a missing tier means 1K, or by tokens.

    What other vendors' models cost that are called the same is their own affair.
    """
    if kind is ProviderKind.XAI and model in QUALITY_PRICES:
        price = QUALITY_PRICES[model].get((options.resolution or "1K", options.quality or "medium"))
        return None if price is None else price + references * REFERENCE_PRICES[model]
    if kind is ProviderKind.OPENAI and model in TOKEN_PRICES:
        tokens = _OUTPUT_TOKENS.get(options.quality or "auto")
        if tokens is None:
            return None
        size = _SIZE.fullmatch(options.size or "")
        share = int(size[1]) * int(size[2]) / _TOKENS_PIXELS if size else 1.0
        return round((tokens * share + previews * _PREVIEW_TOKENS) * TOKEN_PRICES[model].image_out)
    return PICTURE_PRICES.get((kind, model), {}).get(options.resolution or "1K")
