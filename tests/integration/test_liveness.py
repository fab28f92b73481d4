"""Workers on PostgreSQL: who is thought dead, who is not, and what becomes of their jobs. With real processes at the end."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from engine.liveness import Liveness, new_worker_id
from storage.database.databases import Database, open_database
from storage.database.migrate import upgrade
from tests.engines import SOON_S, generations, put_in_line, until, with_tables
from tests.services import private_postgres

# Long enough for a slow machine: a beat is half a second, and a pause of three beats would count as an outage.
DEAD_S = 3.0


@pytest.fixture
def database_url(postgresql_url: str) -> str:
    """Signs of life are PostgreSQL's alone."""
    return postgresql_url


@dataclass
class Watcher:
    """A worker that shows signs of life and notes whose jobs it would take."""

    liveness: Liveness
    taken: list[str] = field(default_factory=list)


@contextmanager
def watching(engine: sa.Engine, name: str, dead_s: float = DEAD_S) -> Iterator[Watcher]:
    """A worker of this name, without an engine."""
    taken: list[str] = []

    def take(workers: Sequence[str]) -> int:
        taken.extend(workers)
        return len(workers)

    watcher = Watcher(Liveness(engine, name, dead_s, take), taken)
    watcher.liveness.start()
    try:
        yield watcher
    finally:
        watcher.liveness.stop()


async def at_work(database: Database, worker: str) -> UUID:
    """A job that a worker of this name has begun."""
    (generation,) = generations(uuid4())
    await put_in_line(database, generation)
    begin = sa.text(
        "UPDATE dbos.workflow_status SET status = 'PENDING', executor_id = :worker WHERE workflow_uuid = :id"
    )
    with database.sync_engine().begin() as connection:
        connection.execute(begin, {"worker": worker, "id": str(generation.id)})
    return generation.id


def seen(engine: sa.Engine) -> set[str]:
    """The workers whose signs are on record."""
    with engine.connect() as connection:
        return set(connection.execute(sa.text("SELECT id FROM worker")).scalars())


async def test_whose_jobs_are_taken(database: Database) -> None:
    """Those of whoever shows no sign: never one's own, nor those of a worker that lives."""
    await with_tables(database)
    for name in ("here", "there", "gone"):
        await at_work(database, name)
    with watching(database.sync_engine(), "here") as here, watching(database.sync_engine(), "there"):
        await until(lambda: "gone" in here.taken)
        assert set(here.taken) == {"gone"}


async def test_a_worker_that_leaves(database: Database) -> None:
    """With its last act a worker's sign is gone, and the others take what it left."""
    await with_tables(database)
    await at_work(database, "there")
    with watching(database.sync_engine(), "here") as here:
        with watching(database.sync_engine(), "there"):
            assert seen(database.sync_engine()) == {"here", "there"}
        assert seen(database.sync_engine()) == {"here"}
        await until(lambda: bool(here.taken))
    assert set(here.taken) == {"there"}
    assert seen(database.sync_engine()) == set()


async def test_one_that_leaves_judges_nobody(database: Database) -> None:
    """A worker that takes no more work takes nobody's over."""
    await with_tables(database)
    await at_work(database, "gone")
    with watching(database.sync_engine(), "here") as here, watching(database.sync_engine(), "there") as there:
        here.liveness.retire()
        await until(lambda: bool(there.taken))
    assert here.taken == []


async def test_a_worker_of_the_version_before(database: Database) -> None:
    """It shows no sign of life but holds a lock; its jobs are taken when it lets go."""
    await with_tables(database)
    await at_work(database, "one")
    await at_work(database, "gone")
    lock = sa.text("SELECT pg_advisory_lock(hashtext('atelier worker'), hashtext('one'))")
    with watching(database.sync_engine(), "here") as here:
        with database.sync_engine().connect() as before:
            before.execute(lock)
            await until(lambda: "gone" in here.taken)
            assert set(here.taken) == {"gone"}
            before.invalidate()
        await until(lambda: "one" in here.taken)


async def test_after_an_outage_everybody_is_given_time() -> None:
    """When the database comes back nobody has shown a sign for long: that is no reason to think anybody dead."""
    async with private_postgres() as server:
        await asyncio.to_thread(upgrade, server.url)
        database = open_database(server.url, pool_size=4)
        await with_tables(database)
        for name in ("here", "there"):
            await at_work(database, name)
        engine = database.sync_engine()
        with watching(engine, "here") as here:
            with watching(engine, "there") as there:
                await until_unbroken(engine, "here", "there")
                await server.stop()
                await until(lambda: not (here.liveness.is_seen or there.liveness.is_seen))
                await server.start()
                await until(lambda: here.liveness.is_seen and there.liveness.is_seen)
                await until_unbroken(engine, "here", "there")
                assert here.taken == there.taken == []
            await until(lambda: bool(here.taken))
            assert set(here.taken) == {"there"}
        await database.aclose()


async def until_unbroken(engine: sa.Engine, *workers: str) -> None:
    """Wait until each has shown signs of life for longer than one is dead after, by the database's clock."""

    def last() -> dict[str, float]:
        with engine.connect() as connection:
            return {
                row.id: row.seen
                for row in connection.execute(
                    sa.text("SELECT id, extract(epoch FROM seen_at)::float AS seen FROM worker")
                )
            }

    begun = last()
    await until(lambda: all(last()[worker] - begun[worker] > DEAD_S + 1 for worker in workers))


def test_no_name_twice() -> None:
    """A worker's name says where it runs, and is its own even after a restart."""
    assert new_worker_id() != new_worker_id()


@dataclass
class Worker:
    """A process at work, and what it has told."""

    process: asyncio.subprocess.Process
    told: list[str] = field(default_factory=list)

    def order(self, word: str) -> None:
        """Tell it how its picture ends."""
        assert self.process.stdin
        self.process.stdin.write(f"{word}\n".encode())

    async def hear(self, words: str) -> None:
        """Wait until it tells this."""
        await until(lambda: any(line.startswith(words) for line in self.told))

    async def listen(self) -> None:
        """Take down what it tells."""
        assert self.process.stdout
        async for line in self.process.stdout:
            self.told.append(line.decode().strip())


@asynccontextmanager
async def worker(url: str, drain_s: float = 0) -> AsyncIterator[Worker]:
    """A process at work."""
    command = (sys.executable, "-m", "tests.lone_worker", url, str(DEAD_S), str(drain_s))
    pipe = asyncio.subprocess.PIPE
    made = Worker(await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe))
    listening = asyncio.create_task(made.listen())
    try:
        await made.hear("ready")
        yield made
    finally:
        if made.process.returncode is None:
            made.process.send_signal(signal.SIGCONT)
            made.process.kill()
        await made.process.wait()
        await listening


@asynccontextmanager
async def one_of_two(database: Database, url: str, **options: float) -> AsyncIterator[tuple[Worker, Worker, UUID]]:
    """A worker that has begun a job, another one that hasn't, and the job."""
    async with worker(url, **options) as first:
        (generation,) = generations(uuid4())
        await put_in_line(database, generation)
        await first.hear(f"begun {generation.id}")
        async with worker(url) as second:
            yield first, second, generation.id


async def test_killed(database: Database, postgresql_url: str) -> None:
    """What a killed worker was at is taken up by another, and ended there."""
    async with one_of_two(database, postgresql_url) as (first, second, job):
        first.process.kill()
        await second.hear(f"begun {job}")
        second.order("made")
        await second.hear(f"owns {job}")
        await second.hear(f"finished {job}")
    assert not any("finished" in line for line in first.told)


async def test_stopped(database: Database, postgresql_url: str) -> None:
    """A worker that is told to stop leaves what it can't end in time to the others."""
    async with one_of_two(database, postgresql_url) as (first, second, job):
        first.process.terminate()
        assert await asyncio.wait_for(first.process.wait(), SOON_S) == 0
        assert seen(database.sync_engine()) == {second.told[0].removeprefix("ready ")}
        await second.hear(f"begun {job}")
        second.order("made")
        await second.hear(f"finished {job}")
    assert first.told[-1] == "stopped"


async def test_drained(database: Database, postgresql_url: str) -> None:
    """With time to drain a worker that is told to stop ends what it is at, and begins nothing new."""
    async with one_of_two(database, postgresql_url, drain_s=SOON_S) as (first, second, job):
        first.process.terminate()
        first.order("made")
        assert await asyncio.wait_for(first.process.wait(), SOON_S) == 0
        (another,) = generations(uuid4())
        await put_in_line(database, another)
        await second.hear(f"begun {another.id}")
    assert first.told[1:] == [f"begun {job}", f"owns {job}", f"finished {job}", "stopped"]
    assert f"begun {job}" not in second.told


@pytest.mark.parametrize("outcome", ["made", "broken"])
async def test_a_worker_that_was_thought_dead(database: Database, postgresql_url: str, outcome: str) -> None:
    """One that stood still and goes on ends nothing of what another has by now, well or badly."""
    async with one_of_two(database, postgresql_url) as (first, second, job):
        first.process.send_signal(signal.SIGSTOP)
        await second.hear(f"begun {job}")
        first.process.send_signal(signal.SIGCONT)
        first.order(outcome)
        await first.hear(f"lost {job}")
        await first.hear(f"cleaned {job}")
        second.order("made")
        await second.hear(f"finished {job}")
        first.process.terminate()
        assert await asyncio.wait_for(first.process.wait(), SOON_S) == 0
    assert not any(line.startswith(("finished", "broken")) for line in first.told)
