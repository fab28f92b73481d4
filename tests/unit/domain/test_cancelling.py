"""Cancelling: at every stage it ends at once, says what was paid for, and settles the quota to the cent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import uuid4

import pytest

from domain.costs import UNKNOWN_PRICE_MICRO_USD, Cost, CostBasis
from domain.errors import NotFound
from domain.failures import FailureCode, GenerationFailure, failure
from domain.generations import Generation, GenerationState
from domain.provider_calls import staging
from domain.providers import ImageOptions, PictureFailed
from domain.quotas import QuotaUnit
from domain.users import Viewer
from domain.wishes import GenerateImage
from tests.fakes.providers import DRAWN, Step
from tests.workshop import Workshop

HOUSE = GenerateImage(prompt="A house")
REFUSED = PictureFailed(failure(FailureCode.REFUSED_INPUT))
UNKNOWN = UNKNOWN_PRICE_MICRO_USD
CANCELLED = GenerationState.CANCELLED


def houses(n: int) -> GenerateImage:
    """A wish for several pictures."""
    return replace(HOUSE, options=ImageOptions(n=n))


def paid_in_vain(index: int) -> GenerationFailure:
    """What is told of a picture that nobody gets, and that somebody may have paid for."""
    message = "Cancelled after the provider was asked; it may have charged for this picture."
    return failure(FailureCode.UNKNOWN_CHARGED, message, is_charged=True).at(index)


async def check_settled(shop: Workshop, viewer: Viewer, images: int, micro_usd: int) -> None:
    """Nothing is reserved any more, and so much is used."""
    pictures, money = await shop.used(viewer), await shop.used(viewer, QuotaUnit.MICRO_USD)
    assert (pictures.used, pictures.reserved) == (images, 0)
    assert (money.used, money.reserved) == (micro_usd, 0)


@asynccontextmanager
async def under_way(shop: Workshop, generation: Generation, index: int, *answer: Step) -> AsyncIterator[None]:
    """While a picture is being made; the provider answers at the end, to a worker that was not stopped in time."""
    may_answer = asyncio.Event()
    shop.provider.called.clear()
    shop.provider.scripts = [[may_answer, *answer]]
    making = asyncio.create_task(shop.jobs.make(generation.id, index))
    await shop.provider.called.wait()
    yield
    may_answer.set()
    await making


class TestBeforeAnyCall:
    """Nothing was paid, and nothing will be."""

    async def test_in_line(self, shop: Workshop, viewer: Viewer) -> None:
        """It ends with an event like any other, leaves the line, and a job that was taken meanwhile does nothing."""
        asked = await shop.requests.ask(viewer, houses(2))
        shop.clock.advance(5)
        cancelled = await shop.requests.cancel(viewer, asked.id)
        assert cancelled == await shop.load(asked.id)
        assert (cancelled.state, cancelled.finished_at, cancelled.failures) == (CANCELLED, shop.clock.time, ())
        assert cancelled.actual_cost is None
        last = (await shop.told(asked))[-1]
        assert (last.state, last.stage, last.failure) == (CANCELLED, "Cancelled", None)
        assert shop.bus.published[-1] == last
        assert shop.line.cancelled == [asked.id]
        await check_settled(shop, viewer, 0, 0)
        assert await shop.run(asked) == cancelled
        assert shop.provider.requests == []

    async def test_prepared(self, shop: Workshop, viewer: Viewer) -> None:
        """Copies of people's photos go with the work."""
        identity = await shop.identity(viewer)
        prepared = await shop.asked(viewer, GenerateImage(identity_id=identity.id))
        assert shop.staged()
        await shop.requests.cancel(viewer, prepared.id)
        await shop.jobs.make(prepared.id, 0)
        await shop.jobs.clean_up(prepared.id)
        assert shop.staged() == set()
        assert (shop.provider.requests, await shop.attempts(prepared)) == ([], [])

    async def test_between_looking_and_calling(self, shop: Workshop, viewer: Viewer) -> None:
        """The worker finds that it has ended in the very transaction that would put the call on record."""
        prepared = await shop.asked(viewer, HOUSE)
        await shop.requests.cancel(viewer, prepared.id)
        shop.unit_of_work.mishaps["generations.load"] = [prepared]
        await shop.jobs.make(prepared.id, 0)
        assert (shop.provider.requests, await shop.attempts(prepared)) == ([], [])
        assert (await shop.told(prepared))[-1].state is CANCELLED

    async def test_in_a_pause_before_the_next_call(self, shop: Workshop, viewer: Viewer) -> None:
        """There is no next call, and nothing is told of the failure that would have been waited for."""
        prepared = await shop.asked(viewer, HOUSE)
        async with under_way(shop, prepared, 0, PictureFailed(failure(FailureCode.RATE_LIMITED))):
            shop.provider.price = 0
            await shop.requests.cancel(viewer, prepared.id)
        assert len(shop.provider.requests) == 1
        assert (await shop.told(prepared))[-1].state is CANCELLED
        assert await shop.outcomes(prepared) == ["CANCELLED"]


class TestCallsUnderWay:
    """Nobody knows whether the provider takes money for them."""

    async def test_a_call_counts_as_paid_for(self, shop: Workshop, viewer: Viewer) -> None:
        """With its estimate, and is told as such; the picture that comes all the same is not kept."""
        running = await shop.asked(viewer, HOUSE)
        async with under_way(shop, running, 0, DRAWN):
            shop.clock.advance(5)
            cancelled = await shop.requests.cancel(viewer, running.id)
            (attempt,) = await shop.attempts(running)
            assert (attempt.outcome, attempt.is_charged, attempt.finished_at) == ("CANCELLED", True, shop.clock.time)
            await check_settled(shop, viewer, 0, UNKNOWN)
        assert cancelled.failures == (paid_in_vain(0),)
        assert (await shop.stages(running))[-1] == "Cancelled; 1 may have been charged"
        assert await shop.attempts(running) == [attempt]
        assert await shop.load(running.id) == cancelled
        assert await shop.images(running) == []
        await shop.jobs.clean_up(running.id)
        assert shop.store.objects == {}
        await check_settled(shop, viewer, 0, UNKNOWN)

    async def test_a_price_that_is_known_is_what_counts(self, shop: Workshop, viewer: Viewer) -> None:
        """As reserved."""
        shop.provider.price = 30_000
        running = await shop.asked(viewer, HOUSE)
        async with under_way(shop, running, 0, DRAWN):
            await shop.requests.cancel(viewer, running.id)
        await check_settled(shop, viewer, 0, 30_000)

    async def test_a_free_call_costs_nothing(self, shop: Workshop, viewer: Viewer) -> None:
        """And there is nothing to tell of it."""
        shop.provider.price = 0
        running = await shop.asked(viewer, HOUSE)
        async with under_way(shop, running, 0, DRAWN):
            cancelled = await shop.requests.cancel(viewer, running.id)
        (attempt,) = await shop.attempts(running)
        assert (attempt.outcome, attempt.is_charged) == ("CANCELLED", False)
        assert cancelled.failures == ()
        assert (await shop.stages(running))[-1] == "Cancelled"
        await check_settled(shop, viewer, 0, 0)

    async def test_a_refusal_that_comes_later_changes_nothing(self, shop: Workshop, viewer: Viewer) -> None:
        """What was told stays told."""
        running = await shop.asked(viewer, HOUSE)
        async with under_way(shop, running, 0, REFUSED):
            cancelled = await shop.requests.cancel(viewer, running.id)
        assert await shop.load(running.id) == cancelled
        assert await shop.outcomes(running) == ["CANCELLED"]


class TestPicturesThatAreThere:
    """What was made stays."""

    async def test_some_are_done(self, shop: Workshop, viewer: Viewer) -> None:
        """One is in the library, one was refused, one is under way and one was not begun."""
        shop.provider.scripts = [[DRAWN], [REFUSED]]
        running = await shop.asked(viewer, houses(4))
        for index in (0, 1):
            await shop.jobs.make(running.id, index)
        async with under_way(shop, running, 2, DRAWN):
            cancelled = await shop.requests.cancel(viewer, running.id)
        assert cancelled.state is CANCELLED
        assert cancelled.failures == (REFUSED.failure.at(1), paid_in_vain(2))
        assert cancelled.actual_cost == Cost(40_000 + UNKNOWN, CostBasis.ASSUMED)
        assert (await shop.stages(running))[-1] == "Cancelled: 1 of 4 pictures; 1 more may have been charged"
        assert [image.generation_index for image in await shop.images(running)] == [0]
        await check_settled(shop, viewer, 1, 40_000 + UNKNOWN)

    async def test_one_was_paid_for_and_is_not_in_the_library_yet(self, shop: Workshop, viewer: Viewer) -> None:
        """Nobody gets it, and it was paid for at the provider's price."""
        running = await shop.asked(viewer, HOUSE)
        await shop.calls.paid_for(running, 0)
        cancelled = await shop.requests.cancel(viewer, running.id)
        assert (cancelled.failures, cancelled.actual_cost) == ((paid_in_vain(0),), Cost(40_000, CostBasis.LISTED))
        await shop.jobs.make(running.id, 0)
        assert await shop.images(running) == []
        await check_settled(shop, viewer, 0, 40_000)

    async def test_all_are_done(self, shop: Workshop, viewer: Viewer) -> None:
        """Only the end was missing; the portrait stays as it is."""
        identity = await shop.identity(viewer)
        running = await shop.asked(viewer, GenerateImage(identity_id=identity.id, save_to_identity=True))
        await shop.jobs.make(running.id, 0)
        cancelled = await shop.requests.cancel(viewer, running.id)
        assert (cancelled.state, cancelled.failures) == (CANCELLED, ())
        assert (await shop.stages(running))[-1] == "Cancelled: 1 of 1 pictures"
        assert len(await shop.images(running)) == 1
        async with shop.unit_of_work(read_only=True) as work:
            assert (await work.identities.get(viewer.scope, identity.id)).image_id is None
        await check_settled(shop, viewer, 1, 40_000)


class TestWhatHasEnded:
    """Stays as it is."""

    async def test_it_is_the_answer(self, shop: Workshop, viewer: Viewer) -> None:
        """Nothing is told, and nothing counted again."""
        ended = await shop.run(await shop.requests.ask(viewer, HOUSE))
        told = await shop.told(ended)
        assert await shop.requests.cancel(viewer, ended.id) == ended
        assert await shop.told(ended) == told == shop.bus.published
        await check_settled(shop, viewer, 1, 40_000)

    async def test_two_at_once_end_it_once(self, shop: Workshop, viewer: Viewer) -> None:
        """Both get the same answer."""
        running = await shop.asked(viewer, houses(2))
        async with under_way(shop, running, 0, DRAWN):
            answers = await asyncio.gather(*(shop.requests.cancel(viewer, running.id) for _ in range(3)))
        assert [answer.state for answer in answers] == [CANCELLED] * 3
        assert sum(event.is_terminal for event in await shop.told(running)) == 1
        await check_settled(shop, viewer, 0, UNKNOWN)

    async def test_the_end_and_a_cancel_at_once_end_it_once(self, shop: Workshop, viewer: Viewer) -> None:
        """Whichever is first."""
        running = await shop.asked(viewer, HOUSE)
        await shop.jobs.make(running.id, 0)
        await asyncio.gather(shop.jobs.finish(running.id), shop.requests.cancel(viewer, running.id))
        assert sum(event.is_terminal for event in await shop.told(running)) == 1
        await check_settled(shop, viewer, 1, 40_000)


class TestWhoMay:
    """Its owner, and the admins of the community."""

    async def test_nobody_else(self, shop: Workshop, viewer: Viewer, admin: Viewer, stranger: Viewer) -> None:
        """It is not found; the job goes on."""
        mine, theirs = await shop.requests.ask(viewer, HOUSE), await shop.requests.ask(admin, HOUSE)
        for who, generation_id in ((viewer, theirs.id), (stranger, mine.id), (viewer, uuid4())):
            with pytest.raises(NotFound, match=r"^Generation not found$"):
                await shop.requests.cancel(who, generation_id)
        assert shop.line.cancelled == []
        assert (await shop.run(mine)).state is (await shop.run(theirs)).state is GenerationState.SUCCEEDED

    async def test_an_admin(self, shop: Workshop, viewer: Viewer, admin: Viewer) -> None:
        """For any member; it counts for who had asked."""
        mine = await shop.requests.ask(viewer, HOUSE)
        assert (await shop.requests.cancel(admin, mine.id)).state is CANCELLED
        await check_settled(shop, viewer, 0, 0)


async def test_there_is_nothing_to_clean_up_of_what_is_not_there(shop: Workshop, viewer: Viewer) -> None:
    """Nor does anything of others go."""
    running = await shop.asked(viewer, HOUSE)
    await shop.calls.paid_for(running, 0)
    staged = shop.staged()
    await shop.jobs.clean_up(uuid4())
    assert shop.staged() == staged != set()


async def test_what_a_crash_left_of_an_ended_generation_goes_when_its_end_is_repeated(
    shop: Workshop, viewer: Viewer
) -> None:
    """The process died between the end and the cleaning up."""
    ended = await shop.run(await shop.asked(viewer, HOUSE))
    key = f"{staging(ended)}/0"
    await shop.store.put(key, b"a copy of a photo", "image/jpeg")
    await shop.jobs.finish(ended.id)
    assert key not in shop.store.objects
