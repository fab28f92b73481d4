"""Words as search sees them: the same for what is searched and what is searched for, on every database."""

import re
import unicodedata
from dataclasses import dataclass

from domain.errors import FieldProblem, InvalidInput

MAX_SEARCH_CHARS = 200
MAX_WORDS = 20
MIN_BEGINNING_CHARS = 3
"""A word that is searched for also finds longer words that begin with it, once it is so long."""

# Scripts without spaces between words are searched by the character.
_UNSPACED = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"(?=\w)[{_UNSPACED}]|[^\W_{_UNSPACED}]+")


# What Unicode doesn't take apart, though a person who lacks the key writes it so.
_LETTERS = str.maketrans(
    {"ł": "l", "ø": "o", "đ": "d", "ħ": "h", "\u0131": "i", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe"}
)


def words(text: str) -> list[str]:
    """The words of a text in their order: lower case, without accents; letters and digits alone."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold()).translate(_LETTERS)
    return _WORD.findall("".join(char for char in folded if not unicodedata.combining(char)))


def searched(text: str | None) -> tuple[str, ...]:
    """The words that are searched for; none for a blank text. Raises InvalidInput."""
    if text is None or not text.strip():
        return ()
    if len(text) > MAX_SEARCH_CHARS:
        raise _refused(f"Search for at most {MAX_SEARCH_CHARS} characters")
    found = tuple(dict.fromkeys(words(text)))
    if not found:
        raise _refused("Search for at least one letter or digit")
    if len(found) > MAX_WORDS:
        raise _refused(f"Search for at most {MAX_WORDS} words")
    return found


def _refused(message: str) -> InvalidInput:
    return InvalidInput(message, problems=[FieldProblem(("filter", "search"), message)])


def is_beginning(word: str) -> bool:
    """Whether the word also finds longer words that begin with it."""
    return len(word) >= MIN_BEGINNING_CHARS


@dataclass(frozen=True, slots=True)
class SearchText:
    """What something is found by: the open words by whoever sees it, the private ones by its owner alone."""

    open: tuple[str, ...]
    private: tuple[str, ...] = ()
