"""What models can do, refused before anything is paid."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import ProviderUnusable, UnsupportedByModel
from domain.providers import ImageModel, ImageOptions, OutputFormat, ProviderKind, SizeRule, check_options, usable
from tests.fakes.providers import FakeProvider

KIND = ProviderKind.OPENAI
MODEL = ImageModel(
    id="brush-2",
    name="Brush 2",
    sizes=("1024x1024", "auto"),
    aspect_ratios=("1:1",),
    resolutions=("1K",),
    qualities=("high",),
    styles=("oil",),
    backgrounds=("opaque",),
    output_formats=(OutputFormat.PNG,),
    max_images=4,
    max_references=2,
    takes_seed=True,
)
EVERYTHING = ImageOptions(
    n=4,
    size="1024x1024",
    aspect_ratio="1:1",
    resolution="1K",
    quality="high",
    style="oil",
    background="opaque",
    output_format=OutputFormat.PNG,
    seed=0,
)


def refusal(model: ImageModel, options: ImageOptions, references: int = 0) -> UnsupportedByModel:
    """The error that the check raises."""
    with pytest.raises(UnsupportedByModel) as caught:
        check_options(KIND, model, options, references)
    return caught.value


def test_what_the_model_can_do_passes() -> None:
    """Everything it offers at once, and nothing at all."""
    check_options(KIND, MODEL, EVERYTHING, references=2)
    check_options(KIND, ImageModel(id="plain", name="Plain"), ImageOptions(), references=0)


@pytest.mark.parametrize(
    ("options", "option", "supported"),
    [
        (ImageOptions(n=0), "n", ("1-4",)),
        (ImageOptions(n=5), "n", ("1-4",)),
        (ImageOptions(size="1x1"), "size", ("1024x1024", "auto")),
        (ImageOptions(aspect_ratio="2:1"), "aspectRatio", ("1:1",)),
        (ImageOptions(resolution="4K"), "resolution", ("1K",)),
        (ImageOptions(quality="low"), "quality", ("high",)),
        (ImageOptions(style="ink"), "style", ("oil",)),
        (ImageOptions(background=""), "background", ("opaque",)),
        (ImageOptions(output_format=OutputFormat.WEBP), "outputFormat", ("PNG",)),
    ],
)
def test_what_the_model_cannot_do_is_refused_with_what_it_can(
    options: ImageOptions, option: str, supported: tuple[str, ...]
) -> None:
    """The error names the provider, the model, the option, and the choices."""
    error = refusal(MODEL, options)
    assert (error.provider, error.model, error.option, error.supported) == (KIND, "brush-2", option, supported)
    assert error.message == f"Brush 2 does not support this {option}. Supported: {', '.join(supported)}."


def test_more_references_than_the_model_takes_are_refused() -> None:
    """One too many."""
    error = refusal(MODEL, ImageOptions(), references=3)
    assert (error.option, error.supported) == ("references", ("0-2",))


def test_a_seed_is_refused_where_none_is_taken() -> None:
    """Also the seed 0, which is no absence of a seed."""
    error = refusal(replace(MODEL, takes_seed=False), ImageOptions(seed=0))
    assert error.message == "Brush 2 does not support this seed. It can't be set for this model."
    assert error.supported == ()


RULE = SizeRule(step_px=16, max_side_px=3840, min_pixels=655_360, max_pixels=8_294_400, max_ratio=3)


@pytest.mark.parametrize("size", ["1280x512", "512x1280", "3840x2160", "1024x640", "1536x512", "2880x2880"])
def test_a_rule_takes_more_sizes_than_forms_offer(size: str) -> None:
    """Sides in steps, within pixels, side and ratio; the bounds themselves are allowed."""
    check_options(KIND, replace(MODEL, size_rule=RULE), ImageOptions(size=size), references=0)


@pytest.mark.parametrize(
    "size",
    [
        *("0x0", "7x7", "1000x1000", "1024x1000", "1024x624", "3856x1600", "2896x2880", "2064x672", "672x2064"),
        *("", "x", "1x", "x1", "1024x1024x1", "-1024x1024", "1024.0x1024", "100000x1", "1024 x 1024", "1024x1024\n"),
    ],
)
def test_a_rule_refuses_what_it_does_not_allow(size: str) -> None:
    """In words that say the rule."""
    error = refusal(replace(MODEL, size_rule=RULE), ImageOptions(size=size))
    assert error.option == "size"
    assert error.supported[-1] == (
        "any WIDTHxHEIGHT in steps of 16 up to 3,840, of 655,360 to 8,294,400 pixels, at most 3:1"
    )


def test_a_retired_model_names_its_successor() -> None:
    """Whatever else is asked of it."""
    error = refusal(replace(MODEL, is_retired=True, replaced_by="brush-3"), ImageOptions(n=99))
    assert error.message == "brush-2 was retired by its provider. Use brush-3 instead."
    assert (error.option, error.supported) == ("model", ("brush-3",))


def test_a_retired_model_may_have_no_successor() -> None:
    """Then none is made up."""
    error = refusal(replace(MODEL, is_retired=True), ImageOptions())
    assert error.message == "brush-2 was retired by its provider."
    assert error.supported == ()


TEXTS = st.none() | st.sampled_from(["1024x1024", "1:1", "1K", "high", "oil", "opaque", "PNG", "other"])


@given(
    st.builds(
        ImageOptions, n=st.integers(-1, 6), size=TEXTS, quality=TEXTS, style=TEXTS, seed=st.none() | st.integers()
    )
)
def test_what_passes_is_what_the_model_offers(options: ImageOptions) -> None:
    """Any combination either passes with offered values alone, or is refused by the name of one that isn't."""
    offered = {
        "n": 1 <= options.n <= 4,
        "size": options.size in {None, *MODEL.sizes},
        "quality": options.quality in {None, *MODEL.qualities},
        "style": options.style in {None, *MODEL.styles},
    }
    if all(offered.values()):
        check_options(KIND, MODEL, options, references=0)
    else:
        assert not offered[refusal(MODEL, options).option]


def test_a_provider_with_a_problem_is_not_usable() -> None:
    """In the problem's own words."""
    provider = FakeProvider(KIND)
    assert usable(provider) is provider
    provider.problem = "OPENAI_API_KEY is not set"
    with pytest.raises(ProviderUnusable, match=r"^OPENAI_API_KEY is not set$") as caught:
        usable(provider)
    assert caught.value.provider is KIND
