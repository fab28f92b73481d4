"""The database as the composition root sees it."""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

import asyncpg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.repositories import UnitOfWorkFactory
from storage.database.engine import STATEMENT_TIMEOUT_S, DatabaseUnavailable, Gate, connections, limited, sync_engine
from storage.database.migrate import NEWER, head, known
from storage.database.unit_of_work import JobQueues, SqlUnitOfWorkFactory


class Database:
    """One database, open for units of work and for the job engine."""

    def __init__(self, url: str, pool_size: int, statement_timeout_s: int) -> None:
        self._url = url
        self._pool_size = pool_size
        self._statement_timeout_s = statement_timeout_s
        self._connections = connections(url, pool_size, statement_timeout_s)
        self._sync_engine: sa.Engine | None = None

    def unit_of_work(self, jobs: JobQueues) -> UnitOfWorkFactory:
        """Units of work whose jobs are put in line by `jobs`, on the same connection."""
        return SqlUnitOfWorkFactory(self._connections, jobs)

    def read(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A connection on which each statement stands alone and takes no lock, as soon as one is free."""
        return self._connections.read()

    def sync_engine(self) -> sa.Engine:
        """The job engine's engine, without a timeout; always the same one."""
        if self._sync_engine is None:
            self._sync_engine = sync_engine(self._url, self._pool_size)
        return self._sync_engine

    def limited_engine(self) -> sa.Engine:
        """The job engine's connections for whoever asks about jobs in a request: with the timeout."""
        return limited(self.sync_engine(), self._statement_timeout_s)

    @property
    def gates(self) -> Mapping[str, Gate]:
        """How the connections are used, but for those of the job engine."""
        return self._connections.gates

    async def check(self, *, may_be_newer: bool = False) -> None:
        """Ask for the database's revision. Raises DatabaseUnavailable in words.

        With `may_be_newer` a revision of a later version of the server passes.
        """
        try:
            revision = await self._revision()
        except (OSError, DBAPIError, asyncpg.PostgresError, asyncpg.InterfaceError) as problem:
            raise DatabaseUnavailable(f"The database can't be reached ({_name_of(problem)})") from None
        if revision is None:
            raise DatabaseUnavailable(
                "The database has no tables yet: run `python main.py migrate`; with SQLite, just start"
            )
        if revision not in await asyncio.to_thread(known):
            if may_be_newer:
                return
            raise DatabaseUnavailable(NEWER)
        if revision != await asyncio.to_thread(head):
            raise DatabaseUnavailable("The database is of another version: run `python main.py migrate`")

    async def _revision(self) -> str | None:
        try:
            async with self._connections.read() as connection:
                return (await connection.execute(sa.text("SELECT version_num FROM alembic_version"))).scalar()
        except DBAPIError as problem:
            if any(words in str(problem.orig) for words in _NO_TABLE):
                return None
            raise

    async def aclose(self) -> None:
        """Close every connection."""
        await self._connections.aclose()
        if self._sync_engine is not None:
            self._sync_engine.dispose()


_NO_TABLE = ("no such table", "UndefinedTable")


def _name_of(problem: Exception) -> str:
    """What is wrong, as the driver calls it, such as InvalidCatalogNameError: never its text, which has the address."""
    cause = problem.orig.__cause__ if isinstance(problem, DBAPIError) and problem.orig else None
    return type(cause or problem).__name__


def open_database(url: str, pool_size: int, statement_timeout_s: int = STATEMENT_TIMEOUT_S) -> Database:
    """The database at an address such as `sqlite:///path` or `postgresql://user:password@host/name`.

    On PostgreSQL a statement that takes longer than the timeout is cut off.
    """
    return Database(url, pool_size, statement_timeout_s)
