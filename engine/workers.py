"""Generations as DBOS workflows: durable from the transaction that asked for them.

The steps repeat themselves safely, so a step that fails is simply run again, and a workflow that a crash cut off goes
on from its last finished step, in whatever process. DBOS's traps are listed in `docs/decisions`.
"""

import asyncio
import logging
import math
import threading
from collections.abc import Callable
from contextlib import suppress
from uuid import UUID

import sqlalchemy as sa
from anyio import to_thread
from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer, StepOptions, error

from domain.generation_jobs import GenerationJobs
from engine.dbos_inside import is_trouble, take_over
from engine.jobs import APPLICATION
from engine.liveness import SCHEMA, Liveness, new_worker_id
from engine.locks import WorkerLock
from engine.lost_jobs import LostJobs
from engine.queues import VERSION, WORKFLOW, WorkLimits, listen, register

_log = logging.getLogger(__name__)

# The lock on the data folder sees to it that there is only one.
EMBEDDED_WORKER = "local"
# With the growing pauses between them seven minutes: a database that is away must not cost a generation.
STEP_ATTEMPTS = 16
STEP_PAUSE_S = 0.5
STEP_PAUSE_GROWTH = 1.5
MAX_THREADS = 64
CUT_OFF_S = 5
_PREEMPTIBLE = {"prepare", "make"}
# What DBOS stops a workflow with that is no longer this process's: cancelled, or taken over by another worker.
_NOT_OURS = (error.DBOSWorkflowCancelledError, error.DBOSWorkflowConflictIDError)


def _config(engine: sa.Engine, executor_id: str, *, is_traced: bool) -> DBOSConfig:
    return DBOSConfig(
        name=APPLICATION,
        system_database_engine=engine,
        system_database_url=None,
        dbos_system_schema=SCHEMA,
        executor_id=executor_id,
        application_version=VERSION,
        serializer=DBOSPortableJSONSerializer(),
        use_listen_notify=False,
        max_executor_threads=MAX_THREADS,
        log_level="WARNING",
        # With the process's own tracer: no address is given.
        enable_otlp=is_traced,
        otel_attribute_format="semconv",
    )


def _take_over_all() -> None:
    """Put back in line what any other worker left: on SQLite there is none but this one."""
    left = DBOS.list_workflows(status="PENDING", load_input=False, load_output=False)
    take_over(sorted({job.executor_id for job in left if job.executor_id} - {EMBEDDED_WORKER}))


class JobEngine:
    """Runs generations in this process, on the event loop that starts it."""

    def __init__(
        self,
        engine: sa.Engine,
        jobs: GenerationJobs,
        limits: WorkLimits,
        *,
        dead_s: float = 30,
        is_traced: bool = False,
        step_attempts: int = STEP_ATTEMPTS,
    ) -> None:
        self._engine = engine
        self._jobs = jobs
        self._limits = limits
        self._is_traced = is_traced
        self._step_attempts = step_attempts
        self._lock = WorkerLock(engine)
        self._running: set[asyncio.Task[None]] = set()
        self._is_started = False
        self._liveness: Liveness | None = None
        self.worker_id = EMBEDDED_WORKER
        if engine.dialect.name != "sqlite":
            self.worker_id = new_worker_id()
            self._liveness = Liveness(engine, self.worker_id, dead_s, take_over)
        self._lost_jobs = LostJobs(engine, self.worker_id, dead_s)
        self._looking: asyncio.Task[None] | None = None

    @property
    def running(self) -> int:
        """How many generations this process is working on."""
        return len(self._running)

    @property
    def is_alive(self) -> bool:
        """Whether every queue is listened to, and the other workers know it."""
        listening = {thread.name for thread in threading.enumerate()}
        return (
            self._is_started
            and all(f"queue-worker-{name}" in listening for name in self._limits.queues)
            and (self._liveness is None or self._liveness.is_seen)
        )

    def claim(self) -> None:
        """Make sure that no other process works on this data folder. Raises AnotherWorker."""
        self._lock.acquire()

    async def start(self) -> None:
        """Take up what an earlier process left, and listen for more."""
        if self._liveness:
            await to_thread.run_sync(self._liveness.start)
        logging.getLogger("dbos").addFilter(is_trouble)
        DBOS(config=_config(self._engine, self.worker_id, is_traced=self._is_traced))
        DBOS.workflow(name=WORKFLOW)(self._workflow())
        listen(self._limits)
        # On the loop's own thread: DBOS runs workflows on the loop that launched it.
        DBOS.launch()
        await to_thread.run_sync(register, self._limits)
        if self._liveness is None:
            await to_thread.run_sync(_take_over_all)
        self._looking = asyncio.create_task(self._lost_jobs.run())
        self._is_started = True

    async def aclose(self, drain_s: float) -> None:
        """Claim nothing new, give running work `drain_s` seconds, then cut it off; others, or the next start, go on."""
        self._is_started = False
        if self._looking:
            self._looking.cancel()
        if self._liveness:
            self._liveness.retire()
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
        if self._liveness:
            # Last: from here on the others take what was cut off.
            await to_thread.run_sync(self._liveness.stop)
        self._lock.release()

    def _workflow(self) -> "Callable[[str], object]":
        async def generate(generation_id: str) -> None:
            task = asyncio.current_task()
            if task:
                self._running.add(task)
                task.add_done_callback(self._running.discard)
            try:
                await self._generate(UUID(generation_id))
            except _NOT_OURS:
                # DBOS waits in this task for what becomes of it elsewhere; nobody need wait for that.
                if task:
                    self._running.discard(task)
                raise

        return generate

    async def _generate(self, id: UUID) -> None:
        try:
            await self._make_all(id, await DBOS.run_step_async(self._step("prepare"), self._jobs.prepare, id))
            await DBOS.run_step_async(self._step("finish"), self._jobs.finish, id)
        except _NOT_OURS:
            await self._clean_up(id)
            raise
        except Exception:  # noqa: BLE001 - whatever it was, nobody may wait for this generation for ever
            _log.exception("generation broken off", extra={"generation_id": str(id)})
            with suppress(Exception):
                # DBOS takes a step's result from the owner alone, but after the step: an empty one first, so that a
                # worker that was given up ends nothing that another one goes on with.
                await DBOS.run_step_async(StepOptions(name="own"), _nothing)
                await DBOS.run_step_async(self._step("break_off"), self._jobs.break_off, id)

    async def _make_all(self, id: UUID, pictures: int) -> None:
        # Numbers are drawn in order before anything runs, so that a resumed workflow finds each step's result.
        steps = [DBOS.reserve_step() for _ in range(pictures)]
        made = await asyncio.gather(
            *(step.run_async(self._step("make"), self._jobs.make, id, index) for index, step in enumerate(steps)),
            return_exceptions=True,
        )
        # Only now: a picture that is being paid for must find its generation still open.
        broken = [outcome for outcome in made if outcome is not None]
        # That the generation is no longer ours goes before what happened to a picture.
        for outcome in sorted(broken, key=lambda outcome: isinstance(outcome, Exception)):
            raise outcome

    async def _clean_up(self, id: UUID) -> None:
        try:
            await self._jobs.clean_up(id)
        except Exception as problem:  # noqa: BLE001 - whatever it was, a sweep does it later
            extra = {"generation_id": str(id), "problem": type(problem).__name__}
            _log.warning("not cleaned up after a generation", extra=extra)

    def _step(self, name: str) -> StepOptions:
        return StepOptions(
            name=name,
            retries_allowed=True,
            max_attempts=self._step_attempts,
            interval_seconds=STEP_PAUSE_S,
            backoff_rate=STEP_PAUSE_GROWTH,
            # A provider is asked to stop; what is written at the end is written whole.
            preemptible=name in _PREEMPTIBLE,
        )


async def _nothing() -> None:
    """A step that only asks DBOS whether this process still owns the workflow."""
