"""The progress bus of one process: events go to its followers at once, and rows make up for whatever was missed.

Hints tell of events of other processes; one query for all that is followed, every `poll_s` seconds and whenever hints
may have been missed, finds what no hint told of. Rows are read once for all who follow, by one task.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import islice
from uuid import UUID

from domain.generations import GenerationEvent, RunningGeneration
from domain.ports import Clock
from domain.repositories import UnitOfWorkFactory
from engine.followers import Audience, Follower, Owner
from engine.hints import Hint, Hints

_log = logging.getLogger(__name__)

READ_SIZE = 200
READS_AT_ONCE = 4
ASKED_AT_ONCE = 5_000
# However many hints come, the query for all is not asked more often.
LOOK_PAUSE_S = 0.05
# An owner's generation may begin and end between two looks: what began so long before the last one is looked at again.
# Longer than any transaction takes, and than clocks may differ.
RECENT = timedelta(seconds=90)
# Above any number: nothing more is told of it.
_ENDED = 1 << 62


class Hub:
    """The EventBus. `run` does the listening, looking and reading."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, hints: Hints, clock: Clock, poll_s: float) -> None:
        self._unit_of_work = unit_of_work
        self._hints = hints
        self._clock = clock
        self._poll_s = poll_s
        self._audience = Audience()
        self._looked_at = clock.now()
        self.published = 0

    @property
    def followers(self) -> int:
        """How many subscribers this process serves."""
        return self._audience.size

    @property
    def is_connected(self) -> bool:
        """Whether hints go to and come from the other processes just now; without them everything comes later."""
        return self._hints.is_connected

    def publish(self, event: GenerationEvent, owner_id: UUID) -> None:
        """Hand an event to everybody here who follows its generation or all of its owner's; tell other processes."""
        self.published += 1
        self._hints.send(Hint(event.generation_id, owner_id, event.seq))
        self._audience.tell(event, owner_id)

    async def follow(self, generation_id: UUID, after: int) -> AsyncGenerator[GenerationEvent, None]:
        """Every event numbered above `after`, each once and in order; ends after the terminal one."""
        follower = Follower()
        channel = self._audience.join(generation_id, follower)
        try:
            # In line before the rows are read, so that nothing falls in between.
            events = await self._read(generation_id, after)
            if events and channel.seen is None:
                channel.hand_on(events[-1])
            while True:
                for event in events:
                    yield event
                    after = event.seq
                    if event.is_terminal:
                        return
                if len(events) == READ_SIZE:
                    events = await self._read_again(generation_id, after)
                else:
                    events = await self._next(follower, generation_id, after)
        finally:
            self._audience.leave(generation_id, follower)

    async def _next(self, follower: Follower, generation_id: UUID, after: int) -> Sequence[GenerationEvent]:
        """The event that comes next; when there is a gap before it, the rows."""
        while (event := await follower.next()).seq <= after:
            pass
        return [event] if event.seq == after + 1 else await self._read_again(generation_id, after)

    async def follow_all(self, owner_id: UUID) -> AsyncGenerator[GenerationEvent, None]:
        """Every event from now on of all the owner's generations, each once, in order for each; ends never."""
        follower = Follower()
        if not self._audience.owners:
            self._looked_at = self._clock.now()
        owner = self._audience.join_all(owner_id, follower)
        try:
            reached = await self._join(owner_id, owner)
            while True:
                event = await follower.next()
                id, after = event.generation_id, reached.get(event.generation_id, 0)
                events: Sequence[GenerationEvent] = [event] if event.seq > after else []
                if event.seq > after + 1:
                    events = await self._read_again(id, after)
                while events:
                    for event in events:
                        yield event
                        reached[id] = event.seq
                    events = await self._read_again(id, reached[id]) if len(events) == READ_SIZE else []
        finally:
            self._audience.leave_all(owner_id, follower)

    async def _join(self, owner_id: UUID, owner: Owner) -> dict[UUID, int]:
        """How far each of the owner's generations has come; those that aren't there are yet to begin."""
        # One after the other: the first one tells the audience where to go on from, the others start further on.
        async with owner.joining:
            known = list(owner.generations)
            async with self._unit_of_work(read_only=True) as work:
                listed = await work.generations.running_of([owner_id], self._looked_at - RECENT)
            if not owner.is_known:
                self._introduce(owner, listed)
        return dict.fromkeys(known, _ENDED) | {row.id: row.event_seq for row in listed}

    def _introduce(self, owner: Owner, listed: Sequence[RunningGeneration]) -> None:
        for row in listed:
            channel = self._audience.own(row.id, owner, row.event_seq)
            channel.has_ended = row.has_ended and channel.seen == row.event_seq
            self._audience.note(row.id, row.event_seq)
        owner.is_known = True
        if owner.has_news:
            self._audience.is_unsure.set()

    async def _read(self, generation_id: UUID, after: int) -> Sequence[GenerationEvent]:
        async with self._unit_of_work(read_only=True) as work:
            return await work.generations.events(generation_id, after, READ_SIZE)

    async def _read_again(self, generation_id: UUID, after: int) -> Sequence[GenerationEvent]:
        """The rows as soon as they can be read: a subscriber who has begun isn't let down by a restart."""
        while True:
            try:
                return await self._read(generation_id, after)
            except Exception as problem:  # noqa: BLE001 - whatever the driver calls an outage
                _log.warning("progress not read; trying again", extra={"reason": type(problem).__name__})
            await asyncio.sleep(self._poll_s)

    async def run(self) -> None:
        """Listen, look and read until cancelled. A database that is away is asked again."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._hints.run(self._heard, self._audience.is_unsure.set))
            tasks.create_task(self._look_out())
            tasks.create_task(self._catch_up())

    def _heard(self, hint: Hint) -> None:
        self._audience.hear(hint.generation_id, hint.owner_id, hint.seq)

    async def _look_out(self) -> None:
        is_failing = False
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll_s):
                    await self._audience.is_unsure.wait()
            self._audience.is_unsure.clear()
            try:
                await self._look()
                is_failing = False
            except Exception:  # noqa: BLE001 - subscribers depend on this task: it must outlive anything
                if not is_failing:
                    _log.warning("progress poll failed; trying again", exc_info=True)
                is_failing = True
            await asyncio.sleep(LOOK_PAUSE_S)

    async def _look(self) -> None:
        """Ask how far everything has come that is followed here."""
        began, channels = self._clock.now(), self._audience.channels
        owners = {id: owner for id, owner in self._audience.owners.items() if owner.is_known}
        running = [id for id, channel in channels.items() if not channel.has_ended]
        ended = {id for id, channel in channels.items() if channel.has_ended}
        if not running and not owners:
            return
        async with self._unit_of_work(read_only=True) as work:
            for start in range(0, len(running), ASKED_AT_ONCE):
                newest = await work.generations.last_seqs(running[start : start + ASKED_AT_ONCE])
                for id, seq in newest.items():
                    self._audience.note(id, seq)
            if not owners:
                return
            ids, listed = list(owners), list[RunningGeneration]()
            for start in range(0, len(ids), ASKED_AT_ONCE):
                some = ids[start : start + ASKED_AT_ONCE]
                listed += await work.generations.running_of(some, self._looked_at - RECENT)
        for row in listed:
            # The owner's followers may have left meanwhile.
            if self._audience.owners.get(row.owner_id) is owners[row.owner_id]:
                self._audience.own(row.id, owners[row.owner_id], 0)
                self._audience.note(row.id, row.event_seq)
        self._audience.forget(ended - {row.id for row in listed})
        self._looked_at = max(self._looked_at, began)

    async def _catch_up(self) -> None:
        """Read the rows that were told of; what can't be read is found again by the next look."""
        while True:
            await self._audience.is_behind.wait()
            some = list(islice(self._audience.behind, READS_AT_ONCE))
            for id in some:
                del self._audience.behind[id]
            if not self._audience.behind:
                self._audience.is_behind.clear()
            outcomes = await asyncio.gather(*map(self._hand_on_rows, some), return_exceptions=True)
            if problem := next(filter(None, outcomes), None):
                _log.warning("progress not read; the next poll tries again", extra={"reason": type(problem).__name__})

    async def _hand_on_rows(self, generation_id: UUID) -> None:
        channel = self._audience.channels.get(generation_id)
        if channel is None:
            return
        events = await self._read(generation_id, channel.seen or 0)
        for event in events:
            if event.seq > (channel.seen or 0):
                channel.hand_on(event)
        if len(events) == READ_SIZE:
            self._audience.note(generation_id, events[-1].seq + 1)


async def stop(task: asyncio.Task[None]) -> None:
    """Cancel a background task and wait until it is gone."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
