"""Indexes on tables that may be large, made on PostgreSQL while others go on writing; on SQLite made as any other.

Each commits what its migration did before, so it stands alone in one, or after what can be done twice.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import sqlalchemy as sa
from alembic import op


def create_index(name: str, table: str, columns: Sequence[str | sa.TextClause], **options: Any) -> None:
    """Create an index; `options` are those of `op.create_index`."""
    with _outside_of_transactions():
        # What an attempt that failed has left is kept up to date by every write, and of use to no question.
        op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)
        op.create_index(name, table, columns, postgresql_concurrently=True, **options)


def drop_index(name: str, table: str) -> None:
    """Remove an index."""
    with _outside_of_transactions():
        op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)


def _outside_of_transactions() -> AbstractContextManager[None]:
    context = op.get_context()
    return context.autocommit_block() if context.dialect.name == "postgresql" else nullcontext()
