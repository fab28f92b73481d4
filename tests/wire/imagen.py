"""Answers of Imagen's `predict`, as Google's pages and captures show them; errors are those of Gemini."""

from tests.wire.pictures import BLUE, b64
from tests.wire.server import Answer, json_answer


def predicted(*predictions: object) -> Answer:
    """An answer with these predictions."""
    return json_answer({"predictions": list(predictions)} if predictions else {})


def picture(**entry: object) -> Answer:
    """An answer with one picture."""
    return predicted({"mimeType": "image/png", "bytesBase64Encoded": b64(BLUE), **entry})


def filtered(reason: str = "The vendor's own words. You will not be charged for blocked images.") -> Answer:
    """An answer whose picture was filtered out."""
    return predicted({"raiFilteredReason": reason})
