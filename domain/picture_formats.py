"""Which file format bytes are in, told from the bytes alone: names and headers from outside are never believed."""

from domain.errors import InvalidImage, InvalidImageReason

HEAD_BYTES = 512
"""How much of a file `sniffed` wants to see."""

_TAKEN = {
    b"\xff\xd8\xff": "image/jpeg",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}
_NOT_TAKEN = {
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"8BPS": "Photoshop",
    b"\0\0\1\0": "ICO",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
    b"%PDF-": "PDF",
}
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"})
_ACCEPTED = "Use JPEG, PNG, WebP, GIF, AVIF or HEIC."


def sniffed(head: bytes) -> str:
    """The media type that a file begins as. Raises InvalidImage for everything that isn't taken in."""
    if not head:
        raise InvalidImage("The file is empty.", InvalidImageReason.EMPTY)
    found = next((taken for magic, taken in _TAKEN.items() if head.startswith(magic)), None)
    if found is None and head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        found = "image/webp"
    if found is None and head[4:8] == b"ftyp":
        found = _by_brands(head)
    if found is None:
        raise _refusal(head)
    return found


def _by_brands(head: bytes) -> str | None:
    """AVIF and HEIC share a container, which lists the brands it complies with, the major one first."""
    length = int.from_bytes(head[:4], "big")
    brands = {head[at : at + 4] for at in (8, *range(16, min(length, len(head)), 4))}
    if brands & _AVIF_BRANDS:
        return "image/avif"
    return "image/heic" if brands & _HEIC_BRANDS else None


def _refusal(head: bytes) -> InvalidImage:
    name = next((name for magic, name in _NOT_TAKEN.items() if head.startswith(magic)), None)
    if name is None and b"<svg" in head.lower():
        name = "SVG"
    if name is None:
        return InvalidImage(f"The file is not a picture. {_ACCEPTED}", InvalidImageReason.NOT_AN_IMAGE)
    return InvalidImage(f"{name} files are not supported. {_ACCEPTED}", InvalidImageReason.UNSUPPORTED_FORMAT)
