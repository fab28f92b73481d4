"""The job engine on DBOS itself: in which order it takes the steps, and what it does when one breaks."""

import asyncio
from typing import Any, cast
from uuid import UUID, uuid4

from dbos import DBOSClient, DBOSPortableJSONSerializer, EnqueueOptions

import engine.jobs
from domain.generation_jobs import GenerationJobs
from domain.providers import ProviderKind
from engine.jobs import APPLICATION, VERSION, WORKFLOW, JobEngine, queue_name
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


async def run(database: Database, jobs: ScriptedJobs) -> list[str]:
    """Put one generation in line and wait for its end. Returns the steps as they were taken."""
    sync_engine = database.sync_engine()
    await asyncio.to_thread(engine.jobs.migrate, sync_engine)
    kind = ProviderKind.OFFLINE
    worker = JobEngine(
        sync_engine, cast("GenerationJobs", jobs), [kind], executor_id="here", slots=2, poll_s=0.1, step_attempts=2
    )
    client = DBOSClient(
        system_database_engine=sync_engine, serializer=DBOSPortableJSONSerializer(), application_name=APPLICATION
    )
    id = str(uuid4())
    options = EnqueueOptions(workflow_name=WORKFLOW, queue_name=queue_name(kind), workflow_id=id, app_version=VERSION)
    worker.claim()
    await worker.start()
    try:
        handle: Any = await asyncio.to_thread(client.enqueue, options, id)
        await asyncio.wait_for(jobs.is_over.wait(), SOON_S)
        await asyncio.wait_for(asyncio.to_thread(handle.get_result), SOON_S)
    finally:
        await worker.aclose(SOON_S)
        client.destroy()
    return jobs.taken


async def test_the_steps_in_their_order(database: Database) -> None:
    """Prepare, every picture, finish; each once."""
    assert await run(database, ScriptedJobs()) == ["prepare", "made 0", "made 1", "finish"]


async def test_a_broken_picture_waits_for_the_others(database: Database) -> None:
    """A step that breaks is repeated; given up, the generation ends only when no other picture is on its way."""
    jobs = ScriptedJobs()
    jobs.breaks = True
    assert await run(database, jobs) == ["prepare", "broken 0", "broken 0", "made 1", "break off"]
