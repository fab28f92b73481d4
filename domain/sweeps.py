"""Sweeps: putting right, now and then, what crashes left, and clearing away what is of no use any more.

Each may run at any time, again, and on several machines at once.
"""

import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from uuid import UUID

from domain.generation_jobs import GenerationJobs
from domain.generations import spent
from domain.picture_store import PictureStore
from domain.ports import Clock, Jobs
from domain.quotas import settle
from domain.repositories import UnitOfWorkFactory

_log = logging.getLogger(__name__)

LEFT_ALONE = timedelta(minutes=10)
"""How long a generation that was just asked for, or has just ended, isn't taken for one that a crash left."""
THOROUGH_EVERY = timedelta(hours=1)
"""How often what takes longer is swept, by each process."""
FOLDERS_KEPT = timedelta(days=1)
JOBS_KEPT = timedelta(days=7)
HOLDS_SINCE = timedelta(days=7)
"""How far back it is looked for what ended without settling: not through the whole ledger."""
IDS_AT_ONCE = 200

_ROUTINE = frozenset({"folders", "jobs"})


class Sweeps:
    """What crashes leave: objects without a row, generations without a job, quota that nobody uses, and old folders."""

    def __init__(
        self,
        unit_of_work: UnitOfWorkFactory,
        pictures: PictureStore,
        jobs: GenerationJobs,
        line: Jobs,
        clock: Clock,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._pictures = pictures
        self._jobs = jobs
        self._line = line
        self._clock = clock
        self._thorough_at = clock.now()

    async def run(self) -> None:
        """All that is due; one that fails doesn't keep the others from running."""
        due = {"objects": self._pictures.sweep, "generations": self._lost_generations}
        if self._clock.now() >= self._thorough_at:
            self._thorough_at = self._clock.now() + THOROUGH_EVERY
            due |= {"holds": self._holds, "folders": self._folders, "jobs": self._ended_jobs}
        for noun, sweep in due.items():
            swept = await self._safely(noun, sweep)
            if swept and noun in _ROUTINE:
                _log.info("swept", extra={noun: swept})
            elif swept:
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
            running = await work.generations.running(self._clock.now() - LEFT_ALONE)
        lost = set(running) - await self._line.unfinished(running)
        return sum([await self._safely("generations", partial(self._end, id)) for id in lost])

    async def _end(self, id: UUID) -> int:
        await self._jobs.break_off(id)
        return 1

    async def _holds(self) -> int:
        """Settle what generations still hold that have ended: that can't be, and must not use up a quota if it is."""
        now = self._clock.now()
        async with self._unit_of_work(read_only=True) as work:
            held = await work.usage.held_by_ended(now - HOLDS_SINCE, now - LEFT_ALONE)
        return sum([await self._safely("holds", partial(self._settle, id)) for id in held])

    async def _settle(self, id: UUID) -> int:
        async with self._unit_of_work() as work:
            generation = await work.generations.load(id)
            if generation is None:
                return 0
            made = sum(event.image_id is not None for event in await work.generations.outcomes(id))
            cost = spent(await work.generations.attempts_of([id]), generation)
            await settle(work, generation, made, cost, self._clock.now())
            await work.commit()
        return 1

    async def _folders(self) -> int:
        """Remove what only the work on a generation needed, and its previews, a day after its end."""
        async with self._unit_of_work(read_only=True) as work:
            communities = await work.users.community_ids()
        swept = 0
        for community_id in communities:
            for kind in ("staging", "previews"):
                swept += await self._folders_in(f"{community_id}/{kind}/")
        return swept

    async def _folders_in(self, prefix: str) -> int:
        swept, ids = 0, set[UUID]()
        async for key in self._pictures.objects.keys(prefix):
            id = _generation_of(key)
            if id is None or id in ids:
                continue
            if len(ids) == IDS_AT_ONCE:
                swept += await self._discard_ended(prefix, ids)
                ids = set()
            ids.add(id)
        return swept + await self._discard_ended(prefix, ids)

    async def _discard_ended(self, prefix: str, ids: set[UUID]) -> int:
        if not ids:
            return 0
        async with self._unit_of_work(read_only=True) as work:
            ended = await work.generations.ended(list(ids), self._clock.now() - FOLDERS_KEPT)
        if ended:
            async with self._unit_of_work() as work:
                await work.generations.drop_previews(list(ended))
                await work.commit()
        for id in ended:
            await self._pictures.discard_folder(f"{prefix}{id}/")
        return len(ended)

    async def _ended_jobs(self) -> int:
        return await self._line.forget(self._clock.now() - JOBS_KEPT)


def _generation_of(key: str) -> UUID | None:
    """Whose folder an object is in: `{community}/{kind}/{generation}/...`."""
    try:
        return UUID(key.split("/")[2])
    except ValueError:
        return None
