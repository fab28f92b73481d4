"""Telling events of generations, and following them as a subscriber does."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from domain.failures import FailureCode, failure
from domain.generation_events import GenerationEvents
from domain.generations import EventDraft, Generation, GenerationEvent
from domain.repositories import UnitOfWork, UnitOfWorkFactory
from domain.users import User
from engine.hints import Hints, NoHints
from engine.hub import Hub, stop
from tests.fakes.clock import FakeClock
from tests.rows import NOW, a_generation

NEVER_S = 3600.0
SOON_S = 60.0


class Watched:
    """Units of work that are counted, of a database that can be away, or slow to answer."""

    def __init__(self, unit_of_work: UnitOfWorkFactory) -> None:
        self._unit_of_work = unit_of_work
        self.is_away = False
        self.answers = asyncio.Event()
        self.answers.set()
        self.asked = 0
        self.refused = 0

    def __call__(self, *, read_only: bool = False) -> AbstractAsyncContextManager[UnitOfWork]:
        """Open one, unless the database is away."""
        self.asked += 1
        if self.is_away:
            self.refused += 1
            raise ConnectionError
        return self._slow(read_only)

    @asynccontextmanager
    async def _slow(self, read_only: bool) -> AsyncIterator[UnitOfWork]:
        async with self._unit_of_work(read_only=read_only) as work:
            yield work
        await self.answers.wait()


class Process:
    """One API process: its hub, and the events that its own jobs tell."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, poll_s: float = NEVER_S, hints: Hints | None = None) -> None:
        self.clock = FakeClock(NOW)
        self.reads = Watched(unit_of_work)
        self.hub = Hub(self.reads, hints or NoHints(), self.clock, poll_s)
        self.events = GenerationEvents(unit_of_work, self.hub, self.clock)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Process"]:
        """The process at work."""
        running = asyncio.create_task(self.hub.run())
        await asyncio.sleep(0)  # one step, in which it begins to listen
        yield self
        await stop(running)


async def begun(unit_of_work: UnitOfWorkFactory, owner: User, **changes: Any) -> Generation:
    """A generation that nothing has been told of yet."""
    generation = a_generation(owner, event_seq=0, **changes)
    async with unit_of_work() as work:
        await work.generations.add(generation)
        await work.commit()
    return generation


async def tell(process: Process, generation: Generation, *stages: str) -> None:
    """Tell one event for each stage."""
    for stage in stages:
        await process.events.tell(generation, EventDraft(stage=stage))


async def end(process: Process, generation: Generation) -> None:
    """Tell the last event: `Failed`."""
    await process.events.end(generation, [failure(FailureCode.INTERNAL)])


async def followed(process: Process, generation: Generation, after: int = 0) -> list[str]:
    """The stages that one subscriber sees until the end; numbers must count up from `after`."""
    seen: list[GenerationEvent] = []
    async with asyncio.timeout(SOON_S):
        async for event in process.hub.follow(generation.id, after):
            seen.append(event)  # noqa: PERF401 - a timeout must show what came before it
    assert [event.seq for event in seen] == list(range(after + 1, after + len(seen) + 1))
    return [event.stage for event in seen]


async def until(is_so: Callable[[], object]) -> None:
    """Let the loop run until it is so."""
    async with asyncio.timeout(SOON_S):
        while not is_so():  # noqa: ASYNC110 - nobody tells of it: it is the hub's own state
            await asyncio.sleep(0)


async def joined(process: Process, count: int) -> None:
    """Wait until so many subscribers are there."""
    await until(lambda: process.hub.followers >= count)
