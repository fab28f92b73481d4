"""A job engine's books, kept by hand."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID


class FakeJobs:
    """Knows the jobs in `jobs`. `asked`, `cancelled` and `forgotten` (moments) have every call in order."""

    def __init__(self) -> None:
        self.jobs: set[UUID] = set()
        self.asked: list[UUID] = []
        self.cancelled: list[UUID] = []
        self.forgotten: list[datetime] = []
        self.ended = 0

    async def unfinished(self, generation_ids: Sequence[UUID]) -> set[UUID]:
        """Those that are in the books."""
        self.asked += generation_ids
        return self.jobs & set(generation_ids)

    async def cancel(self, generation_id: UUID) -> None:
        """Strike the job out."""
        self.cancelled.append(generation_id)
        self.jobs.discard(generation_id)

    async def forget(self, ended_before: datetime) -> int:
        """Forget all that have `ended`."""
        self.forgotten.append(ended_before)
        forgotten, self.ended = self.ended, 0
        return forgotten
