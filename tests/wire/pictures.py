"""Pictures and requests that the tests of providers share."""

import base64
import io
from dataclasses import replace

from PIL import Image

from domain.pictures import EncodedPicture
from domain.providers import ImageOptions, PictureRequest, Reference, ReferenceRole


def png(colour: tuple[int, int, int], side_px: int = 8) -> bytes:
    """A small square of one colour."""
    body = io.BytesIO()
    Image.new("RGB", (side_px, side_px), colour).save(body, "PNG")
    return body.getvalue()


RED, GREEN, BLUE = png((255, 0, 0)), png((0, 255, 0)), png((0, 0, 255))


def b64(data: bytes) -> str:
    """Base64 as text."""
    return base64.b64encode(data).decode()


def asked(model: str, prompt: str = "A fox", *, index: int = 0, **options: object) -> PictureRequest:
    """A request for one picture, without references."""
    return PictureRequest(model, prompt, replace(ImageOptions(), **options), index)  # type: ignore[arg-type]  # options by name


FACE = Reference("Ada", ReferenceRole.FACE, "1" * 64, EncodedPicture(RED, "image/png", 8, 8))
SETTING = Reference('The "old"\nharbour', ReferenceRole.SETTING, "2" * 64, EncodedPicture(GREEN, "image/jpeg", 8, 8))
