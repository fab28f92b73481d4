"""Files as clients send them."""

import io

from domain.pictures import UploadedFile
from tests import pictures


def a_photo(width_px: int = 40, height_px: int = 30, filename: str = "me.jpg") -> UploadedFile:
    """A photo of that size."""
    return UploadedFile(filename, io.BytesIO(pictures.jpeg(width_px, height_px)))


def a_text() -> UploadedFile:
    """What is no picture, whatever it is called."""
    return UploadedFile("me.jpg", io.BytesIO(b"Dear diary"))
