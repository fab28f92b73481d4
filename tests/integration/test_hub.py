"""The progress bus over a real database: every event once and in order, whoever told it and whatever got lost."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import pytest

from domain.failures import FailureCode, failure
from domain.generation_events import GenerationEvents
from domain.generations import EventDraft, Generation, GenerationEvent
from domain.repositories import UnitOfWork, UnitOfWorkFactory
from engine.hub import QUEUE_SIZE, Hub, stop
from tests.fakes.clock import FakeClock
from tests.rows import a_generation, stored_viewer

POLL_S = 0.02
SOON_S = 5.0


class Process:
    """One API process: its hub, and the events that its own jobs tell."""

    def __init__(self, unit_of_work: UnitOfWorkFactory) -> None:
        self.hub = Hub(unit_of_work, POLL_S)
        self.events = GenerationEvents(unit_of_work, self.hub, FakeClock())


@pytest.fixture
async def generation(unit_of_work: UnitOfWorkFactory) -> Generation:
    """A generation that nothing has been told of yet."""
    viewer = await stored_viewer(unit_of_work)
    generation = a_generation(viewer.user, event_seq=0)
    async with unit_of_work() as work:
        await work.generations.add(generation)
        await work.commit()
    return generation


@pytest.fixture
async def here(unit_of_work: UnitOfWorkFactory) -> AsyncIterator[Process]:
    """The process whose subscribers are looked at; it polls."""
    process = Process(unit_of_work)
    polling = asyncio.create_task(process.hub.run())
    yield process
    await stop(polling)


async def tell(process: Process, generation: Generation, *stages: str) -> None:
    """Tell one event for each stage."""
    for stage in stages:
        await process.events.tell(generation, EventDraft(stage=stage))


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


async def test_what_was_missed_comes_first_and_the_end_ends_it(here: Process, generation: Generation) -> None:
    """A late subscriber gets the rows after the number it names, and is let go after the terminal event."""
    await tell(here, generation, "one", "two", "three")
    await here.events.end(generation, [failure(FailureCode.INTERNAL)])
    assert await followed(here, generation) == ["one", "two", "three", "Failed"]
    assert await followed(here, generation, after=2) == ["three", "Failed"]
    assert here.hub.followers == 0


async def test_live_events_reach_every_subscriber_of_that_generation_alone(
    here: Process, generation: Generation, unit_of_work: UnitOfWorkFactory
) -> None:
    """Subscribers that came at different moments see the same; one of another generation sees nothing of it."""
    viewer = await stored_viewer(unit_of_work)
    other = a_generation(viewer.user, event_seq=0)
    async with unit_of_work() as work:
        await work.generations.add(other)
        await work.commit()
    first, stranger = (asyncio.create_task(followed(here, which)) for which in (generation, other))
    await joined(here, 2)
    await tell(here, generation, "one")
    second = asyncio.create_task(followed(here, generation))
    await joined(here, 3)
    await tell(here, generation, "two")
    await here.events.end(generation)
    await here.events.end(other)
    assert await first == await second == ["one", "two", "Failed"]
    assert await stranger == ["Failed"]


async def test_events_of_another_process_are_found(
    here: Process, generation: Generation, unit_of_work: UnitOfWorkFactory
) -> None:
    """What a worker elsewhere writes arrives by polling, in order and once, mixed with what is told here."""
    elsewhere = Process(unit_of_work)
    following = asyncio.create_task(followed(here, generation))
    await joined(here, 1)
    await tell(elsewhere, generation, "there 1", "there 2")
    await tell(here, generation, "here 3")
    await tell(elsewhere, generation, "there 4")
    await elsewhere.events.end(generation)
    assert await following == ["there 1", "there 2", "here 3", "there 4", "Failed"]


async def test_a_hint_that_comes_late_or_twice_changes_nothing(
    here: Process, generation: Generation, unit_of_work: UnitOfWorkFactory
) -> None:
    """Two jobs commit in one order and publish in the other: subscribers still see the order of numbers."""
    following = asyncio.create_task(followed(here, generation))
    await joined(here, 1)
    await tell(Process(unit_of_work), generation, "one", "two")
    rows = await here.hub._read(generation.id, 0)
    for event in (rows[1], rows[0], rows[1]):
        here.hub.publish(event)
    await here.events.end(generation)
    assert await following == ["one", "two", "Failed"]


async def test_a_slow_subscriber_misses_nothing_and_keeps_little(here: Process, generation: Generation) -> None:
    """More live events than its queue holds, while it does not read: the queue stays short, the rows make up for it."""
    events = here.hub.follow(generation.id, 0)
    waiting = asyncio.ensure_future(anext(events))
    await joined(here, 1)
    (follower,) = here.hub._channels[generation.id].followers
    await until(lambda: follower._wake._waiters)
    count = QUEUE_SIZE + 50
    await tell(here, generation, *(f"stage {number}" for number in range(1, count + 1)))
    await here.events.end(generation)
    assert len(follower._events) <= QUEUE_SIZE
    numbers = [(await waiting).seq, *[event.seq async for event in events]]
    assert numbers == list(range(1, count + 2))


async def test_leaving_lets_go(here: Process, generation: Generation) -> None:
    """A subscriber that goes away in the middle leaves nothing behind."""
    events = here.hub.follow(generation.id, 0)
    await tell(here, generation, "one")
    assert (await anext(events)).stage == "one"
    await events.aclose()
    assert here.hub.followers == 0
    assert here.hub._channels == {}


class Outage:
    """Units of work of a database that can be away."""

    def __init__(self, unit_of_work: UnitOfWorkFactory) -> None:
        self._unit_of_work = unit_of_work
        self.is_away = False
        self.refused = asyncio.Event()

    def __call__(self, *, read_only: bool = False) -> AbstractAsyncContextManager[UnitOfWork]:
        """Open one, unless the database is away."""
        if self.is_away:
            self.refused.set()
            raise ConnectionError
        return self._unit_of_work(read_only=read_only)


async def test_a_database_that_is_away_is_asked_again(generation: Generation, unit_of_work: UnitOfWorkFactory) -> None:
    """The poll outlives errors: what another process wrote meanwhile comes when the database is back."""
    outage = Outage(unit_of_work)
    here, elsewhere = Process(outage), Process(unit_of_work)
    polling = asyncio.create_task(here.hub.run())
    following = asyncio.create_task(followed(here, generation))
    await joined(here, 1)
    outage.is_away = True
    await asyncio.wait_for(outage.refused.wait(), SOON_S)
    await tell(elsewhere, generation, "one")
    await elsewhere.events.end(generation)
    outage.is_away = False
    assert await following == ["one", "Failed"]
    await stop(polling)
