"""Putting pictures into the object store and taking them out again, so that no object is lost and none is left.

A person's pictures with the same bytes share their objects, and each picture's users are counted. Every key is noted
as doomed before its object is written, and no longer is once a row that needs it is committed; it is doomed again when
the last such row goes. What is doomed is removed: at once, or after a crash by the sweep, which claims it first.
"""

import hashlib
import io
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import BinaryIO
from uuid import UUID

from domain.errors import StoreUnavailable
from domain.pictures import (
    MEDIA_TYPES,
    Picture,
    PictureLimits,
    UploadedFile,
    picture_key,
    variant_key,
)
from domain.ports import Clock, Imaging, ObjectStore
from domain.repositories import UnitOfWorkFactory

_log = logging.getLogger(__name__)

MADE_LIMITS = PictureLimits(max_bytes=64 * 1024 * 1024)
"""What a provider's picture may weigh: a 4K PNG is larger than what people may upload."""

PREVIEW_SIDE_PX = 600
STORED_WITHIN = timedelta(hours=1)
"""How long storing a picture may take: after that the sweep takes its objects for left over."""
SWEPT_AT_ONCE = 100


class PictureStore:
    """Pictures with their variants, checked on the way in."""

    def __init__(
        self,
        unit_of_work: UnitOfWorkFactory,
        objects: ObjectStore,
        imaging: Imaging,
        limits: PictureLimits,
        clock: Clock,
    ) -> None:
        self._unit_of_work = unit_of_work
        self.objects = objects
        self.imaging = imaging
        self.limits = limits
        self._clock = clock

    @asynccontextmanager
    async def storing(self, community_id: UUID, file: UploadedFile) -> AsyncIterator[Picture]:
        """Check an uploaded file and store it with its variants, for a row that the block commits.

        What `work.pictures.keep` doesn't take in the block is removed after it. Raises InvalidImage, StoreUnavailable.
        """
        async with self._storing(community_id, file.body, self.limits) as picture:
            yield picture

    @asynccontextmanager
    async def storing_made(self, community_id: UUID, data: bytes) -> AsyncIterator[Picture]:
        """The same for bytes a provider made."""
        async with self._storing(community_id, io.BytesIO(data), MADE_LIMITS) as picture:
            yield picture

    @asynccontextmanager
    async def _storing(self, community_id: UUID, body: BinaryIO, limits: PictureLimits) -> AsyncIterator[Picture]:
        facts, variants = await self.imaging.take_in(body, limits)
        key = picture_key(community_id, facts.media_type)
        picture = Picture(
            key=key,
            sha256=facts.sha256,
            media_type=facts.media_type,
            size_bytes=facts.size_bytes,
            width_px=facts.width_px,
            height_px=facts.height_px,
            placeholder=variants.placeholder,
            variant_keys={size: variant_key(key, size, made.media_type) for size, made in variants.pictures.items()},
        )
        async with self._unit_of_work() as work:
            await work.pictures.doom(picture.keys, self._clock.now())
            await work.commit()
        try:
            await self.objects.put(key, body, facts.media_type)
            for size, made in variants.pictures.items():
                await self.objects.put(picture.variant_keys[size], made.data, made.media_type)
            yield picture
        finally:
            await self.clear_away(picture)

    async def store_preview(self, key_stem: str, data: bytes) -> Picture:
        """A partial picture, made small, under a key of the generation's own; it has no variants."""
        preview = await self.imaging.preview(data, MADE_LIMITS, PREVIEW_SIDE_PX)
        key = f"{key_stem}.{MEDIA_TYPES[preview.media_type]}"
        await self.objects.put(key, preview.data, preview.media_type)
        return Picture(
            key=key,
            sha256=hashlib.sha256(preview.data).hexdigest(),
            media_type=preview.media_type,
            size_bytes=len(preview.data),
            width_px=preview.width_px,
            height_px=preview.height_px,
            placeholder="",
        )

    async def clear_away(self, *pictures: Picture | None) -> None:
        """Remove what is doomed of these pictures' objects. A store that is away keeps them for the sweep."""
        keys = [key for picture in pictures if picture for key in picture.keys]
        async with self._unit_of_work(read_only=True) as work:
            doomed = await work.pictures.doomed(keys)
        if doomed:
            with _left_behind(doomed):
                await self.objects.delete(doomed)
                await self._forget(doomed)

    async def _forget(self, keys: list[str]) -> None:
        async with self._unit_of_work() as work:
            await work.pictures.forget(keys)
            await work.commit()

    async def sweep(self) -> int:
        """Remove what crashes and outages left. Returns how many objects. Raises StoreUnavailable."""
        removed = 0
        while keys := await self._claim():
            await self.objects.delete(keys)
            await self._forget(keys)
            removed += len(keys)
        return removed

    async def _claim(self) -> list[str]:
        async with self._unit_of_work() as work:
            keys = await work.pictures.claim(self._clock.now() - STORED_WITHIN, SWEPT_AT_ONCE)
            await work.commit()
        return keys

    async def discard_folder(self, prefix: str) -> None:
        """Remove every object below a prefix. A store that is away keeps them, unused."""
        with _left_behind([prefix]):
            await self.objects.delete([key async for key in self.objects.keys(prefix)])


@contextmanager
def _left_behind(keys: list[str]) -> Iterator[None]:
    try:
        yield
    except StoreUnavailable:
        _log.warning("objects left behind: the store is unavailable", extra={"keys": keys})
