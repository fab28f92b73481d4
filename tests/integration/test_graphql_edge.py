"""The edge over HTTP: malformed requests, limits, uploads, masking, and browsers."""

import json
import logging
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from domain.users import Viewer
from graph.edge import GraphQLApp
from graph.schema import build_schema
from tests.graphql import BASE, PREFLIGHT, Client, World
from tests.pictures import jpeg
from tests.rows import stored_viewer

JSON = {"Content-Type": "application/json"}
NEWER = {"Accept": "application/graphql-response+json"}
QUERY = json.dumps({"query": "{ __typename }"})


@pytest.fixture
async def ada(world: World) -> Viewer:
    """A member."""
    return await stored_viewer(world.unit_of_work)


def message_of(response: httpx.Response) -> str:
    """The one message of a refusal in GraphQL's shape."""
    answer = response.json()
    assert set(answer) == {"errors"}, answer
    (error,) = answer["errors"]
    assert error["extensions"]["code"]
    return str(error["message"])


BODIES: dict[str, tuple[bytes, dict[str, str]]] = {
    "empty": (b"", JSON),
    "null": (b"null", JSON),
    "number": (b"1", JSON),
    "string": (b'"x"', JSON),
    "boolean": (b"true", JSON),
    "cut short": (b'{"query": "{ __typename }"', JSON),
    "deep nesting": (b"[" * 100_000, JSON),
    "invalid UTF-8": (b'{"query": "\xff"}', JSON),
    "UTF-16": (QUERY.encode("utf-16"), JSON),
    "huge integer": (b'{"query": "{ __typename }", "variables": ' + b"9" * 10_000 + b"}", JSON),
    "lone surrogate": (b'{"query": "{ a\\ud800 }"}', JSON),
    "batch": (f"[{QUERY}]".encode(), JSON),
    "no query": (b"{}", JSON),
    "query null": (b'{"query": null}', JSON),
    "query blank": (b'{"query": " "}', JSON),
    "query number": (b'{"query": 1}', JSON),
    "variables list": (b'{"query": "{ __typename }", "variables": []}', JSON),
    "variables text": (b'{"query": "{ __typename }", "variables": "{}"}', JSON),
    "extensions text": (b'{"query": "{ __typename }", "extensions": "x"}', JSON),
    "NUL": (b'{"query": "{ __typename }", "variables": {"name": "a\\u0000b"}}', JSON),
    "operationName number": (b'{"query": "{ __typename }", "operationName": 1}', JSON),
    "unknown operation": (b'{"query": "{ __typename }", "operationName": "X"}', JSON),
    "only fragments": (b'{"query": "fragment A on User { id }"}', JSON),
    "subscription": (b'{"query": "subscription { generationProgress(id: \\"x\\") { seq } }"}', JSON),
    "gzip": (QUERY.encode(), {**JSON, "Content-Encoding": "gzip"}),
    "text": (QUERY.encode(), {"Content-Type": "text/plain"}),
    "jsonx": (QUERY.encode(), {"Content-Type": "application/jsonx"}),
    "form": (b"query=x", {"Content-Type": "application/x-www-form-urlencoded"}),
    "no media type": (QUERY.encode(), {}),
    "odd media type": (QUERY.encode(), {"Content-Type": ";;;"}),
    "too large": (b" " * 300_000, JSON),
    "multipart, no boundary": (b"x", {"Content-Type": "multipart/form-data", **PREFLIGHT}),
    "multipart, garbage": (b"x", {"Content-Type": "multipart/form-data; boundary=b", **PREFLIGHT}),
    "multipart, cut short": (
        b'--b\r\nContent-Disposition: form-data; name="operations"\r\n\r\n{',
        {"Content-Type": "multipart/form-data; boundary=b", **PREFLIGHT},
    ),
    "multipart, nameless part": (
        b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n",
        {"Content-Type": "multipart/form-data; boundary=b", **PREFLIGHT},
    ),
}
STATUSES = {"gzip": 415, "text": 415, "jsonx": 415, "form": 415, "no media type": 415, "odd media type": 415}


@pytest.mark.parametrize("name", BODIES)
async def test_malformed_bodies_are_refused(client: Client, name: str) -> None:
    """Every malformed body gets a 4xx status and a sentence in GraphQL's shape."""
    body, headers = BODIES[name]
    response = await client.http.post("/graphql", content=body, headers=headers)
    assert response.status_code == {**STATUSES, "too large": 413}.get(name, 400)
    assert message_of(response)


async def test_the_media_type_is_read_as_it_should_be(client: Client) -> None:
    """Capitals and parameters change nothing."""
    response = await client.http.post(
        "/graphql", content=QUERY, headers={"Content-Type": "APPLICATION/JSON; charset=utf-8"}
    )
    assert response.json() == {"data": {"__typename": "Query"}}


FILE = "mutation ($input: CreateReferenceImageInput!) { createReferenceImage(input: $input) { __typename } }"
WISH = json.dumps({"query": FILE, "variables": {"input": {"file": None}}})


@pytest.mark.parametrize(
    ("operations", "places"),
    [
        (None, "{}"),
        (WISH, None),
        ("{", "{}"),
        (WISH, "{"),
        ("null", "{}"),
        ("1", "{}"),
        (f"[{WISH}]", "{}"),
        (WISH, "null"),
        (WISH, "[]"),
        (WISH, '{"0": null}'),
        (WISH, '{"0": "variables.input.file"}'),
        (WISH, '{"0": [1]}'),
        (WISH, '{"1": ["variables.input.file"]}'),
        (WISH, '{"map": ["variables.input.file"]}'),
        (WISH, '{"0": [""]}'),
        (WISH, '{"0": ["query"]}'),
        (WISH, '{"0": ["variables"]}'),
        (WISH, '{"0": ["operationName"]}'),
        (WISH, '{"0": ["variables.nobody.file"]}'),
        (WISH, '{"0": ["variables.input.file.more"]}'),
        (WISH, '{"0": ["variables.input.0"]}'),
        (WISH, '{"0": ["variables.input.file", "variables.input.file"]}'),
        (json.dumps({"query": FILE, "variables": {"input": [None]}}), '{"0": ["variables.input.x"]}'),
        (json.dumps({"query": FILE, "variables": {"input": [None]}}), '{"0": ["variables.input.7"]}'),
        (json.dumps({"query": FILE, "extensions": {"x": None}}), '{"0": ["extensions.x"]}'),
        (json.dumps({"query": FILE}), '{"0": ["variables.input.file"]}'),
    ],
)
async def test_malformed_multipart_is_refused(
    client: Client, world: World, ada: Viewer, operations: str | None, places: str | None
) -> None:
    """Every wrong `operations` and `map` gets a 400 and a sentence, and nothing is stored."""
    form = {name: text for name, text in (("operations", operations), ("map", places)) if text is not None}
    response = await client.http.post(
        "/graphql", data=form, files={"0": ("me.jpg", jpeg())}, headers=client.headers(ada)
    )
    assert response.status_code == 400
    assert message_of(response)
    assert world.files() == []


@pytest.mark.parametrize("value", ["x", 1, {"filename": "x"}, [], True])
async def test_only_a_file_is_an_upload(client: Client, ada: Viewer, value: object) -> None:
    """Whatever else is given for a file is refused before the mutation runs."""
    answer = await client.ask(FILE, {"input": {"file": value}}, ada)
    assert "data" not in answer
    assert "Upload a file by a multipart request" in answer["errors"][0]["message"]


async def test_uploads_are_limited(client: Client, world: World, ada: Viewer) -> None:
    """A request is cut off once it is longer than allowed, while it still comes in."""

    async def endless() -> AsyncIterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="0"; filename="x.png"\r\n\r\n'
        for _ in range(1_000_000):
            yield bytes(1_000_000)
        raise AssertionError("the server read everything")

    headers = {"Content-Type": "multipart/form-data; boundary=b", **client.headers(ada)}
    response = await client.http.post("/graphql", content=endless(), headers=headers)
    assert response.status_code == 413
    assert message_of(response) == "The request is larger than 80,000,000 bytes."
    assert world.files() == []


async def test_other_sites_can_send_nothing(client: Client) -> None:
    """GET and multipart need a header that a page of another site can't send unasked."""
    get = await client.http.get("/graphql", params={"query": "{ __typename }"})
    post = await client.http.post("/graphql", data={"operations": "{}"}, files={"0": b"x"})
    for response in (get, post):
        assert response.status_code == 400
        assert message_of(response).startswith("Send one of these headers with GET and multipart requests: ")


@pytest.mark.parametrize(
    "header", ["Apollo-Require-Preflight", "X-Requested-With", "X-Apollo-Operation-Name", "GraphQL-Preflight"]
)
async def test_queries_may_be_sent_by_get(client: Client, header: str) -> None:
    """With any of the headers a query by GET is answered."""
    params = {"query": "query A($x: Boolean!) { __typename @include(if: $x) }", "variables": '{"x": true}'}
    response = await client.http.get("/graphql", params=params, headers={header: "1"})
    assert response.json() == {"data": {"__typename": "Query"}}


async def test_mutations_need_post(client: Client, world: World, ada: Viewer) -> None:
    """A mutation by GET is refused and not run."""
    query = 'mutation { createIdentity(input: {name: "x"}) { __typename } }'
    response = await client.http.get("/graphql", params={"query": query}, headers=client.headers(ada))
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert message_of(response) == "Mutations are sent by POST."
    assert await client.data("{ viewer { identities { id } } }", viewer=ada) == {"viewer": {"identities": []}}


@pytest.mark.parametrize(
    "params", [{}, {"query": "{ __typename }", "variables": "{"}, {"query": "{ __typename }", "variables": "[]"}]
)
async def test_malformed_queries_by_get(client: Client, params: Mapping[str, str]) -> None:
    """No query, and variables that are none."""
    response = await client.http.get("/graphql", params=params, headers=PREFLIGHT)
    assert response.status_code == 400
    assert message_of(response)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
async def test_other_methods(client: Client, method: str) -> None:
    """GraphQL is spoken by GET and POST."""
    response = await client.http.request(method, "/graphql")
    assert (response.status_code, response.headers["allow"]) == (405, "GET, POST")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{ viewer { nothing } }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ viewer", "GRAPHQL_PARSE_FAILED"),
        ("query A { __typename } query B { __typename }", "GRAPHQL_VALIDATION_FAILED"),
        ("query ($first: Int!) { images(first: $first) { totalCount } }", "GRAPHQL_VALIDATION_FAILED"),
    ],
)
async def test_requests_that_are_not_executed_have_no_data(client: Client, query: str, code: str) -> None:
    """Parse, validation and variable errors: 200 for older clients, 400 for newer ones, and no `data`."""
    older = await client.http.post("/graphql", json={"query": query})
    newer = await client.http.post("/graphql", json={"query": query}, headers=NEWER)
    assert (older.status_code, newer.status_code) == (200, 400)
    assert older.headers["content-type"] == "application/json"
    assert newer.headers["content-type"] == "application/graphql-response+json"
    assert older.json() == newer.json()
    assert set(older.json()) == {"errors"}
    assert older.json()["errors"][0]["extensions"] == {"code": code}


async def test_newer_clients_get_their_media_type(client: Client) -> None:
    """A good answer is 200 in the media type that was asked for."""
    response = await client.http.post("/graphql", json={"query": "{ __typename }"}, headers=NEWER)
    assert (response.status_code, response.headers["vary"]) == (200, "accept")
    assert response.headers["content-type"] == "application/graphql-response+json"


async def test_one_of_several_operations_is_named(client: Client) -> None:
    """The named one runs."""
    body = {"query": "query A { a: __typename } query B { b: __typename }", "operationName": "B"}
    assert (await client.http.post("/graphql", json=body)).json() == {"data": {"b": "Query"}}


async def test_what_nobody_foresaw_is_masked(
    world: World, ada: Viewer, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An internal error shows nothing of itself, and is logged once with its traceback and the request's id."""
    app = GraphQLApp(world.schema, world.services)
    path = Path(database_url.removeprefix("sqlite:///"))
    token = world.token(ada)
    scope_state = {"request_id": "abc"}

    async def with_request_id(scope: Any, receive: Any, send: Any) -> None:
        scope["state"] = scope_state
        await app(scope, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(with_request_id), base_url=BASE) as http:
        ask = {"query": "{ prompts { id } }"}
        http.headers["Authorization"] = f"Bearer {token}"
        assert "errors" not in (await http.post("/graphql", json=ask)).json()
        drop(path, "prompt")
        with caplog.at_level(logging.ERROR):
            answer = (await http.post("/graphql", json=ask)).json()
    assert answer["data"] is None
    (error,) = answer["errors"]
    assert error["message"] == "Something went wrong on the server."
    assert error["extensions"] == {"code": "INTERNAL", "requestId": "abc"}
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.exc_info
    assert record.__dict__["request_id"] == "abc"


async def test_a_database_that_is_away_is_masked_too(
    world: World, client: Client, ada: Viewer, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """When not even the viewer can be found, the answer has the usual shape."""
    drop(Path(database_url.removeprefix("sqlite:///")), "user_account")
    with caplog.at_level(logging.ERROR):
        response = await client.http.post("/graphql", content=QUERY, headers={**JSON, **client.headers(ada)})
    assert response.status_code == 500
    assert message_of(response) == "Something went wrong on the server."


def drop(database: Path, table: str) -> None:
    """Take a table away behind the server's back."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(f"ALTER TABLE {table} RENAME TO gone")
        connection.commit()


async def test_introspection_can_be_off(world: World, ada: Viewer) -> None:
    """Then neither the schema nor suggestions of its names are told; operations work."""
    app = GraphQLApp(build_schema(introspection=False), world.services)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as http:
        client = Client(http, world)
        asked = await client.ask("{ __schema { queryType { name } } }")
        wrong = await client.ask("{ vewer { id } }")
        right = await client.data("{ viewer { __typename } }", viewer=ada)
    assert "data" not in asked
    assert wrong["errors"][0]["message"] == "Cannot query field 'vewer' on type 'Query'."
    assert right == {"viewer": {"__typename": "User"}}


async def test_a_client_that_goes_away_is_no_error(app: GraphQLApp, caplog: pytest.LogCaptureFixture) -> None:
    """When the body is never finished nothing is answered, and nothing is logged."""
    messages = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    sent: list[object] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: object) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json")]
    await app({"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": headers}, receive, send)
    assert sent == []
    assert caplog.records == []


async def test_browsers_get_the_page(world: World) -> None:
    """A browser that opens the address gets the injected page; without one it is a GET like any other."""

    async def page(request: Request) -> Response:
        return HTMLResponse("<p>GraphiQL</p>")

    for ide, status in ((page, 200), (None, 400)):
        app = GraphQLApp(world.schema, world.services, ide=ide)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as http:
            response = await http.get("/graphql", headers={"Accept": "text/html,application/xhtml+xml"})
        assert response.status_code == status
        assert ("GraphiQL" in response.text) is (ide is not None)
