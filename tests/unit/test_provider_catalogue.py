"""The catalogue of models: what is current, what was retired, and what unknown ids get."""

import pytest

from domain.errors import UnsupportedByModel
from domain.providers import ImageOptions, ProviderKind, check_options
from providers.catalogue import (
    GEMINI,
    OFFLINE,
    OPENAI,
    PICTURE_PRICES,
    TOKEN_PRICES,
    Catalogue,
    picture_price_micro_usd,
)
from providers.openai import cost_micro_usd

CATALOGUES = [OFFLINE, OPENAI, GEMINI]


@pytest.mark.parametrize("catalogue", CATALOGUES, ids=lambda catalogue: catalogue.kind)
def test_entries_are_sound(catalogue: Catalogue) -> None:
    """Ids are unique, the default is alive, replacements exist and live, and a model's own defaults pass its limits."""
    ids = [model.id for model in catalogue.models]
    assert len(ids) == len(set(ids))
    assert not catalogue.models[0].is_retired
    for model in catalogue.models:
        if model.is_retired:
            assert model.replaced_by in ids
            assert not catalogue.model(model.replaced_by or "").is_retired
        else:
            assert model.replaced_by is None
            check_options(catalogue.kind, model, model.defaults, references=0)
            check_options(catalogue.kind, model, ImageOptions(n=10), references=14)


@pytest.mark.parametrize(
    ("catalogue", "id", "replacement"),
    [
        (OPENAI, "gpt-image-1", "gpt-image-2.5-sunburst"),
        (OPENAI, "dall-e-3", "gpt-image-2.5-sunburst"),
        (OPENAI, "dall-e-2", "gpt-image-2.5-flare"),
        (GEMINI, "gemini-3-pro-image-preview", "gemini-3-pro-image"),
        (GEMINI, "gemini-3.1-flash-image-preview", "gemini-nano-banana-2.1"),
        (GEMINI, "gemini-2.5-flash-image", "gemini-nano-banana-2.1"),
    ],
)
def test_a_retired_model_is_refused_with_its_replacement(catalogue: Catalogue, id: str, replacement: str) -> None:
    """Whoever asks for a model that is gone is told which one to use."""
    with pytest.raises(UnsupportedByModel) as caught:
        check_options(catalogue.kind, catalogue.model(id), ImageOptions(), references=0)
    assert caught.value.message == f"{id} was retired by its provider. Use {replacement} instead."
    assert caught.value.supported == (replacement,)


def test_an_unknown_model_gets_the_general_limits() -> None:
    """A model of tomorrow passes through under its own id, and promises no previews."""
    model = OPENAI.model("gpt-image-9")
    assert (model.id, model.name, model.is_retired, model.streams_previews) == (
        "gpt-image-9",
        "gpt-image-9",
        False,
        False,
    )
    check_options(ProviderKind.OPENAI, model, ImageOptions(size="1024x1536", quality="high"), references=16)
    with pytest.raises(UnsupportedByModel):
        check_options(ProviderKind.OPENAI, model, ImageOptions(size="512x512"), references=0)


def test_gemini_is_wide_and_large_by_default() -> None:
    """The product's default is 16:9 at 4K wherever the model has it."""
    defaults = {model.id: model.defaults for model in GEMINI.models if not model.is_retired}
    wide = ImageOptions(aspect_ratio="16:9", resolution="4K")
    assert defaults == {
        "gemini-nano-banana-2.1": wide,
        "gemini-3-pro-image": wide,
        "gemini-3.1-flash-image": wide,
        "gemini-3.1-flash-lite-image": ImageOptions(aspect_ratio="16:9", resolution="1K"),
    }


def test_prices_belong_to_models() -> None:
    """Every price is that of a listed model, and a price per picture that of one of its tiers."""
    listed = {model.id: model for catalogue in CATALOGUES for model in catalogue.models}
    assert set(TOKEN_PRICES) <= set(listed)
    for model, tiers in PICTURE_PRICES.items():
        assert set(tiers) == set(listed[model].resolutions)


@pytest.mark.parametrize(
    ("model", "resolution", "price"),
    [
        ("gemini-3-pro-image", "4K", 240_000),
        ("gemini-3-pro-image", None, 134_000),
        ("gemini-3-pro-image", "512", None),
        ("gemini-of-tomorrow", "1K", None),
        ("placeholder-1", "4K", 0),
    ],
)
def test_a_picture_has_the_price_of_its_tier(model: str, resolution: str | None, price: int | None) -> None:
    """The tier decides, no tier means 1K, and an unknown price stays unknown."""
    assert picture_price_micro_usd(model, ImageOptions(resolution=resolution)) == price


TOKENS = {"input_tokens_details": {"text_tokens": 100, "image_tokens": 10}, "output_tokens": 1_000}


@pytest.mark.parametrize(
    ("model", "usage", "cost"),
    [
        ("gpt-image-2", TOKENS, 100 * 5 + 10 * 8 + 1_000 * 30),
        ("gpt-image-1-mini", TOKENS, 200 + 25 + 8_000),
        ("gpt-image-9", TOKENS, None),
        ("gpt-image-2", None, None),
        ("gpt-image-2", {**TOKENS, "output_tokens": "many"}, None),
        ("gpt-image-2", {**TOKENS, "output_tokens": -1}, None),
        ("gpt-image-2", {**TOKENS, "output_tokens": True}, None),
        ("gpt-image-2", {**TOKENS, "input_tokens_details": [1]}, None),
    ],
)
def test_tokens_have_their_prices(model: str, usage: object, cost: int | None) -> None:
    """The cost is summed from the reported tokens; a report that makes no sense gives no cost."""
    assert cost_micro_usd(model, usage) == cost
