"""Answers of servers that speak about as OpenAI's image API does: the many ways in which they don't quite."""

from tests.wire.pictures import BLUE, b64
from tests.wire.server import Answer, json_answer


def picture(**entry: object) -> Answer:
    """A whole answer with one picture, and nothing else that OpenAI's has."""
    return json_answer({"data": [entry or {"b64_json": b64(BLUE)}]})


def error(status: int, words: str = "The server's own words", kind: str = "object") -> Answer:
    """An error in one of their shapes."""
    bodies: dict[str, object] = {
        "object": {"error": {"message": words}},
        "text": {"error": words},
        "detail": {"detail": words},
        "fields": {"detail": [{"loc": ["body", "size"], "msg": words, "type": "value_error"}]},
        "message": {"message": words},
    }
    return json_answer(bodies[kind], status)
