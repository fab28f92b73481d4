"""The logs: one line per request with its ids, two per socket, whatever the source, and never a secret."""

import io
import json
import logging
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
import structlog
from httpx import ASGITransport, AsyncClient, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars

from app.logs import RequestLog, configure_logging, redact


class Lines:
    """What was logged as JSON, line by line."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    def read(self) -> list[dict[str, Any]]:
        """Every line so far."""
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """The process's logs, as JSON; the logging of before is put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    for handler in handlers:
        root.removeHandler(handler)  # or basicConfig would close pytest's own
    logged = Lines()
    configure_logging("INFO", "json", logged.stream)
    yield logged
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that binds its user and answers 201."""
    bind_contextvars(user_id="u1")
    await send({"type": "http.response.start", "status": 201})
    await send({"type": "http.response.body", "body": scope["state"]["request_id"].encode()})


async def fail(scope: Scope, receive: Receive, send: Send) -> None:
    """An application with a mistake."""
    raise LookupError("no luck with Bearer abc.def")


async def fail_late(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that fails once its answer has begun."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await fail(scope, receive, send)


async def get(app: ASGIApp, path: str = "/", **headers: str) -> Response:
    """The answer to one GET through the request log."""
    async with AsyncClient(transport=ASGITransport(RequestLog(app)), base_url="http://atelier.test") as client:
        return await client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})


async def test_a_request_is_one_line_with_its_ids(lines: Lines) -> None:
    """Method, path without the query, status, duration, request id and the user that the application bound."""
    response = await get(answer, "/pictures?signature=abc", x_request_id="from-client.7")
    (line,) = lines.read()
    assert isinstance(line.pop("duration_ms"), float)
    assert line.pop("time").endswith("Z")
    assert line == {
        "event": "request",
        "level": "info",
        "logger": "atelier.requests",
        "method": "GET",
        "path": "/pictures",
        "request_id": "from-client.7",
        "status": 201,
        "user_id": "u1",
    }
    assert (response.headers["x-request-id"], response.text) == ("from-client.7", "from-client.7")


@pytest.mark.parametrize("given", ["", "two words", "x" * 65, 'a"b'])
async def test_a_request_id_that_is_not_sane_is_replaced(lines: Lines, given: str) -> None:
    """An id with anything but plain characters, or too long, never reaches the logs or the answer."""
    response = await get(answer, x_request_id=given)
    assert len(response.headers["x-request-id"]) == 32
    assert lines.read()[0]["request_id"] == response.headers["x-request-id"]


async def test_one_request_s_ids_do_not_reach_the_next(lines: Lines) -> None:
    """What a request bound is forgotten when the next one comes."""

    async def nobody(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    await get(answer)
    await get(nobody)
    assert [line.get("user_id") for line in lines.read()] == ["u1", None]


async def test_a_path_can_not_break_the_line(lines: Lines) -> None:
    """Line ends and terminal codes in a path are logged quoted, and a long one is cut."""
    await get(answer, "/a%0A%1B[31m" + "b" * 400)
    (line,) = lines.read()
    assert line["path"].startswith("/a%0A%1B%5B31mb")
    assert len(line["path"]) == 300


async def test_an_escaped_error_is_logged_once_and_masked(lines: Lines) -> None:
    """The client gets a plain 500 with the request's id; the line has the traceback without the secret in it."""
    response = await get(fail)
    (line,) = lines.read()
    assert (response.status_code, response.text) == (500, "Internal Server Error")
    assert (line["level"], line["status"]) == ("error", 500)
    assert line["request_id"] == response.headers["x-request-id"]
    assert "LookupError: no luck with Bearer [redacted]" in line["exception"]


async def test_an_error_after_the_answer_began_is_logged_with_it(lines: Lines) -> None:
    """No second answer is begun; the line has the status that was sent and the traceback."""
    sent: list[Message] = []
    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    await RequestLog(fail_late)(scope, _nothing, _into(sent))
    (line,) = lines.read()
    assert [message["type"] for message in sent] == ["http.response.start"]
    assert (line["level"], line["status"]) == ("error", 200)


async def test_a_socket_is_a_line_at_open_and_one_at_close(lines: Lines) -> None:
    """Both lines carry the request's id; the last has the code and the user."""

    async def socket(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        bind_contextvars(user_id="u2")
        await receive()

    await RequestLog(socket)(
        _socket_scope(), _from({"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1001}), _into([])
    )
    opened, closed = lines.read()
    assert (opened["event"], opened["path"]) == ("socket opened", "/graphql")
    assert (closed["event"], closed["code"], closed["user_id"]) == ("socket closed", 1001, "u2")
    assert opened["request_id"] == closed["request_id"]


async def test_a_socket_that_fails_is_closed_as_an_internal_error(lines: Lines) -> None:
    """The client gets 1011, the log one line with the traceback."""
    sent: list[Message] = []
    await RequestLog(fail)(_socket_scope(), _nothing, _into(sent))
    assert sent == [{"type": "websocket.close", "code": 1011}]
    (line,) = lines.read()
    assert (line["event"], line["level"], line["code"]) == ("socket closed", "error", 1011)


async def test_the_server_s_own_life_passes() -> None:
    """Lifespan messages go to the application untouched."""
    seen: list[MutableMapping[str, Any]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    await RequestLog(app)({"type": "lifespan"}, _nothing, _into([]))
    assert seen == [{"type": "lifespan"}]


def test_the_standard_library_s_logs_take_the_same_way(lines: Lines) -> None:
    """A plain logger's line is JSON too, with its arguments, extras and bound ids; libraries' chatter is left out."""
    bind_contextvars(generation_id="g1")
    logging.getLogger("domain.picture_store").warning("object %s left behind", "k1", extra={"attempt": 2})
    logging.getLogger("httpx2").info("HTTP Request: GET https://provider.test/?key=abc")
    logging.getLogger("uvicorn.access").info("GET / 200")
    logging.getLogger("uvicorn.error").info('"WebSocket /graphql?token=abc" [accepted]')
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    structlog.contextvars.clear_contextvars()
    first, second = lines.read()
    assert (first["event"], first["attempt"], first["generation_id"]) == ("object k1 left behind", 2, "g1")
    assert (first["level"], first["logger"]) == ("warning", "domain.picture_store")
    assert second["event"] == "Invalid HTTP request received."


def test_on_a_console_lines_are_for_people() -> None:
    """The console style writes no JSON and no colours where there is no terminal, and hides secrets all the same."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    stream = io.StringIO()
    configure_logging("DEBUG", "console", stream)
    structlog.get_logger("x").debug("hello", n=1, token="t")
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    assert (
        stream.getvalue().split("Z ", 1)[1] == "[debug    ] hello                          [x] n=1 token=[redacted]\n"
    )


@pytest.mark.parametrize(
    ("given", "hidden"),
    [
        ({"api_key": "abc", "Authorization": "Basic x", "note": "n"}, {"api_key": "*", "Authorization": "*", "note": "n"}),
        ({"input": {"password": "p", "n": 1, "list": ["Bearer abc", None]}}, {"input": {"password": "*", "n": 1, "list": ["Bearer *", None]}}),
        ({"url": "https://s3.test/k?X-Amz-Date=1&X-Amz-Signature=0a1b&x=2"}, {"url": "https://s3.test/k?X-Amz-Date=1&X-Amz-Signature=*&x=2"}),
        ({"url": "http://localhost/files/a?expires=1&sig=0a1b"}, {"url": "http://localhost/files/a?expires=1&sig=*"}),
        ({"event": "postgresql://me:pw@db/x"}, {"event": "postgresql://me:*@db/x"}),
        ({"event": "on http://127.0.0.1:8000 (quit)"}, {"event": "on http://127.0.0.1:8000 (quit)"}),
        ({"event": "key sk-proj-0123456789 and AIzaSyA0123456789012345678"}, {"event": "key * and *"}),
        ({"event": "xai-0123456789, gab_0123456789, AQ.Ab0123456789012345678"}, {"event": "*, *, *"}),
        ({"event": "eyJhbGciOi.eyJzdWIi.c2ln"}, {"event": "*"}),
        ({"error": ValueError("Bearer abc"), "cost": 1.5, "done": True}, {"error": "Bearer *", "cost": 1.5, "done": True}),
        ({"event": "a task of 5 keys, a token of thanks"}, {"event": "a task of 5 keys, a token of thanks"}),
    ],
)  # fmt: skip
def test_secrets_are_hidden(given: dict[str, Any], hidden: dict[str, Any]) -> None:
    """By the key's name at any depth, and by the look of a value, while everything else stays (* stands for hidden)."""
    assert redact(None, "info", given) == json.loads(json.dumps(hidden).replace("*", "[redacted]"))


def _socket_scope() -> Scope:
    return {"type": "websocket", "path": "/graphql", "headers": []}


async def _nothing() -> Message:
    return {}


def _from(*messages: Message) -> Receive:
    waiting = iter(messages)

    async def receive() -> Message:
        return next(waiting)

    return receive


def _into(sent: list[Message]) -> Send:
    async def send(message: Message) -> None:
        sent.append(message)

    return send
