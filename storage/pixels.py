"""What Pillow does for us, in plain functions that block: prove a picture whole, shrink it, encode it.

`storage.imaging` calls these off the event loop and imports this module when the first picture comes, because Pillow
is slow to import. The functions with a port method's name do what that method says.
"""

import hashlib
import io
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import pillow_heif
from PIL import Image, ImageCms

from domain.errors import InvalidImage, InvalidImageReason
from domain.picture_formats import HEAD_BYTES, sniffed
from domain.pictures import VARIANT_SIDES_PX, EncodedPicture, PictureFacts, PictureLimits, Variants, VariantSize
from storage.picture_formats import BY_MEDIA_TYPE, JPEG, PNG, WEBP, Format
from storage.thumbhash import thumbhash

# An embedded thumbnail need not show the same picture, so HEIC is never read from its thumbnail.
pillow_heif.register_heif_opener(thumbnails=False)
# Pillow warns at 89 megapixels, whatever an operator allows; `_checked` holds the operator's own limit instead.
Image.MAX_IMAGE_PIXELS = None

_REDUCING_GAP = 1.5
"""How much larger than the result the cheap first reduction stays; 47 dB PSNR to a full-size resize, and 2x as fast."""
"""Asking for this makes libjpeg decode at an eighth: every byte is read, and the fewest pixels are computed."""
_PLACEHOLDER_SIDE_PX = 32
_VARIANT_QUALITY = 85
_REFERENCE_QUALITY = 92

_ORIENTATION_TAG = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes each EXIF orientation upright."""
_SIDEWAYS = frozenset({5, 6, 7, 8})
"""The orientations that swap width and height."""


@dataclass(frozen=True, slots=True)
class _Header:
    """What is known of a picture before it is decoded."""

    media_type: str
    stored_size_px: tuple[int, int]
    size_bytes: int
    sha256: str

    def facts(self, decoded: Image.Image) -> PictureFacts:
        """The facts, now that the orientation is known: a PNG may tell it after its pixels."""
        width, height = self.stored_size_px[::-1] if _orientation(decoded) in _SIDEWAYS else self.stored_size_px
        return PictureFacts(self.media_type, width, height, self.size_bytes, self.sha256)


def take_in(body: BinaryIO, limits: PictureLimits) -> tuple[PictureFacts, Variants]:
    """Facts and variants of a picture that was decoded once."""
    with _checked(body, limits) as (image, header):
        made = _variants(image)
        return header.facts(image), made


def for_provider(data: bytes, max_side_px: int) -> EncodedPicture:
    """A reference picture, which was inspected before, as providers get it."""
    body = io.BytesIO(data)
    with _opened(body, _format(body)) as image:
        small = _shrunk(image, max_side_px)
        return _encoded(small, PNG) if small.mode == "RGBA" else _encoded(small, JPEG, quality=_REFERENCE_QUALITY)


def preview(data: bytes, limits: PictureLimits, max_side_px: int) -> EncodedPicture:
    """A provider's partial picture, checked and made small."""
    with _checked(io.BytesIO(data), limits) as (image, _):
        return _variant(_shrunk(image, max_side_px))


@contextmanager
def _checked(body: BinaryIO, limits: PictureLimits) -> Iterator[tuple[Image.Image, _Header]]:
    """A picture that keeps the limits, told from its length and header, not yet decoded."""
    size_bytes = body.seek(0, io.SEEK_END)
    if size_bytes > limits.max_bytes:
        message = f"The picture has {size_bytes:,} bytes; at most {limits.max_bytes:,} are allowed."
        raise InvalidImage(message, InvalidImageReason.TOO_LARGE)
    found = _format(body)
    sha256 = hashlib.file_digest(body, "sha256").hexdigest()  # type: ignore[arg-type]  # the stub wants a file object; any binary body does
    with _opened(body, found) as image:
        pixels = image.width * image.height
        if pixels > limits.max_pixels:
            message = f"The picture has {pixels:,} pixels; at most {limits.max_pixels:,} are allowed."
            raise InvalidImage(message, InvalidImageReason.TOO_MANY_PIXELS)
        yield image, _Header(found.media_type, image.size, size_bytes, sha256)


@contextmanager
def _opened(body: BinaryIO, found: Format) -> Iterator[Image.Image]:
    """A picture whose header was read. Whatever Pillow makes of bad bytes becomes InvalidImage. Rewinds the body."""
    try:
        with Image.open(body, formats=(found.plugin,)) as image:
            yield image
    except InvalidImage:
        raise
    except Exception as error:  # on hostile bytes Pillow's plugins raise nearly anything, IndexError too
        raise InvalidImage("The picture is damaged or incomplete.", InvalidImageReason.TRUNCATED) from error
    finally:
        body.seek(0)


def _format(body: BinaryIO) -> Format:
    body.seek(0)
    head = body.read(HEAD_BYTES)
    body.seek(0)
    return BY_MEDIA_TYPE[sniffed(head)]


def _variants(image: Image.Image) -> Variants:
    """Each size from the one before; a size that would enlarge is the same picture again."""
    pictures: dict[VariantSize, EncodedPicture] = {}
    small, encoded = image, None
    for size, side_px in VARIANT_SIDES_PX.items():
        before = small
        small = _shrunk(image, side_px) if before is image else _smaller(before, side_px)
        if encoded is None or small is not before:
            encoded = _variant(small)
        pictures[size] = encoded
    return Variants(pictures, _placeholder(small))


def _shrunk(image: Image.Image, side_px: int) -> Image.Image:
    """The opened picture, decoded: upright sRGB of 8 bits, RGB or really transparent RGBA, without metadata.

    Turning and colour conversion come after shrinking, where they cost next to nothing.
    """
    spare = max(image.size) / (side_px * _REDUCING_GAP)
    if spare > 1:
        # Before `thumbnail` does: it asks for a square, which makes libjpeg compute up to four times the pixels.
        image.draft(None, (int(image.width / spare) or 1, int(image.height / spare) or 1))
    small = _resizable(image)
    small.thumbnail((side_px, side_px), Image.Resampling.LANCZOS, reducing_gap=_REDUCING_GAP)
    small.load()
    turn = _TURNS.get(_orientation(image))
    if turn is not None:
        small = small.transpose(turn)
    small = _srgb(small, image.info.get("icc_profile"))
    if small.mode == "RGBA" and small.getchannel("A").getextrema() == (255, 255):
        small = small.convert("RGB")
    small.info = {}
    return small


def _smaller(image: Image.Image, side_px: int) -> Image.Image:
    """A smaller copy, or the picture itself where it is small enough."""
    if max(image.size) <= side_px:
        return image
    small = image.copy()
    small.thumbnail((side_px, side_px), Image.Resampling.LANCZOS)
    return small


def _resizable(image: Image.Image) -> Image.Image:
    """The picture in a mode whose pixels can be averaged: no palette, no 16 bits, transparency as a channel."""
    if image.mode.startswith("I"):
        image.load()
        return image.point(lambda value: value * (1 / 256)).convert("L")
    if image.has_transparency_data:
        return image if image.mode == "RGBA" else image.convert("RGBA")
    return image if image.mode in {"L", "RGB", "CMYK"} else image.convert("RGB")


def _srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The picture's colours in sRGB; a broken or unfitting colour profile is passed over, as browsers do."""
    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode=mode)
        except (ImageCms.PyCMSError, OSError):
            return image.convert(mode)
        return image if converted is None else converted
    return image.convert(mode)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; unreadable EXIF means upright."""
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # noqa: BLE001  # the EXIF parser raises nearly anything, and a picture is more than its EXIF
        return 1


def _variant(image: Image.Image) -> EncodedPicture:
    if image.mode == "RGBA":
        return _encoded(image, WEBP, quality=_VARIANT_QUALITY, method=2)
    return _encoded(image, JPEG, quality=_VARIANT_QUALITY)


def _encoded(image: Image.Image, format: Format, **options: int) -> EncodedPicture:
    out = io.BytesIO()
    image.save(out, format.plugin, **options)
    return EncodedPicture(out.getvalue(), format.media_type, image.width, image.height)


def _placeholder(image: Image.Image) -> str:
    tiny = _smaller(image, _PLACEHOLDER_SIDE_PX).convert("RGBA")
    return b64encode(thumbhash(tiny.width, tiny.height, tiny.tobytes())).decode()
