"""What models can do, refused before anything is paid."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import UnsupportedByModel
from domain.providers import (
    ImageModel,
    ImageOptions,
    OutputFormat,
    ProviderKind,
    QualityWord,
    SizeRule,
    check_options,
    in_own_words,
)

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
    assert re.fullmatch(rf"Brush 2 does not take {option} .*\. Supported: {', '.join(supported)}\.", error.message)


def test_a_transparent_background_is_refused_where_no_file_can_have_it() -> None:
    """JPEG has none, whatever the model."""
    both = replace(MODEL, backgrounds=("transparent",), output_formats=("JPEG", "PNG"))
    error = refusal(both, ImageOptions(background="transparent", output_format=OutputFormat.JPEG))
    assert (error.option, error.supported) == ("outputFormat", ("PNG", "WEBP"))
    check_options(KIND, both, ImageOptions(background="transparent", output_format=OutputFormat.PNG), 0)


def test_more_references_than_the_model_takes_are_refused() -> None:
    """One too many."""
    error = refusal(MODEL, ImageOptions(), references=3)
    assert (error.option, error.supported) == ("references", ("0-2",))


def test_a_seed_is_refused_where_none_is_taken() -> None:
    """Also the seed 0, which is no absence of a seed."""
    error = refusal(replace(MODEL, takes_seed=False), ImageOptions(seed=0))
    assert error.message == "Brush 2 does not take seed 0. It can't be set for this model."
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


class TestOwnWords:
    """What `standard` and `hd` mean to a model."""

    BRUSH = replace(
        MODEL,
        qualities=("low", "high"),
        quality_words=(QualityWord("standard", "low"), QualityWord("hd", "high", "2K")),
        resolutions=("1K", "2K"),
    )

    def test_they_are_put_into_the_models_own(self) -> None:
        """A quality, a resolution, or both."""
        assert in_own_words(self.BRUSH, ImageOptions(quality="standard")) == ImageOptions(quality="low")
        assert in_own_words(self.BRUSH, ImageOptions(quality="hd")) == ImageOptions(quality="high", resolution="2K")
        pen = replace(MODEL, quality_words=(QualityWord("hd", None, "1K"),))
        assert in_own_words(pen, ImageOptions(quality="hd", n=3)) == ImageOptions(resolution="1K", n=3)

    def test_a_resolution_that_was_asked_for_stays(self) -> None:
        """It says more than the word."""
        asked = ImageOptions(quality="hd", resolution="1K")
        assert in_own_words(self.BRUSH, asked) == ImageOptions(quality="high", resolution="1K")

    @pytest.mark.parametrize("quality", [None, "high", "HD", "hd "])
    def test_everything_else_stays_as_it_is(self, quality: str | None) -> None:
        """For the check to judge."""
        assert in_own_words(self.BRUSH, ImageOptions(quality=quality)) == ImageOptions(quality=quality)
        assert in_own_words(MODEL, ImageOptions(quality="hd")) == ImageOptions(quality="hd")

    def test_a_refusal_offers_them_beside_the_models_own(self) -> None:
        """Of the quality alone."""
        error = refusal(self.BRUSH, ImageOptions(quality="ultra"))
        assert error.supported == ("low", "high", "standard", "hd")
        assert refusal(self.BRUSH, ImageOptions(style="ink")).supported == ("oil",)
        nameless = replace(self.BRUSH, qualities=())
        assert refusal(nameless, ImageOptions(quality="ultra")).supported == ("standard", "hd")

    @given(st.builds(ImageOptions, quality=TEXTS | st.sampled_from(["standard", "hd"]), resolution=TEXTS))
    def test_said_twice_they_mean_the_same(self, options: ImageOptions) -> None:
        """A recipe's options can be asked for again; nothing but quality and resolution is ever touched."""
        once = in_own_words(self.BRUSH, options)
        assert in_own_words(self.BRUSH, once) == once
        assert replace(once, quality=None, resolution=None) == replace(options, quality=None, resolution=None)
        assert options.resolution in {None, once.resolution}
