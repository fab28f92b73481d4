"""The catalogue of models: what is current, what was retired, and what unknown ids get."""

from itertools import product

import pytest

from domain.errors import UnsupportedByModel
from domain.providers import Access, ImageModel, ImageOptions, ProviderKind, check_options, in_own_words
from providers.catalogue import COMPATIBLE, GAB, GEMINI, IMAGEN, OFFLINE, OLLAMA, OPENAI, OPENROUTER, XAI, Catalogue
from providers.openai import cost_micro_usd
from providers.outbound import Outbound
from providers.prices import (
    GEMINI_TOKEN_PRICES,
    PICTURE_PRICES,
    QUALITY_PRICES,
    REFERENCE_PRICES,
    TOKEN_PRICES,
    picture_price_micro_usd,
)
from providers.registry import Registry

CATALOGUES = [OFFLINE, OPENAI, GEMINI, IMAGEN, XAI, OPENROUTER, OLLAMA, COMPATIBLE, GAB]
MODELS = [
    pytest.param(catalogue, model, id=f"{catalogue.kind}-{model.id}")
    for catalogue in CATALOGUES
    for model in (catalogue.general, *catalogue.models)
]


@pytest.mark.parametrize("catalogue", CATALOGUES, ids=lambda catalogue: catalogue.kind)
def test_entries_are_in_order(catalogue: Catalogue) -> None:
    """Ids are unique, the retired models come last, and what replaces them lives, with this vendor or another."""
    ids = [model.id for model in catalogue.models]
    assert len(ids) == len(set(ids))
    retired = [model.is_retired for model in catalogue.models]
    assert retired == sorted(retired)
    alive = {model.id for other in CATALOGUES for model in other.models if not model.is_retired}
    for model in catalogue.models:
        assert model.replaced_by in alive if model.is_retired else model.replaced_by is None


@pytest.mark.parametrize(("catalogue", "model"), MODELS)
def test_a_models_own_defaults_pass_its_limits(catalogue: Catalogue, model: ImageModel) -> None:
    """So do ten pictures, with as many references as it takes."""
    if not model.is_retired:
        check_options(catalogue.kind, model, model.defaults, references=0)
        check_options(catalogue.kind, model, ImageOptions(n=10), references=model.max_references)


@pytest.mark.parametrize(("catalogue", "model"), MODELS)
def test_standard_and_hd_mean_something_that_the_model_can(catalogue: Catalogue, model: ImageModel) -> None:
    """Wherever there are qualities, both words lead to one of them or to a resolution; a resolution only where it can't
    contradict a size.
    """
    if model.qualities:
        assert {"standard", "hd"} <= {*model.qualities, *(known.word for known in model.quality_words)}
    for known in model.quality_words:
        assert known.quality or known.resolution
        if known.resolution:
            assert not model.sizes
            assert model.size_rule is None
        if not model.is_retired:
            meant = in_own_words(model, ImageOptions(quality=known.word))
            assert meant == ImageOptions(quality=known.quality, resolution=known.resolution)
            check_options(catalogue.kind, model, meant, references=0)


@pytest.mark.parametrize(
    ("catalogue", "id", "replacement"),
    [
        (OPENAI, "gpt-image-1", "gpt-image-2.5-sunburst"),
        (OPENAI, "dall-e-3", "gpt-image-2.5-sunburst"),
        (OPENAI, "dall-e-2", "gpt-image-2.5-flare"),
        (XAI, "grok-2-image", "grok-imagine-image"),
        (XAI, "grok-imagine-image-pro", "grok-imagine-image-2.0"),
        (XAI, "grok-imagine-image-quality", "grok-imagine-image-2.0"),
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
    listed = {(catalogue.kind, model.id): model for catalogue in CATALOGUES for model in catalogue.models}
    owned = {kind: {id for owner, id in listed if owner is kind} for kind, _ in listed}
    assert set(TOKEN_PRICES) <= owned[ProviderKind.OPENAI]
    assert set(GEMINI_TOKEN_PRICES) <= owned[ProviderKind.GEMINI]
    assert set(REFERENCE_PRICES) <= owned[ProviderKind.XAI]
    for priced, tiers in PICTURE_PRICES.items():
        assert set(tiers) == set(listed[priced].resolutions)
    for id, prices in QUALITY_PRICES.items():
        model = listed[ProviderKind.XAI, id]
        assert set(prices) <= set(product(model.resolutions, model.qualities))
        assert (model.defaults.resolution, model.defaults.quality) in prices
        assert id in REFERENCE_PRICES


OWNERS = {
    **dict.fromkeys(TOKEN_PRICES, ProviderKind.OPENAI),
    **dict.fromkeys(QUALITY_PRICES, ProviderKind.XAI),
    **{id: kind for kind, id in PICTURE_PRICES},
    OFFLINE.general.id: ProviderKind.OFFLINE,
}
FREE = {ProviderKind.OFFLINE, ProviderKind.OLLAMA}


@pytest.mark.parametrize("id", OWNERS)
@pytest.mark.parametrize("kind", ProviderKind)
def test_a_name_has_the_price_of_its_vendor_alone(kind: ProviderKind, id: str) -> None:
    """Whoever else has a model of that name says what it takes, or nobody knows; what is made at home is free."""
    provider = Registry(Outbound(), 5).provider(kind, Access())
    price = provider.price_micro_usd(id, ImageOptions(), 0)
    if kind in FREE:
        assert price == 0
    else:
        assert (price is not None) == (kind is OWNERS[id])


@pytest.mark.parametrize(
    ("options", "price"),
    [
        (ImageOptions(quality="low"), (272 + 300) * 30),
        (ImageOptions(quality="low", size="2048x1024"), (2 * 272 + 300) * 30),
        (ImageOptions(quality="of tomorrow"), None),
    ],
)
def test_previews_are_part_of_the_price(options: ImageOptions, price: int | None) -> None:
    """Three are asked for with every picture, whatever its size, and each is about a hundred tokens."""
    provider = Registry(Outbound(), 5).provider(ProviderKind.OPENAI, Access())
    assert provider.price_micro_usd("gpt-image-2", options, 0) == price


def test_where_no_previews_are_asked_for_none_are_paid() -> None:
    """The price is that of the picture then."""
    assert picture_price_micro_usd(ProviderKind.OPENAI, "gpt-image-2", ImageOptions(quality="low")) == 272 * 30


@pytest.mark.parametrize(
    ("model", "resolution", "price"),
    [
        ("gemini-3-pro-image", "4K", 240_000),
        ("gemini-3-pro-image", None, 134_000),
        ("gemini-3-pro-image", "512", None),
        ("gemini-of-tomorrow", "1K", None),
    ],
)
def test_a_picture_has_the_price_of_its_tier(model: str, resolution: str | None, price: int | None) -> None:
    """The tier decides, no tier means 1K, and an unknown price stays unknown."""
    assert picture_price_micro_usd(ProviderKind.GEMINI, model, ImageOptions(resolution=resolution)) == price


@pytest.mark.parametrize(
    ("options", "references", "price"),
    [
        (ImageOptions(resolution="1K", quality="low"), 0, 40_000),
        (ImageOptions(resolution="2K", quality="medium"), 0, 80_000),
        (ImageOptions(), 0, 60_000),
        (ImageOptions(resolution="2K", quality="low"), 3, 90_000),
        (ImageOptions(resolution="1.5K", quality="low"), 1, None),
    ],
)
def test_a_picture_may_have_the_price_of_its_tier_and_quality(
    options: ImageOptions, references: int, price: int | None
) -> None:
    """At xAI both decide, and every reference costs; what isn't told stays unknown."""
    assert picture_price_micro_usd(ProviderKind.XAI, "grok-imagine-image-2.0", options, references) == price


def test_a_live_list_puts_what_we_know_first() -> None:
    """Unknown ids follow with the general limits, and without a list the models that aren't retired are offered."""
    offered = XAI.offered(["grok-9-image", "grok-imagine-image"])
    assert [(model.id, model.max_references) for model in offered] == [("grok-imagine-image", 3), ("grok-9-image", 3)]
    assert [model.id for model in XAI.offered(None)] == ["grok-imagine-image-2.0", "grok-imagine-image"]


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
        ("gpt-image-2", {**TOKENS, "output_tokens": float("inf")}, None),
        ("gpt-image-2", {**TOKENS, "input_tokens_details": [1]}, None),
    ],
)
def test_tokens_have_their_prices(model: str, usage: object, cost: int | None) -> None:
    """The cost is summed from the reported tokens; a report that makes no sense gives no cost."""
    assert cost_micro_usd(model, usage) == cost
