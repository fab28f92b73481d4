"""The progress bus over a real database: every event once and in order, whoever told it and whatever got lost."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Self
from uuid import UUID, uuid4

import pytest

from domain.generations import Generation
from domain.repositories import UnitOfWorkFactory
from domain.users import User
from engine.followers import QUEUE_SIZE, Follower
from engine.hints import Hint, NoHints, OnGap, OnHint
from engine.hub import READ_SIZE, RECENT
from tests.following import NEVER_S, SOON_S, Process, begun, end, followed, joined, tell, until
from tests.rows import NOW, stored_viewer

POLL_S = 0.02


class Wire:
    """Carries the hints of the processes on it to the others at once, unless it is cut."""

    def __init__(self) -> None:
        self.ends: list[WireEnd] = []
        self.is_cut = False

    def end(self) -> "WireEnd":
        """What one process holds."""
        self.ends.append(WireEnd(self))
        return self.ends[-1]

    def mend(self) -> None:
        """Join it again, and say so."""
        self.is_cut = False
        for each in self.ends:
            each.on_gap()


class WireEnd:
    """One process's hints."""

    is_connected = True

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.is_open = False

    def send(self, hint: Hint) -> None:
        """Hand it to the others."""
        for other in self._wire.ends:
            if other is not self and other.is_open and not self._wire.is_cut:
                other.on_hint(hint)

    async def run(self, on_hint: OnHint, on_gap: OnGap) -> None:
        """Listen."""
        self.on_hint, self.on_gap, self.is_open = on_hint, on_gap, True
        await NoHints().run(on_hint, on_gap)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The address of a migrated database of the test's own, of each kind."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
async def owner(unit_of_work: UnitOfWorkFactory) -> User:
    """Whose the generations are."""
    return (await stored_viewer(unit_of_work)).user


@pytest.fixture
async def generation(unit_of_work: UnitOfWorkFactory, owner: User) -> Generation:
    """A generation that nothing has been told of yet."""
    return await begun(unit_of_work, owner)


@pytest.fixture
async def here(unit_of_work: UnitOfWorkFactory) -> AsyncIterator[Process]:
    """The process whose subscribers are looked at; it hears nothing of others but by polling."""
    async with Process(unit_of_work, POLL_S).running() as process:
        yield process


@pytest.fixture
async def pair(unit_of_work: UnitOfWorkFactory) -> AsyncIterator[tuple[Process, Process, Wire]]:
    """Two processes, which hear of each other by hints alone, and the wire between them."""
    wire = Wire()
    first, second = (Process(unit_of_work, NEVER_S, wire.end()) for _ in range(2))
    async with first.running(), second.running():
        yield first, second, wire


class Everything:
    """A subscriber to all that is an owner's; it has joined when the block begins."""

    def __init__(self, process: Process, owner: User) -> None:
        self._hub = process.hub
        self._owner_id = owner.id
        self._events = process.hub.follow_all(owner.id)

    async def __aenter__(self) -> Self:
        """Join."""
        before = self._hub.followers
        self._next = asyncio.ensure_future(anext(self._events))
        await until(lambda: self._hub.followers > before)
        joining = self._hub._audience.owners[self._owner_id].joining
        await until(lambda: not joining.locked())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Leave."""
        self._next.cancel()
        await asyncio.gather(self._next, return_exceptions=True)
        await self._events.aclose()

    async def until_end(self, last: Generation) -> list[tuple[UUID, int]]:
        """What comes up to the end of this generation: ids of generations, and numbers."""
        seen = []
        async with asyncio.timeout(SOON_S):
            while True:
                event = await self._next
                self._next = asyncio.ensure_future(anext(self._events))
                seen.append((event.generation_id, event.seq))
                if event.is_terminal and event.generation_id == last.id:
                    return seen


def numbers(generation: Generation, first: int, last: int) -> list[tuple[UUID, int]]:
    """The generation's events from one number to another."""
    return [(generation.id, seq) for seq in range(first, last + 1)]


async def test_what_was_missed_comes_first_and_the_end_ends_it(here: Process, generation: Generation) -> None:
    """A late subscriber gets the rows after the number it names, and is let go after the terminal event."""
    await tell(here, generation, "one", "two", "three")
    await end(here, generation)
    assert await followed(here, generation) == ["one", "two", "three", "Failed"]
    assert await followed(here, generation, after=2) == ["three", "Failed"]
    assert here.hub.followers == 0


async def test_live_events_reach_every_subscriber_of_that_generation_alone(
    here: Process, generation: Generation, owner: User, unit_of_work: UnitOfWorkFactory
) -> None:
    """Subscribers that came at different moments see the same; one of another generation sees nothing of it."""
    other = await begun(unit_of_work, owner)
    first, stranger = (asyncio.create_task(followed(here, which)) for which in (generation, other))
    await joined(here, 2)
    await tell(here, generation, "one")
    second = asyncio.create_task(followed(here, generation))
    await joined(here, 3)
    await tell(here, generation, "two")
    await end(here, generation)
    await end(here, other)
    assert await first == await second == ["one", "two", "Failed"]
    assert await stranger == ["Failed"]
    assert here.hub.published == 4


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
    await end(elsewhere, generation)
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
        here.hub.publish(event, generation.owner_id)
    await end(here, generation)
    assert await following == ["one", "two", "Failed"]


async def test_a_slow_subscriber_misses_nothing_and_keeps_little(here: Process, generation: Generation) -> None:
    """More live events than its queue holds, while it does not read: the queue stays short, the rows make up for it."""
    events = here.hub.follow(generation.id, 0)
    waiting = asyncio.ensure_future(anext(events))
    await joined(here, 1)
    (follower,) = here.hub._audience.channels[generation.id].followers
    await until(lambda: follower._wake._waiters)
    count = QUEUE_SIZE + 50
    await tell(here, generation, *(f"stage {number}" for number in range(1, count + 1)))
    await end(here, generation)
    assert len(follower._events) <= QUEUE_SIZE
    seen = [(await waiting).seq, *[event.seq async for event in events]]
    assert seen == list(range(1, count + 2))


async def test_leaving_lets_go(here: Process, generation: Generation) -> None:
    """A subscriber that goes away in the middle leaves nothing behind."""
    events = here.hub.follow(generation.id, 0)
    await tell(here, generation, "one")
    assert (await anext(events)).stage == "one"
    await events.aclose()
    assert here.hub.followers == 0
    assert here.hub._audience.channels == {}


async def test_a_database_that_is_away_is_asked_again(
    here: Process, generation: Generation, unit_of_work: UnitOfWorkFactory
) -> None:
    """The poll outlives errors: what another process wrote meanwhile comes when the database is back."""
    elsewhere = Process(unit_of_work)
    following = asyncio.create_task(followed(here, generation))
    await joined(here, 1)
    here.reads.is_away = True
    await until(lambda: here.reads.refused)
    await tell(elsewhere, generation, "one")
    await end(elsewhere, generation)
    here.reads.is_away = False
    assert await following == ["one", "Failed"]


async def test_a_subscriber_outlives_a_database_that_is_away(here: Process, generation: Generation) -> None:
    """Even one who must read rows of its own, since its queue ran over, waits for the database."""
    events = here.hub.follow(generation.id, 0)
    await tell(here, generation, "one")
    assert (await anext(events)).seq == 1
    count = QUEUE_SIZE + 50
    await tell(here, generation, *map(str, range(count)))
    await end(here, generation)
    here.reads.is_away = True
    rest = asyncio.ensure_future(anext(events))
    refused = here.reads.refused
    await until(lambda: here.reads.refused > refused + 1)
    assert not rest.done()
    here.reads.is_away = False
    assert [(await rest).seq, *[event.seq async for event in events]] == list(range(2, count + 3))


async def test_hints_bring_every_event_once_and_in_order(
    pair: tuple[Process, Process, Wire], generation: Generation
) -> None:
    """300 events told by two processes in turns, and subscribers on both that came at different moments."""
    here, there, _ = pair
    early = [asyncio.create_task(followed(process, generation)) for process in pair[:2] for _ in range(3)]
    await joined(here, 3)
    await joined(there, 3)
    for number in range(75):
        await tell(here, generation, f"here {number}")
        await tell(there, generation, f"there {number}")
    late = asyncio.create_task(followed(here, generation, after=100))
    for number in range(75, 150):
        await tell(there, generation, f"here {number}")
        await tell(here, generation, f"there {number}")
    await end(there, generation)
    expected = [f"{place} {number}" for number in range(150) for place in ("here", "there")] + ["Failed"]
    assert await asyncio.gather(*early) == [expected] * 6
    assert await late == expected[100:]


async def test_hints_for_nobody_cause_no_query(
    pair: tuple[Process, Process, Wire], generation: Generation, unit_of_work: UnitOfWorkFactory, owner: User
) -> None:
    """A process reads nothing of what nobody there follows, whatever it hears; and polls nothing for nobody."""
    here, there, wire = pair
    other = await begun(unit_of_work, owner)
    await tell(there, generation, *map(str, range(10)))
    await end(there, generation)
    wire.mend()
    following = asyncio.create_task(followed(here, other))
    await joined(here, 1)
    await end(there, other)
    assert await following == ["Failed"]
    # The subscriber's first read, and at most the look after the gap and the read that a hint asked for.
    assert here.reads.asked <= 3
    assert there.reads.asked == 0


async def test_a_flood_of_hints_is_read_in_few_queries(
    pair: tuple[Process, Process, Wire], generation: Generation
) -> None:
    """10,000 hints of one generation while its rows are read: they wait as one, and cause a handful of queries."""
    here, there, _ = pair
    following = [asyncio.create_task(followed(here, generation)) for _ in range(20)]
    await until(lambda: here.reads.asked == 20)
    here.reads.answers.clear()
    await tell(there, generation, *map(str, range(READ_SIZE + 50)))
    for _ in range(10_000):
        there.hub._hints.send(Hint(generation.id, generation.owner_id, READ_SIZE + 50))
        assert len(here.hub._audience.behind) <= 1
    here.reads.answers.set()
    await end(there, generation)
    assert await asyncio.gather(*following) == [[*map(str, range(READ_SIZE + 50)), "Failed"]] * 20
    # Each subscriber's own first read, which may have found nothing; then the rows in pages, for all together.
    assert here.reads.asked <= 20 + 20 + 5


async def test_what_was_told_while_the_wire_was_cut_comes_when_it_is_mended(
    pair: tuple[Process, Process, Wire], generation: Generation
) -> None:
    """Without any poll: the transport says that there was a gap, and all that is followed is looked at."""
    here, there, wire = pair
    following = asyncio.create_task(followed(here, generation))
    await joined(here, 1)
    await tell(there, generation, "one")
    wire.is_cut = True
    await tell(there, generation, "two", "three")
    await end(there, generation)
    assert not following.done()
    wire.mend()
    assert await following == ["one", "two", "three", "Failed"]


async def test_leaving_while_rows_are_read_disturbs_nobody(
    pair: tuple[Process, Process, Wire], generation: Generation
) -> None:
    """The last subscriber goes while the rows it was told of are read; the next one sees everything."""
    here, there, _ = pair
    leaving = asyncio.create_task(followed(here, generation))
    await until(lambda: here.reads.asked == 1)
    here.reads.answers.clear()
    await tell(there, generation, "one")
    await until(lambda: here.reads.asked == 2)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    assert here.hub._audience.channels == {}
    following = asyncio.create_task(followed(here, generation))
    await joined(here, 1)
    here.reads.answers.set()
    await end(there, generation)
    assert await following == ["one", "Failed"]


async def test_all_of_an_owners_events_come_from_now_on(
    pair: tuple[Process, Process, Wire], generation: Generation, owner: User, unit_of_work: UnitOfWorkFactory
) -> None:
    """Of what runs the events that follow, of what begins later all, of other people's none, whoever tells them."""
    here, there, _ = pair
    stranger = (await stored_viewer(unit_of_work)).user
    theirs, ended = await begun(unit_of_work, stranger), await begun(unit_of_work, owner)
    await tell(there, generation, "before")
    await end(there, ended)
    async with Everything(here, owner) as everything:
        await tell(there, generation, "two")
        new = await begun(unit_of_work, owner)
        await tell(there, new, "one")
        await tell(here, theirs, "nobody's business")
        await tell(here, new, "two")
        await end(there, new)
        await end(here, generation)
        await end(there, theirs)
        last = await begun(unit_of_work, owner)
        await end(here, last)
        seen = await everything.until_end(last)
    mine = [[event for event in seen if event[0] == which.id] for which in (generation, new, last)]
    assert mine == [numbers(generation, 2, 3), numbers(new, 1, 3), numbers(last, 1, 1)]
    assert len(seen) == 6
    assert here.hub.followers == 0
    assert here.hub._audience.channels == {}


async def test_a_generation_that_begins_and_ends_between_two_polls_is_told_whole(
    here: Process, owner: User, unit_of_work: UnitOfWorkFactory
) -> None:
    """Another process makes it, and no hint of it arrives; one that ended before the subscriber came stays untold."""
    elsewhere = Process(unit_of_work)
    await end(elsewhere, await begun(unit_of_work, owner))
    async with Everything(here, owner) as everything:
        short = await begun(unit_of_work, owner)
        await tell(elsewhere, short, "one", "two")
        await end(elsewhere, short)
        assert await everything.until_end(short) == numbers(short, 1, 3)


async def test_an_owner_is_told_what_a_generations_own_subscriber_knows_already(
    pair: tuple[Process, Process, Wire], owner: User, unit_of_work: UnitOfWorkFactory
) -> None:
    """A generation is followed by itself up to its end before the owner's subscriber ever hears of it."""
    here, there, wire = pair
    async with Everything(here, owner) as everything:
        wire.is_cut = True
        new = await begun(unit_of_work, owner)
        await tell(there, new, "one")
        await end(there, new)
        alone = here.hub.follow(new.id, 0)
        assert (await anext(alone)).seq == 1
        wire.mend()
        assert await everything.until_end(new) == numbers(new, 1, 2)
        assert [event.seq async for event in alone] == [2]


async def test_what_ended_before_a_second_subscriber_came_is_told_to_the_first_alone(
    pair: tuple[Process, Process, Wire], owner: User, unit_of_work: UnitOfWorkFactory
) -> None:
    """Its end was stored, but is heard of only after the second one has joined."""
    here, there, wire = pair
    old = await begun(unit_of_work, owner, created_at=NOW - timedelta(days=1))
    await tell(there, old, "one")
    async with Everything(here, owner) as first:
        wire.is_cut = True
        await end(there, old)
        async with Everything(here, owner) as second:
            wire.mend()
            assert await first.until_end(old) == numbers(old, 2, 2)
            last = await begun(unit_of_work, owner)
            await end(here, last)
            assert await second.until_end(last) == numbers(last, 1, 1)


async def test_what_was_told_of_an_owner_is_not_told_again(
    pair: tuple[Process, Process, Wire], generation: Generation, owner: User, unit_of_work: UnitOfWorkFactory
) -> None:
    """Hints that come late, of what has ended or was told, bring nothing; neither do looks, soon or much later."""
    here, there, _ = pair
    old = await begun(unit_of_work, owner, created_at=NOW - timedelta(days=1))
    await end(there, old)
    async with Everything(here, owner) as everything:
        short = await begun(unit_of_work, owner)
        await tell(there, short, "one")
        await end(there, short)
        assert await everything.until_end(short) == numbers(short, 1, 2)
        for _ in range(2):
            for which in (old, short):
                for seq in (1, 2):
                    there.hub._hints.send(Hint(which.id, owner.id, seq))
            await here.hub._look()
            await tell(there, generation, "a sign")
            # Twice, for a look reaches back from the one before.
            here.clock.advance(3 * RECENT.total_seconds())
            await here.hub._look()
            await here.hub._look()
            assert short.id not in here.hub._audience.channels
        await end(there, generation)
        assert await everything.until_end(generation) == numbers(generation, 1, 3)


async def test_subscribers_to_one_owner_come_at_different_moments(
    pair: tuple[Process, Process, Wire], generation: Generation, owner: User
) -> None:
    """Each sees everything from its own beginning on; one of the generation alone beside them sees all of it."""
    here, there, _ = pair
    alone = asyncio.create_task(followed(here, generation))
    await joined(here, 1)
    await tell(there, generation, "one")
    async with Everything(here, owner) as first:
        await tell(there, generation, "two")
        await tell(here, generation, "three")
        async with Everything(here, owner) as second:
            await tell(there, generation, "four")
            await end(there, generation)
            assert await second.until_end(generation) == numbers(generation, 4, 5)
        assert await first.until_end(generation) == numbers(generation, 2, 5)
    assert await alone == ["one", "two", "three", "four", "Failed"]


async def test_a_slow_subscriber_to_an_owner_misses_nothing(
    pair: tuple[Process, Process, Wire], generation: Generation, owner: User, unit_of_work: UnitOfWorkFactory
) -> None:
    """More live events than its queue holds, of several generations, some of them new: each comes whole."""
    here, _, _ = pair
    async with Everything(here, owner) as everything:
        (follower,) = here.hub._audience.owners[owner.id].followers
        await tell(here, generation, "one")
        await until(everything._next.done)
        new = [await begun(unit_of_work, owner) for _ in range(3)]
        for which in new:
            await tell(here, which, *map(str, range(QUEUE_SIZE // 2)))
            await end(here, which)
        await end(here, generation)
        assert len(follower._events) <= QUEUE_SIZE
        seen = await everything.until_end(generation)
    for which in new:
        assert [event for event in seen if event[0] == which.id] == numbers(which, 1, QUEUE_SIZE // 2 + 1)
    assert [event for event in seen if event[0] == generation.id] == numbers(generation, 1, 2)


async def test_one_who_joins_an_owner_while_events_are_told_misses_none(
    pair: tuple[Process, Process, Wire], generation: Generation, owner: User, unit_of_work: UnitOfWorkFactory
) -> None:
    """What is told while the rows are asked for comes too: here and elsewhere, of what runs and of what begins."""
    here, there, _ = pair
    await tell(there, generation, "before")
    here.reads.answers.clear()
    events = here.hub.follow_all(owner.id)
    seen = [asyncio.ensure_future(anext(events))]
    await until(lambda: here.reads.asked == 1)
    new = await begun(unit_of_work, owner)
    await tell(there, generation, "two")
    await tell(there, new, "one")
    await tell(here, generation, "three")
    await end(here, new)
    here.reads.answers.set()
    await end(there, generation)
    ids: dict[UUID, list[int]] = {generation.id: [], new.id: []}
    async with asyncio.timeout(SOON_S):
        while sum(map(len, ids.values())) < 5:
            event = await seen.pop()
            ids[event.generation_id].append(event.seq)
            seen.append(asyncio.ensure_future(anext(events)))
    seen[0].cancel()
    await asyncio.gather(*seen, return_exceptions=True)
    await events.aclose()
    assert ids == {generation.id: [2, 3, 4], new.id: [1, 2]}


async def test_more_owners_than_a_database_takes_parameters(
    here: Process, owner: User, unit_of_work: UnitOfWorkFactory
) -> None:
    """The followers of many owners' generations on one process: one that begins elsewhere is found as ever."""
    for _ in range(33_000):
        here.hub._audience.join_all(uuid4(), Follower()).is_known = True
    async with Everything(here, owner) as everything:
        later = await begun(unit_of_work, owner)
        elsewhere = Process(unit_of_work)
        await tell(elsewhere, later, "one")
        await end(elsewhere, later)
        assert await everything.until_end(later) == numbers(later, 1, 2)
