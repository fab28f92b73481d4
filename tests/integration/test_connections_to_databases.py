"""What only one of the databases does: how its connections are set up, and what becomes of those that break."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import text

from domain.users import Community
from storage.database.databases import open_database
from storage.database.engine import connections, sync_engine
from tests.database import RecordedJobs
from tests.rows import stored_community


async def test_sqlite_writes_ahead_and_keeps_its_keys(sqlite_url: str) -> None:
    """The connections that write, ours and the job engine's, have the same settings; those that read can't write."""
    wanted = {"journal_mode": "wal", "synchronous": 1, "foreign_keys": 1, "busy_timeout": 30_000}
    lender = connections(sqlite_url, 1)
    async with lender.write() as connection:
        found = {name: (await connection.execute(text(f"PRAGMA {name}"))).scalar() for name in wanted}
    async with lender.read() as connection:
        assert (await connection.execute(text("PRAGMA query_only"))).scalar() == 1
    await lender.aclose()
    assert found == wanted
    database = open_database(sqlite_url, 1)
    with database.sync_engine().connect() as synchronous:
        assert {name: synchronous.execute(text(f"PRAGMA {name}")).scalar() for name in wanted} == wanted
    await database.aclose()


async def test_a_unit_of_work_on_sqlite_writes_on_what_it_has_read(sqlite_url: str) -> None:
    """The job engine can't write between its reading and its writing: it waits for the commit."""
    database = open_database(sqlite_url, 1)
    unit_of_work = database.unit_of_work(RecordedJobs())

    def write() -> None:
        with database.sync_engine().begin() as connection:
            connection.execute(text("DELETE FROM prompt"))

    async with unit_of_work() as work:
        assert await work.users.count() == 0
        other = asyncio.create_task(asyncio.to_thread(write))
        done, _ = await asyncio.wait([other], timeout=0.2)
        assert not done
        await work.users.add_community(Community(uuid4(), "read first"))
        await work.commit()
    await other
    async with unit_of_work(read_only=True) as work:
        assert await work.users.community_named("read first") is not None
    await database.aclose()


async def test_postgresql_sets_limits_to_waiting(postgresql_url: str) -> None:
    """A statement that hangs, a lock that is not freed and a forgotten transaction all end."""
    lender = connections(postgresql_url, 1)
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    async with lender.read() as connection:
        assert [(await connection.execute(text(f"SHOW {name}"))).scalar() for name in names] == ["30s", "10s", "1min"]
    await lender.aclose()


async def test_a_read_on_postgresql_is_no_transaction(postgresql_url: str) -> None:
    """Between two statements of a read-only unit of work nothing is held: no snapshot and no lock."""
    lender = connections(postgresql_url, 1)
    async with lender.read() as connection:
        own = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar()
        with psycopg.connect(postgresql_url) as other:
            row = other.execute("SELECT state FROM pg_stat_activity WHERE pid = %s", [own]).fetchone()
    await lender.aclose()
    assert row == ("idle",)


async def test_connections_that_the_server_closed_are_replaced(postgresql_url: str) -> None:
    """After a restart of the server the first unit of work succeeds already."""
    database = open_database(postgresql_url, pool_size=3)
    unit_of_work = database.unit_of_work(RecordedJobs())
    await asyncio.gather(*(stored_community(unit_of_work) for _ in range(3)))
    with psycopg.connect(postgresql_url, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid != pg_backend_pid()"
        )
    await asyncio.sleep(0.1)
    await asyncio.gather(*(stored_community(unit_of_work) for _ in range(3)))
    await database.check()
    await database.aclose()


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
async def test_postgresql_addresses_may_carry_options(postgresql_url: str, scheme: str) -> None:
    """As operators write them for other programs: both schemes, `sslmode`, `application_name`."""
    rest = postgresql_url.partition("://")[2]
    database = open_database(f"{scheme}://{rest}?sslmode=prefer&application_name=studio", 1)
    await database.check()
    with database.sync_engine().connect() as connection:
        assert connection.execute(text("SHOW application_name")).scalar() == "studio"
    await database.aclose()


def test_processes_may_open_a_new_file_together(tmp_path: Path) -> None:
    """Only one can turn the journal's mode, and the others wait for it instead of failing."""
    together = Barrier(6)

    def connect(url: str) -> str:
        engine = sync_engine(url, pool_size=1)
        together.wait()
        with engine.connect() as connection:
            mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
        engine.dispose()
        return str(mode)

    with ThreadPoolExecutor(6) as threads:
        for number in range(40):
            assert list(threads.map(connect, [f"sqlite:///{tmp_path / str(number)}.db"] * 6)) == ["wal"] * 6
