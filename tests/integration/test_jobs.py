"""The job engine on DBOS itself: in which order it takes the steps, what it does when one breaks, and how it stops."""

import asyncio
import logging
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.repositories import JobQueue
from engine.jobs import Jobs
from engine.locks import AnotherWorker
from storage.database.databases import Database, open_database
from tests.engines import (
    SOON_S,
    Steps,
    ended,
    generations,
    in_a_loop_of_its_own,
    put_in_line,
    quick,
    status_of,
    until,
    with_tables,
    working,
)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The address of a migrated database of the test's own, of each kind."""
    return str(request.getfixturevalue(f"{request.param}_url"))


class ScriptedSteps(Steps):
    """Steps that write down that they were taken. The first of two pictures may break; the second one waits for it."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.breaks = False
        self.is_over = asyncio.Event()
        self._given_up = asyncio.Event()

    async def prepare(self, _id: UUID) -> int:
        """Two pictures."""
        self.taken.append("prepare")
        return 2

    async def make(self, _id: UUID, index: int) -> None:
        """The first one, or the second."""
        if index == 0 and self.breaks:
            if "broken 0" in self.taken:
                self._given_up.set()
            self.taken.append("broken 0")
            raise RuntimeError
        if index == 1 and self.breaks:
            await self._given_up.wait()
            # DBOS needs a moment for writing down that the other one is given up.
            await asyncio.sleep(1)
        self.taken.append(f"made {index}")

    async def finish(self, _id: UUID) -> None:
        """The end."""
        self.taken.append("finish")
        self.is_over.set()

    async def break_off(self, _id: UUID) -> None:
        """The bad end."""
        self.taken.append("break off")
        self.is_over.set()


async def taken(database: Database, steps: ScriptedSteps) -> list[str]:
    """Put one generation in line and wait for its end. Returns the steps as they were taken."""
    async with working(database, steps):
        await put_in_line(database, *generations(uuid4()))
        await asyncio.wait_for(steps.is_over.wait(), SOON_S)
    return steps.taken


async def test_the_steps_in_their_order(database: Database) -> None:
    """Prepare, every picture, finish; each once."""
    before, *pictures, after = await taken(database, ScriptedSteps())
    assert (before, sorted(pictures), after) == ("prepare", ["made 0", "made 1"], "finish")


async def test_a_broken_picture_waits_for_the_others(database: Database) -> None:
    """A step that breaks is repeated; given up, the generation ends only when no other picture is on its way."""
    steps = ScriptedSteps()
    steps.breaks = True
    assert await taken(database, steps) == ["prepare", "broken 0", "broken 0", "made 1", "break off"]


class HeldSteps(Steps):
    """Generations whose one picture takes until it is told to end, and whose calls can be seen to be stopped."""

    def __init__(self) -> None:
        self.begun: asyncio.Queue[UUID] = asyncio.Queue()
        self.may_end = asyncio.Event()
        self.stopped: list[UUID] = []
        self.cleaned: asyncio.Queue[UUID] = asyncio.Queue()
        self.finished: list[UUID] = []
        self.broken_off: list[UUID] = []

    async def prepare(self, _id: UUID) -> int:
        """One picture."""
        return 1

    async def make(self, id: UUID, _index: int) -> None:
        """A long call."""
        self.begun.put_nowait(id)
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.stopped.append(id)
            raise

    async def finish(self, id: UUID) -> None:
        """The end."""
        self.finished.append(id)

    async def break_off(self, id: UUID) -> None:
        """The bad end."""
        self.broken_off.append(id)

    async def clean_up(self, id: UUID) -> None:
        """Somebody cancelled it."""
        self.cleaned.put_nowait(id)


async def test_cancelled_at_work(
    database: Database, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call is stopped where it runs, what it left is cleaned up, and nobody is alarmed."""
    steps = HeldSteps()
    jobs = Jobs(database.sync_engine())
    async with working(database, steps) as engine:
        # DBOS turns this off at its first start.
        monkeypatch.setattr(logging.getLogger("dbos"), "propagate", True)
        (generation,) = generations(uuid4())
        await put_in_line(database, generation)
        await asyncio.wait_for(steps.begun.get(), SOON_S)
        await jobs.cancel(generation.id)
        assert await asyncio.wait_for(steps.cleaned.get(), SOON_S) == generation.id
        await until(lambda: not engine.running)
        assert await jobs.unfinished([generation.id]) == set()
    assert steps.stopped == [generation.id]
    assert steps.finished == []
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_cancelled_in_line(database: Database) -> None:
    """What waits leaves the line, and the next one takes its place."""
    steps = HeldSteps()
    jobs = Jobs(database.sync_engine())
    async with working(database, steps, quick(slots=1)):
        first, second, third = generations(uuid4(), 3)
        await put_in_line(database, first)
        assert await asyncio.wait_for(steps.begun.get(), SOON_S) == first.id
        await put_in_line(database, second, third)
        await jobs.cancel(second.id)
        steps.may_end.set()
        assert await asyncio.wait_for(steps.begun.get(), SOON_S) == third.id
    assert second.id not in steps.finished


async def test_cancelled_after_the_end(database: Database) -> None:
    """What has ended stays as it is, and an unknown one is nobody's trouble."""
    steps = ScriptedSteps()
    jobs = Jobs(database.sync_engine())
    async with working(database, steps):
        (generation,) = generations(uuid4())
        await put_in_line(database, generation)
        await ended(generation.id)
        await jobs.cancel(generation.id)
        await jobs.cancel(uuid4())
        assert await status_of(generation.id) == "SUCCESS"


async def test_what_ended_is_forgotten(database: Database) -> None:
    """What is known of finished jobs goes after a while, whatever their end; what runs or waits is kept."""
    steps = HeldSteps()
    steps.may_end.set()
    jobs = Jobs(database.sync_engine())
    async with working(database, steps, quick(slots=1)):
        done, cancelled, runs, waits = generations(uuid4(), 4)
        await put_in_line(database, done)
        await ended(done.id)
        steps.may_end.clear()
        await put_in_line(database, runs)
        while await asyncio.wait_for(steps.begun.get(), SOON_S) != runs.id:
            pass
        await put_in_line(database, waits, cancelled)
        await jobs.cancel(cancelled.id)
        now = datetime.now(UTC)
        assert await jobs.forget(now - timedelta(hours=1)) == 0
        assert await jobs.forget(now + timedelta(hours=1)) == 2
        assert [await status_of(it.id) for it in (done, cancelled, runs, waits)] == [None, None, "PENDING", "ENQUEUED"]
        assert await jobs.forget(now + timedelta(hours=1)) == 0
        steps.may_end.set()


def test_what_is_cut_off_goes_on_at_the_next_start(sqlite_url: str) -> None:
    """A process that stops leaves what it doesn't finish in time to the next one; on PostgreSQL also to the others."""
    (generation,) = generations(uuid4())

    async def cut_off(database: Database) -> list[UUID]:
        steps = HeldSteps()
        async with working(database, steps, drain_s=0):
            await put_in_line(database, generation)
            await asyncio.wait_for(steps.begun.get(), SOON_S)
        return steps.stopped

    async def gone_on_with(database: Database) -> list[UUID]:
        steps = HeldSteps()
        steps.may_end.set()
        async with working(database, steps):
            await ended(generation.id)
        return steps.finished

    assert in_a_loop_of_its_own(sqlite_url, cut_off) == [generation.id]
    assert in_a_loop_of_its_own(sqlite_url, gone_on_with) == [generation.id]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_one_process_on_a_data_folder(database: Database) -> None:
    """A second process on the same SQLite file is refused in words."""
    async with working(database, Steps()):
        with pytest.raises(AnotherWorker, match="Another process is running jobs on"):
            async with working(database, Steps()):
                pass


async def test_alive_while_it_works(database: Database) -> None:
    """An engine is alive when every queue is listened to, and not before its start or after its end."""
    await with_tables(database)
    async with working(database, Steps()) as engine:
        await until(lambda: engine.is_alive)
    assert not engine.is_alive


TAKE = sa.text("UPDATE dbos.workflow_status SET owner_xid = 'another', executor_id = 'there'")


async def test_a_worker_that_lost_a_job_never_ends_it(postgresql_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Not even when it can't write down what it did: another worker goes on with the generation."""
    steps = HeldSteps()
    separator = "&" if "?" in postgresql_url else "?"
    impatient = f"{postgresql_url}{separator}options=-c%20lock_timeout%3D2s"
    async with (
        aclosing(open_database(impatient, pool_size=4)) as database,
        working(database, steps, drain_s=0) as job_engine,
    ):
        await put_in_line(database, *generations(uuid4()))
        await asyncio.wait_for(steps.begun.get(), SOON_S)
        with database.sync_engine().begin() as another_worker:
            another_worker.execute(TAKE)
            steps.may_end.set()
            await until(lambda: "generation broken off" in caplog.messages)
        await until(lambda: not job_engine.running)
    assert steps.broken_off == []


LOCK = sa.text("LOCK TABLE dbos.workflow_status IN EXCLUSIVE MODE")
LONGEST_WAIT = sa.text(
    "SELECT coalesce(max(extract(epoch FROM clock_timestamp() - query_start)), 0) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


async def test_a_database_that_keeps_a_step_waiting_ends_nothing(postgresql_url: str) -> None:
    """What is made is paid for: writing it down may take longer than a statement of a request."""
    steps = HeldSteps()
    (generation,) = generations(uuid4())
    async with (
        aclosing(open_database(postgresql_url, pool_size=4, statement_timeout_s=1)) as database,
        working(database, steps),
    ):
        await put_in_line(database, generation)
        await asyncio.wait_for(steps.begun.get(), SOON_S)
        with database.sync_engine().begin() as busy:
            busy.execute(LOCK)
            steps.may_end.set()
            await until(lambda: busy.execute(LONGEST_WAIT).scalar_one() > 2 or bool(steps.broken_off))
        await ended(generation.id)
    assert (steps.finished, steps.broken_off) == ([generation.id], [])


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_what_another_worker_has_is_no_failure(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    """A picture that failed before the job was lost doesn't make it a failure of this worker's."""
    steps = LostSteps()
    async with working(database, steps, drain_s=0):
        await put_in_line(database, *generations(uuid4()))
        await asyncio.wait_for(steps.begun.get(), SOON_S)
        await until(lambda: _steps_on_record(database) == 2)
        with database.sync_engine().begin() as another_worker:
            another_worker.execute(TAKE)
        steps.may_end.set()
        await asyncio.wait_for(steps.cleaned.get(), SOON_S)
    assert "generation broken off" not in caplog.messages


class LostSteps(HeldSteps):
    """Generations whose first of two pictures breaks while the second takes its time."""

    async def prepare(self, _id: UUID) -> int:
        """Two pictures."""
        return 2

    async def make(self, id: UUID, index: int) -> None:
        """The first one, or the second."""
        if index == 0:
            raise RuntimeError
        await super().make(id, index)


def _steps_on_record(database: Database) -> int:
    with database.sync_engine().connect() as connection:
        return int(connection.execute(sa.text("SELECT count(*) FROM dbos.operation_outputs")).scalar_one())


async def test_a_claimed_job_that_nobody_is_at_goes_on(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    """As when the answer to a claim got lost: this worker's by the database alone. What it is at is left alone."""
    steps = HeldSteps()
    at_work, lost = generations(uuid4(), 2)
    jobs = Jobs(database.sync_engine())
    connections: list[AsyncConnection] = []

    def queue(connection: AsyncConnection) -> JobQueue:
        connections.append(connection)
        return jobs.queue(connection)

    async with working(database, steps, dead_s=1) as job_engine:
        await put_in_line(database, at_work)
        assert await asyncio.wait_for(steps.begun.get(), SOON_S) == at_work.id
        claim = _of_jobs(database, "UPDATE {} SET status = 'PENDING', executor_id = :worker, owner_xid = 'lost'")
        # In one transaction, so that nobody claims it in between.
        async with database.unit_of_work(queue)() as work:
            await work.jobs.enqueue_generation(lost, 1)
            await connections[0].execute(claim, {"worker": job_engine.worker_id, "id": str(lost.id)})
            await work.commit()
        assert await asyncio.wait_for(steps.begun.get(), SOON_S) == lost.id
        steps.may_end.set()
        await ended(lost.id)
        await ended(at_work.id)
    assert sorted(steps.finished) == sorted([at_work.id, lost.id])
    assert steps.begun.empty()
    assert caplog.messages.count("gave back jobs that nobody was at") == 1


def _of_jobs(database: Database, statement: str) -> sa.TextClause:
    """A statement on one job in DBOS's table, by its `id`."""
    table = "workflow_status" if database.sync_engine().dialect.name == "sqlite" else "dbos.workflow_status"
    return sa.text(f"{statement.format(table)} WHERE workflow_uuid = :id")
