"""Pages of long lists by keyset: stable under inserts and deletes, the newest first, in both directions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar
from uuid import UUID

from domain.errors import InvalidInput

DEFAULT_PAGE = 20
MAX_PAGE = 100

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a list ordered by (created_at, id)."""

    created_at: datetime
    id: UUID


@dataclass(frozen=True, slots=True)
class PageRequest:
    """`size` rows older than `after` and newer than `before`; from the newest end, or from the oldest `backwards`."""

    size: int = DEFAULT_PAGE
    after: Cursor | None = None
    before: Cursor | None = None
    backwards: bool = False


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Rows, the newest first, and whether there are more on either side."""

    rows: Sequence[Row]
    has_next: bool
    has_previous: bool


def page_request(
    first: int | None, after: Cursor | None, last: int | None = None, before: Cursor | None = None
) -> PageRequest:
    """What Relay's arguments ask for. Raises InvalidInput."""
    if first is not None and last is not None:
        raise InvalidInput("Give first or last, not both", "first", "last")
    for name, size in (("first", first), ("last", last)):
        if size is not None and not 0 < size <= MAX_PAGE:
            raise InvalidInput(f"{name} must be between 1 and {MAX_PAGE}", name)
    return PageRequest(first or last or DEFAULT_PAGE, after, before, backwards=last is not None)
