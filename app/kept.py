"""What is costly to find out and asked for by anybody: found once, and kept for a moment."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Found = TypeVar("Found")


class Kept(Generic[Found]):
    """The answer of `look`, `kept_s` seconds old at most. However many ask, nobody looks twice at a time."""

    def __init__(
        self, look: Callable[[], Awaitable[Found]], kept_s: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._look = look
        self._kept_s = kept_s
        self._now = now
        self._looking: asyncio.Task[Found] | None = None
        self._until = float("-inf")

    async def get(self) -> Found:
        """The answer. Raises what looking raises."""
        if self._looking is None or (self._looking.done() and self._now() >= self._until):
            self._looking = asyncio.create_task(self._found())
        # Whoever asks may go away; the others who wait for the same answer stay.
        return await asyncio.shield(self._looking)

    async def _found(self) -> Found:
        try:
            return await self._look()
        finally:
            self._until = self._now() + self._kept_s

    async def aclose(self) -> None:
        """Give up looking."""
        if self._looking:
            self._looking.cancel()
            await asyncio.wait([self._looking])
