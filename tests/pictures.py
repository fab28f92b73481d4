"""Pictures to test with, made by code: good ones of every kind, and bad ones of every kind."""

import io
import struct
import zlib
from typing import Any

import pillow_heif
from PIL import ExifTags, Image, ImageCms

pillow_heif.register_heif_opener()

RED, GREEN, BLUE, WHITE = (220, 30, 30), (30, 200, 30), (30, 30, 220), (255, 255, 255)


def corners(width_px: int = 400, height_px: int = 300) -> Image.Image:
    """Four flat quarters: red, green / blue, white. Any turn or mirroring shows."""
    image = Image.new("RGB", (width_px, height_px))
    half = (width_px // 2, height_px // 2)
    for color, at in ((RED, (0, 0)), (GREEN, (half[0], 0)), (BLUE, (0, half[1])), (WHITE, half)):
        image.paste(color, (*at, at[0] + width_px - half[0], at[1] + height_px - half[1]))
    return image


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    """The picture as a file."""
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def jpeg(width_px: int = 400, height_px: int = 300) -> bytes:
    """A plain JPEG of four quarters."""
    return encoded(corners(width_px, height_px), "JPEG", quality=90)


def noisy_jpeg(width_px: int, height_px: int) -> bytes:
    """A JPEG with as much detail as a photo has."""
    grain = Image.effect_noise((width_px // 4, height_px // 4), 80).resize((width_px, height_px))
    slope = Image.linear_gradient("L").resize((width_px, height_px))
    return encoded(Image.merge("RGB", (grain, slope, Image.blend(grain, slope, 0.5))), "JPEG", quality=88)


def private_jpeg(orientation: int, width_px: int = 400, height_px: int = 300, *, has_profile: bool = True) -> bytes:
    """A JPEG as phones make it: turned by EXIF, with a place, a camera, a comment, XMP and mostly a colour profile.

    The four quarters are stored as they would be for that orientation, so upright they are `corners` again.
    """
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }.get(orientation)
    image = corners(width_px, height_px)
    if undo is not None:
        image = image.transpose(undo)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.Model] = "SecretPhone 15"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = (52.0, 31.0, 12.0)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>SecretPlace</x:xmpmeta>"
    profiled = {"icc_profile": profile} if has_profile else {}
    return encoded(image, "JPEG", quality=90, exif=exif, xmp=xmp, comment=b"SecretComment", **profiled)


def transparent_png(width_px: int = 400, height_px: int = 300) -> bytes:
    """Red, half of it see-through."""
    image = Image.new("RGBA", (width_px, height_px), (*RED, 255))
    image.paste((*RED, 0), (0, 0, width_px // 2, height_px))
    return encoded(image, "PNG")


def palette_png() -> bytes:
    """Four quarters in a palette, one colour of it transparent."""
    image = corners().quantize(4)
    return encoded(image, "PNG", transparency=image.getpixel((390, 290)))


def deep_gray_png() -> bytes:
    """16 bits a pixel, at 40000 of 65535."""
    return encoded(Image.new("I;16", (300, 200), 40_000), "PNG")


def cmyk_jpeg() -> bytes:
    """Printers' red."""
    return encoded(Image.new("CMYK", (700, 400), (0, 255, 255, 0)), "JPEG", quality=95)


def swapped_profile_png() -> bytes:
    """Red pixels under a colour profile whose red and green have changed places: to be shown as green."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for at in range(132, 132 + 12 * int.from_bytes(profile[128:132], "big"), 12):
        name = bytes(profile[at : at + 4])
        profile[at : at + 4] = {b"rXYZ": b"gXYZ", b"gXYZ": b"rXYZ"}.get(name, name)
    return encoded(Image.new("RGB", (64, 64), (255, 0, 0)), "PNG", icc_profile=bytes(profile))


def animated_gif() -> bytes:
    """Three frames: red, green, blue."""
    first, *others = (Image.new("RGB", (200, 100), color) for color in (RED, GREEN, BLUE))
    return encoded(first, "GIF", save_all=True, append_images=others, duration=100)


def heic() -> bytes:
    """A HEIC, as newer phones send."""
    return encoded(corners(), "HEIF", quality=80)


def svg() -> bytes:
    """Text with a script in it that calls itself a picture."""
    return b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


def bomb_png(width_px: int, height_px: int) -> bytes:
    """A file of a few bytes whose header promises any number of pixels."""
    header = struct.pack(">IIBBBBB", width_px, height_px, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(b"\0")) + _chunk(b"IEND", b"")


def bomb_webp(width_px: int, height_px: int) -> bytes:
    """The same as a lossless WebP, whose header holds both sides in 14 bits each."""
    data = bytearray(encoded(Image.new("RGB", (64, 64)), "WEBP", lossless=True))
    flags = int.from_bytes(data[21:25], "little") >> 28 << 28
    data[21:25] = (flags | width_px - 1 | (height_px - 1) << 14).to_bytes(4, "little")
    return bytes(data)


def stuffed_png(name: bytes, megabytes: int) -> bytes:
    """A good picture with a chunk (zTXt, iCCP) that unpacks to many megabytes."""
    good = encoded(corners(), "PNG")
    keyword = b"Comment" if name == b"zTXt" else b"icc"
    chunk = _chunk(name, keyword + b"\0\0" + zlib.compress(bytes(megabytes * 1024 * 1024), 9))
    return good[:33] + chunk + good[33:]


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
