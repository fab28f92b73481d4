"""Bringing a database to the newest revision, and telling whether it is there. Blocking: for the start and for tests."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import ResolutionError
from alembic.util import CommandError
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import event

from storage.database.engine import DatabaseUnavailable, is_sqlite, make_room, sync_engine

LOCK_TIMEOUT_S = 10.0
TURN_PAUSE_S = 0.1
NEWER = "The database is newer than this version of Atelier: run the newer one, or restore a dump of before"
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


@cache
def known() -> frozenset[str]:
    """Every revision that this version of the server has; a database of another one has been upgraded by a later."""
    return frozenset(script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions())


def run(url: str, work: Callable[[Config], None], *, lock_timeout_s: float = LOCK_TIMEOUT_S) -> None:
    """Run an Alembic command alone on the database. Raises DatabaseUnavailable, after which it can be run again.

    All migrations are one transaction on SQLite. On PostgreSQL each is one of its own, and none waits longer than
    the timeout for a table that others use.
    """
    try:
        _run(url, work, lock_timeout_s)
    except sa.exc.DBAPIError as problem:
        if isinstance(problem, sa.exc.OperationalError) or isinstance(problem.orig, InsufficientPrivilege):
            raise DatabaseUnavailable(f"The database can't be migrated: {problem.orig}") from None
        raise
    except CommandError as problem:
        if isinstance(problem.__cause__, ResolutionError):
            raise DatabaseUnavailable(NEWER) from None
        raise


def _run(url: str, work: Callable[[Config], None], lock_timeout_s: float) -> None:
    engine = sync_engine(url, pool_size=1)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("file_template", "%%(year)d_%%(month).2d_%%(day).2d_%%(slug)s")
    try:
        with _alone_on_sqlite(engine) if is_sqlite(url) else _alone_on_postgres(engine, lock_timeout_s) as connection:
            config.attributes["connection"] = connection
            work(config)
    finally:
        engine.dispose()


@contextmanager
def _alone_on_sqlite(engine: sa.Engine) -> Iterator[sa.Connection]:
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    with engine.begin() as connection:
        yield connection
        if connection.exec_driver_sql("PRAGMA foreign_key_check").first():
            raise RuntimeError("The migration left rows that point at nothing")


def _set_up_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # Tables are changed by copying them, which must not cascade; and the transaction is ours to begin.
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.isolation_level = None


@contextmanager
def _alone_on_postgres(engine: sa.Engine, lock_timeout_s: float) -> Iterator[sa.Connection]:
    with engine.connect() as connection:
        # Asked for again and again: an index that is made online waits for whoever waits within a statement.
        while not connection.scalar(sa.select(sa.func.pg_try_advisory_lock(_LOCK))):
            connection.rollback()
            time.sleep(TURN_PAUSE_S)
        # Behind a lock that is waited for, everybody else waits too: rather fail and be started again.
        connection.exec_driver_sql(f"SET lock_timeout = '{round(lock_timeout_s * 1000)}ms'")
        connection.commit()
        yield connection
