"""The progress bus of one process: events go to its followers at once, and rows make up for whatever was missed.

Events of other processes, and any hint that got lost, are found by one query for all watched generations every
`poll_s` seconds.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import UUID

from domain.generations import GenerationEvent
from domain.repositories import UnitOfWorkFactory

_log = logging.getLogger(__name__)

QUEUE_SIZE = 256
READ_SIZE = 200


class Follower:
    """One subscriber's bounded queue. On overflow it is emptied: the rows are the truth and are read again."""

    def __init__(self) -> None:
        self._events: deque[GenerationEvent] = deque()
        self._wake = asyncio.Event()

    def offer(self, event: GenerationEvent) -> None:
        """Hand an event over without waiting."""
        if len(self._events) >= QUEUE_SIZE:
            self._events.clear()
        self._events.append(event)
        self._wake.set()

    async def next(self) -> GenerationEvent:
        """The next event; there may be a gap before it."""
        while not self._events:
            self._wake.clear()
            await self._wake.wait()
        return self._events.popleft()


@dataclass(slots=True)
class _Channel:
    """Who follows one generation, and the highest number handed to them."""

    followers: set[Follower] = field(default_factory=set)
    seen: int = 0


class Hub:
    """The EventBus. `run` does the polling."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, poll_s: float) -> None:
        self._unit_of_work = unit_of_work
        self._poll_s = poll_s
        self._channels: dict[UUID, _Channel] = {}

    @property
    def followers(self) -> int:
        """How many subscribers this process serves."""
        return sum(len(channel.followers) for channel in self._channels.values())

    def publish(self, event: GenerationEvent) -> None:
        """Hand an event to everybody in this process who follows its generation."""
        channel = self._channels.get(event.generation_id)
        if channel is None or event.seq <= channel.seen:
            return
        channel.seen = event.seq
        for follower in channel.followers:
            follower.offer(event)

    async def follow(self, generation_id: UUID, after: int) -> AsyncGenerator[GenerationEvent, None]:
        """Every event numbered above `after`, each once and in order; ends after the terminal one."""
        follower = Follower()
        channel = self._channels.setdefault(generation_id, _Channel())
        channel.followers.add(follower)
        try:
            while True:
                # In line before the rows are read, so that nothing falls in between.
                while missed := await self._read(generation_id, after):
                    for event in missed:
                        yield event
                        after = event.seq
                        if event.is_terminal:
                            return
                while (event := await follower.next()).seq <= after + 1:
                    if event.seq <= after:
                        continue
                    yield event
                    after = event.seq
                    if event.is_terminal:
                        return
        finally:
            channel.followers.discard(follower)
            if not channel.followers:
                self._channels.pop(generation_id, None)

    async def _read(self, generation_id: UUID, after: int) -> Sequence[GenerationEvent]:
        async with self._unit_of_work(read_only=True) as work:
            return await work.generations.events(generation_id, after, READ_SIZE)

    async def run(self) -> None:
        """Poll until cancelled. A database that is away is asked again."""
        while True:
            await asyncio.sleep(self._poll_s)
            try:
                await self._catch_up()
            except Exception:  # noqa: BLE001 - subscribers depend on this task: it must outlive anything
                _log.warning("progress poll failed; trying again", exc_info=True)

    async def _catch_up(self) -> None:
        if not self._channels:
            return
        async with self._unit_of_work(read_only=True) as work:
            newest = await work.generations.last_seqs(list(self._channels))
        for id, seq in newest.items():
            channel = self._channels.get(id)
            # A follower may leave while the rows are read: its channel is then gone, and publish ignores the events.
            while channel and channel.seen < seq:
                events = await self._read(id, channel.seen)
                if not events:
                    break
                for event in events:
                    self.publish(event)
                if self._channels.get(id) is not channel:
                    break


async def stop(task: asyncio.Task[None]) -> None:
    """Cancel a background task and wait until it is gone."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
