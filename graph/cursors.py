"""Keyset cursors of long lists, opaque to clients, and the page information made of them."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import strawberry
from strawberry import Parent

from domain.errors import InvalidInput
from domain.pages import Cursor, Page, PageRequest, page_request
from graph.fields import resolved


class Placed(Protocol):
    """A row of a list ordered by (created_at, id)."""

    @property
    def id(self) -> UUID:
        """What tells rows of the same moment apart."""

    @property
    def created_at(self) -> datetime:
        """What the list is ordered by."""


def cursor_of(row: Placed) -> str:
    """The cursor of a row."""
    return urlsafe_b64encode(f"{row.created_at.isoformat()} {row.id}".encode()).decode()


def parsed_cursor(cursor: str | None, argument: str) -> Cursor | None:
    """The place that a cursor names. Raises InvalidInput for what is none of ours."""
    if cursor is None:
        return None
    try:
        moment, _, text = urlsafe_b64decode(cursor).decode().partition(" ")
        place = Cursor(datetime.fromisoformat(moment), UUID(text))
    except ValueError:
        place = None
    if place is None or place.created_at.tzinfo is None or cursor_of(place) != cursor:
        raise InvalidInput(f"{argument} is not a cursor of this list", argument)
    return place


def asked_page(first: int | None, after: str | None, last: int | None = None, before: str | None = None) -> PageRequest:
    """What a field's arguments ask for. Raises InvalidInput."""
    return page_request(first, parsed_cursor(after, "after"), last, parsed_cursor(before, "before"))


def _start_cursor(page: Parent[Page[Any]]) -> str | None:
    return cursor_of(page.rows[0]) if page.rows else None


def _end_cursor(page: Parent[Page[Any]]) -> str | None:
    return cursor_of(page.rows[-1]) if page.rows else None


@strawberry.type(description="Where a page of a list lies.")
class PageInfo:
    """The source is a domain Page."""

    has_next: bool = strawberry.field(name="hasNextPage", description="Whether older items follow.")
    has_previous: bool = strawberry.field(name="hasPreviousPage", description="Whether newer items precede.")
    start_cursor: str | None = resolved(_start_cursor, "The first item's cursor.")
    end_cursor: str | None = resolved(_end_cursor, "The last item's cursor.")
