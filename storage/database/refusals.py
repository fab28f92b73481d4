"""Which constraint refused a row, whatever the database calls it."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache

from sqlalchemy import Index, PrimaryKeyConstraint, UniqueConstraint
from sqlalchemy.exc import IntegrityError

from storage.database.tables import METADATA


@contextmanager
def refused_as(errors: Mapping[str, Exception]) -> Iterator[None]:
    """Raise an error of the rules when the constraint of that name refuses a row; others stay what they are."""
    try:
        yield
    except IntegrityError as refusal:
        error = errors.get(_constraint(refusal, errors))
        if error is None:
            raise
        # Without the traceback of an earlier raise: some errors here are made once and raised again and again.
        raise error.with_traceback(None) from None


def _constraint(refusal: IntegrityError, expected: Iterable[str]) -> str:
    # asyncpg tells the name; SQLite tells the columns, and of foreign keys nothing: then it is the one expected here.
    name = getattr(getattr(refusal.orig, "__cause__", None), "constraint_name", None)
    if name:
        return str(name)
    if str(refusal.orig) == "FOREIGN KEY constraint failed":
        return next((name for name in expected if name.startswith("fk_")), "")
    columns = re.fullmatch(r"UNIQUE constraint failed: (.+)", str(refusal.orig))
    return _names_by_columns().get(columns[1], "") if columns else ""


@cache
def _names_by_columns() -> dict[str, str]:
    names = {}
    for table in METADATA.tables.values():
        uniques: list[UniqueConstraint | Index | PrimaryKeyConstraint] = [table.primary_key]
        uniques += [item for item in table.constraints if isinstance(item, UniqueConstraint)]
        uniques += [index for index in table.indexes if index.unique]
        for unique in uniques:
            names[", ".join(f"{table.name}.{column.name}" for column in unique.columns)] = str(unique.name)
    return names
