"""An event bus in memory: replays what was published, then waits for more."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import aclosing
from itertools import count
from uuid import UUID

from domain.generations import GenerationEvent


class FakeEventBus:
    """Keeps every event, and knows how many are following."""

    def __init__(self) -> None:
        self.followers = 0
        self._events: dict[UUID, list[GenerationEvent]] = defaultdict(list)
        self._of_owners: dict[UUID, list[GenerationEvent]] = defaultdict(list)
        self._news = asyncio.Condition()
        self._waking: set[asyncio.Task[None]] = set()

    def publish(self, event: GenerationEvent, owner_id: UUID) -> None:
        """Keep an event, and wake the followers."""
        self._events[event.generation_id].append(event)
        self._of_owners[owner_id].append(event)
        waking = asyncio.ensure_future(self._wake())
        self._waking.add(waking)
        waking.add_done_callback(self._waking.discard)

    async def _wake(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def follow(self, generation_id: UUID, after: int) -> AsyncGenerator[GenerationEvent, None]:
        """Every event above `after`, whose numbers count from 1; ends after the terminal one."""
        async with aclosing(self._from(self._events[generation_id], after)) as events:
            async for event in events:
                yield event
                if event.is_terminal:
                    return

    async def follow_all(self, owner_id: UUID) -> AsyncGenerator[GenerationEvent, None]:
        """Every event of the owner's that is yet to be published."""
        so_far = self._of_owners[owner_id]
        async with aclosing(self._from(so_far, len(so_far))) as events:
            async for event in events:
                yield event

    async def _from(self, events: list[GenerationEvent], place: int) -> AsyncGenerator[GenerationEvent, None]:
        self.followers += 1
        try:
            for here in count(place):
                async with self._news:
                    while len(events) <= here:
                        await self._news.wait()
                yield events[here]
        finally:
            self.followers -= 1
