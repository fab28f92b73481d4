"""What the rules need from the world outside: storage, pictures, secrets, jobs, the bus and the clock."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import BinaryIO, Protocol

from domain.pictures import EncodedPicture, PictureFacts, PictureLimits, SignedUrl, Variants


class Clock(Protocol):
    """Where the time comes from; tests set it."""

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""


class ObjectStore(Protocol):
    """Bytes by key. Every method raises StoreUnavailable when the store can't be reached."""

    async def put(self, key: str, body: BinaryIO | bytes, media_type: str) -> None:
        """Store or replace an object whole, streaming from the body's present position; checked on arrival."""

    async def get(self, key: str, max_bytes: int) -> bytes:
        """An object's bytes. Raises ObjectMissing, and StoreUnavailable when it is larger than `max_bytes`."""

    async def exists(self, key: str) -> bool:
        """Whether the object is there."""

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; those that aren't there count as removed."""

    def keys(self, prefix: str) -> AsyncIterator[str]:
        """The keys that start with `prefix`."""

    def url(self, key: str) -> SignedUrl:
        """An absolute URL for reading, minted without a round trip; equal for a while, so that browsers cache."""

    async def check(self) -> None:
        """Write, read and remove a small object. Raises StoreUnavailable with what is wrong, in words."""


class Imaging(Protocol):
    """Looking into pictures and making smaller ones; never on the event loop."""

    async def inspect(self, body: BinaryIO, limits: PictureLimits) -> PictureFacts:
        """Prove the bytes a whole picture within the limits (header first, then a full decode); rewinds the body.

        Raises InvalidImage with its reason.
        """

    async def variants(self, body: BinaryIO) -> Variants:
        """The 600, 300 and 100 px pictures (longest side, never enlarged), upright, without metadata. Rewinds."""

    async def for_provider(self, data: bytes, max_side_px: int) -> EncodedPicture:
        """A reference as providers get it: JPEG, or PNG where it has transparency; upright, no metadata, shrunk.

        Raises InvalidImage.
        """

    async def preview(self, data: bytes, limits: PictureLimits, max_side_px: int) -> EncodedPicture:
        """A partial picture, checked and made small. Raises InvalidImage."""
