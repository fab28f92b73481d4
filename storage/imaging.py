"""Pillow behind the Imaging port: every picture is worked on in a thread, and only so many at once."""

from collections.abc import Callable
from typing import BinaryIO, TypeVar

from anyio import CapacityLimiter, to_thread

from domain.pictures import EncodedPicture, PictureFacts, PictureLimits, Variants

_T = TypeVar("_T")


class PillowImaging:
    """Looks into pictures and makes smaller ones, `max_parallel` at once: each may take tens of megabytes."""

    def __init__(self, max_parallel: int = 2) -> None:
        self._limiter = CapacityLimiter(max_parallel)

    async def take_in(self, body: BinaryIO, limits: PictureLimits) -> tuple[PictureFacts, Variants]:
        """Prove a new picture whole and make its variants, with one decode."""

        def work() -> tuple[PictureFacts, Variants]:
            from storage import pixels

            return pixels.take_in(body, limits)

        return await self._off_loop(work)

    async def for_provider(self, data: bytes, max_side_px: int) -> EncodedPicture:
        """A reference as providers get it."""

        def work() -> EncodedPicture:
            from storage import pixels

            return pixels.for_provider(data, max_side_px)

        return await self._off_loop(work)

    async def preview(self, data: bytes, limits: PictureLimits, max_side_px: int) -> EncodedPicture:
        """A partial picture, checked and made small."""

        def work() -> EncodedPicture:
            from storage import pixels

            return pixels.preview(data, limits, max_side_px)

        return await self._off_loop(work)

    async def _off_loop(self, work: Callable[[], _T]) -> _T:
        return await to_thread.run_sync(work, limiter=self._limiter)
