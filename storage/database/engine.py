"""Connections to SQLite and PostgreSQL: who may have how many, who waits for whom, and how each one is set up.

SQLite has one connection that writes and several that read; PostgreSQL has one pool for both. In front of each stands
a gate that lets people in by the order they came: a pool alone lets newcomers overtake (from Python 3.12 on) and gives
up on those who wait for half a minute.
"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import asyncpg
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from storage.database.columns import from_json, to_json

SQLITE_BUSY_MS = 30_000
WAL_PAUSE_MS = 20
CONNECT_TIMEOUT_S = 10
# A statement of ours takes milliseconds: what takes longer than this hangs.
STATEMENT_TIMEOUT_S = 30
LOCK_TIMEOUT_S = 10
IDLE_IN_TRANSACTION_S = 60
# How much longer an answer is waited for than the server may take: it comes from there, unless the server is gone.
ANSWER_GRACE_S = 5
# A machine that is gone without a word is noticed in a minute instead of in hours; for psycopg, which has no such grace.
_SIGNS_OF_LIFE = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
# Errors reach logs: parameters stay out of them, for they are prompts and hashes of passwords.
_OPTIONS: dict[str, Any] = {"json_serializer": to_json, "json_deserializer": from_json, "hide_parameters": True}


class DatabaseUnavailable(Exception):
    """The database can't be used as it is; the message says why, without its address."""


def is_sqlite(url: str) -> bool:
    """Whether the address is that of a SQLite file."""
    return url.startswith("sqlite:")


class Gate(asyncio.Semaphore):
    """Lets as many in as there are places, in the order they came, and counts who is in and who waits."""

    def __init__(self, places: int) -> None:
        super().__init__(places)
        self.places = places
        self.inside = 0
        self.waiting = 0

    async def acquire(self) -> Literal[True]:
        """Wait for a place."""
        self.waiting += 1
        try:
            await super().acquire()
        finally:
            self.waiting -= 1
        self.inside += 1
        return True

    def release(self) -> None:
        """Make room for the next."""
        self.inside -= 1
        super().release()


class Connections:
    """Lends connections, each for one short unit of work."""

    def __init__(self, writing: AsyncEngine, reading: AsyncEngine, writers: int, readers: int) -> None:
        self._writing = writing
        self._reading = reading
        self._write_gate = Gate(writers)
        # PostgreSQL has one pool, so one gate.
        self._read_gate = Gate(readers) if readers else self._write_gate

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A connection in a transaction, which is rolled back unless committed."""
        async with self._write_gate, self._writing.connect() as connection:
            yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection on which each statement stands alone and takes no lock."""
        async with self._read_gate, self._reading.connect() as connection:
            yield connection

    @property
    def gates(self) -> Mapping[str, Gate]:
        """Who has a connection and who waits for one, by what for; PostgreSQL has one pool for everything."""
        if self._read_gate is self._write_gate:
            return {"all": self._write_gate}
        return {"writing": self._write_gate, "reading": self._read_gate}

    async def aclose(self) -> None:
        """Close every connection."""
        await self._writing.dispose()
        await self._reading.dispose()


def connections(url: str, pool_size: int, statement_timeout_s: int = STATEMENT_TIMEOUT_S) -> Connections:
    """Pools that connect when they are first used; SQLite knows no timeout but that for its lock."""
    return _sqlite(url, pool_size) if is_sqlite(url) else _postgres(url, pool_size, statement_timeout_s)


def _sqlite(url: str, pool_size: int) -> Connections:
    address = sa.make_url(url).set(drivername="sqlite+aiosqlite")
    shared: dict[str, Any] = {"max_overflow": 0, "connect_args": {"isolation_level": None}, **_OPTIONS}
    writing = create_async_engine(address, pool_size=1, **shared)
    reading = create_async_engine(
        address, pool_size=pool_size, isolation_level="AUTOCOMMIT", skip_autocommit_rollback=True, **shared
    )
    event.listen(writing.sync_engine, "connect", _set_up_writer)
    event.listen(writing.sync_engine, "begin", _begin_immediate)
    event.listen(reading.sync_engine, "connect", _set_up_reader)
    return Connections(writing, reading, writers=1, readers=pool_size)


def _begin_immediate(connection: sa.Connection) -> None:
    # With the lock from the start: one that is only asked for at the first write can't be waited for.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _set_up_writer(connection: Any, _record: object) -> None:
    _run(
        connection,
        f"busy_timeout = {SQLITE_BUSY_MS}",
        "journal_mode = WAL",
        "synchronous = NORMAL",
        "foreign_keys = ON",
    )


def _set_up_reader(connection: Any, _record: object) -> None:
    _run(connection, f"busy_timeout = {SQLITE_BUSY_MS}", "query_only = ON")


def _run(connection: Any, *pragmas: str) -> None:
    cursor = connection.cursor()
    for pragma in pragmas:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _postgres(url: str, pool_size: int, statement_timeout_s: int) -> Connections:
    limits = {
        "statement_timeout": f"{statement_timeout_s}s",
        "lock_timeout": f"{LOCK_TIMEOUT_S}s",
        "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_S}s",
    }

    async def connect() -> Any:
        return await asyncpg.connect(
            url,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=statement_timeout_s + ANSWER_GRACE_S,
            server_settings=limits,
        )

    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        pool_size=pool_size,
        max_overflow=0,
        pool_use_lifo=True,
        **_OPTIONS,
    )
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    # Without a transaction around it a read costs one round trip instead of three.
    reading = engine.execution_options(isolation_level="AUTOCOMMIT")
    return Connections(engine, reading, writers=pool_size, readers=0)


def _refuse_closed(connection: Any, _record: object, _proxy: object) -> None:
    # After a restart of the server: the driver knows that the connection is gone, so no ping is needed.
    if connection.driver_connection.is_closed():
        raise sa.exc.DisconnectionError


def sync_engine(url: str, pool_size: int) -> sa.Engine:
    """What the job engine works with, on the same database: psycopg for PostgreSQL.

    Statements may take as long as they do: migrations take what they take, and a generation whose step can't be
    written down just now waits for that instead of breaking off.
    """
    if not is_sqlite(url):
        return _sync_postgres(url, pool_size)
    engine = sa.create_engine(sa.make_url(url).set(drivername="sqlite"), pool_size=pool_size, hide_parameters=True)
    event.listen(engine, "connect", _set_up_sync)
    return engine


def limited(engine: sa.Engine, statement_timeout_s: int) -> sa.Engine:
    """The same engine with the same connections, but on PostgreSQL a statement that takes longer is cut off."""
    same = engine.execution_options()
    if engine.dialect.name == "postgresql":
        # Waiting for a lock counts: no timeout of its own is needed for that.
        limit = f"SET LOCAL statement_timeout = '{statement_timeout_s}s'"
        event.listen(same, "begin", lambda connection: connection.exec_driver_sql(limit))
    return same


def _sync_postgres(url: str, pool_size: int) -> sa.Engine:
    address = sa.make_url(url.replace("postgres://", "postgresql://", 1)).set(drivername="postgresql+psycopg")
    return sa.create_engine(
        address,
        pool_size=pool_size,
        # One more, for DBOS asks on a second connection what to do under a lock of the first; unless told it were ten.
        max_overflow=1,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={"connect_timeout": CONNECT_TIMEOUT_S, **_SIGNS_OF_LIFE},
    )


def _set_up_sync(connection: sqlite3.Connection, record: object) -> None:
    _turn_wal_on(connection)
    _set_up_writer(connection, record)
    # As DBOS does in an engine of its own: the write lock from the start, so that writers wait instead of failing.
    connection.isolation_level = "IMMEDIATE"


def _turn_wal_on(connection: sqlite3.Connection) -> None:
    """Processes that start together on a new file refuse each other here, whatever the timeout: each tries again."""
    for _ in range(SQLITE_BUSY_MS // WAL_PAUSE_MS):
        with suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode = WAL")
            return
        time.sleep(WAL_PAUSE_MS / 1000)


def make_room(url: str) -> None:
    """Create the folder of a SQLite file. Raises DatabaseUnavailable."""
    path = sa.make_url(url).database
    if is_sqlite(url) and path:
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise DatabaseUnavailable(f"The database's folder can't be made: {problem.strerror}") from None
