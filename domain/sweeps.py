"""Sweeps: putting right, now and then, what crashes left. Each may run at any time, on several machines at once."""

import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from uuid import UUID

from domain.generation_jobs import GenerationJobs
from domain.picture_store import PictureStore
from domain.ports import Clock, JobMonitor
from domain.repositories import UnitOfWorkFactory

_log = logging.getLogger(__name__)

STARTS_WITHIN = timedelta(minutes=10)
"""How long after its transaction a generation may be missing from the job engine's books."""


class Sweeps:
    """What crashes leave: objects without a row, and generations without a job, with the quota they hold."""

    def __init__(
        self,
        unit_of_work: UnitOfWorkFactory,
        pictures: PictureStore,
        jobs: GenerationJobs,
        monitor: JobMonitor,
        clock: Clock,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._pictures = pictures
        self._jobs = jobs
        self._monitor = monitor
        self._clock = clock

    async def run(self) -> None:
        """All of them; one that fails doesn't keep the others from running."""
        for noun, sweep in (("objects", self._pictures.sweep), ("generations", self._lost_generations)):
            swept = await self._safely(noun, sweep)
            if swept:
                _log.warning("swept up after a crash", extra={noun: swept})

    async def _safely(self, noun: str, sweep: Callable[[], Awaitable[int]]) -> int:
        try:
            return await sweep()
        except Exception:  # noqa: BLE001 - whatever it was, the next time may be better
            _log.exception("a sweep failed", extra={"sweep": noun})
            return 0

    async def _lost_generations(self) -> int:
        """End generations that no job will end, each by itself; that releases what they reserved."""
        async with self._unit_of_work(read_only=True) as work:
            running = await work.generations.running(self._clock.now() - STARTS_WITHIN)
        lost = set(running) - await self._monitor.unfinished(running)
        return sum([await self._safely("generations", partial(self._end, id)) for id in lost])

    async def _end(self, id: UUID) -> int:
        await self._jobs.break_off(id)
        return 1
