"""Answers of OpenRouter's chat and of its images API, as its pages and captures show them."""

from tests.wire.pictures import BLUE, b64
from tests.wire.server import Answer, json_answer

USAGE = {"prompt_tokens": 5, "completion_tokens": 1120, "total_tokens": 1125, "cost": 0.04}


def picture(*, usage: object = USAGE, **entry: object) -> Answer:
    """An answer of the images API with one picture."""
    body = {"created": 1, "data": [{"b64_json": b64(BLUE), "media_type": "image/png", **entry}], "usage": usage}
    return json_answer(body, x_request_id="req_images")


def chat(
    *urls: str, finish: str = "stop", native: str | None = "STOP", usage: object = USAGE, **message: object
) -> Answer:
    """An answer of the chat with pictures at these addresses."""
    images = [{"type": "image_url", "index": at, "image_url": {"url": url}} for at, url in enumerate(urls)]
    said = {"role": "assistant", "content": "", **({"images": images} if images else {}), **message}
    choice = {"index": 0, "finish_reason": finish, "native_finish_reason": native, "message": said}
    return json_answer({"id": "gen-1", "object": "chat.completion", "choices": [choice], "usage": usage})


def drawn() -> Answer:
    """An answer of the chat with one picture."""
    return chat(f"data:image/png;base64,{b64(BLUE)}")


def told(code: object, message: str = "The vendor's own words", **metadata: object) -> dict[str, object]:
    """An error object."""
    return {"code": code, "message": message, **({"metadata": metadata} if metadata else {})}


def error(status: int, message: str = "The vendor's own words", **metadata: object) -> Answer:
    """An error by its status."""
    return json_answer({"error": told(status, message, **metadata), "user_id": "user_1"}, status)
