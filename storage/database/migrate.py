"""Bringing a database to the newest revision, and telling whether it is there. Blocking: for the start and for tests."""

import sqlite3
from collections.abc import Callable
from functools import cache
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import event

from storage.database.engine import DatabaseUnavailable, is_sqlite, make_room, sync_engine

LOCK_TIMEOUT = "10s"
MIGRATIONS = Path(__file__).parents[2] / "migrations"
# Any constant does: it names the lock under which one process at a time migrates.
_LOCK = 0x61_74_65_6C_69_65_72


def upgrade(url: str) -> None:
    """Create the database's tables, or bring them to the newest revision; processes that start together take turns.

    Raises DatabaseUnavailable.
    """
    make_room(url)
    run(url, lambda config: command.upgrade(config, "head"))


def is_at_head(url: str) -> bool:
    """Whether there is nothing to upgrade. Raises DatabaseUnavailable."""
    engine = sync_engine(url, pool_size=1)
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision() == head()
    except sa.exc.OperationalError as problem:
        raise DatabaseUnavailable(f"The database can't be reached: {problem.orig}") from None
    finally:
        engine.dispose()


@cache
def head() -> str | None:
    """The newest revision."""
    return ScriptDirectory(str(MIGRATIONS)).get_current_head()


def run(url: str, work: Callable[[Config], None]) -> None:
    """Run an Alembic command alone on the database, in one transaction. Raises DatabaseUnavailable."""
    try:
        _run(url, work)
    except sa.exc.OperationalError as problem:
        raise DatabaseUnavailable(f"The database can't be migrated: {problem.orig}") from None


def _run(url: str, work: Callable[[Config], None]) -> None:
    engine = sync_engine(url, pool_size=1)
    if is_sqlite(url):
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("file_template", "%%(year)d_%%(month).2d_%%(day).2d_%%(slug)s")
    try:
        with engine.begin() as connection:
            if not is_sqlite(url):
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
                # Behind a lock that is waited for, everybody else waits too: rather fail and be started again.
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            config.attributes["connection"] = connection
            work(config)
            if is_sqlite(url) and connection.exec_driver_sql("PRAGMA foreign_key_check").first():
                raise RuntimeError("The migration left rows that point at nothing")
    finally:
        engine.dispose()


def _set_up_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # Tables are changed by copying them, which must not cascade; and the transaction is ours to begin.
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.isolation_level = None
