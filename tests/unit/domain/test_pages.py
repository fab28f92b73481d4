"""What Relay's arguments ask for."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidInput
from domain.pages import DEFAULT_PAGE, MAX_PAGE, Cursor, PageRequest, page_request
from tests.rows import NOW

CURSOR = Cursor(NOW, UUID(int=1))


def test_without_arguments_the_newest_rows_are_asked_for() -> None:
    """Twenty of them."""
    assert page_request(None, None) == PageRequest(20, None, None, backwards=False)


def test_last_asks_from_the_oldest_end() -> None:
    """Backwards, with the cursor as it is."""
    assert page_request(None, None, 5, CURSOR) == PageRequest(5, None, CURSOR, backwards=True)


def test_first_and_last_together_are_refused() -> None:
    """The problem is told for both fields."""
    with pytest.raises(InvalidInput, match=r"^Give first or last, not both$") as caught:
        page_request(1, None, 1, None)
    assert [problem.path for problem in caught.value.problems] == [("first",), ("last",)]


@pytest.mark.parametrize("size", [0, -1, 101])
@pytest.mark.parametrize("name", ["first", "last"])
def test_a_size_out_of_bounds_is_refused(name: str, size: int) -> None:
    """Both ends, by the name of the argument."""
    with pytest.raises(InvalidInput, match=f"^{name} must be between 1 and 100$") as caught:
        page_request(size if name == "first" else None, None, size if name == "last" else None)
    assert caught.value.problems[0].path == (name,)


CURSORS = st.none() | st.builds(Cursor, st.datetimes(), st.uuids())
SIZES = st.none() | st.integers(-5, MAX_PAGE + 5)


@given(SIZES, CURSORS, SIZES, CURSORS)
def test_any_arguments_are_refused_or_followed(
    first: int | None, after: Cursor | None, last: int | None, before: Cursor | None
) -> None:
    """Whatever is asked for, a page has 1 to 100 rows, the cursors given, and the direction of the size given."""
    try:
        page = page_request(first, after, last, before)
    except InvalidInput:
        sizes = [size for size in (first, last) if size is not None]
        assert len(sizes) == 2 or not 1 <= sizes[0] <= MAX_PAGE
        return
    assert page.size == (first or last or DEFAULT_PAGE)
    assert 1 <= page.size <= MAX_PAGE
    assert (page.after, page.before, page.backwards) == (after, before, last is not None)
