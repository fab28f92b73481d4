"""An event bus in memory: replays what was published, then waits for more."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator
from itertools import count
from uuid import UUID

from domain.generations import GenerationEvent


class FakeEventBus:
    """Keeps every event, and knows how many are following."""

    def __init__(self) -> None:
        self.followers = 0
        self._events: dict[UUID, list[GenerationEvent]] = defaultdict(list)
        self._news = asyncio.Condition()
        self._waking: set[asyncio.Task[None]] = set()

    def publish(self, event: GenerationEvent) -> None:
        """Keep an event, and wake the followers."""
        self._events[event.generation_id].append(event)
        waking = asyncio.ensure_future(self._wake())
        self._waking.add(waking)
        waking.add_done_callback(self._waking.discard)

    async def _wake(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def follow(self, generation_id: UUID, after: int) -> AsyncGenerator[GenerationEvent, None]:
        """Every event above `after`, whose numbers count from 1; ends after the terminal one."""
        events = self._events[generation_id]
        self.followers += 1
        try:
            for place in count(after):
                async with self._news:
                    while len(events) <= place:
                        await self._news.wait()
                yield events[place]
                if events[place].is_terminal:
                    return
        finally:
            self.followers -= 1
