"""The edge over WebSocket, on a real server: who gets in, what is followed, and who is closed."""

import asyncio
import json
import socket
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from typing import Any

import pytest
import uvicorn
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from domain.failures import FailureCode, failure
from domain.generations import EventDraft, Generation, GenerationEvent, GenerationState
from domain.users import Role, Viewer
from graph.edge import GraphQLApp
from tests.graphql import Statements, World, gid, nobody
from tests.rows import PICTURE, a_generation, after, an_image, stored_community, stored_viewer

FOLLOW = """subscription ($id: ID!, $after: Int! = 0) { generationProgress(id: $id, after: $after) {
    seq state isTerminal stage elapsedSeconds estimatedSecondsLeft index
    preview { width } image { id } failure { code } generation { id eventSeq }
} }"""


@pytest.fixture
async def address(app: GraphQLApp) -> AsyncIterator[str]:
    """Where a real server listens."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None, ws="websockets-sansio"))
        async with app.running():
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            while not server.started:  # noqa: ASYNC110  uvicorn has no event for it
                await asyncio.sleep(0.01)
            yield f"ws://127.0.0.1:{listening.getsockname()[1]}/graphql"
            server.should_exit = True
            await serving


@pytest.fixture
async def ada(world: World) -> Viewer:
    """A member."""
    return await stored_viewer(world.unit_of_work)


@pytest.fixture
async def generation(world: World, ada: Viewer) -> Generation:
    """A generation of Ada's that is in line."""
    generation = a_generation(ada.user, expected_s=90.0)
    await world.add(generation)
    await world.tell(generation, EventDraft(GenerationState.QUEUED, "Waiting"))
    return generation


class Talk:
    """A conversation in graphql-transport-ws."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def say(self, type: str, **rest: object) -> None:
        """Send a message."""
        await self.send(json.dumps({"type": type, **rest}))

    async def send(self, text: str | bytes) -> None:
        """Send anything."""
        await self._connection.send(text)

    async def hear(self) -> dict[str, Any]:
        """The next message, the server's pings left out."""
        async with asyncio.timeout(30):  # over all of them: pings come for ever
            while True:
                message: dict[str, Any] = json.loads(await self._connection.recv())
                if message["type"] != "ping":
                    return message

    async def subscribe(self, query: str, id: str = "1") -> None:
        """Begin an operation."""
        await self.say("subscribe", id=id, payload={"query": query})

    async def follow(self, id: str, after: int = 0, *, query: str = FOLLOW, operation: str = "1") -> None:
        """Begin to follow a generation."""
        variables = {"id": id} if query is not FOLLOW else {"id": id, "after": after}
        await self.say("subscribe", id=operation, payload={"query": query, "variables": variables})

    async def event(self) -> dict[str, Any]:
        """The next event that is followed."""
        message = await self.hear()
        assert message["type"] == "next", message
        assert "errors" not in message["payload"], message
        event: dict[str, Any] = message["payload"]["data"]["generationProgress"]
        return event

    async def closed(self) -> tuple[int, str]:
        """How the server closes."""
        async with asyncio.timeout(5):
            with suppress(ConnectionClosed):
                async for _ in self._connection:
                    pass
        assert self._connection.close_code
        return self._connection.close_code, self._connection.close_reason or ""


@asynccontextmanager
async def talk(address: str, payload: object = None, **headers: str) -> AsyncIterator[Talk]:
    """A socket on which connection_init was sent."""
    protocols = [Subprotocol("graphql-transport-ws")]
    async with connect(address, subprotocols=protocols, additional_headers=headers, proxy=None) as connection:
        talking = Talk(connection)
        await talking.say("connection_init", **({} if payload is None else {"payload": payload}))
        yield talking


@asynccontextmanager
async def signed_in(address: str, world: World, viewer: Viewer) -> AsyncIterator[Talk]:
    """A socket that was let in."""
    async with talk(address, {"authorization": f"Bearer {world.token(viewer)}"}) as talking:
        assert await talking.hear() == {"type": "connection_ack"}
        yield talking


@pytest.mark.parametrize("way", ["authorization", "Authorization", "token", "header"])
async def test_a_token_lets_in(address: str, world: World, ada: Viewer, way: str) -> None:
    """By any of the payload's fields, or by the handshake's header."""
    token = world.token(ada)
    payload = None if way == "header" else {way: token if way == "token" else f"Bearer {token}"}
    headers = {"Authorization": f"Bearer {token}"} if way == "header" else {}
    async with talk(address, payload, **headers) as talking:
        assert await talking.hear() == {"type": "connection_ack"}
        await talking.subscribe("{ viewer { id } }")
        message = await talking.hear()
        assert message == {"id": "1", "type": "next", "payload": {"data": {"viewer": {"id": gid(ada.user)}}}}


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (None, 'Sign in first: send `{"authorization": "Bearer <token>"}` with connection_init'),
        ({}, 'Sign in first: send `{"authorization": "Bearer <token>"}` with connection_init'),
        ({"authorization": "Basic x"}, "The authorization must be `Bearer <token>`"),
        ({"authorization": "Bearer nonsense"}, "The token is not a valid token."),
        ({"token": 1}, 'Sign in first: send `{"authorization": "Bearer <token>"}` with connection_init'),
    ],
)
async def test_without_a_good_token_the_socket_is_closed(address: str, payload: object, reason: str) -> None:
    """The reason says what is wrong."""
    async with talk(address, payload) as talking:
        assert await talking.closed() == (4403, reason)


async def test_an_expired_token_lets_nobody_in(address: str, world: World, ada: Viewer) -> None:
    """A token of an hour ago."""
    token = world.token(ada)
    world.clock.advance(3_601)
    async with talk(address, {"token": token}) as talking:
        assert (await talking.closed())[0] == 4403


async def test_progress_is_followed_to_its_end(address: str, world: World, ada: Viewer, generation: Generation) -> None:
    """What was missed comes first, then what happens, until the generation has ended."""
    async with signed_in(address, world, ada) as talking:
        await talking.follow(gid(generation))
        assert await talking.event() == {
            "seq": 1,
            "state": "QUEUED",
            "isTerminal": False,
            "stage": "Waiting",
            "elapsedSeconds": 60.0,
            "estimatedSecondsLeft": 30,
            "index": None,
            "preview": None,
            "image": None,
            "failure": None,
            "generation": {"id": gid(generation), "eventSeq": 1},
        }
        await world.tell(generation, EventDraft(GenerationState.GENERATING, "Working", index=0, preview=PICTURE))
        assert (await talking.event())["preview"] == {"width": 640}
        image = an_image(ada.user, generation_id=generation.id, generation_index=0, created_at=after(1))
        await world.tell(generation, EventDraft(index=0, stage="Done", image_id=image.id), image)
        made = await talking.event()
        assert (made["image"], made["generation"]["eventSeq"]) == ({"id": gid(image)}, 3)
        refused = failure(FailureCode.REFUSED_OUTPUT).at(1)
        await world.tell(generation, EventDraft(index=1, stage="Refused", failure=refused))
        assert (await talking.event())["failure"] == {"code": "REFUSED_OUTPUT"}
        await world.services.events.end(generation)
        last = await talking.event()
        assert (last["seq"], last["state"], last["isTerminal"]) == (5, "SUCCEEDED", True)
        assert await talking.hear() == {"id": "1", "type": "complete"}
    assert world.bus.followers == 0


async def test_following_goes_on_where_it_stopped(
    address: str, world: World, ada: Viewer, generation: Generation
) -> None:
    """Events up to the known number are left out."""
    await world.tell(generation, EventDraft(GenerationState.GENERATING, "Working"))
    async with signed_in(address, world, ada) as talking:
        await talking.follow(gid(generation), after=1)
        assert (await talking.event())["seq"] == 2


async def test_an_event_costs_no_statement_more_than_what_it_shows(
    address: str, world: World, ada: Viewer, generation: Generation, statements: Statements
) -> None:
    """An event's own facts, and the time since the beginning, come without asking the database."""
    query = "subscription ($id: ID!) { generationProgress(id: $id) { seq elapsedSeconds estimatedSecondsLeft } }"
    async with signed_in(address, world, ada) as talking:
        await talking.follow(gid(generation), query=query)
        assert (await talking.event())["seq"] == 1
        statements.sent.clear()
        event = GenerationEvent(generation.id, 2, after(61), GenerationState.GENERATING, "Working")
        world.bus.publish(event, generation.owner_id)
        assert await talking.event() == {"seq": 2, "elapsedSeconds": 61.0, "estimatedSecondsLeft": 29}
        assert [sent for sent in statements.sent if "generation" in sent] == []


@pytest.mark.parametrize("leaving", ["complete", "close"])
async def test_leaving_ends_the_following(
    address: str, world: World, ada: Viewer, generation: Generation, leaving: str
) -> None:
    """By a complete message or by closing the socket; nobody follows afterwards."""
    async with signed_in(address, world, ada) as talking:
        await talking.follow(gid(generation))
        await talking.event()
        assert world.bus.followers == 1
        if leaving == "complete":
            await talking.say("complete", id="1")
            await until(lambda: world.bus.followers == 0)
    await until(lambda: world.bus.followers == 0)


async def until(is_so: Any) -> None:
    """Wait for something that happens soon."""
    async with asyncio.timeout(5):
        while not is_so():  # noqa: ASYNC110  nothing tells when
            await asyncio.sleep(0.01)


async def test_what_cannot_be_followed(address: str, world: World, ada: Viewer, generation: Generation) -> None:
    """Others' generations, unknown ones and negative numbers are errors of the operation; the socket stays."""
    stranger = await stored_viewer(world.unit_of_work, role=Role.ADMIN)
    async with signed_in(address, world, stranger) as talking:
        for number, (id, known, code) in enumerate(
            [
                (gid(generation), 0, "NOT_FOUND"),
                (nobody("Generation"), 0, "NOT_FOUND"),
                ("nonsense", 0, "NOT_FOUND"),
                (gid(generation), -1, "INVALID_INPUT"),
            ]
        ):
            await talking.follow(id, known, operation=str(number))
            message = await talking.hear()
            assert (message["type"], message["id"]) == ("error", str(number))
            assert [error["extensions"] for error in message["payload"]] == [{"code": code}]


@pytest.mark.parametrize(
    ("mistake", "code"),
    [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ('{ node(id: "\\u{0}") { id } }', "GRAPHQL_VALIDATION_FAILED"),
        ('mutation { createConnectionProfile(input: {apiKey: "sk-secret"}) { id } }', "GRAPHQL_VALIDATION_FAILED"),
        ('mutation { createConnectionProfile(input: {apiKey "sk-secret"}) { id } }', "GRAPHQL_PARSE_FAILED"),
        ('mutation ($key: String = ["sk-secret"]) { __typename @include(if: $key) }', "GRAPHQL_VALIDATION_FAILED"),
    ],
    ids=["syntax", "NUL", "a key", "a key in bad syntax", "a key as a default"],
)
async def test_a_mistake_ends_its_own_operation_only(
    address: str, world: World, ada: Viewer, generation: Generation, mistake: str, code: str
) -> None:
    """What can't be read beside a running subscription is that operation's error."""
    async with signed_in(address, world, ada) as talking:
        await talking.follow(gid(generation))
        await talking.event()
        await talking.subscribe(mistake, id="2")
        message = await talking.hear()
        assert (message["id"], message["type"]) == ("2", "error")
        assert message["payload"][0]["extensions"] == {"code": code}
        assert "secret" not in str(message)
        await world.tell(generation, EventDraft(GenerationState.GENERATING, "Working"))
        assert (await talking.event())["seq"] == 2


async def test_a_revoked_token_closes_its_sockets(
    address: str, world: World, ada: Viewer, generation: Generation
) -> None:
    """Soon after signing out, every socket of the user is closed, with what it followed; others stay."""
    bob = await stored_viewer(world.unit_of_work)
    async with signed_in(address, world, ada) as talking, signed_in(address, world, bob) as other:
        await talking.follow(gid(generation))
        await talking.event()
        world.clock.advance(1)
        await world.services.accounts.revoke_tokens(ada.user)
        assert await talking.closed() == (4403, "Token revoked")
        await until(lambda: world.bus.followers == 0)
        await other.subscribe("{ __typename }")
        assert (await other.hear())["type"] == "next"


async def test_an_expired_token_closes_its_socket(address: str, world: World, ada: Viewer) -> None:
    """A socket lives no longer than its token."""
    async with signed_in(address, world, ada) as talking:
        world.clock.advance(3_601)
        assert await talking.closed() == (4403, "Token expired")


async def test_all_sockets_cost_one_statement(address: str, world: World, ada: Viewer, statements: Statements) -> None:
    """However many sockets are open, their tokens are looked after by one statement at a time."""
    community = await stored_community(world.unit_of_work)
    bob = await stored_viewer(world.unit_of_work, community)
    async with signed_in(address, world, ada), signed_in(address, world, ada), signed_in(address, world, bob):
        statements.sent.clear()
        await asyncio.sleep(0.28)
        assert 1 <= len(statements.sent) <= 6


async def test_a_database_that_is_away_ends_no_watch(
    address: str, world: World, ada: Viewer, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """While tokens can't be checked sockets stay open; afterwards dead ones are closed."""
    path = database_url.removeprefix("sqlite:///")
    async with signed_in(address, world, ada) as talking:
        run_sql(path, "ALTER TABLE user_account RENAME TO gone")
        await until(lambda: "the tokens of open sockets could not be checked" in caplog.text)
        run_sql(path, "ALTER TABLE gone RENAME TO user_account")
        world.clock.advance(3_601)
        assert await talking.closed() == (4403, "Token expired")


def run_sql(path: str, statement: str) -> None:
    """Change the database behind the server's back."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()


async def test_a_socket_is_kept_open_by_pings(address: str, world: World, ada: Viewer) -> None:
    """The server pings, and answers pings with their payload."""
    async with signed_in(address, world, ada) as talking:
        assert json.loads(await asyncio.wait_for(talking._connection.recv(), 5)) == {"type": "ping"}
        await talking.say("pong")
        await talking.say("ping", payload={"n": 1})
        assert await talking.hear() == {"type": "pong", "payload": {"n": 1}}


@pytest.mark.parametrize(
    "message",
    [
        "null",
        "[]",
        "{}",
        "{",
        "[" * 100_000,
        '{"type": 1}',
        '{"type": "nonsense"}',
        '{"type": "complete"}',
        '{"type": "subscribe"}',
        '{"type": "subscribe", "id": 1, "payload": {"query": "{ __typename }"}}',
        '{"type": "subscribe", "id": "1", "payload": null}',
        '{"type": "subscribe", "id": "1", "payload": {}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": null}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": "{ __typename }", "variables": []}}',
        b"\x00",
    ],
)
async def test_malformed_messages_close(address: str, world: World, ada: Viewer, message: str | bytes) -> None:
    """Each with the protocol's code for it."""
    async with signed_in(address, world, ada) as talking:
        await talking.send(message)
        code, reason = await talking.closed()
        assert code == 4400
        assert reason


async def test_the_protocol_is_kept(address: str, world: World, ada: Viewer) -> None:
    """Subscribing before being let in, initialising twice, and another protocol."""
    async with connect(address, subprotocols=[Subprotocol("graphql-transport-ws")], proxy=None) as connection:
        talking = Talk(connection)
        await talking.subscribe("{ __typename }")
        assert await talking.closed() == (4401, "Unauthorized")
    async with signed_in(address, world, ada) as talking:
        await talking.say("connection_init", payload={"token": world.token(ada)})
        assert await talking.closed() == (4429, "Too many initialisation requests")
    async with talk(address, [1]) as talking:
        assert (await talking.closed())[0] == 4400
    async with connect(address, subprotocols=[Subprotocol("graphql-ws")], proxy=None) as connection:
        assert await Talk(connection).closed() == (4406, "Subprotocol not acceptable")


async def test_other_sites_open_no_socket(address: str) -> None:
    """A browser's page of another origin is turned away at the handshake."""
    with pytest.raises(InvalidStatus) as refusal:
        async with talk(address, Origin="https://elsewhere.example"):
            pass
    assert refusal.value.response.status_code == 403
