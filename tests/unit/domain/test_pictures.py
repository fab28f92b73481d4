"""Keys of pictures and their variants."""

import re
from uuid import UUID

from domain.pictures import VARIANT_SIDES_PX, Picture, VariantSize, picture_key, variant_key
from tests.rows import PICTURE

COMMUNITY = UUID(int=1)


def test_a_key_says_whose_and_which_kind() -> None:
    """Community, folder, and the extension of the media type; new each time, so that two uploads never meet."""
    keys = {picture_key(COMMUNITY, "image/jpeg") for _ in range(10)}
    assert len(keys) == 10
    assert all(re.fullmatch(rf"{COMMUNITY}/images/[0-9a-f-]{{36}}\.jpg", key) for key in keys)


def test_a_variant_stands_beside_its_original() -> None:
    """The same for each repetition, with the extension of its own media type."""
    assert variant_key("a.b/images/1.heic", VariantSize.MEDIUM, "image/webp") == "a.b/images/1_300.webp"


def test_variants_are_listed_largest_first() -> None:
    """So that each can be made from the one before."""
    assert list(VARIANT_SIDES_PX.values()) == [600, 300, 100]


def test_a_size_that_was_not_made_shows_the_original() -> None:
    """A picture smaller than the variant has none."""
    assert PICTURE.key_of(VariantSize.MEDIUM) == "community/images/1_300.png"
    assert PICTURE.key_of(VariantSize.LARGE) == PICTURE.key_of(VariantSize.ORIGINAL) == "community/images/1.png"


def test_a_picture_knows_every_object_it_has() -> None:
    """The original first."""
    assert PICTURE.keys == ("community/images/1.png", "community/images/1_300.png")
    assert Picture("k", "", "image/png", 1, 1, 1, "").keys == ("k",)
