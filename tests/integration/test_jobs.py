"""The job engine on DBOS itself: in which order it takes the steps, and what it does when one breaks."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast
from uuid import UUID, uuid4

from dbos import DBOSClient, DBOSPortableJSONSerializer, EnqueueOptions

import engine.jobs
from domain.generation_jobs import GenerationJobs
from domain.providers import ProviderKind
from engine.jobs import APPLICATION, QUEUE, VERSION, WORKFLOW, JobEngine
from storage.database.databases import Database

SOON_S = 20.0


class ScriptedJobs:
    """Steps that only write down that they were taken. The first of two pictures may break; the second takes time."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.breaks = False
        self.is_over = asyncio.Event()

    async def prepare(self, _id: UUID) -> int:
        """Two pictures."""
        self.taken.append("prepare")
        return 2

    async def make(self, _id: UUID, index: int) -> None:
        """The first one, or the second."""
        if index == 1:
            # Longer than the first one needs to be given up.
            await asyncio.sleep(2)
        elif self.breaks:
            self.taken.append("broken 0")
            raise RuntimeError
        self.taken.append(f"made {index}")

    async def finish(self, _id: UUID) -> None:
        """The end."""
        self.taken.append("finish")
        self.is_over.set()

    async def break_off(self, _id: UUID) -> None:
        """The bad end."""
        self.taken.append("break off")
        self.is_over.set()


@asynccontextmanager
async def worker(database: Database, jobs: object, slots: int = 2) -> AsyncIterator[DBOSClient]:
    """A process that works, and a client that puts work in line for it."""
    sync_engine = database.sync_engine()
    await asyncio.to_thread(engine.jobs.migrate, sync_engine)
    working = JobEngine(
        sync_engine, cast("GenerationJobs", jobs), executor_id="here", slots=slots, poll_s=0.1, step_attempts=2
    )
    client = DBOSClient(
        system_database_engine=sync_engine, serializer=DBOSPortableJSONSerializer(), application_name=APPLICATION
    )
    working.claim()
    await working.start()
    try:
        yield client
    finally:
        await working.aclose(SOON_S)
        client.destroy()


async def ask(client: DBOSClient, provider: ProviderKind = ProviderKind.OFFLINE) -> tuple[UUID, Any]:
    """Put one generation in line."""
    id = uuid4()
    options = EnqueueOptions(
        workflow_name=WORKFLOW,
        queue_name=QUEUE,
        queue_partition_key=provider.value,
        workflow_id=str(id),
        app_version=VERSION,
    )
    return id, await asyncio.to_thread(client.enqueue, options, str(id))


async def run(database: Database, jobs: ScriptedJobs) -> list[str]:
    """Put one generation in line and wait for its end. Returns the steps as they were taken."""
    async with worker(database, jobs) as client:
        _, handle = await ask(client)
        await asyncio.wait_for(jobs.is_over.wait(), SOON_S)
        await asyncio.wait_for(asyncio.to_thread(handle.get_result), SOON_S)
    return jobs.taken


async def test_the_steps_in_their_order(database: Database) -> None:
    """Prepare, every picture, finish; each once."""
    assert await run(database, ScriptedJobs()) == ["prepare", "made 0", "made 1", "finish"]


async def test_a_broken_picture_waits_for_the_others(database: Database) -> None:
    """A step that breaks is repeated; given up, the generation ends only when no other picture is on its way."""
    jobs = ScriptedJobs()
    jobs.breaks = True
    assert await run(database, jobs) == ["prepare", "broken 0", "broken 0", "made 1", "break off"]


class SlowJobs:
    """Generations that take until they are told to end."""

    def __init__(self) -> None:
        self.begun: dict[UUID, asyncio.Event] = defaultdict(asyncio.Event)
        self.may_end = asyncio.Event()

    async def prepare(self, id: UUID) -> int:
        """No pictures, after a while."""
        self.begun[id].set()
        await self.may_end.wait()
        return 0

    async def finish(self, id: UUID) -> None:
        """The end."""


async def test_what_waits_in_a_queue_of_an_earlier_version_is_made(database: Database) -> None:
    """They had a queue for each provider, which nobody registers any more."""
    jobs = ScriptedJobs()
    await asyncio.to_thread(engine.jobs.migrate, database.sync_engine())
    earlier = DBOSClient(
        system_database_engine=database.sync_engine(),
        serializer=DBOSPortableJSONSerializer(),
        application_name=APPLICATION,
    )
    await asyncio.to_thread(partial(earlier.register_queue, "generations-openai", polling_interval_sec=0.1))
    id = str(uuid4())
    options = EnqueueOptions(
        workflow_name=WORKFLOW, queue_name="generations-openai", workflow_id=id, app_version=VERSION
    )
    await asyncio.to_thread(earlier.enqueue, options, id)
    earlier.destroy()
    async with worker(database, jobs):
        await asyncio.wait_for(jobs.is_over.wait(), SOON_S)
    assert jobs.taken == ["prepare", "made 0", "made 1", "finish"]


async def test_a_provider_whose_places_are_taken_keeps_no_other_waiting(database: Database) -> None:
    """The places of a process are counted for each provider."""
    jobs = SlowJobs()
    async with worker(database, jobs, slots=1) as client:
        first, _ = await ask(client, ProviderKind.OLLAMA)
        await asyncio.wait_for(jobs.begun[first].wait(), SOON_S)
        behind, _ = await ask(client, ProviderKind.OLLAMA)
        other, _ = await ask(client, ProviderKind.GEMINI)
        await asyncio.wait_for(jobs.begun[other].wait(), SOON_S)
        assert not jobs.begun[behind].is_set()
        jobs.may_end.set()
        await asyncio.wait_for(jobs.begun[behind].wait(), SOON_S)
