"""Answers of Ollama's native API, as its source at 0.32 writes them."""

import json
from collections.abc import Mapping

from tests.wire.pictures import BLUE, b64
from tests.wire.server import Answer, Ending, json_answer

STEPS = [
    {"model": "x", "created_at": "2026-11-21T00:00:00Z", "completed": at, "total": 2, "done": False} for at in (1, 2)
]
LAST = {"model": "x", "created_at": "2026-11-21T00:00:00Z", "done": True, "done_reason": "stop", "image": b64(BLUE)}


def lines(*told: Mapping[str, object], ending: Ending = Ending.COMPLETE) -> Answer:
    """One JSON object per line."""
    return Answer(
        200, [f"{json.dumps(each)}\n".encode() for each in told], {"content-type": "application/x-ndjson"}, ending
    )


def picture() -> Answer:
    """Steps, and then the picture."""
    return lines(*STEPS, LAST)


def error(status: int, text: str = "The vendor's own words") -> Answer:
    """An error in Ollama's shape."""
    return json_answer({"error": text}, status)
