"""The formats that are taken in, as Pillow calls them; `domain.picture_formats` tells which one bytes are in."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Format:
    """A format: its plugin in Pillow and its media type."""

    plugin: str
    media_type: str


JPEG = Format("JPEG", "image/jpeg")
PNG = Format("PNG", "image/png")
WEBP = Format("WEBP", "image/webp")
GIF = Format("GIF", "image/gif")
AVIF = Format("AVIF", "image/avif")
HEIC = Format("HEIF", "image/heic")

BY_MEDIA_TYPE = {taken.media_type: taken for taken in (JPEG, PNG, WEBP, GIF, AVIF, HEIC)}
