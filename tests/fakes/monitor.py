"""A job engine's books, kept by hand."""

from collections.abc import Sequence
from uuid import UUID


class FakeMonitor:
    """Knows the jobs in `jobs`, and remembers which it was asked for."""

    def __init__(self) -> None:
        self.jobs: set[UUID] = set()
        self.asked: list[UUID] = []

    async def unfinished(self, generation_ids: Sequence[UUID]) -> set[UUID]:
        """Those that are in the books."""
        self.asked += generation_ids
        return self.jobs & set(generation_ids)
