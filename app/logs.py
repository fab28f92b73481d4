"""Structured logs: one line per HTTP request and two per WebSocket, with ids and without secrets.

Everything that logs, by structlog or by the standard library, goes through one handler. Bind what later lines should
carry with `structlog.contextvars`; whoever finds out who is asking leaves `user_id` in the scope's state.
"""

import logging
import re
import sys
import time
from collections.abc import Mapping
from typing import Any, Literal, TextIO
from urllib.parse import quote
from uuid import uuid4

import orjson
import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars, clear_contextvars, merge_contextvars
from structlog.typing import EventDict, Processor

HIDDEN = "[redacted]"
MAX_PATH_CHARS = 300
INTERNAL_ERROR = 1011  # the WebSocket close code

_SECRET_KEY = re.compile(r"token|authorization|api[-_]?key|password|secret|cookie|signature", re.IGNORECASE)
_SECRET_VALUES = re.compile(
    r"""(?P<kept>(?i:
          X-Amz-(?:Signature|Credential|Security-Token)=  # presigned addresses
        | [?&](?:sig|signature|token|key)=                # signed addresses of our own, keys in addresses
        | \b(?:bearer|basic)[ ]                           # Authorization headers
        | ://[^/:@\s]+:(?=[^/\s]*@)                       # the password of a database address
        ))(?P<secret>[^&\s"'<>@]+)
      | \b(?:sk-[\w-]{8,}|AIza[\w-]{20,}|AQ\.[\w-]{20,}|xai-[\w-]{8,}|gab_[\w-]{8,})  # vendors' keys
      | \beyJ[\w-]+\.[\w-]+\.[\w-]+  # JWTs
    """,
    re.VERBOSE,
)
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

# Libraries that tell about every call, some with the whole address, or with every value of a statement.
_TALKATIVE = (
    "aiosqlite",
    "alembic",
    "boto3",
    "botocore",
    "dbos",
    "google_genai",
    "httpcore",
    "httpcore2",
    "httpx",
    "httpx2",
    "openai",
    "urllib3",
)

_log = structlog.stdlib.get_logger("atelier.requests")


def configure_logging(
    level: str = "INFO", style: Literal["console", "json"] | None = None, stream: TextIO = sys.stderr
) -> None:
    """Route all logs of the process to `stream`; without a style, readable on a terminal and JSON elsewhere."""
    shared: list[Processor] = [
        merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                redact,
                _renderer(style or ("console" if stream.isatty() else "json"), stream),
            ],
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    _quieten()


def _renderer(style: str, stream: TextIO) -> Processor:
    if style == "console":
        return structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), timestamp_key="time", exception_formatter=structlog.dev.plain_traceback
        )
    return structlog.processors.JSONRenderer(serializer=lambda line, **_: orjson.dumps(line, default=str).decode())


def _quieten() -> None:
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = name != "uvicorn.access"  # RequestLog tells about requests,
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)  # and about sockets, without their queries
    # DBOS adds a handler of its own, and stops propagating, unless there is one.
    logging.getLogger("dbos").addHandler(logging.NullHandler())


def redact(_logger: object, _method: str, line: EventDict) -> EventDict:
    """Hide what looks like a secret, by the name of the key or the look of the value."""
    return {key: _redacted(key, value) for key, value in line.items()}


def _redacted(key: str, value: Any) -> Any:
    if _SECRET_KEY.search(key):
        return HIDDEN
    if isinstance(value, str):
        return _SECRET_VALUES.sub(lambda found: (found["kept"] or "") + HIDDEN, value)
    if isinstance(value, Mapping):
        return {str(inner): _redacted(str(inner), item) for inner, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted("", item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return _redacted("", str(value))


class RequestLog:
    """The outermost ASGI layer: gives every request its id (`X-Request-Id`) and its line, and logs what escapes."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or socket; anything else passes."""
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _SANE_ID.fullmatch(given) else uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        clear_contextvars()
        bind_contextvars(request_id=request_id)
        exchange = _Request if scope["type"] == "http" else _Socket
        await exchange(self.app, scope, receive, send).run()


class _Exchange:
    """What a request and a socket have in common: where it goes, how long it took, what escaped from it."""

    def __init__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        self.app = app
        self.scope = scope
        self.receive_from = receive
        self.send_to = send
        self.started_at = time.perf_counter()
        self.path = quote(scope["path"])[:MAX_PATH_CHARS]  # quoted: a path can't break or colour the line

    def log(self, event: str, error: Exception | None, **facts: object) -> None:
        duration_ms = round((time.perf_counter() - self.started_at) * 1000, 1)
        if error is not None:
            facts["exc_info"] = error
        if user_id := self.scope["state"].get("user_id"):
            facts["user_id"] = user_id
        _log.log(logging.ERROR if error else logging.INFO, event, path=self.path, duration_ms=duration_ms, **facts)


class _Request(_Exchange):
    status: int | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message.setdefault("headers", [])
            MutableHeaders(scope=message)["x-request-id"] = self.scope["state"]["request_id"]
        await self.send_to(message)

    async def run(self) -> None:
        error = None
        try:
            await self.app(self.scope, self.receive_from, self.send)
        except Exception as escaped:  # noqa: BLE001  the last place that can tell about it, with the request's id
            error = escaped
            if self.status is None:
                await PlainTextResponse("Internal Server Error", 500)(self.scope, self.receive_from, self.send)
        finally:
            self.log("request", error, method=self.scope["method"], status=self.status)


class _Socket(_Exchange):
    code: int | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "websocket.accept":
            self.log("socket opened", None)
        elif message["type"] == "websocket.close":
            self.code = message.get("code", 1000)
        await self.send_to(message)

    async def receive(self) -> Message:
        message = await self.receive_from()
        if message["type"] == "websocket.disconnect" and self.code is None:
            self.code = message.get("code")
        return message

    async def run(self) -> None:
        error = None
        try:
            await self.app(self.scope, self.receive, self.send)
        except Exception as escaped:  # noqa: BLE001  as above
            error = escaped
            if self.code is None:
                await self.send({"type": "websocket.close", "code": INTERNAL_ERROR})
        finally:
            self.log("socket closed", error, code=self.code)
