"""An event bus that remembers what went over it."""

from collections.abc import AsyncGenerator
from uuid import UUID

from domain.generations import GenerationEvent


class RecordedBus:
    """Followers get what was published so far; `follows` has the numbers they came with, `left` counts who let go.

    `owners` has whose each published event was.
    """

    def __init__(self) -> None:
        self.published: list[GenerationEvent] = []
        self.owners: list[UUID] = []
        self.follows: list[int] = []
        self.left = 0

    def publish(self, event: GenerationEvent, owner_id: UUID) -> None:
        """Remember the event."""
        self.published.append(event)
        self.owners.append(owner_id)

    async def follow(self, generation_id: UUID, after: int) -> AsyncGenerator[GenerationEvent, None]:
        """What was published of the generation above `after`."""
        self.follows.append(after)
        try:
            for event in self.published:
                if event.generation_id == generation_id and event.seq > after:
                    yield event
        finally:
            self.left += 1

    async def follow_all(self, owner_id: UUID) -> AsyncGenerator[GenerationEvent, None]:
        """What was published of the owner's."""
        try:
            for event, owner in zip(self.published, self.owners, strict=True):
                if owner == owner_id:
                    yield event
        finally:
            self.left += 1
