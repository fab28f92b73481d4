"""What a vendor's error answer says, read with suspicion: status, code words, text to search, and when to come back."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

MAX_RETRY_AFTER_S = 24 * 60 * 60
MAX_SEARCHED_CHARS = 2_000

_TRY_AGAIN = re.compile(r"try again in (?:(\d+)m)?(\d+(?:\.\d+)?)(ms|s)\b")
_REQUEST_ID = re.compile(r"[!-~]{1,200}")
_SECONDS = re.compile(r"\d{1,6}(?:\.\d{1,9})?")


@dataclass(frozen=True, slots=True)
class Reply:
    """One error answer. `words` are lower-case codes, `text` is lower-case and only for searching."""

    status: int
    words: frozenset[str]
    text: str
    param: str
    headers: Mapping[str, str]
    retry_after_s: int | None

    @classmethod
    def of(cls, error: Exception) -> "Reply | None":
        """The answer that an SDK's exception carries (both SDKs' shapes), or None when there was none."""
        body = _inner(getattr(error, "body", None) or getattr(error, "details", None))
        status = getattr(error, "status_code", None) or getattr(error, "code", None)
        if not isinstance(status, int):
            if not body:
                return None
            # An error event in the middle of a stream: the answer itself was a 200.
            status = HTTPStatus.OK
        headers: Mapping[str, str] = getattr(getattr(error, "response", None), "headers", None) or {}
        text = _text(body)
        return cls(
            status=status,
            words=frozenset(_words(body)),
            text=text,
            param=_string(body, "param"),
            headers=headers,
            retry_after_s=_retry_after_s(headers, body, text),
        )


def request_id_of(headers: Mapping[str, str]) -> str | None:
    """The vendor's id of the request, if it is one that can be shown."""
    found = headers.get("x-request-id", "")
    return found if _REQUEST_ID.fullmatch(found) else None


def _inner(body: Any) -> Any:
    """The error object itself, out of `[{"error": {...}}]` and its simpler forms."""
    if isinstance(body, list) and body:
        body = body[0]
    if isinstance(body, dict) and body.get("error"):
        body = body["error"]
    return body


def _string(body: Any, key: str) -> str:
    value = body.get(key) if isinstance(body, dict) else None
    return value if isinstance(value, str) else ""


def _text(body: Any) -> str:
    text = body if isinstance(body, str) else _string(body, "message")
    return text[:MAX_SEARCHED_CHARS].lower()


def _details(body: Any) -> Iterator[dict[str, Any]]:
    details = body.get("details") if isinstance(body, dict) else None
    yield from (detail for detail in details if isinstance(detail, dict)) if isinstance(details, list) else ()


def _words(body: Any) -> Iterator[str]:
    for key in ("code", "type", "status"):
        if word := _string(body, key):
            yield word.lower()
    for detail in _details(body):
        if reason := _string(detail, "reason"):
            yield reason.lower()
    if isinstance(body, dict) and (stage := _string(body.get("moderation_details"), "moderation_stage")):
        yield f"stage:{stage.lower()}"


def _retry_after_s(headers: Mapping[str, str], body: Any, text: str) -> int | None:
    """Whole seconds, rounded up: from the header, Google's RetryInfo, or OpenAI's words."""
    candidates = (_of_header(headers), _of_retry_info(body), _of_text(text))
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
    delays = (_string(detail, "retryDelay").removesuffix("s") for detail in _details(body))
    return next((float(delay) for delay in delays if _SECONDS.fullmatch(delay)), None)


def _of_text(text: str) -> float | None:
    found = _TRY_AGAIN.search(text)
    if not found:
        return None
    minutes, amount, unit = found.groups()
    return int(minutes or 0) * 60 + float(amount) * (0.001 if unit == "ms" else 1)
