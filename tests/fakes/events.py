"""An event bus that remembers what went over it."""

from collections.abc import AsyncGenerator
from uuid import UUID

from domain.generations import GenerationEvent


class RecordedBus:
    """Followers get what was published so far; `follows` has the numbers they came with, `left` counts who let go."""

    def __init__(self) -> None:
        self.published: list[GenerationEvent] = []
        self.follows: list[int] = []
        self.left = 0

    def publish(self, event: GenerationEvent) -> None:
        """Remember the event."""
        self.published.append(event)

    async def follow(self, generation_id: UUID, after: int) -> AsyncGenerator[GenerationEvent, None]:
        """What was published of the generation above `after`."""
        self.follows.append(after)
        try:
            for event in self.published:
                if event.generation_id == generation_id and event.seq > after:
                    yield event
        finally:
            self.left += 1
