"""Putting pictures into the object store and taking them out again, in the order that loses nothing.

The object is written before the row that names it, and removed after the row is gone: a crash in between leaves an
unused object, never a row without its picture.
"""

import hashlib
import io
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
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
from domain.ports import Imaging, ObjectStore

_log = logging.getLogger(__name__)

MADE_LIMITS = PictureLimits(max_bytes=64 * 1024 * 1024)
"""What a provider's picture may weigh: a 4K PNG is larger than what people may upload."""

PREVIEW_SIDE_PX = 600


class PictureLibrary:
    """Pictures with their variants, checked on the way in."""

    def __init__(self, objects: ObjectStore, imaging: Imaging, limits: PictureLimits) -> None:
        self.objects = objects
        self.imaging = imaging
        self.limits = limits

    async def store(self, community_id: UUID, folder: str, file: UploadedFile) -> Picture:
        """Check an uploaded file and store it with its variants. Raises InvalidImage, StoreUnavailable."""
        return await self._store(community_id, folder, file.body, None, self.limits)

    async def store_made(self, community_id: UUID, data: bytes, id: UUID) -> Picture:
        """The same for bytes a provider made; the key follows from `id`, so that repeating overwrites."""
        return await self._store(community_id, "images", io.BytesIO(data), id, MADE_LIMITS)

    async def _store(
        self, community_id: UUID, folder: str, body: BinaryIO, id: UUID | None, limits: PictureLimits
    ) -> Picture:
        facts, variants = await self.imaging.take_in(body, limits)
        key = picture_key(community_id, folder, facts.media_type, id)
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
        async with self.kept_if_committed(picture):
            await self.objects.put(key, body, facts.media_type)
            for size, made in variants.pictures.items():
                await self.objects.put(picture.variant_keys[size], made.data, made.media_type)
        return picture

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

    @asynccontextmanager
    async def kept_if_committed(self, picture: Picture | None) -> AsyncIterator[None]:
        """Remove the picture's objects again when the block fails, as when its row could not be written."""
        try:
            yield
        except Exception:
            # Not when it is cancelled: that may come after the commit, and a row must never lose its picture.
            await self.discard(picture)
            raise

    async def discard(self, *pictures: Picture | None) -> None:
        """Remove objects whose rows are gone. A store that is away keeps them, unused."""
        keys = [key for picture in pictures if picture for key in picture.keys]
        if keys:
            with _left_behind(keys):
                await self.objects.delete(keys)

    async def discard_folder(self, prefix: str) -> None:
        """The same for every object below a prefix."""
        with _left_behind([prefix]):
            await self.objects.delete([key async for key in self.objects.keys(prefix)])


@contextmanager
def _left_behind(keys: list[str]) -> Iterator[None]:
    try:
        yield
    except StoreUnavailable:
        _log.warning("objects left behind: the store is unavailable", extra={"keys": keys})
