"""Generations asked for and followed as patient clients do it: what fails is asked again, what breaks is resumed."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import httpx
import pytest
import websockets

from domain.accounts import Accounts
from domain.users import Role
from graph.ids import uuid_of
from storage.credentials import Argon2Hasher, OwnTokens
from storage.database.databases import open_database
from tests.chaos.provider import CountingProvider
from tests.database import RecordedJobs
from tests.e2e.harness import Client, Unanswered
from tests.fakes.clock import FakeClock

ASKED_AT_ONCE = 20
AGAIN_AFTER_S = 0.2
PATIENCE_S = 300
_AWAY = (OSError, TimeoutError, ValueError, Unanswered, httpx.HTTPError, websockets.WebSocketException)


@dataclass(frozen=True, slots=True)
class Person:
    """A member of a community, and their token."""

    id: UUID
    community_id: UUID
    token: str


async def people(database_url: str, secret: str, community: str, count: int = 2) -> list[Person]:
    """New members of the community, which is made when it isn't there."""
    database = open_database(database_url, pool_size=1)
    clock = FakeClock(datetime.now(UTC))
    tokens = OwnTokens(secret.encode(), clock)
    accounts = Accounts(
        database.unit_of_work(RecordedJobs()), Argon2Hasher(), tokens, tokens, clock, timedelta(hours=1)
    )
    made = []
    for number in range(count):
        email = f"{community}-{number}@example.org".replace(" ", "-")
        user = await accounts.create(email=email, name="Ada", community=community, password=None, role=Role.MEMBER)
        made.append(Person(user.id, user.community_id, accounts.token_for(user)[0]))
    await database.aclose()
    return made


@dataclass(slots=True)
class Asked:
    """A generation of so many pictures, and the events that its follower got, in the order in which they came."""

    person: Person
    prompt: str
    pictures: int
    global_id: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def id(self) -> UUID:
        """The generation's id in the database."""
        return uuid_of("Generation", self.global_id)

    @property
    def has_ended(self) -> bool:
        """Whether the last event has been seen."""
        return bool(self.events) and self.events[-1]["isTerminal"]


class Load:
    """Generations of some people, asked of the APIs in turn; each is followed on another API than it was asked of.

    `followed_on` has the APIs that are followed on instead, the later ones when the earlier are gone. `async with` ends
    when the last generation has. `refused` counts what had to be asked again, `resumed` who went on by another connection.
    """

    def __init__(
        self,
        name: str,
        apis: Sequence[Client],
        provider: CountingProvider,
        people: Sequence[Person],
        followed_on: Sequence[Client] = (),
    ) -> None:
        self.name = name
        self.people = people
        self.provider = provider
        self.asked: list[Asked] = []
        self.refused = 0
        self.resumed = 0
        self._apis = apis
        self._followed_on = followed_on
        self._told = asyncio.Condition()
        self._group = asyncio.TaskGroup()
        self._open = AsyncExitStack()

    def __str__(self) -> str:
        ended = sum(asked.has_ended for asked in self.asked)
        answered = sum(bool(asked.global_id) for asked in self.asked)
        return (
            f"{self.name}: {len(self.asked)} asked for ({self.refused} times in vain), {answered} taken, {ended} ended; "
            f"{self.calls} calls for {self.pictures} pictures"
        )

    async def __aenter__(self) -> Self:
        await self._open.enter_async_context(_patience(self))
        await self._open.enter_async_context(self._group)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.__aexit__(kind, error, trace)

    def ask(self, count: int) -> None:
        """Begin to ask for generations: every fifth is one of two pictures."""
        line = asyncio.Semaphore(ASKED_AT_ONCE)
        for number in range(len(self.asked), len(self.asked) + count):
            person = self.people[number % len(self.people)]
            asked = Asked(person, f"{self.name}: {number}", 2 if number % 5 == 0 else 1)
            self.asked.append(asked)
            self._group.create_task(self._see_through(asked, number, line))

    @property
    def pictures(self) -> int:
        """How many were asked for."""
        return sum(asked.pictures for asked in self.asked)

    @property
    def calls(self) -> int:
        """How many calls have arrived at the provider for them."""
        return sum(self.provider.calls[asked.prompt] for asked in self.asked)

    async def until_calls(self, count: int) -> None:
        """Wait until so many calls have arrived."""
        await self.provider.until(lambda: self.calls >= count)

    async def until_followed(self) -> None:
        """Wait until every follower has been told something."""
        async with self._told:
            await self._told.wait_for(lambda: all(asked.events for asked in self.asked))

    async def _see_through(self, asked: Asked, number: int, line: asyncio.Semaphore) -> None:
        async with line:
            await self._ask(asked, _in_turn(asked, self._apis, number))
        elsewhere = _in_turn(asked, self._apis, number + 1)
        await self._follow(asked, _in_turn(asked, self._followed_on, 0) if self._followed_on else elsewhere)

    async def _ask(self, asked: Asked, clients: Iterator[Client]) -> None:
        for client in clients:
            try:
                asked.global_id = await client.generate(
                    prompt=asked.prompt, options={"n": asked.pictures}, idempotencyKey=asked.prompt
                )
            except _AWAY:
                self.refused += 1
                await asyncio.sleep(AGAIN_AFTER_S)
            else:
                return

    async def _follow(self, asked: Asked, clients: Iterator[Client]) -> None:
        for client in clients:
            seen = len(asked.events)
            with suppress(*_AWAY):
                async for event in client.follow(asked.global_id, asked.events[-1]["seq"] if asked.events else 0):
                    # Where others were seen before, this one came by another connection.
                    self.resumed += 0 < len(asked.events) == seen
                    asked.events.append(event)
                    async with self._told:
                        self._told.notify_all()
            if asked.has_ended:
                return
            await asyncio.sleep(AGAIN_AFTER_S)


def _in_turn(asked: Asked, apis: Sequence[Client], first: int) -> Iterator[Client]:
    """Whoever asked, at one API after the other, for ever."""
    for api in itertools.islice(itertools.cycle(apis), first % len(apis), None):
        yield Client(api.port, asked.person.token)


@asynccontextmanager
async def _patience(load: Load) -> AsyncIterator[None]:
    """Fail, and say how far it came, when the load takes longer than anything could take."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield
    except TimeoutError:
        pytest.fail(f"{load} after {PATIENCE_S} s")
