"""Tags: which are the same, how many and how long, and what a change leaves."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidInput
from domain.tags import MAX_TAGS, Tag, TagKind, checked_tags, retagged

ADA, SEA = Tag(TagKind.CHARACTER, "Ada"), Tag(TagKind.THEME, "The sea")
MANY = [Tag(TagKind.CHAT, f"{number}") for number in range(MAX_TAGS)]


class TestChecking:
    """What a caller gives becomes tags."""

    def test_needless_white_space_goes(self) -> None:
        """Around and within."""
        assert checked_tags([Tag(TagKind.THEME, " The \n\t sea ")]) == (SEA,)

    def test_each_is_there_once_where_it_was_first(self) -> None:
        """Upper and lower case are the same, the first spelling stays; of another kind it is another tag."""
        persona = Tag(TagKind.PERSONA, "ada")
        assert checked_tags([ADA, SEA, Tag(TagKind.CHARACTER, "ADA"), persona]) == (ADA, SEA, persona)
        assert checked_tags([Tag(TagKind.THEME, "Straße"), Tag(TagKind.THEME, "STRASSE")]) == (
            Tag(TagKind.THEME, "Straße"),
        )

    @pytest.mark.parametrize("value", ["", " \n", "x" * 101])
    def test_a_value_has_bounds(self, value: str) -> None:
        """After the white space is gone; the field is told."""
        with pytest.raises(InvalidInput, match=r"^A tag's value must be 1 to 100 characters$") as caught:
            checked_tags([ADA, Tag(TagKind.THEME, value)])
        assert [problem.path for problem in caught.value.problems] == [("tags",)]

    def test_the_bounds_themselves_are_taken(self) -> None:
        """One character and a hundred; fifty tags, however often each is said."""
        ends = (Tag(TagKind.THEME, "x"), Tag(TagKind.THEME, "x" * 100))
        assert checked_tags(ends) == ends
        assert len(checked_tags(MANY * 2)) == 50

    def test_there_is_a_most(self) -> None:
        """Of different ones."""
        with pytest.raises(InvalidInput, match=r"^Maximum 50 tags allowed$") as caught:
            checked_tags([*MANY, ADA])
        assert [problem.path for problem in caught.value.problems] == [("tags",)]


class TestRetagging:
    """Adding and removing at once."""

    def test_what_is_added_comes_last(self) -> None:
        """What is there already stays where it is, in its first spelling."""
        again = Tag(TagKind.CHARACTER, "ada")
        assert retagged((ADA, SEA), [again, Tag(TagKind.CHAT, "1")], []) == (ADA, SEA, Tag(TagKind.CHAT, "1"))

    def test_what_is_removed_goes_in_any_spelling(self) -> None:
        """What was not there is no mistake."""
        assert retagged((ADA, SEA), [], [Tag(TagKind.CHARACTER, " aDA "), MANY[0]]) == (SEA,)

    def test_what_is_removed_and_added_stays(self) -> None:
        """In the new spelling: so a tag is respelt."""
        new = Tag(TagKind.CHARACTER, "ADA")
        assert retagged((ADA, SEA), [new], [ADA]) == (SEA, new)

    def test_the_most_counts_after_the_change(self) -> None:
        """One out makes room for one."""
        assert len(retagged(MANY, [ADA], [MANY[7]])) == 50
        with pytest.raises(InvalidInput, match=r"^Maximum 50 tags allowed$") as caught:
            retagged(MANY, [ADA], [])
        assert [problem.path for problem in caught.value.problems] == [("add",)]

    @pytest.mark.parametrize("field", ["add", "remove"])
    def test_a_wrong_tag_is_told_by_its_list(self, field: str) -> None:
        """Which of the two it is in."""
        lists: dict[str, Sequence[Tag]] = {"add": [], "remove": [], field: [Tag(TagKind.CHAT, " ")]}
        with pytest.raises(InvalidInput) as caught:
            retagged((ADA,), lists["add"], lists["remove"])
        assert [problem.path for problem in caught.value.problems] == [(field,)]

    TAGS = st.lists(st.builds(Tag, st.sampled_from(TagKind), st.sampled_from(["a", "A", " a ", "b", "ß", "SS"])))

    @given(TAGS, TAGS, TAGS)
    def test_any_change_leaves_what_it_says(self, before: list[Tag], add: list[Tag], remove: list[Tag]) -> None:
        """Everything added is there, everything else removed is not, and none is there twice."""
        after = retagged(checked_tags(before), add, remove)
        keys = [tag.key for tag in after]
        added, gone = ({tag.key for tag in checked_tags(tags)} for tags in (add, remove))
        assert len(keys) == len(set(keys))
        assert set(keys) == ({tag.key for tag in checked_tags(before)} - gone) | added
        assert checked_tags(after) == after
