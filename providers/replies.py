"""What a vendor's error answer says, read with suspicion: status, code words, text to search, and when to come back."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

MAX_RETRY_AFTER_S = 24 * 60 * 60
MAX_SEARCHED_CHARS = 2_000

_TRY_AGAIN = re.compile(r"try again in (?:(\d+)m)?(\d+(?:\.\d+)?)(ms|s)\b")
_REQUEST_ID = re.compile(r"[!-~]{1,200}")
_SECONDS = re.compile(r"\d{1,6}(?:\.\d{1,9})?")
# Seconds since 1970, or milliseconds.
_MOMENT = re.compile(r"(\d{10})(?:\d{3})?")


@dataclass(frozen=True, slots=True)
class Reply:
    """One error answer. `words` are lower-case codes, `text` is lower-case and only for searching.

    `said` is what it says, as it was sent: to be shown redacted alone.
    """

    status: int
    words: frozenset[str]
    said: str
    text: str
    param: str
    headers: Mapping[str, str]
    retry_after_s: int | None

    @classmethod
    def of(cls, error: Exception) -> "Reply | None":
        """The answer that an SDK's exception carries (both SDKs' shapes), or None when there was none."""
        body = _inner(_body(error))
        status = getattr(error, "status_code", None) or getattr(error, "code", None)
        if not isinstance(status, int):
            if not body:
                return None
            # An error event in the middle of a stream: the answer itself was a 200.
            status = HTTPStatus.OK
        headers: Mapping[str, str] = getattr(getattr(error, "response", error), "headers", None) or {}
        said = _said(body)
        text = unquote(said[:MAX_SEARCHED_CHARS]).lower()
        return cls(
            status=status,
            words=frozenset(_words(body)),
            said=said,
            text=text,
            param=_string(body, "param"),
            headers=headers,
            retry_after_s=_retry_after_s(headers, body, text),
        )


def request_id_of(headers: Mapping[str, str]) -> str | None:
    """The vendor's id of the request, if it is one that can be shown."""
    found = headers.get("x-request-id", "")
    return found if _REQUEST_ID.fullmatch(found) else None


def _body(error: Exception) -> Any:
    body = getattr(error, "body", None) or getattr(error, "details", None)
    if isinstance(body, str):
        # Of {"code": "...", "error": "text"} openai's SDK keeps the text alone; what it could not read, it keeps as text.
        with suppress(ValueError, RecursionError):
            return json.loads(getattr(getattr(error, "response", None), "content", ""))
    return body


def _inner(body: Any) -> Any:
    """The error object itself, out of `[{"error": {...}}]` and its simpler forms."""
    if isinstance(body, list) and body:
        body = body[0]
    if not isinstance(body, dict):
        return body
    errors, detail = body.get("errors"), body.get("detail")
    error = body.get("error") or (errors[0] if isinstance(errors, list) and errors else None)
    if isinstance(error, str):
        return {**body, "message": error}
    return error or (detail if isinstance(detail, dict) else body)


def _string(body: Any, key: str) -> str:
    value = _value(body, key)
    return value if isinstance(value, str) else ""


def _said(body: Any) -> str:
    """The error in words: as `message`, or as `detail`, which may be a list of what is wrong with each field."""
    if isinstance(body, str):
        return body
    wrong = [_string(each, "msg") for each in _listed(body, "detail")]
    told = _string(body, "message") or _string(body, "detail") or "; ".join(filter(None, wrong))
    # OpenRouter quotes the answer of the vendor behind it here, and says nothing more itself.
    return " ".join(filter(None, (told, _string(_value(body, "metadata"), "raw"))))


def _value(body: Any, key: str) -> Any:
    return body.get(key) if isinstance(body, dict) else None


def _listed(body: Any, key: str) -> list[Any]:
    found = _value(body, key)
    return found if isinstance(found, list) else []


def _words(body: Any) -> Iterator[str]:
    # Azure has its own code inside of the error, Google one in `details`, and servers built with FastAPI in `detail`.
    inner = (_value(body, "innererror"), _value(body, "inner_error"))
    for part in (body, *inner, *_listed(body, "details"), *_listed(body, "detail")):
        for key in ("code", "type", "status", "reason"):
            if word := _string(part, key):
                yield word.lower()
    if stage := _string(_value(body, "moderation_details"), "moderation_stage"):
        yield f"stage:{stage.lower()}"
    # OpenRouter tells refused prompts from other prohibitions by this alone.
    if _value(_value(body, "metadata"), "reasons"):
        yield "flagged"


def _retry_after_s(headers: Mapping[str, str], body: Any, text: str) -> int | None:
    """Whole seconds, rounded up: from the header, Google's RetryInfo, OpenAI's words, or when a limit is lifted."""
    candidates = (_of_header(headers), _of_retry_info(body), _of_text(text), _of_reset(headers))
    found = next((seconds for seconds in candidates if seconds is not None), None)
    return None if found is None else min(max(math.ceil(found), 0), MAX_RETRY_AFTER_S)


def _of_header(headers: Mapping[str, str]) -> float | None:
    milliseconds, value = headers.get("retry-after-ms", ""), headers.get("retry-after", "")
    if _SECONDS.fullmatch(milliseconds):
        return float(milliseconds) / 1000
    if _SECONDS.fullmatch(value):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()


def _of_retry_info(body: Any) -> float | None:
    delays = (_string(detail, "retryDelay").removesuffix("s") for detail in _listed(body, "details"))
    return next((float(delay) for delay in delays if _SECONDS.fullmatch(delay)), None)


def _of_reset(headers: Mapping[str, str]) -> float | None:
    found = _MOMENT.fullmatch(headers.get("x-ratelimit-reset", ""))
    return float(found[1]) - datetime.now(UTC).timestamp() if found else None


def _of_text(text: str) -> float | None:
    found = _TRY_AGAIN.search(text)
    if not found:
        return None
    minutes, amount, unit = found.groups()
    return int(minutes or 0) * 60 + float(amount) * (0.001 if unit == "ms" else 1)
