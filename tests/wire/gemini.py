"""Answers of Gemini's `generateContent`, as its pages and captures show them."""

from collections.abc import Mapping

from tests.wire.pictures import BLUE, b64
from tests.wire.server import Answer, json_answer


def inline(data: bytes = BLUE, mime_type: str = "image/png", **part: object) -> dict[str, object]:
    """A part that holds a picture."""
    return {"inlineData": {"mimeType": mime_type, "data": b64(data)}, **part}


def candidate(*parts: object, finish: str = "STOP", usage: Mapping[str, object] | None = None) -> Answer:
    """An answer with one candidate of these parts; `usage` adds to its counts, or takes the place of some."""
    counts = {"promptTokenCount": 5, "candidatesTokenCount": 1120, "totalTokenCount": 1125, **(usage or {})}
    return json_answer(
        {
            "candidates": [{"content": {"role": "model", "parts": list(parts)}, "finishReason": finish, "index": 0}],
            "usageMetadata": counts,
            "modelVersion": "gemini-3-pro-image",
            "responseId": "resp_1",
        }
    )


def blocked(reason: str, usage: Mapping[str, object] | None = None) -> Answer:
    """An answer that blocks the prompt."""
    counts = {"usageMetadata": usage} if usage else {}
    return json_answer({"promptFeedback": {"blockReason": reason}, "responseId": "resp_2", **counts})


def error(status: int, name: str, *details: object, message: str = "The vendor's own words") -> Answer:
    """An error in Google's shape."""
    body = {"error": {"code": status, "message": message, "status": name, "details": list(details)}}
    return json_answer(body, status)
