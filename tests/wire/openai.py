"""Answers of OpenAI's image endpoints, as its pages and captures show them."""

import json
from collections.abc import Mapping

from tests.wire.pictures import BLUE, GREEN, RED, b64
from tests.wire.server import Answer, Ending, json_answer

USAGE = {
    "input_tokens": 120,
    "input_tokens_details": {"text_tokens": 20, "image_tokens": 100},
    "output_tokens": 1000,
    "total_tokens": 1120,
}
COMPLETED = {"type": "image_generation.completed", "b64_json": b64(BLUE), "output_format": "png", "usage": USAGE}
PARTIALS = [
    {"type": "image_generation.partial_image", "partial_image_index": number, "b64_json": b64(data)}
    for number, data in enumerate((RED, GREEN))
]


def picture(**entry: object) -> Answer:
    """A whole answer with one picture."""
    body = {"created": 1, "data": [{"b64_json": b64(BLUE), **entry}], "usage": USAGE}
    return json_answer(body, x_request_id="req_json")


def stream(*events: Mapping[str, object], ending: Ending = Ending.COMPLETE) -> Answer:
    """Server-sent events, one after the other."""
    pieces = [f"event: {event.get('type', 'x')}\ndata: {json.dumps(event)}\n\n".encode() for event in events]
    return Answer(200, pieces, {"content-type": "text/event-stream", "x-request-id": "req_stream"}, ending)


def error(
    status: int,
    code: str | None = None,
    *,
    message: str = "The vendor's own words",
    extra: Mapping[str, object] | None = None,
) -> Answer:
    """An error in OpenAI's shape."""
    body = {
        "error": {"message": message, "type": "invalid_request_error", "param": None, "code": code, **(extra or {})}
    }
    return json_answer(body, status, x_request_id="req_error")
