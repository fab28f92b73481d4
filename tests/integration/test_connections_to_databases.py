"""What only one of the databases does: how its connections are set up, and what becomes of those that break."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from threading import Barrier
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import QueuePool, make_url, text
from sqlalchemy.exc import DBAPIError, OperationalError

from domain.users import Community
from storage.database.databases import open_database
from storage.database.engine import DatabaseUnavailable, connections, limited, sync_engine
from storage.database.migrate import upgrade
from tests.database import RecordedJobs
from tests.rows import stored_community
from tests.services import private_postgres


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
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    lender = connections(postgresql_url, 1, statement_timeout_s=7)
    async with lender.read() as connection:
        assert [(await connection.execute(text(f"SHOW {name}"))).scalar() for name in names] == ["7s", "10s", "1min"]
    await lender.aclose()


async def test_a_statement_that_hangs_is_cut_off(postgresql_url: str) -> None:
    """With an error that says so and shows no parameter; the one connection there is goes on, also for who asks of jobs."""
    lender = connections(postgresql_url, 1, statement_timeout_s=1)
    hanging, own = text("SELECT pg_sleep(60), CAST(:secret AS TEXT)"), text("SELECT pg_backend_pid()")
    for lend in (lender.read, lender.write):
        async with lend() as connection:
            first = (await connection.execute(own)).scalar()
            with pytest.raises(DBAPIError, match="canceling statement due to statement timeout") as told:
                await connection.execute(hanging, {"secret": "a prompt"})
            assert "a prompt" not in str(told.value)
        async with lend() as connection:
            assert (await connection.execute(own)).scalar() == first
    await lender.aclose()
    engine = sync_engine(postgresql_url, 1)
    with limited(engine, statement_timeout_s=1).connect() as synchronous:
        with pytest.raises(DBAPIError, match="canceling statement due to statement timeout"):
            synchronous.execute(hanging, {"secret": "a prompt"})
        synchronous.rollback()
        assert synchronous.execute(own).scalar()
    engine.dispose()


async def test_migrations_and_jobs_may_take_as_long_as_they_do(postgresql_url: str) -> None:
    """Their engine has no limit; who asks about jobs in a request has the database's, on the same connections."""
    database = open_database(postgresql_url, 1, statement_timeout_s=7)
    asked, own = text("SHOW statement_timeout"), text("SELECT pg_backend_pid()")
    seen = []
    for engine in (database.sync_engine(), database.limited_engine(), database.sync_engine()):
        with engine.connect() as connection:
            seen.append((connection.execute(asked).scalar(), connection.execute(own).scalar()))
    pid = seen[0][1]
    assert seen == [("0", pid), ("7s", pid), ("0", pid)]
    await database.aclose()


async def test_the_job_engine_has_as_many_connections_as_said(postgresql_url: str) -> None:
    """Those of the pool and one more: many processes share what the server has."""
    engine = sync_engine(postgresql_url, 2)
    assert isinstance(engine.pool, QueuePool)
    held = [engine.connect() for _ in range(3)]
    assert (engine.pool.size(), engine.pool.overflow(), engine.pool.checkedout()) == (2, 1, 3)
    assert engine.pool._max_overflow == 1
    for connection in held:
        connection.close()
    engine.dispose()


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


async def test_a_server_that_is_restarted_is_used_again() -> None:
    """Stopped, crashed or away for a while: nobody has to start the process anew."""
    async with private_postgres() as server:
        await asyncio.to_thread(upgrade, server.url)
        database = open_database(server.url, pool_size=3)
        unit_of_work = database.unit_of_work(RecordedJobs())

        async def use() -> None:
            await asyncio.gather(*(stored_community(unit_of_work) for _ in range(3)))
            await database.check()
            with database.sync_engine().connect() as synchronous:
                assert synchronous.execute(text("SELECT count(*) FROM community")).scalar()

        await use()
        for crash in (False, True):
            await server.restart(crash=crash)
            await use()
        await server.stop()
        with pytest.raises(DatabaseUnavailable, match="can't be reached"):
            await database.check()
        with pytest.raises(OperationalError):
            database.sync_engine().connect()
        await server.start()
        await use()
        await database.aclose()


async def test_a_restart_between_two_statements_is_told() -> None:
    """What a unit of work had not committed is lost, and it hears of that; the next one has a new connection."""
    async with private_postgres() as server:
        lender = connections(server.url, 1)
        async with lender.write() as connection:
            await connection.execute(text("CREATE TABLE lost (id INTEGER)"))
            await server.restart()
            with pytest.raises(DBAPIError):
                await connection.execute(text("SELECT * FROM lost"))
        async with lender.write() as connection:
            assert (await connection.execute(text("SELECT to_regclass('lost')"))).scalar() is None
        await lender.aclose()


class SilentNetwork:
    """Stands between us and a database, and may stop to pass anything on while everybody stays connected."""

    def __init__(self, url: str) -> None:
        self._server = make_url(url)
        self.passes = asyncio.Event()
        self.passes.set()
        self.url = ""

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listen at `url` until the block ends."""
        listener = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        self.url = self._server.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
        yield
        listener.close()

    async def _connected(self, ours: asyncio.StreamReader, to_us: asyncio.StreamWriter) -> None:
        theirs, to_them = await asyncio.open_connection(self._server.host, self._server.port)
        await asyncio.gather(self._pass_on(ours, to_them), self._pass_on(theirs, to_us))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                await self.passes.wait()
                writer.write(data)
        writer.close()


async def test_a_server_that_went_silent_is_given_up(postgresql_url: str) -> None:
    """No answer, no word that there will be none: a machine that is gone. Its connection is replaced."""
    network = SilentNetwork(postgresql_url)
    async with asyncio.timeout(60), network.listening():
        lender = connections(network.url, 1, statement_timeout_s=1)
        async with lender.write() as connection:
            first = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar()
            network.passes.clear()
            with pytest.raises(TimeoutError):
                await connection.execute(text("SELECT 1"))
        network.passes.set()
        async with lender.write() as connection:
            assert (await connection.execute(text("SELECT pg_backend_pid()"))).scalar() != first
        await lender.aclose()


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
async def test_postgresql_addresses_may_carry_options(postgresql_url: str, scheme: str) -> None:
    """As operators write them for other programs: both schemes, `sslmode`, `application_name`, `options`."""
    rest = postgresql_url.partition("://")[2]
    options = "sslmode=prefer&application_name=studio&options=-c%20work_mem%3D7MB"
    database = open_database(f"{scheme}://{rest}?{options}", 1, statement_timeout_s=7)
    await database.check()
    wanted = {"application_name": "studio", "work_mem": "7MB", "statement_timeout": "7s"}
    async with database.read() as reading:
        assert {name: (await reading.execute(text(f"SHOW {name}"))).scalar() for name in wanted} == wanted
    with database.limited_engine().connect() as connection:
        assert {name: connection.execute(text(f"SHOW {name}")).scalar() for name in wanted} == wanted
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
