"""Events: the row first, then the bus; and following them."""

import asyncio
from contextlib import aclosing
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from domain.costs import Cost, CostBasis
from domain.errors import InvalidInput, NotFound
from domain.failures import FailureCode, failure
from domain.generations import EventDraft, GenerationEvent, GenerationState
from domain.providers import ImageOptions
from domain.users import Viewer
from domain.wishes import GenerateImage
from tests.rows import an_attempt, an_identity
from tests.workshop import Workshop

HOUSE = GenerateImage(prompt="A house")
WISH = replace(HOUSE, options=ImageOptions(n=2))
REFUSED = failure(FailureCode.REFUSED_INPUT)


async def followed(shop: Workshop, viewer: Viewer, id: UUID, after: int = 0) -> list[GenerationEvent]:
    """What a follower gets, within a second."""
    async with asyncio.timeout(1):
        return [event async for event in shop.events.follow(viewer, id, after)]


class TestTelling:
    """One step at a time."""

    async def test_a_step_is_stored_and_then_published(self, shop: Workshop, viewer: Viewer) -> None:
        """With the next number; the state stays where none is told."""
        generation = await shop.requests.ask(viewer, WISH)
        shop.clock.advance(5)
        await shop.events.tell(generation, EventDraft(GenerationState.PREPARING))
        await shop.events.tell(generation, EventDraft(index=1, stage="Half way"))
        queued, preparing, half = await shop.told(generation)
        assert (queued.state, queued.stage) == (GenerationState.QUEUED, "Waiting for a free place")
        assert (preparing.state, preparing.stage) == (GenerationState.PREPARING, "Reading the reference images")
        assert (half.state, half.stage, half.index, half.at) == (
            GenerationState.PREPARING,
            "Half way",
            1,
            shop.clock.time,
        )
        assert shop.bus.published == [queued, preparing, half]
        assert set(shop.bus.owners) == {viewer.id}

    async def test_a_step_that_is_not_stored_is_not_published(self, shop: Workshop, viewer: Viewer) -> None:
        """Followers never hear of what a replay would not tell."""
        generation = await shop.requests.ask(viewer, WISH)
        shop.unit_of_work.mishaps["commit"] = [RuntimeError("disk full")]
        with pytest.raises(RuntimeError, match=r"^disk full$"):
            await shop.events.tell(generation, EventDraft(GenerationState.PREPARING))
        assert shop.bus.published == await shop.told(generation)
        assert len(shop.bus.published) == 1

    async def test_a_state_is_told_once_and_never_goes_back(self, shop: Workshop, viewer: Viewer) -> None:
        """Repeated steps tell nothing twice."""
        generation = await shop.requests.ask(viewer, WISH)
        for state in (GenerationState.GENERATING, GenerationState.GENERATING, GenerationState.PREPARING):
            await shop.events.tell(generation, EventDraft(state))
        assert [event.state for event in shop.bus.published[1:]] == [GenerationState.GENERATING]

    async def test_a_picture_that_comes_after_the_end_is_kept_quietly(self, shop: Workshop, viewer: Viewer) -> None:
        """It was paid for; but nothing is told of what has ended."""
        generation = await shop.requests.ask(viewer, WISH)
        await shop.events.end(generation, [failure(FailureCode.INTERNAL)])
        told = await shop.told(generation)
        image = await shop.drawn(generation)
        await shop.events.tell(generation, EventDraft(index=0, stage="Done", image_id=image.id), image)
        assert await shop.told(generation) == told
        assert [kept.id for kept in await shop.images(generation)] == [image.id]

    async def test_a_picture_that_comes_after_a_cancel_is_not_kept(self, shop: Workshop, viewer: Viewer) -> None:
        """Nobody wants it: neither its row nor its objects stay."""
        generation = await shop.requests.ask(viewer, WISH)
        await shop.events.cancel(generation)
        told = await shop.told(generation)
        image = await shop.drawn(generation)
        await shop.events.tell(generation, EventDraft(index=0, stage="Done", image_id=image.id), image)
        assert await shop.told(generation) == told == shop.bus.published
        assert await shop.images(generation) == []
        async with shop.unit_of_work(read_only=True) as work:
            assert set(await work.pictures.doomed(list(image.picture.keys))) == set(image.picture.keys)

    async def test_a_picture_is_told_of_once(self, shop: Workshop, viewer: Viewer) -> None:
        """By whoever is first; what another worker says of it afterwards is neither stored nor published."""
        generation = await shop.requests.ask(viewer, WISH)
        await shop.events.tell(generation, EventDraft(index=0, stage="No", failure=REFUSED.at(0)))
        image = await shop.drawn(generation)
        await shop.events.tell(generation, EventDraft(index=0, stage="Done", image_id=image.id), image)
        other = await shop.drawn(generation, 1)
        for _ in range(2):
            await shop.events.tell(generation, EventDraft(index=1, stage="Done", image_id=other.id), other)
        await shop.events.tell(generation, EventDraft(index=1, stage="No", failure=REFUSED.at(1)))
        told = await shop.told(generation)
        assert [(event.index, event.image_id, event.failure) for event in told[1:]] == [
            (0, None, REFUSED.at(0)),
            (1, other.id, None),
        ]
        assert shop.bus.published == told
        assert [kept.id for kept in await shop.images(generation)] == [other.id]

    async def test_steps_told_at_once_get_a_number_each(self, shop: Workshop, viewer: Viewer) -> None:
        """Without gaps, and none twice."""
        generation = await shop.requests.ask(viewer, WISH)
        await asyncio.gather(*(shop.events.tell(generation, EventDraft(stage=f"{n}")) for n in range(10)))
        assert len(await shop.told(generation)) == 11

    async def test_the_log_has_no_words_of_the_person(
        self, shop: Workshop, viewer: Viewer, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Numbers, states and codes."""
        generation = await shop.requests.ask(viewer, WISH)
        with caplog.at_level("INFO", "domain.generation_events"):
            await shop.events.end(generation, [REFUSED])
        assert "A house" not in str([vars(record) for record in caplog.records])
        assert [vars(record)["code"] for record in caplog.records] == ["REFUSED_INPUT"]


class TestEnding:
    """The outcome, in one transaction."""

    async def test_what_was_told_makes_the_outcome(self, shop: Workshop, viewer: Viewer) -> None:
        """One picture of two, the other's failure, and the cost of every call."""
        generation = await shop.requests.ask(viewer, WISH)
        image = await shop.drawn(generation, 1)
        await shop.events.tell(generation, EventDraft(index=1, stage="Done", image_id=image.id), image)
        await shop.events.tell(generation, EventDraft(index=0, stage="No", failure=REFUSED.at(0)))
        async with shop.unit_of_work() as work:
            costs = (None, Cost(30_000, CostBasis.USAGE), Cost(12_000, CostBasis.LISTED))
            for number, cost in enumerate(costs, 1):
                outcome = "SUCCEEDED" if cost else "TIMEOUT"
                await work.generations.add_attempt(an_attempt(generation, number, outcome=outcome, cost=cost))
            await work.commit()
        await shop.events.end(generation)
        ended = await shop.load(generation.id)
        assert (ended.state, ended.finished_at) == (GenerationState.SUCCEEDED, shop.clock.time)
        assert (ended.failures, ended.actual_cost) == ((REFUSED.at(0),), Cost(42_000, CostBasis.LISTED))
        last = (await shop.told(generation))[-1]
        assert (last.is_terminal, last.stage, last.failure) == (True, "Done: 1 of 2 pictures", None)

    async def test_refusals_alone_end_refused(self, shop: Workshop, viewer: Viewer) -> None:
        """Nothing was charged that is known of."""
        generation = await shop.requests.ask(viewer, WISH)
        for index in range(2):
            await shop.events.tell(generation, EventDraft(index=index, stage="No", failure=REFUSED.at(index)))
        await shop.events.end(generation)
        ended = await shop.load(generation.id)
        assert (ended.state, ended.actual_cost) == (GenerationState.REFUSED, None)

    async def test_what_failed_as_a_whole_says_so_in_the_last_event(self, shop: Workshop, viewer: Viewer) -> None:
        """Before the failures of single pictures."""
        generation = await shop.requests.ask(viewer, WISH)
        await shop.events.tell(generation, EventDraft(index=0, stage="No", failure=REFUSED.at(0)))
        broken = failure(FailureCode.INTERNAL, is_charged=True)
        await shop.events.end(generation, [broken])
        ended = await shop.load(generation.id)
        assert (ended.state, ended.failures) == (GenerationState.FAILED, (broken, REFUSED.at(0)))
        assert (await shop.told(generation))[-1].failure == broken

    async def test_a_picture_that_was_deleted_meanwhile_was_made(self, shop: Workshop, viewer: Viewer) -> None:
        """Its owner did so before the end: that is no failure, and the other one becomes the portrait."""
        identity = await shop.identity(viewer)
        wish = replace(WISH, prompt=None, identity_id=identity.id, save_to_identity=True)
        generation = await shop.requests.ask(viewer, wish)
        for index in range(2):
            image = await shop.drawn(generation, index)
            await shop.events.tell(generation, EventDraft(index=index, image_id=image.id), image)
        first, second = await shop.images(generation)
        await shop.library.delete(viewer, first.id)
        await shop.events.end(generation)
        assert (await shop.told(generation))[-1].stage == "Done"
        async with shop.unit_of_work(read_only=True) as work:
            assert (await work.identities.get(viewer.scope, identity.id)).image_id == second.id

    async def test_a_generation_whose_every_picture_was_deleted_succeeded(self, shop: Workshop, viewer: Viewer) -> None:
        """They were made, and count."""
        generation = await shop.requests.ask(viewer, HOUSE)
        image = await shop.drawn(generation)
        await shop.events.tell(generation, EventDraft(index=0, image_id=image.id), image)
        await shop.library.delete(viewer, image.id)
        await shop.events.end(generation)
        assert (await shop.load(generation.id)).state is GenerationState.SUCCEEDED
        assert (await shop.used(viewer)).used == 1

    async def test_it_ends_once(self, shop: Workshop, viewer: Viewer) -> None:
        """The first outcome stays, and no portrait is set by a later one."""
        identity = await shop.identity(viewer)
        wish = GenerateImage(identity_id=identity.id, save_to_identity=True)
        generation = await shop.requests.ask(viewer, wish)
        await shop.events.end(generation, [failure(FailureCode.INTERNAL)])
        told = await shop.told(generation)
        image = await shop.drawn(generation)
        await shop.events.tell(generation, EventDraft(index=0, image_id=image.id), image)
        await shop.events.end(generation)
        assert await shop.told(generation) == told
        assert (await shop.load(generation.id)).state is GenerationState.FAILED
        async with shop.unit_of_work(read_only=True) as work:
            assert (await work.identities.get(viewer.scope, identity.id)).image_id is None


class TestFollowing:
    """Replay, then live, until the end."""

    async def test_a_follower_gets_what_was_missed_and_the_end(self, shop: Workshop, viewer: Viewer) -> None:
        """Above the number given, and lets go of the bus."""
        generation = await shop.requests.ask(viewer, WISH)
        await shop.events.tell(generation, EventDraft(GenerationState.PREPARING))
        await shop.events.end(generation)
        assert [event.seq for event in await followed(shop, viewer, generation.id, after=1)] == [2, 3]
        assert [event.seq for event in await followed(shop, viewer, generation.id, after=2)] == [3]
        assert shop.bus.left == 2

    async def test_who_has_seen_the_end_waits_for_nothing(self, shop: Workshop, viewer: Viewer) -> None:
        """The bus is not even asked."""
        generation = await shop.requests.ask(viewer, WISH)
        await shop.events.end(generation)
        assert await followed(shop, viewer, generation.id, after=2) == []
        assert await followed(shop, viewer, generation.id, after=99) == []
        assert shop.bus.follows == []

    async def test_a_number_that_was_never_drawn_is_the_newest_one(self, shop: Workshop, viewer: Viewer) -> None:
        """Otherwise the follower would wait for ever for what comes after it."""
        generation = await shop.requests.ask(viewer, WISH)
        await followed(shop, viewer, generation.id, after=99)
        assert shop.bus.follows == [1]

    async def test_a_follower_who_leaves_lets_go(self, shop: Workshop, viewer: Viewer) -> None:
        """In the middle of the events."""
        generation = await shop.requests.ask(viewer, WISH)
        await shop.events.tell(generation, EventDraft(GenerationState.PREPARING))
        await shop.events.tell(generation, EventDraft(GenerationState.GENERATING))
        async with aclosing(shop.events.follow(viewer, generation.id, 0)) as events:
            assert (await anext(events)).seq == 1
        assert shop.bus.left == 1

    async def test_a_negative_number_is_refused(self, shop: Workshop, viewer: Viewer) -> None:
        """Before anything is looked up."""
        with pytest.raises(InvalidInput, match=r"^after must not be negative$") as caught:
            await followed(shop, viewer, uuid4(), after=-1)
        assert caught.value.problems[0].path == ("after",)

    async def test_someone_elses_generation_is_not_found(
        self, shop: Workshop, viewer: Viewer, admin: Viewer, stranger: Viewer
    ) -> None:
        """An admin of the community may follow it."""
        theirs = await shop.requests.ask(admin, WISH)
        for who in (viewer, stranger):
            with pytest.raises(NotFound, match=r"^Generation not found$"):
                await followed(shop, who, theirs.id)
        assert shop.bus.follows == []
        mine = await shop.requests.ask(viewer, WISH)
        assert await followed(shop, admin, mine.id) == await shop.told(mine)

    async def test_all_of_ones_own_are_followed_together(self, shop: Workshop, viewer: Viewer, admin: Viewer) -> None:
        """Nobody else's; who leaves lets go of the bus."""
        mine = [await shop.requests.ask(viewer, WISH), await shop.requests.ask(viewer, HOUSE)]
        await shop.requests.ask(admin, WISH)
        await shop.events.end(mine[0])
        async with asyncio.timeout(1):
            told = [(event.generation_id, event.seq) async for event in shop.events.follow_all(viewer)]
        assert told == [(mine[0].id, 1), (mine[1].id, 1), (mine[0].id, 2)]
        assert shop.bus.left == 1


async def test_a_picture_that_is_there_already_is_counted_once(shop: Workshop, viewer: Viewer) -> None:
    """The step was repeated after a crash: the second one's objects are given up."""
    generation = await shop.requests.ask(viewer, HOUSE)
    first, again = await shop.drawn(generation), await shop.drawn(generation)
    for image in (first, again):
        await shop.events.tell(generation, EventDraft(), image)
    assert [image.id for image in await shop.images(generation)] == [first.id]
    async with shop.unit_of_work(read_only=True) as work:
        assert await work.pictures.doomed([*first.picture.keys, *again.picture.keys]) == [again.picture.key]


async def test_a_portrait_of_an_identity_that_is_gone_hurts_nobody(shop: Workshop, viewer: Viewer) -> None:
    """It was deleted while the pictures were made: they are kept, and the generation succeeds."""
    identity = await shop.identity(viewer)
    generation = await shop.requests.ask(viewer, GenerateImage(identity_id=identity.id, save_to_identity=True))
    async with shop.unit_of_work() as work:
        await work.identities.delete(identity.id)
        await work.identities.add(an_identity(viewer.user))
        await work.commit()
    image = await shop.drawn(generation)
    await shop.events.tell(generation, EventDraft(index=0, image_id=image.id), image)
    await shop.events.end(generation)
    assert (await shop.load(generation.id)).state is GenerationState.SUCCEEDED
    async with shop.unit_of_work(read_only=True) as work:
        assert [other.image_id for other in await work.identities.of_users([viewer.id])] == [None]
