"""Who waits for whom: a queue for each provider, a line for each community, and the queues of earlier versions."""

import asyncio
from collections import Counter, defaultdict
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from anyio import to_thread
from dbos import DBOS, DBOSClient, DBOSPortableJSONSerializer, EnqueueOptions

from domain.generations import Generation
from domain.providers import ProviderKind
from engine.jobs import APPLICATION
from engine.liveness import SCHEMA
from engine.queues import LEGACY_QUEUE, OLDER_QUEUES, register
from storage.database.databases import Database
from tests.engines import (
    SOON_S,
    Steps,
    ended,
    generations,
    in_a_loop_of_its_own,
    put_in_line,
    quick,
    until,
    with_tables,
    working,
)

DEAD_S = 3.0


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The address of a migrated database of the test's own, of each kind."""
    return str(request.getfixturevalue(f"{request.param}_url"))


class SlowSteps(Steps):
    """Generations that take until they are told to end."""

    def __init__(self) -> None:
        self.begun: dict[UUID, asyncio.Event] = defaultdict(asyncio.Event)
        self.order: list[UUID] = []
        self.may_end = asyncio.Event()

    async def prepare(self, id: UUID) -> int:
        """No pictures, after a while."""
        self.order.append(id)
        self.begun[id].set()
        await self.may_end.wait()
        return 0

    async def begins(self, generation: Generation) -> None:
        """Wait until the generation is worked on."""
        await asyncio.wait_for(self.begun[generation.id].wait(), SOON_S)


async def test_a_provider_whose_places_are_taken_keeps_no_other_waiting(database: Database) -> None:
    """The places of a process are counted for each provider."""
    steps = SlowSteps()
    community = uuid4()
    first, behind = generations(community, 2, ProviderKind.OLLAMA)
    (other,) = generations(community, 1, ProviderKind.GEMINI)
    async with working(database, steps, quick(slots=1)):
        await put_in_line(database, first)
        await steps.begins(first)
        await put_in_line(database, behind, other)
        await steps.begins(other)
        assert not steps.begun[behind.id].is_set()
        steps.may_end.set()
        await steps.begins(behind)


async def test_a_crowd_keeps_no_other_community_waiting(database: Database) -> None:
    """One community's 500 generations take no more than its places: another's first begins before any of them ends."""
    steps = SlowSteps()
    crowd, others = generations(uuid4(), 500), generations(uuid4(), 2)
    async with working(database, steps, quick(slots=8, community_slots=5), drain_s=0):
        await put_in_line(database, *crowd)
        await until(lambda: len(steps.order) == 5)
        await put_in_line(database, *others)
        for other in others:
            await steps.begins(other)
        assert len(steps.order) == 7


async def test_limits_of_a_provider(database: Database) -> None:
    """No more at once than the provider takes, and no more begun in a minute; smaller than a community's places or not."""
    steps = SlowSteps()
    limits = quick(
        slots=4,
        community_slots=3,
        concurrency={ProviderKind.OPENAI: 2},
        starts_per_minute={ProviderKind.XAI: 1},
    )
    openai = generations(uuid4(), 5, ProviderKind.OPENAI)
    xai = generations(uuid4(), 5, ProviderKind.XAI)
    others = [generations(uuid4(), 1, ProviderKind.GAB)[0] for _ in range(4)]
    async with working(database, steps, limits, drain_s=0):
        await put_in_line(database, *openai, *xai)
        await until(lambda: len(steps.order) == 3)
        for other in others:
            # Each of them takes a poll at least: so often the two are asked for more, too.
            await put_in_line(database, other)
            await steps.begins(other)
        kinds = {generation.id: generation.provider for generation in [*openai, *xai, *others]}
        at_work = Counter(kinds[id] for id in steps.order)
        assert at_work == {ProviderKind.OPENAI: 2, ProviderKind.XAI: 1, ProviderKind.GAB: 4}


async def test_a_plan_with_priority_has_more_places(database: Database) -> None:
    """A community with a priority of 3 has three times the places of another one."""
    steps = SlowSteps()
    # Enough for every one of its lines, however they fall.
    rich, poor = generations(uuid4(), 60), generations(uuid4(), 60)
    async with working(database, steps, quick(slots=20, community_slots=2), drain_s=0):
        await put_in_line(database, *rich, priority=3)
        await put_in_line(database, *poor)
        await until(lambda: len(steps.order) == 8)
        (last,) = generations(uuid4())
        await put_in_line(database, last)
        await steps.begins(last)
        assert sum(generation.id in steps.begun for generation in rich) == 6
        assert sum(generation.id in steps.begun for generation in poor) == 2


class OneByOne(Steps):
    """Generations that take no time, in the order of their making."""

    def __init__(self) -> None:
        self.order: list[UUID] = []

    async def prepare(self, id: UUID) -> int:
        """Nothing to do."""
        self.order.append(id)
        return 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_plan_with_priority_has_more_of_a_busy_provider(database: Database) -> None:
    """With one place for all, of 160 generations that begin, three quarters are of the community with a priority of 3.

    The order is drawn by lot: 98 or more are certain but for one time in 30,000, and as good as never by equal shares.
    """
    steps = OneByOne()
    rich, poor = generations(uuid4(), 400), generations(uuid4(), 120)
    limits = quick(concurrency={ProviderKind.OFFLINE: 1}, offline_poll_s=0.01)
    async with working(database, steps, limits, drain_s=0):
        await put_in_line(database, *rich, priority=3)
        await put_in_line(database, *poor)
        begun = len(steps.order)
        await until(lambda: len(steps.order) >= begun + 160, SOON_S * 3)
    of_rich = {generation.id for generation in rich}
    assert 98 <= sum(id in of_rich for id in steps.order[begun : begun + 160]) <= 142


async def test_only_chosen_providers(database: Database) -> None:
    """A process that is there for one provider leaves the others' generations to others."""
    steps = SlowSteps()
    steps.may_end.set()
    (gab,) = generations(uuid4(), 1, ProviderKind.GAB)
    (xai,) = generations(uuid4(), 1, ProviderKind.XAI)
    async with working(database, steps, quick(providers=(ProviderKind.XAI,))) as engine:
        await put_in_line(database, gab)
        await put_in_line(database, xai)
        await ended(xai.id)
        await until(lambda: engine.is_alive)
        assert steps.order == [xai.id]


def test_settings_hold_from_the_next_start(sqlite_url: str) -> None:
    """What the queues were before doesn't matter."""

    async def slots(database: Database, **limits: int) -> int | None:
        async with working(database, Steps(), quick(**limits)):
            queue = await DBOS.retrieve_queue_async("provider-openai")
            assert queue
            return await queue.get_worker_concurrency_async()

    assert in_a_loop_of_its_own(sqlite_url, lambda database: slots(database, slots=3)) == 3
    assert in_a_loop_of_its_own(sqlite_url, lambda database: slots(database, slots=5)) == 5


def before(database: Database) -> DBOSClient:
    """A process of the version before, as far as DBOS's tables show."""
    return DBOSClient(
        system_database_engine=database.sync_engine(),
        serializer=DBOSPortableJSONSerializer(),
        application_name=APPLICATION,
    )


def legacy(queue: str, partition: str | None) -> EnqueueOptions:
    """What earlier versions put in line."""
    options = EnqueueOptions(workflow_name="generate", queue_name=queue, workflow_id=str(uuid4()), app_version="1")
    if partition:
        options["queue_partition_key"] = partition
    return options


def _change(database: Database, **values: object) -> int:
    """Have DBOS's tables say something else of the one job. Returns when it was put in line, as they said before."""
    jobs = sa.table(
        "workflow_status", sa.column("created_at"), *(sa.column(name) for name in values if name != "created_at")
    )
    jobs.schema = None if database.sync_engine().dialect.name == "sqlite" else SCHEMA
    with database.sync_engine().begin() as connection:
        created_at: int = connection.execute(sa.select(jobs.c.created_at)).scalar_one()
        connection.execute(sa.update(jobs).values(**values))
    return created_at


async def registered() -> set[str]:
    """The queues with names of earlier versions that the engine of this process finds."""
    return {name for name in [LEGACY_QUEUE, *OLDER_QUEUES] if await DBOS.retrieve_queue_async(name)}


@pytest.mark.parametrize(("queue", "partition"), [("generations-openai", None), ("generations", "OPENAI")])
@pytest.mark.parametrize("is_registered", [True, False], ids=["registered", "dropped"])
async def test_what_waits_in_a_queue_of_an_earlier_version_is_made(
    database: Database, queue: str, partition: str | None, is_registered: bool
) -> None:
    """One queue with a partition for each provider, and before that a queue for each: they last while they are needed."""
    steps = SlowSteps()
    steps.may_end.set()
    await with_tables(database)
    client = before(database)
    options = legacy(queue, partition)
    if is_registered:
        limits: Any = {"partition_worker_concurrency": 200} if partition else {"worker_concurrency": 200}
        await to_thread.run_sync(partial(client.register_queue, queue, **limits))
    await to_thread.run_sync(client.enqueue, options, options["workflow_id"])
    created_at = _change(database, created_at=1)
    async with working(database, steps, quick(providers=(ProviderKind.XAI,))):
        await ended(UUID(options["workflow_id"]))
        assert await registered() == {LEGACY_QUEUE, queue}
        # Nothing is unfinished now; but had it come today, another might.
        _change(database, created_at=created_at)
        await to_thread.run_sync(register, quick())
        assert await registered() == {LEGACY_QUEUE, queue}
        _change(database, created_at=1)
        await to_thread.run_sync(register, quick())
        assert await registered() == {LEGACY_QUEUE}


async def test_what_an_earlier_version_was_at_goes_on(database: Database) -> None:
    """It ran under a name that its worker was given and that nobody has any more."""
    steps = SlowSteps()
    steps.may_end.set()
    await with_tables(database)
    client = before(database)
    options = legacy("generations", "OFFLINE")
    await to_thread.run_sync(client.enqueue, options, options["workflow_id"])
    _change(database, status="PENDING", executor_id="one", owner_xid="x")
    async with working(database, steps, dead_s=DEAD_S):
        await ended(UUID(options["workflow_id"]))
    assert steps.order == [UUID(options["workflow_id"])]


async def test_the_version_before_may_put_something_in_line_at_any_time(database: Database) -> None:
    """During an upgrade also when nothing waited in its queue at our start, and nothing had come for long."""
    steps = SlowSteps()
    steps.may_end.set()
    async with working(database, steps, quick(providers=(ProviderKind.XAI,))):
        options = legacy(LEGACY_QUEUE, "OFFLINE")
        await to_thread.run_sync(before(database).enqueue, options, options["workflow_id"])
        await ended(UUID(options["workflow_id"]))
    assert steps.order == [UUID(options["workflow_id"])]


async def test_queues_of_older_versions_end(database: Database) -> None:
    """Where nothing waits and nothing came for a day nobody looks any more."""
    await with_tables(database)
    client = before(database)
    for queue in OLDER_QUEUES:
        await to_thread.run_sync(partial(client.register_queue, queue, worker_concurrency=200))
    async with working(database, Steps()):
        assert await registered() == {LEGACY_QUEUE}
