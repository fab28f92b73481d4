"""Job engines for tests: a real one in this process, and lines for it to work on."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast
from uuid import UUID, uuid4

from anyio import to_thread
from dbos import DBOS

import engine.jobs
from domain.generation_jobs import GenerationJobs
from domain.generations import Generation
from domain.providers import ProviderKind
from domain.users import Community
from engine.jobs import Jobs
from engine.queues import WorkLimits
from engine.workers import JobEngine
from storage.database.databases import Database, open_database
from tests.rows import a_generation, a_user

SOON_S = 60.0
Answer = TypeVar("Answer")


class Steps:
    """Steps of generations without pictures; each test says what is else about them."""

    async def prepare(self, _id: UUID) -> int:
        """No pictures."""
        return 0

    async def make(self, _id: UUID, _index: int) -> None:
        """A picture at once."""

    async def finish(self, _id: UUID) -> None:
        """The end."""

    async def break_off(self, _id: UUID) -> None:
        """The bad end."""

    async def clean_up(self, _id: UUID) -> None:
        """What is left of what nobody wants."""


def quick(**changes: Any) -> WorkLimits:
    """Limits of a process that looks for work more often than a real one."""
    return WorkLimits(**{"poll_s": 0.1, "offline_poll_s": 0.1, **changes})


def generations(community: UUID, count: int = 1, provider: ProviderKind = ProviderKind.OFFLINE) -> Sequence[Generation]:
    """Generations of a community at a provider."""
    owner = a_user(Community(community, "Lovelace"))
    return [a_generation(owner, id=uuid4(), provider=provider) for _ in range(count)]


async def put_in_line(database: Database, *waiting: Generation, priority: int = 1) -> None:
    """Have workers make the generations, as a request does."""
    async with database.unit_of_work(Jobs(database.sync_engine()).queue)() as work:
        for generation in waiting:
            await work.jobs.enqueue_generation(generation, priority)
        await work.commit()


async def with_tables(database: Database) -> None:
    """Make the engine's own tables."""
    await to_thread.run_sync(engine.jobs.migrate, database.sync_engine())


async def until(holds: Callable[[], bool], within_s: float = SOON_S) -> None:
    """Wait for what nobody tells of."""
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.05)


async def status_of(id: UUID) -> str | None:
    """What the engine of this process knows of the generation's job."""
    status = await to_thread.run_sync(DBOS.get_workflow_status, str(id))
    return status.status if status else None


async def ended(id: UUID) -> None:
    """Wait until the end of the generation's job is on record."""
    async with asyncio.timeout(SOON_S):
        while await status_of(id) in {"ENQUEUED", "PENDING", None}:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.05)


def in_a_loop_of_its_own(url: str, work: Callable[[Database], Coroutine[None, None, Answer]]) -> Answer:
    """As in another process, or nearly so: an event loop keeps DBOS's threads, and so has one engine in its life."""

    async def run() -> Answer:
        database = open_database(url, pool_size=4)
        try:
            return await work(database)
        finally:
            await database.aclose()

    return asyncio.run(run())


@asynccontextmanager
async def working(
    database: Database, steps: Steps, limits: WorkLimits | None = None, drain_s: float = SOON_S, **options: Any
) -> AsyncIterator[JobEngine]:
    """This process at work."""
    await with_tables(database)
    made = JobEngine(
        database.sync_engine(), cast("GenerationJobs", steps), limits or quick(), **{"step_attempts": 2, **options}
    )
    made.claim()
    await made.start()
    try:
        yield made
    finally:
        await made.aclose(drain_s)
