"""Hints over the real servers: whatever breaks between two processes, nothing is lost, only later."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Protocol
from uuid import uuid4

import asyncpg
import pytest
from redis.asyncio import Redis
from sqlalchemy import make_url

from domain.generations import Generation, GenerationEvent
from domain.repositories import UnitOfWorkFactory
from domain.users import User
from engine.hints import AT_ONCE, CHANNEL, OUTBOX_SIZE, ConnectedHints, Hint, NoHints, Outbox, packed, unpacked
from engine.hints_postgres import APPLICATION_NAME, PostgresHints
from engine.hints_redis import RedisHints
from engine.hub import stop
from storage.database.databases import open_database
from storage.database.migrate import upgrade
from tests.database import RecordedJobs
from tests.following import NEVER_S, SOON_S, Process, begun, end, followed, joined, tell
from tests.rows import stored_viewer
from tests.services import PrivateRedis, PrivateServer, private_postgres, private_redis

POLL_S = 0.1


class Transport(Protocol):
    """One way for hints, and what may happen to it."""

    url: str

    def hints(self) -> ConnectedHints:
        """What another process on it holds."""

    async def cut(self, *, listening: bool) -> None:
        """Have the server end the connections that listen, or those that send."""

    async def say(self, message: str) -> None:
        """Send something that is none of ours."""


class OverPostgres:
    """LISTEN and NOTIFY."""

    def __init__(self, url: str) -> None:
        self.url = url

    def hints(self) -> ConnectedHints:
        """See `Transport`."""
        return PostgresHints(self.url)

    async def cut(self, *, listening: bool) -> None:
        """See `Transport`."""
        kind = "LIKE" if listening else "NOT LIKE"
        await self._run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "  # noqa: S608 - one of two words
            f"AND application_name = $1 AND query {kind} 'LISTEN%'",
            APPLICATION_NAME,
        )

    async def say(self, message: str) -> None:
        """See `Transport`."""
        await self._run("SELECT pg_notify($1, $2)", CHANNEL, message)

    async def _run(self, statement: str, *values: str) -> None:
        connection = await asyncpg.connect(self.url)
        await connection.fetch(statement, *values)
        await connection.close()


class OverRedis:
    """Publish and subscribe."""

    def __init__(self, url: str) -> None:
        self.url = url

    def hints(self) -> ConnectedHints:
        """See `Transport`."""
        return RedisHints(self.url)

    async def cut(self, *, listening: bool) -> None:
        """See `Transport`."""
        async with Redis.from_url(self.url) as redis:
            await redis.client_kill_filter(_type="pubsub" if listening else "normal", skipme=True)

    async def say(self, message: str) -> None:
        """See `Transport`."""
        async with Redis.from_url(self.url) as redis:
            await redis.publish(CHANNEL, message)


@pytest.fixture
async def redis() -> AsyncIterator[PrivateRedis]:
    """A Redis server of the test's own."""
    async with private_redis() as server:
        yield server


@pytest.fixture(params=["postgresql", "redis"])
def transport(request: pytest.FixtureRequest) -> Transport:
    """Each way; the rows are in PostgreSQL for the one, and in SQLite for the other."""
    if request.param == "redis":
        return OverRedis(request.getfixturevalue("redis").url)
    return OverPostgres(request.getfixturevalue("postgresql_url"))


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> str:
    """The address of a migrated database of the test's own."""
    way = request.node.callspec.params.get("transport") if hasattr(request.node, "callspec") else None
    return str(request.getfixturevalue("postgresql_url" if way == "postgresql" else "sqlite_url"))


@pytest.fixture
async def owner(unit_of_work: UnitOfWorkFactory) -> User:
    """Whose the generations are."""
    return (await stored_viewer(unit_of_work)).user


@pytest.fixture
async def generation(unit_of_work: UnitOfWorkFactory, owner: User) -> Generation:
    """A generation that nothing has been told of yet."""
    return await begun(unit_of_work, owner)


@asynccontextmanager
async def processes(
    unit_of_work: UnitOfWorkFactory, hints: Callable[[], ConnectedHints], poll_s: float = NEVER_S
) -> AsyncIterator[tuple[Process, Process]]:
    """Two processes that are connected. They hear of each other by hints alone unless they poll."""
    first, second = (Process(unit_of_work, poll_s, hints()) for _ in range(2))
    async with first.running(), second.running():
        await connected(first, second)
        yield first, second


async def so(is_so: Callable[[], object]) -> None:
    """Wait until it is so."""
    async with asyncio.timeout(SOON_S):
        while not is_so():  # noqa: ASYNC110 - nobody tells of it: sockets must be read meanwhile
            await asyncio.sleep(0.01)


async def connected(*processes: Process) -> None:
    """Wait until hints go both ways."""
    await so(lambda: all(process.hub.is_connected for process in processes))


async def test_events_reach_the_other_process_though_connections_are_killed(
    transport: Transport, generation: Generation, unit_of_work: UnitOfWorkFactory
) -> None:
    """300 events, told by two processes in turns while what listens and what sends is cut: each once and in order."""
    async with processes(unit_of_work, transport.hints) as (here, there):
        following = [asyncio.create_task(followed(process, generation)) for process in (here, here, there)]
        await joined(here, 2)
        await joined(there, 1)
        for number in range(300):
            if number % 50 == 25:
                await transport.cut(listening=number % 100 == 25)
            await tell((here, there)[number % 2], generation, str(number))
        await end(there, generation)
        assert await asyncio.gather(*following) == [[*map(str, range(300)), "Failed"]] * 3


async def test_a_last_event_is_not_lost_with_its_hint(
    transport: Transport, owner: User, unit_of_work: UnitOfWorkFactory
) -> None:
    """The end is told while nobody listens, and no later hint makes up for it: it comes once the connection is back."""
    async with processes(unit_of_work, transport.hints) as (here, there):
        for _ in range(5):
            generation = await begun(unit_of_work, owner)
            following = asyncio.create_task(followed(here, generation))
            await joined(here, 1)
            await tell(there, generation, "one")
            await transport.cut(listening=True)
            await so(lambda: not here.hub.is_connected)
            await end(there, generation)
            assert await following == ["one", "Failed"]
            await connected(here, there)


async def test_an_owners_events_reach_the_other_process(
    transport: Transport, owner: User, unit_of_work: UnitOfWorkFactory
) -> None:
    """A generation that is made elsewhere from beginning to end is told from its first event on."""
    async with processes(unit_of_work, transport.hints) as (here, there):
        events = here.hub.follow_all(owner.id)
        first = asyncio.ensure_future(anext(events))
        await so(lambda: (known := here.hub._audience.owners.get(owner.id)) and known.is_known)
        generation = await begun(unit_of_work, owner)
        await tell(there, generation, "one", "two")
        await end(there, generation)
        async with asyncio.timeout(SOON_S):
            seen = [await first, await anext(events), await anext(events)]
        assert [(event.generation_id, event.seq) for event in seen] == [(generation.id, seq) for seq in (1, 2, 3)]
        await events.aclose()


async def test_what_is_none_of_ours_is_passed_over(
    transport: Transport, generation: Generation, unit_of_work: UnitOfWorkFactory
) -> None:
    """Somebody else sends on the channel: hints go on coming over the same connection."""
    async with processes(unit_of_work, transport.hints) as (here, there):
        following = asyncio.create_task(followed(here, generation))
        await joined(here, 1)
        for message in ("", "hello", f"{uuid4()} {uuid4()} many", "1 2 3 4"):
            await transport.say(message)
        await tell(there, generation, "one")
        await end(there, generation)
        assert await following == ["one", "Failed"]
        assert here.hub.is_connected


async def private(stack: AsyncExitStack, server: PrivateServer) -> UnitOfWorkFactory:
    """Units of work on a server that can be stopped."""
    await asyncio.to_thread(upgrade, server.url)
    database = open_database(server.url, pool_size=4)
    stack.push_async_callback(database.aclose)
    return database.unit_of_work(RecordedJobs())


async def test_postgres_is_restarted() -> None:
    """It takes both the rows and the hints away, in good order and by a crash: subscribers see all that was stored."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(private_postgres())
        unit_of_work = await private(stack, server)
        generation = await begun(unit_of_work, (await stored_viewer(unit_of_work)).user)
        async with processes(unit_of_work, lambda: PostgresHints(server.url), POLL_S) as (here, there):
            await tell(there, generation, "before")
            subscribers = [here.hub.follow(generation.id, 0) for _ in range(5)]
            assert [(await anext(events)).seq for events in subscribers] == [1] * 5
            following = [asyncio.create_task(_rest(events)) for events in subscribers]
            for is_crash in (False, True):
                telling = asyncio.create_task(_told_through_outages(there, generation, 50))
                await server.restart(crash=is_crash)
                await telling
                await connected(here, there)
            await end(there, generation)
            async with asyncio.timeout(SOON_S):
                seen = await asyncio.gather(*following)
            rows = [event async for event in here.hub.follow(generation.id, 1)]
        assert seen == [rows] * 5
        assert len(rows) > 100


async def _rest(events: AsyncGenerator[GenerationEvent, None]) -> list[GenerationEvent]:
    return [event async for event in events]


async def _told_through_outages(process: Process, generation: Generation, count: int) -> None:
    """Tell so many events; one whose commit broke is told again, and may then be there twice."""
    for number in range(count):
        while True:
            with suppress(Exception):
                await tell(process, generation, str(number))
                break
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("is_crash", [False, True])
async def test_redis_is_away(
    is_crash: bool, redis: PrivateRedis, generation: Generation, unit_of_work: UnitOfWorkFactory
) -> None:
    """What is told meanwhile comes when it is back, without any poll; what is told then comes as before."""
    async with processes(unit_of_work, lambda: RedisHints(redis.url)) as (here, there):
        following = asyncio.create_task(followed(here, generation))
        await joined(here, 1)
        await tell(there, generation, "before")
        await redis.stop(crash=is_crash)
        await so(lambda: not here.hub.is_connected and not there.hub.is_connected)
        await tell(there, generation, *map(str, range(20)))
        assert not following.done()
        await redis.start()
        await connected(here, there)
        await end(there, generation)
        assert await following == ["before", *map(str, range(20)), "Failed"]


async def test_polling_goes_on_without_redis(
    redis: PrivateRedis, generation: Generation, unit_of_work: UnitOfWorkFactory
) -> None:
    """Events arrive though the server between the processes stays away."""
    async with processes(unit_of_work, lambda: RedisHints(redis.url), POLL_S) as (here, there):
        following = asyncio.create_task(followed(here, generation))
        await joined(here, 1)
        await redis.stop()
        await tell(there, generation, "one", "two")
        await end(there, generation)
        assert await following == ["one", "two", "Failed"]


class Wire:
    """A way to a server that can fall silent without a word to either side."""

    def __init__(self, url: str) -> None:
        address = make_url(url)
        self._server = (address.host, address.port)
        self._silent: list[asyncio.Event] = []
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def open(self, url: str) -> AsyncIterator[str]:
        """The address of the server by this way."""
        listening = await asyncio.start_server(self._take, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        try:
            yield make_url(url).set(port=port).render_as_string(hide_password=False)
        finally:
            listening.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def connections(self) -> int:
        """How many were opened so far."""
        return len(self._silent)

    def fall_silent(self) -> None:
        """Nothing more comes through what is open; new connections work."""
        for silent in self._silent:
            silent.set()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        silent = asyncio.Event()
        self._silent.append(silent)
        there, back = await asyncio.open_connection(*self._server)
        for source, target in ((reader, back), (there, writer)):
            task = asyncio.create_task(_pass_on(source, target, silent))
            self._tasks.add(task)


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter, silent: asyncio.Event) -> None:
    try:
        while data := await source.read(65_536):
            if not silent.is_set():
                target.write(data)
    finally:
        target.close()


async def test_a_server_that_vanished_without_a_word_is_noticed(
    transport: Transport, generation: Generation, unit_of_work: UnitOfWorkFactory
) -> None:
    """Both connections fall silent: each is tried, given up and made anew, and what was told meanwhile comes."""
    wire = Wire(transport.url)
    kind = type(transport.hints())
    async with (
        wire.open(transport.url) as url,
        processes(unit_of_work, lambda: kind(url, ping_s=0.5, answer_s=1.0)) as (here, there),
    ):
        following = asyncio.create_task(followed(here, generation))
        await joined(here, 1)
        before = wire.connections
        wire.fall_silent()
        await tell(there, generation, "one")
        await so(lambda: wire.connections >= before + 4)
        await connected(here, there)
        await end(there, generation)
        assert await following == ["one", "Failed"]


async def test_addresses_and_passwords_stay_out_of_the_log(
    redis: PrivateRedis, postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that lets nobody in, and one that isn't there: said once, by the kind of the error, and tried again."""
    caplog.set_level(logging.DEBUG, "engine")
    refused = make_url(postgres_url).set(username="stranger", password="hush-hush")
    urls = {
        RedisHints: redis.url.replace("127.0.0.1", "stranger:hush-hush@127.0.0.1"),
        PostgresHints: refused.render_as_string(hide_password=False),
    }
    for kind, url in urls.items():
        hints = kind(url)
        running = asyncio.create_task(hints.run(lambda _: None, lambda: None))
        await so(lambda: len(caplog.records) >= 2)
        assert not hints.is_connected
        await stop(running)
        assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
        assert {vars(record)["link"] for record in caplog.records} == {"listening", "sending"}
        assert "hush-hush" not in repr([vars(record) for record in caplog.records])
        assert all(vars(record)["reason"].isidentifier() for record in caplog.records)
        caplog.clear()


class Endless(ConnectedHints):
    """A connection on which something is always to be sent."""

    async def _listen(self, heard: Callable[[str], None], opened: Callable[[], None]) -> None:
        await asyncio.Event().wait()

    async def _deliver(self, opened: Callable[[], None]) -> None:
        await self._send_on(self._say, lambda: asyncio.sleep(0))

    async def _say(self, message: str) -> None:
        self.send(a_hint())
        await asyncio.sleep(0)


async def test_sending_ends_when_it_is_told_to() -> None:
    """A busy process is stopped, at whatever step it happens to be."""
    for steps in range(30):
        hints = Endless("")
        hints.send(a_hint())
        running = asyncio.create_task(hints.run(lambda _: None, lambda: None))
        for _ in range(steps):
            await asyncio.sleep(0)
        running.cancel()
        done, _ = await asyncio.wait([running], timeout=SOON_S)
        assert done


def a_hint(seq: int = 1) -> Hint:
    """A hint of a generation of its own."""
    return Hint(uuid4(), uuid4(), seq)


async def test_an_outbox_keeps_the_newest_number_of_each_generation() -> None:
    """Until that is sent: what came while an older one was under way stays."""
    outbox, hint = Outbox(), a_hint(5)
    newer, older = (Hint(hint.generation_id, hint.owner_id, seq) for seq in (6, 4))
    outbox.put(hint)
    outbox.put(older)
    under_way = await outbox.some()
    assert under_way == [hint]
    outbox.put(newer)
    outbox.sent(under_way)
    assert await asyncio.wait_for(outbox.some(), SOON_S) == [newer]


async def test_an_outbox_is_bounded() -> None:
    """Nobody takes anything out: the oldest go, and messages stay short enough for PostgreSQL."""
    outbox, hints = Outbox(), [a_hint(10**9) for _ in range(OUTBOX_SIZE + 1)]
    for hint in hints:
        outbox.put(hint)
    assert len(outbox._waiting) == OUTBOX_SIZE
    some = await outbox.some()
    assert some == hints[1 : AT_ONCE + 1]
    assert len(packed(some).encode()) < 8000


def test_hints_arrive_as_they_were_sent() -> None:
    """Several in one message, in their order; what stands between them is passed over."""
    hints = [a_hint(1), a_hint(10**9)]
    assert unpacked(packed(hints)) == hints
    assert unpacked("hello\n\n1 2 3\n1 2 3 4\n" + packed(hints)) == hints


async def test_alone_there_is_nobody_to_tell() -> None:
    """The hints of the only process go nowhere, and it is always connected."""
    hints = NoHints()
    running = asyncio.create_task(hints.run(lambda _: None, lambda: None))
    hints.send(a_hint())
    await asyncio.sleep(0)
    assert hints.is_connected
    assert not running.done()
    await stop(running)
