"""Generations as DBOS workflows: durable from the transaction that asked for them.

The steps repeat themselves safely, so a step that fails is simply run again, and a workflow that a crash cut off goes
on from its last finished step when the process is back. DBOS's traps are listed in `docs/decisions`.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from uuid import UUID

import sqlalchemy as sa
from anyio import to_thread
from dbos import DBOS, DBOSClient, DBOSConfig, DBOSPortableJSONSerializer, EnqueueOptions, StepOptions
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.generation_jobs import GenerationJobs
from domain.generations import Generation
from domain.repositories import JobQueue
from engine.locks import WorkerLock

_log = logging.getLogger(__name__)

APPLICATION = "atelier"
# DBOS hands work only to workers of the version that asked for it: pinned, so that a deploy strands nothing.
VERSION = "1"
WORKFLOW = "generate"
# One queue, with a partition for each provider: a queue for each would be polled by itself, nine times as often.
QUEUE = "generations"
# With the growing pauses between them two minutes: a database that is started anew must not cost a generation.
STEP_ATTEMPTS = 9
MAX_THREADS = 64
CUT_OFF_S = 5
ASKED_AT_ONCE = 500
_UNFINISHED = ["PENDING", "ENQUEUED", "DELAYED"]


class DbosQueue:
    """Puts generations in line, on the connection of the unit of work that stores them."""

    def __init__(self, client: DBOSClient, connection: AsyncConnection) -> None:
        self._client = client
        self._connection = connection

    async def enqueue_generation(self, generation: Generation) -> None:
        """Have a worker run the generation, once the connection's transaction is committed."""
        options = EnqueueOptions(
            workflow_name=WORKFLOW,
            queue_name=QUEUE,
            queue_partition_key=generation.provider.value,
            workflow_id=str(generation.id),
            app_version=VERSION,
        )
        await self._connection.run_sync(
            lambda connection: self._client.enqueue_in_transaction(connection, options, str(generation.id))
        )


class Jobs:
    """The jobs as every process sees them, also one that runs none."""

    def __init__(self, engine: sa.Engine) -> None:
        self._client = DBOSClient(
            system_database_engine=engine,
            serializer=DBOSPortableJSONSerializer(),
            application_name=APPLICATION,
            lazy=True,
        )

    def queue(self, connection: AsyncConnection) -> JobQueue:
        """What a unit of work puts jobs in line with."""
        return DbosQueue(self._client, connection)

    async def unfinished(self, generation_ids: Sequence[UUID]) -> set[UUID]:
        """Those whose workflow waits or runs, or was cut off and will be taken up again."""
        found: set[UUID] = set()
        for start in range(0, len(generation_ids), ASKED_AT_ONCE):
            ids = [str(id) for id in generation_ids[start : start + ASKED_AT_ONCE]]
            ask = partial(
                self._client.list_workflows, workflow_ids=ids, status=_UNFINISHED, load_input=False, load_output=False
            )
            found |= {UUID(job.workflow_id) for job in await to_thread.run_sync(ask)}
        return found


def migrate(engine: sa.Engine) -> None:
    """Create or upgrade DBOS's own tables beside ours."""
    DBOS.migrate(engine.url.render_as_string(hide_password=False))


def _config(engine: sa.Engine, executor_id: str) -> DBOSConfig:
    return DBOSConfig(
        name=APPLICATION,
        system_database_engine=engine,
        system_database_url=None,
        executor_id=executor_id,
        application_version=VERSION,
        serializer=DBOSPortableJSONSerializer(),
        use_listen_notify=False,
        max_executor_threads=MAX_THREADS,
        log_level="WARNING",
    )


class JobEngine:
    """Runs generations in this process, on the event loop that starts it."""

    def __init__(
        self,
        engine: sa.Engine,
        jobs: GenerationJobs,
        *,
        executor_id: str,
        slots: int,
        poll_s: float,
        step_attempts: int = STEP_ATTEMPTS,
    ) -> None:
        self._engine = engine
        self._jobs = jobs
        self._executor_id = executor_id
        self._slots = slots
        self._poll_s = poll_s
        self._step_attempts = step_attempts
        self._lock = WorkerLock(engine, executor_id)
        self._running: set[asyncio.Task[None]] = set()

    @property
    def running(self) -> int:
        """How many generations this process is working on."""
        return len(self._running)

    def claim(self) -> None:
        """Make sure that no other process works under this executor id. Raises AnotherWorker."""
        self._lock.acquire()

    async def start(self) -> None:
        """Take up what an earlier process left, and listen for more."""
        DBOS(config=_config(self._engine, self._executor_id))
        DBOS.workflow(name=WORKFLOW)(self._workflow())
        # On the loop's own thread: DBOS runs workflows on the loop that launched it.
        DBOS.launch()
        await DBOS.register_queue_async(
            QUEUE,
            partition_worker_concurrency=self._slots,
            polling_interval_sec=self._poll_s,
            on_conflict="always_update",
        )

    async def aclose(self, drain_s: float) -> None:
        """Claim nothing new, give running work `drain_s` seconds, then cut it off; the next start goes on with it."""
        # DBOS stops claiming at once, and stays able to record what still ends until nothing runs any more.
        grace_s = math.ceil(drain_s) + CUT_OFF_S if self._running else 0
        stopping = asyncio.create_task(
            asyncio.to_thread(DBOS.destroy, destroy_registry=True, workflow_completion_timeout_sec=grace_s)
        )
        if self._running:
            await asyncio.wait(self._running, timeout=drain_s)
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await stopping
        self._lock.release()

    def _workflow(self) -> "Callable[[str], object]":
        async def generate(generation_id: str) -> None:
            task = asyncio.current_task()
            if task:
                self._running.add(task)
                task.add_done_callback(self._running.discard)
            await self._generate(UUID(generation_id))

        return generate

    async def _generate(self, id: UUID) -> None:
        try:
            await self._make_all(id, await DBOS.run_step_async(self._step("prepare"), self._jobs.prepare, id))
            await DBOS.run_step_async(self._step("finish"), self._jobs.finish, id)
        except Exception:  # noqa: BLE001 - whatever it was, nobody may wait for this generation for ever
            _log.exception("generation broken off", extra={"generation_id": str(id)})
            with suppress(Exception):
                await DBOS.run_step_async(self._step("break_off"), self._jobs.break_off, id)

    async def _make_all(self, id: UUID, pictures: int) -> None:
        # Numbers are drawn in order before anything runs, so that a resumed workflow finds each step's result.
        steps = [DBOS.reserve_step() for _ in range(pictures)]
        made = await asyncio.gather(
            *(step.run_async(self._step("make"), self._jobs.make, id, index) for index, step in enumerate(steps)),
            return_exceptions=True,
        )
        # Only now: a picture that is being paid for must find its generation still open.
        for outcome in made:
            if outcome is not None:
                raise outcome

    def _step(self, name: str) -> StepOptions:
        return StepOptions(name=name, retries_allowed=True, max_attempts=self._step_attempts, interval_seconds=0.5)
