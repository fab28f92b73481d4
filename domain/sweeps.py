"""Sweeps: putting right, now and then, what crashes left. Each may run at any time, on several machines at once."""

import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

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
        await self._count("objects", self._pictures.sweep)
        await self._count("generations", self._lost_generations)

    async def _count(self, noun: str, sweep: Callable[[], Awaitable[int]]) -> None:
        try:
            swept = await sweep()
        except Exception:  # noqa: BLE001 - whatever it was, the next time may be better
            _log.exception("a sweep failed", extra={"sweep": noun})
            return
        if swept:
            _log.warning("swept up after a crash", extra={noun: swept})

    async def _lost_generations(self) -> int:
        """End generations that no job will end; that releases what they reserved."""
        async with self._unit_of_work(read_only=True) as work:
            running = await work.generations.running(self._clock.now() - STARTS_WITHIN)
        lost = set(running) - await self._monitor.unfinished(running)
        for id in lost:
            await self._jobs.break_off(id)
        return len(lost)
