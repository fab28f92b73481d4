"""A picture as the store holds it: one original and its smaller variants, plus the limits a picture must keep.

Keys only, never URLs: URLs are minted when they are read.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import BinaryIO
from uuid import UUID, uuid4

MEDIA_TYPES = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/webp": "webp",
    "image/gif": "gif",
    "image/avif": "avif",
    "image/heic": "heic",
}
"""Every media type that is taken in, with the extension of its key."""


class VariantSize(StrEnum):
    """The sizes of a picture: the longest side in pixels, never enlarged."""

    ORIGINAL = "ORIGINAL"
    THUMBNAIL = "THUMBNAIL"
    MEDIUM = "MEDIUM"
    LARGE = "LARGE"


VARIANT_SIDES_PX = {VariantSize.LARGE: 600, VariantSize.MEDIUM: 300, VariantSize.THUMBNAIL: 100}
"""Largest first, so that each can be made from the one before."""


@dataclass(frozen=True, slots=True)
class PictureLimits:
    """What a picture may weigh at most."""

    max_bytes: int = 20 * 1024 * 1024
    max_pixels: int = 50_000_000


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """What looking into a picture's bytes told. Width and height are as shown, after EXIF orientation."""

    media_type: str
    width_px: int
    height_px: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class EncodedPicture:
    """A picture's bytes, whole, in memory: a variant, a preview, or a reference on its way to a provider."""

    data: bytes
    media_type: str
    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True)
class Variants:
    """The smaller pictures of one original, and its ThumbHash (base64)."""

    pictures: dict[VariantSize, EncodedPicture]
    placeholder: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A stored picture. `variant_keys` maps a size to the key of its object; a missing size means the original."""

    key: str
    sha256: str
    media_type: str
    size_bytes: int
    width_px: int
    height_px: int
    placeholder: str
    variant_keys: dict[VariantSize, str] = field(default_factory=dict)

    @property
    def keys(self) -> tuple[str, ...]:
        """Every object of this picture."""
        return (self.key, *self.variant_keys.values())

    def key_of(self, size: VariantSize) -> str:
        """The key of the object to show for `size`."""
        return self.variant_keys.get(size, self.key)


@dataclass(frozen=True, slots=True)
class SignedUrl:
    """An absolute URL that needs no further credentials; `expires_at` is None when it never expires."""

    url: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file a client sent, spooled to disk. `filename` is what the client called it and never a path of ours."""

    filename: str
    body: BinaryIO


def picture_key(community_id: UUID, media_type: str) -> str:
    """A new object key such as `{community}/images/{uuid}.png`."""
    return f"{community_id}/images/{uuid4()}.{MEDIA_TYPES[media_type]}"


def variant_key(original_key: str, size: VariantSize, media_type: str) -> str:
    """The key of a variant: beside its original, so that repeating the work overwrites."""
    stem = original_key.rsplit(".", 1)[0]
    return f"{stem}_{VARIANT_SIDES_PX[size]}.{MEDIA_TYPES[media_type]}"
