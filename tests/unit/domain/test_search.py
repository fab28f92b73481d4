"""Words as search sees them: what a text is found by, and what may be searched for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidInput
from domain.search import is_beginning, searched, words


class TestWords:
    """The same for what is searched and what is searched for."""

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("", []),
            ("A red House, by night!", ["a", "red", "house", "by", "night"]),
            ("red_house-2.final", ["red", "house", "2", "final"]),
            ("CRÈME brûlée", ["creme", "brulee"]),
            ("ŁÓDŹ Ærøskøbing Þór", ["lodz", "aeroskobing", "thor"]),
            ("Straße STRASSE", ["strasse", "strasse"]),
            ("ΑΘΗΝΑΣ Αθήνας", ["αθηνασ", "αθηνασ"]),
            ("İstanbul", ["istanbul"]),
            ("ﬁne ½ \uff12\uff10", ["fine", "1", "2", "20"]),
            ("it's don\u2019t", ["it", "s", "don", "t"]),
            ("🙂 \u2013 … §¶", []),
            ("東京タワー2026", ["東", "京", "タ", "ワ", "ー", "2026"]),
            ("アダ・ラブ", ["ア", "タ", "ラ", "フ"]),
            ("東a京", ["東", "a", "京"]),
        ],
    )
    def test_a_text_becomes_words(self, text: str, found: list[str]) -> None:
        """Lower case, without accents, letters and digits alone; a character each where words have no spaces."""
        assert words(text) == found

    @given(st.text())
    def test_a_word_holds_letters_and_digits_alone(self, text: str) -> None:
        """Whatever the text: so signs that stand for other things never collide with it."""
        assert all(word and all(char.isalnum() for char in word) for word in words(text))

    @given(st.text(st.characters(categories=["L", "N", "Zs"])))
    def test_upper_and_lower_case_are_found_alike(self, text: str) -> None:
        """Also where a letter has several forms."""
        assert words(text.upper().lower()) == words(text.upper())

    def test_an_accent_is_the_same_written_as_one_sign_or_as_two(self) -> None:
        """As phones and keyboards differ."""
        assert words("e\u0301t\u00e9") == ["ete"]
        assert words("\uc11c") == words("\u1109\u1165")


class TestSearching:
    """What a caller searches for."""

    @pytest.mark.parametrize("text", [None, "", " \n"])
    def test_a_blank_text_is_no_search(self, text: str | None) -> None:
        """It finds everything."""
        assert searched(text) == ()

    def test_each_word_is_searched_for_once(self) -> None:
        """In its order."""
        assert searched("Night, house & NIGHT") == ("night", "house")

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("x" * 201, "Search for at most 200 characters"),
            ("?!", "Search for at least one letter or digit"),
            (" ".join(f"w{number}" for number in range(21)), "Search for at most 20 words"),
        ],
    )
    def test_what_cannot_be_searched_for_is_refused(self, text: str, message: str) -> None:
        """By its place in the filter."""
        with pytest.raises(InvalidInput) as caught:
            searched(text)
        assert [(problem.path, problem.message) for problem in caught.value.problems] == [
            (("filter", "search"), message)
        ]
        assert caught.value.message == message

    def test_the_bounds_themselves_are_taken(self) -> None:
        """Words that are said twice count once."""
        assert searched("x" * 200) == ("x" * 200,)
        assert len(searched(" ".join(f"w{number}" for number in range(20)) + " w1 w2")) == 20


def test_a_word_of_three_letters_is_a_beginning() -> None:
    """Shorter ones would find nearly everything."""
    assert [is_beginning(word) for word in ("a", "ab", "abc", "abcd")] == [False, False, True, True]
