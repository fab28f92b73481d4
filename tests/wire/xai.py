"""Answers of xAI's image API, as its pages and captures show them."""

from tests.wire.pictures import BLUE, b64
from tests.wire.server import Answer, json_answer

TICKS = 600_000_000
"""Six cents."""


def picture(*, ticks: object = TICKS, **entry: object) -> Answer:
    """A whole answer with one picture, or with this entry instead."""
    made = {"b64_json": b64(BLUE), "mime_type": "image/jpeg", "revised_prompt": "", "respect_moderation": True}
    body = {"data": [entry or made], "usage": {"cost_in_usd_ticks": ticks}, "model": "grok-imagine-image-2.0"}
    return json_answer(body, x_request_id="req_xai")


def nothing(ticks: object = TICKS) -> Answer:
    """An answer without any picture: all of them were withheld."""
    return json_answer({"data": [], "usage": {"cost_in_usd_ticks": ticks}}, x_request_id="req_xai")


def error(
    status: int, words: str = "The vendor's own words", code: str = "Client specified an invalid argument"
) -> Answer:
    """An error in xAI's shape: both are texts."""
    return json_answer({"code": code, "error": words}, status, x_request_id="req_error")
