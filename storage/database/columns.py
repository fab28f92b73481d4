"""Column types that behave alike on SQLite and PostgreSQL: moments in UTC, and JSON."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import JSON, DateTime, Dialect, String
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR
from sqlalchemy.types import TypeDecorator


class IsoMoment(TypeDecorator[datetime]):
    """An aware moment as ISO 8601 text in UTC, always of the same length, so that text sorts as time does."""

    impl = String(32)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        """The text. Raises ValueError for a naive moment: nobody could tell which one it is."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("A moment must be aware")
        return value.astimezone(UTC).isoformat(timespec="microseconds")

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], datetime | None]:
        """Straight to the parser: a library page reads hundreds of values."""
        parse = datetime.fromisoformat
        return lambda value: None if value is None else parse(value)


MOMENT = DateTime(timezone=True).with_variant(IsoMoment(), "sqlite")
LEXEMES = String().with_variant(TSVECTOR(), "postgresql")
DOCUMENT = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def to_json(value: object) -> str:
    """JSON text; dataclasses, enums and UUIDs included."""
    return orjson.dumps(value, _id_as_text, orjson.OPT_NON_STR_KEYS).decode()


def _id_as_text(value: object) -> str:
    # asyncpg reads ids as a class of its own, made from UUID: orjson takes the plain class alone.
    if isinstance(value, UUID):
        return str(value)
    raise TypeError


from_json = orjson.loads
