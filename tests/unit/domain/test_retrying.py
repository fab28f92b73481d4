"""Asking again for what an earlier generation didn't bring."""

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest

from domain.costs import Cost, CostBasis
from domain.errors import Conflict, InvalidInput, NotFound, ProviderUnusable, QuotaExceeded, UnsupportedByModel
from domain.failures import FailureCode, failure
from domain.generations import EventDraft, Generation, GenerationState, IdempotencyKeyTaken
from domain.providers import ImageOptions, PictureFailed, ProviderKind
from domain.tags import Tag, TagKind
from domain.users import Viewer
from domain.wishes import GenerateImage
from tests.database import RecordedJobs
from tests.fakes.providers import DRAWN, MODEL
from tests.rows import limit_of
from tests.workshop import Workshop

HOUSE = GenerateImage(prompt="A house")
REFUSED = [PictureFailed(failure(FailureCode.REFUSED_INPUT))]
OPENAI, GEMINI = ProviderKind.OPENAI, ProviderKind.GEMINI


def houses(n: int) -> GenerateImage:
    """A wish for several pictures."""
    return replace(HOUSE, options=ImageOptions(n=n))


async def refused(shop: Workshop, viewer: Viewer, wish: GenerateImage = HOUSE) -> Generation:
    """A generation that brought nothing."""
    shop.provider.scripts = [REFUSED] * wish.options.n
    return await shop.run(await shop.requests.ask(viewer, wish))


class TestWhatIsAskedAgain:
    """As it was asked before."""

    async def test_only_what_is_missing(self, shop: Workshop, viewer: Viewer, jobs: RecordedJobs) -> None:
        """A new generation, linked to the old one, which stays as it is; by every route, at today's price."""
        profile = await shop.profile(viewer)
        shop.provider.models = [replace(MODEL, qualities=("high",))]
        wish = GenerateImage(
            structured_prompt=None,
            prompt="A house",
            options=ImageOptions(n=3, quality="high"),
            tags=(Tag(TagKind.THEME, "sea"),),
            idempotency_key="first",
            fallback_profile_ids=(profile.id,),
        )
        shop.own[OPENAI].models = [replace(MODEL, id="brush-1", qualities=("high",))]
        shop.provider.scripts = [[DRAWN], REFUSED, REFUSED]
        before = await shop.run(await shop.requests.ask(viewer, wish))
        assert before.fallbacks
        shop.provider.price = 5
        shop.clock.advance(60)
        again = await shop.requests.retry(viewer, before.id)
        assert again == await shop.load(again.id)
        assert again == replace(
            before,
            id=again.id,
            options=ImageOptions(n=2, quality="high"),
            price=Cost(5, CostBasis.LISTED),
            fallbacks=tuple(replace(each, options=replace(each.options, n=2)) for each in before.fallbacks),
            idempotency_key=None,
            input_hash=again.input_hash,
            state=GenerationState.QUEUED,
            event_seq=1,
            failures=(),
            expected_s=0.0,
            actual_cost=None,
            created_at=shop.clock.time,
            finished_at=None,
            retry_of_id=before.id,
        )
        assert [generation.id for generation in jobs.enqueued] == [before.id, again.id]
        assert await shop.load(before.id) == before
        assert (await shop.used(viewer)).reserved == 2
        assert [event.seq for event in shop.bus.published if event.generation_id == again.id] == [1]
        assert len(await shop.images(await shop.run(again))) == 2
        with pytest.raises(Conflict):
            await shop.requests.retry(viewer, again.id)

    async def test_of_a_cancelled_one_what_was_not_made(self, shop: Workshop, viewer: Viewer) -> None:
        """The portrait is still to come: it never got one."""
        identity = await shop.identity(viewer)
        wish = replace(houses(3), identity_id=identity.id, save_to_identity=True)
        running = await shop.asked(viewer, wish)
        await shop.jobs.make(running.id, 0)
        await shop.requests.cancel(viewer, running.id)
        again = await shop.requests.retry(viewer, running.id)
        assert (again.options.n, again.save_to_identity, again.references) == (2, True, ())
        ended = await shop.run(again)
        first, _ = await shop.images(ended)
        async with shop.unit_of_work(read_only=True) as work:
            assert (await work.identities.get(viewer.scope, identity.id)).image_id == first.id

    async def test_a_portrait_and_a_background_that_came_are_not_replaced(self, shop: Workshop, admin: Viewer) -> None:
        """By what was missing beside them."""
        identity, step = await shop.identity(admin), await shop.step(admin)
        wish = replace(houses(2), identity_id=identity.id, save_to_identity=True, step_id=step.id)
        shop.provider.scripts = [REFUSED]
        before = await shop.run(await shop.requests.ask(admin, wish))
        (shown,) = await shop.images(before)
        again = await shop.requests.retry(admin, before.id)
        assert (again.save_to_identity, again.step_id) == (False, None)
        await shop.run(again)
        assert await shop.background(step) == shown.id

    async def test_what_brought_nothing_goes_where_it_was_wanted(self, shop: Workshop, admin: Viewer) -> None:
        """The step's background is the new picture."""
        step = await shop.step(admin)
        before = await refused(shop, admin, replace(HOUSE, step_id=step.id))
        again = await shop.run(await shop.requests.retry(admin, before.id))
        (image,) = await shop.images(again)
        assert await shop.background(step) == image.id

    async def test_a_picture_that_was_deleted_was_made(self, shop: Workshop, viewer: Viewer) -> None:
        """Whoever threw it away didn't miss it."""
        before = await shop.run(await shop.requests.ask(viewer, HOUSE))
        (image,) = await shop.images(before)
        await shop.library.delete(viewer, image.id)
        with pytest.raises(Conflict, match=r"^Every picture of that generation was made"):
            await shop.requests.retry(viewer, before.id)

    async def test_a_picture_that_came_after_the_end_was_made(self, shop: Workshop, viewer: Viewer) -> None:
        """It was paid for and kept, though nothing was told of it."""
        before = await shop.asked(viewer, houses(3))
        shop.provider.scripts = [[DRAWN], REFUSED]
        await shop.jobs.make(before.id, 0)
        await shop.jobs.make(before.id, 1)
        await shop.events.end(before)
        for index, missing in ((0, 2), (1, 1)):
            image = await shop.drawn(before, index)
            await shop.events.tell(before, EventDraft(index=index, image_id=image.id), image)
            assert (await shop.requests.retry(viewer, before.id)).options.n == missing
        image = await shop.drawn(before, 2)
        await shop.events.tell(before, EventDraft(index=2, image_id=image.id), image)
        with pytest.raises(Conflict, match=r"^Every picture of that generation was made"):
            await shop.requests.retry(viewer, before.id)

    async def test_a_retry_may_be_retried(self, shop: Workshop, viewer: Viewer) -> None:
        """Each is linked to the one before it."""
        first = await refused(shop, viewer)
        shop.provider.scripts = [REFUSED]
        second = await shop.run(await shop.requests.retry(viewer, first.id))
        third = await shop.requests.retry(viewer, second.id)
        assert (second.retry_of_id, third.retry_of_id) == (first.id, second.id)


class TestWhatIsRefused:
    """In words, and nothing is put in line."""

    async def test_what_runs_or_is_complete(self, shop: Workshop, viewer: Viewer, jobs: RecordedJobs) -> None:
        """There is nothing missing, or not yet."""
        generation = await shop.asked(viewer, HOUSE)
        with pytest.raises(Conflict, match=r"^That generation is still running: cancel it, or wait for its end$"):
            await shop.requests.retry(viewer, generation.id)
        await shop.run(generation)
        with pytest.raises(Conflict, match=r"^Every picture of that generation was made"):
            await shop.requests.retry(viewer, generation.id)
        assert len(jobs.enqueued) == 1

    async def test_an_identity_that_is_gone(self, shop: Workshop, viewer: Viewer) -> None:
        """A picture without the person is not what was asked for."""
        identity = await shop.identity(viewer)
        before = await refused(shop, viewer, GenerateImage(identity_id=identity.id))
        async with shop.unit_of_work() as work:
            await work.identities.delete(identity.id)
            await work.commit()
        with pytest.raises(Conflict, match=r"^The identity of that generation is gone: ask anew$"):
            await shop.requests.retry(viewer, before.id)

    async def test_references_that_are_gone(self, shop: Workshop, viewer: Viewer, jobs: RecordedJobs) -> None:
        """From the store, or altogether."""
        identity = await shop.identity(viewer)
        before = await refused(shop, viewer, GenerateImage(identity_id=identity.id))
        (slot,) = await shop.references(viewer)
        assert slot.picture
        del shop.store.objects[slot.picture.key]
        with pytest.raises(InvalidInput, match=r"^Reference image 0 can't be read"):
            await shop.requests.retry(viewer, before.id)
        await shop.slots.delete(viewer, slot.id)
        with pytest.raises(InvalidInput):
            await shop.requests.retry(viewer, before.id)
        assert len(jobs.enqueued) == 1

    async def test_a_model_that_is_gone(self, shop: Workshop, viewer: Viewer) -> None:
        """With its successor's name."""
        before = await refused(shop, viewer)
        shop.provider.models = [replace(MODEL, is_retired=True, replaced_by="sketch-2")]
        with pytest.raises(UnsupportedByModel, match=r"Use sketch-2 instead"):
            await shop.requests.retry(viewer, before.id)

    async def test_a_profile_that_is_gone(self, shop: Workshop, viewer: Viewer, jobs: RecordedJobs) -> None:
        """It never turns into the server's own access; while there is another route, that is taken."""
        first, second = await shop.profile(viewer), await shop.profile(viewer, GEMINI)
        wish = replace(HOUSE, profile_id=first.id, fallback_profile_ids=(second.id,))
        before = await shop.requests.cancel(viewer, (await shop.requests.ask(viewer, wish)).id)
        await shop.profiles.delete(viewer, first.id)
        again = await shop.requests.retry(viewer, before.id)
        assert (again.provider, again.profile_id, again.fallbacks) == (GEMINI, second.id, ())
        await shop.requests.cancel(viewer, again.id)
        await shop.profiles.delete(viewer, second.id)
        for generation_id in (before.id, again.id):
            with pytest.raises(ProviderUnusable, match=r"^The connection profile of that generation is gone"):
                await shop.requests.retry(viewer, generation_id)
        assert len(jobs.enqueued) == 2

    async def test_more_than_the_quota_allows(self, shop: Workshop, admin: Viewer) -> None:
        """What was used by then counts."""
        before = await refused(shop, admin, houses(2))
        plan = await shop.quotas.create_plan(admin, "Small", [limit_of(1)])
        await shop.quotas.set_community_plan(admin, plan.id)
        with pytest.raises(QuotaExceeded):
            await shop.requests.retry(admin, before.id)

    async def test_what_is_somebody_elses(
        self, shop: Workshop, viewer: Viewer, admin: Viewer, stranger: Viewer
    ) -> None:
        """It is not found."""
        mine, theirs = await refused(shop, viewer), await refused(shop, admin)
        for who, generation_id in ((viewer, theirs.id), (stranger, mine.id), (viewer, uuid4())):
            with pytest.raises(NotFound, match=r"^Generation not found$"):
                await shop.requests.retry(who, generation_id)


class TestForAMember:
    """An admin asks."""

    async def test_the_pictures_are_the_members(self, shop: Workshop, viewer: Viewer, admin: Viewer) -> None:
        """And count for who asked, with an identity and without."""
        identity = await shop.identity(viewer)
        for number, wish in enumerate((HOUSE, GenerateImage(identity_id=identity.id)), 1):
            before = await refused(shop, viewer, wish)
            again = await shop.run(await shop.requests.retry(admin, before.id))
            assert (again.owner_id, again.requested_by_id) == (viewer.id, admin.id)
            assert [image.owner_id for image in await shop.images(again)] == [viewer.id]
            assert ((await shop.used(admin)).used, (await shop.used(viewer)).used) == (number, 0)

    async def test_the_members_profile_is_the_members(self, shop: Workshop, viewer: Viewer, admin: Viewer) -> None:
        """No admin reaches it."""
        profile = await shop.profile(viewer)
        asked = await shop.requests.ask(viewer, replace(HOUSE, profile_id=profile.id))
        await shop.requests.cancel(viewer, asked.id)
        with pytest.raises(ProviderUnusable, match=r"^The connection profile of that generation is gone"):
            await shop.requests.retry(admin, asked.id)


class TestIdempotency:
    """The same call again."""

    async def test_it_answers_with_the_first_ones_generation(self, shop: Workshop, viewer: Viewer) -> None:
        """Also at once, also when it has ended and nobody could be asked now; without a key every call is another."""
        before = await refused(shop, viewer)
        calls = (shop.requests.retry(viewer, before.id, "again") for _ in range(4))
        (id,) = {generation.id for generation in await asyncio.gather(*calls)}
        ended = await shop.run(await shop.load(id))
        shop.provider.problem = "It has no key"
        assert await shop.requests.retry(viewer, before.id, "again") == ended
        shop.provider.problem = None
        assert ended.idempotency_key == "again"
        assert {generation.id for generation in await shop.generations(viewer)} == {before.id, id}
        assert (await shop.requests.retry(viewer, before.id)).id != id

    async def test_a_key_that_was_used_for_something_else_is_a_conflict(self, shop: Workshop, viewer: Viewer) -> None:
        """For another generation, or for asking."""
        first, second = await refused(shop, viewer), await refused(shop, viewer)
        await shop.requests.retry(viewer, first.id, "again")
        await shop.requests.ask(viewer, replace(HOUSE, idempotency_key="once"))
        for key in ("again", "once"):
            with pytest.raises(Conflict, match=r"^This idempotency key was used before with another input$"):
                await shop.requests.retry(viewer, second.id, key)
        with pytest.raises(Conflict):
            await shop.requests.ask(viewer, replace(HOUSE, idempotency_key="again"))

    @pytest.mark.parametrize("key", ["", "x" * 256])
    async def test_a_key_is_neither_empty_nor_endless(self, shop: Workshop, viewer: Viewer, key: str) -> None:
        """As when asking."""
        before = await refused(shop, viewer)
        with pytest.raises(InvalidInput, match=r"^The key must be 1 to 255 characters$") as caught:
            await shop.requests.retry(viewer, before.id, key)
        assert caught.value.problems[0].path == ("idempotencyKey",)

    async def test_a_lost_race_answers_with_the_winner(
        self, shop: Workshop, viewer: Viewer, jobs: RecordedJobs
    ) -> None:
        """Another call's generation came between looking and storing; that it is gone again can't be."""
        before = await refused(shop, viewer)
        first = await shop.requests.retry(viewer, before.id, "again")
        shop.unit_of_work.mishaps["generations.of_key"] = [None]
        assert (await shop.requests.retry(viewer, before.id, "again")).id == first.id
        shop.unit_of_work.mishaps["generations.of_key"] = [None, None]
        with pytest.raises(IdempotencyKeyTaken):
            await shop.requests.retry(viewer, before.id, "again")
        assert len(jobs.enqueued) == 2
