"""Library images: the names they are shown by, the words they are found by, and who may see how they were made."""

from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidInput
from domain.images import (
    Acceptance,
    ImageFilter,
    ImageSource,
    ImageUses,
    Recipe,
    image_filter,
    new_upload,
    shown_filename,
)
from domain.providers import ProviderKind
from domain.search import SearchText
from domain.tags import Tag, TagKind
from domain.users import Community, Role, Viewer
from domain.wizards import Step
from tests.rows import NOW, PICTURE, a_recipe, a_user, an_identity, an_image

COMMUNITY = Community(UUID(int=1), "Lovelace")
ADA, BOB, GRACE = (
    Viewer(a_user(COMMUNITY, name=name, role=role))
    for name, role in (("Ada", Role.MEMBER), ("Bob", Role.MEMBER), ("Grace", Role.ADMIN))
)
RECIPE = a_recipe(prompt="A house by the Sea")
OF_A_PERSON = replace(RECIPE, identity={"id": str(UUID(int=7)), "name": "The Analyst"})
SEA = Tag(TagKind.THEME, "The sea")


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("me.jpg", "me.png"),
        ("me", "me.png"),
        ("/etc/passwd", "passwd.png"),
        ("C:\\Users\\ada\\me.jpeg", "me.png"),
        ("../../me.html", "me.png"),
        ("", "picture.png"),
        ("...", "picture.png"),
        (" . ", "picture.png"),
        ("a\x00b\nc.jpg", "abc.png"),
        ("Zoë 1.5.heic", "Zoë 1.5.png"),
        ("x" * 300, "x" * 200 + ".png"),
    ],
)
def test_a_name_is_the_clients_last_part_with_our_extension(sent: str, shown: str) -> None:
    """No folder, no control character, no foreign extension is ever shown."""
    assert shown_filename(sent, "image/png") == shown


@given(st.text())
def test_any_name_becomes_one_that_is_safe_to_show(sent: str) -> None:
    """Whatever a client sends, the name is one printable path part of bounded length with the right extension."""
    shown = shown_filename(sent, "image/webp")
    assert shown.endswith(".webp")
    assert 5 < len(shown) <= 205
    assert shown.isprintable()
    assert not set("/\\") & set(shown)
    assert not shown.startswith(".")


def test_an_upload_is_private_and_has_no_recipe() -> None:
    """It belongs to its owner alone until it is shared."""
    image = new_upload(UUID(int=1), UUID(int=2), PICTURE, "me.jpg", NOW)
    assert (image.community_id, image.owner_id, image.created_at) == (UUID(int=1), UUID(int=2), NOW)
    assert (image.source, image.filename, image.picture) == (ImageSource.UPLOADED, "me.png", PICTURE)
    assert not image.is_public
    assert (image.recipe, image.generation_id, image.generation_index) == (None, None, None)


def test_an_upload_comes_with_its_tags() -> None:
    """As they were checked."""
    assert new_upload(UUID(int=1), UUID(int=2), PICTURE, "me.jpg", NOW, (SEA,)).tags == (SEA,)


class TestRecipes:
    """Who may see how an image was made."""

    @pytest.mark.parametrize("recipe", [RECIPE, OF_A_PERSON])
    @pytest.mark.parametrize("is_public", [True, False])
    def test_the_owner_and_admins_see_it_always(self, recipe: Recipe, is_public: bool) -> None:
        """Of whatever image."""
        image = an_image(ADA.user, recipe=recipe, is_public=is_public)
        assert [image.recipe_for(who) for who in (ADA, GRACE)] == [recipe, recipe]

    def test_a_shared_picture_shares_its_recipe(self) -> None:
        """Others can make the like; of a private one that they are shown somewhere they see the picture alone."""
        assert an_image(ADA.user, recipe=RECIPE, is_public=True).recipe_for(BOB) == RECIPE
        assert an_image(ADA.user, recipe=RECIPE).recipe_for(BOB) is None

    def test_what_a_person_wrote_about_themselves_is_not_shared(self) -> None:
        """Though the picture is."""
        assert an_image(ADA.user, recipe=OF_A_PERSON, is_public=True).recipe_for(BOB) is None

    def test_an_upload_has_none(self) -> None:
        """For anybody."""
        assert [an_image(ADA.user, is_public=True).recipe_for(who) for who in (ADA, BOB)] == [None, None]


class TestWords:
    """What an image is found by."""

    def test_an_upload_is_found_by_name_and_tags(self) -> None:
        """Not by the name's extension."""
        image = an_image(ADA.user, filename="My_Garden 2.tar.png", tags=(SEA, Tag(TagKind.CHAT, "Été")))
        assert image.search_text() == SearchText(("my", "garden", "2", "tar", "the", "sea", "ete"), ())

    def test_a_prompt_is_open_where_the_recipe_is(self) -> None:
        """Everybody may see both."""
        image = an_image(ADA.user, filename="picture 1.png", recipe=RECIPE)
        assert image.search_text() == SearchText(("picture", "1", "a", "house", "by", "the", "sea"), ())

    def test_the_prompt_of_a_person_is_private(self) -> None:
        """Otherwise searching would tell what the recipe doesn't."""
        image = an_image(ADA.user, filename="Analyst 1.png", tags=(SEA,), recipe=OF_A_PERSON)
        found = image.search_text()
        assert found == SearchText(("analyst", "1", "the", "sea"), ("a", "house", "by", "the", "sea"))


class TestFilters:
    """What a list is narrowed by."""

    def test_nothing_given_filters_nothing(self) -> None:
        """Nor does a blank search."""
        assert image_filter() == image_filter(search=" ", tags=()) == ImageFilter()

    def test_everything_given_is_kept(self) -> None:
        """Words and tags as they are compared."""
        made = image_filter(
            search="The  SEA",
            tags=[Tag(TagKind.THEME, " The  sea "), SEA],
            source=ImageSource.UPLOADED,
            provider=ProviderKind.OPENAI,
            created_after=NOW,
            created_before=NOW,
        )
        assert made == ImageFilter(("the", "sea"), (SEA,), ImageSource.UPLOADED, ProviderKind.OPENAI, NOW, NOW)

    @pytest.mark.parametrize(
        ("given", "path"),
        [
            ({"created_after": datetime.fromisoformat("2026-11-21T09:00")}, ("filter", "createdAfter")),
            ({"created_before": datetime.fromisoformat("2026-11-21T09:00")}, ("filter", "createdBefore")),
        ],
    )
    def test_a_moment_needs_a_time_zone(self, given: dict[str, Any], path: tuple[str, ...]) -> None:
        """Without one nobody knows which moment is meant."""
        message = f"{path[-1]} needs a time zone, such as 2026-11-21T09:00:00Z"
        with pytest.raises(InvalidInput) as caught:
            image_filter(**given)
        assert [(problem.path, problem.message) for problem in caught.value.problems] == [(path, message)]
        assert caught.value.message == message

    @pytest.mark.parametrize("given", [{"search": "?"}, {"tags": [Tag(TagKind.CHAT, "")]}])
    def test_what_cannot_be_compared_is_refused(self, given: dict[str, Any]) -> None:
        """As where it is kept."""
        with pytest.raises(InvalidInput):
            image_filter(**given)


class TestUses:
    """What shows an image, in words."""

    ADAS, BOBS, BOBS_TOO = (
        an_identity(who.user, name=name) for who, name in ((ADA, "The Analyst"), (BOB, "The Sailor"), (BOB, "Bob"))
    )
    STEP = Step(uuid4(), COMMUNITY.id, uuid4(), "Welcome", 0, uuid4())

    def test_uses_that_are_not_there_are_none(self) -> None:
        """Either kind is one."""
        assert not ImageUses()
        assert ImageUses(identities=(self.ADAS,))
        assert ImageUses(steps=(self.STEP,))

    def test_an_admin_reads_them_all(self) -> None:
        """Portraits first."""
        uses = ImageUses((self.ADAS, self.BOBS), (self.STEP,))
        assert uses.seen_by(GRACE) == uses
        assert uses.in_words(GRACE) == (
            "The image is in use: it is the portrait of The Analyst, the portrait of The Sailor, "
            "the background of the step Welcome"
        )

    def test_a_member_reads_how_many_there_are_of_others(self) -> None:
        """But not which: a person's identities are nobody else's business. Steps are everybody's."""
        uses = ImageUses((self.ADAS, self.BOBS, self.BOBS_TOO), (self.STEP,))
        assert uses.seen_by(ADA) == ImageUses((self.ADAS,), (self.STEP,))
        assert uses.in_words(ADA) == (
            "The image is in use: it is the portrait of The Analyst, the portrait of 2 identities of others, "
            "the background of the step Welcome"
        )
        one = ImageUses((self.BOBS,))
        assert one.in_words(ADA) == "The image is in use: it is the portrait of 1 identity of others"
        assert "Sailor" not in one.in_words(ADA)


def test_a_rate_needs_something_that_was_made() -> None:
    """Nothing of nothing is no rate."""
    assert Acceptance().rate is None
    assert Acceptance(made=4, accepted=1).rate == 0.25
