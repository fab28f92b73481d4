"""Calls that a crash cut off, so that nobody knows whether they were paid for; and workers that were not dead after all."""

import asyncio
from dataclasses import replace

import pytest

from domain.costs import UNKNOWN_PRICE_MICRO_USD
from domain.failures import FailureCode, failure
from domain.generations import Generation, GenerationState
from domain.provider_calls import GenerationOver, PictureNotMade
from domain.providers import ImageOptions, PictureFailed
from domain.quotas import QuotaUnit
from domain.users import Viewer
from domain.wishes import GenerateImage
from tests.fakes.mishaps import WORKS
from tests.fakes.providers import DRAWN, Killed
from tests.uploads import a_photo
from tests.workshop import Workshop

HOUSE = GenerateImage(prompt="A house")
ASKED_AGAIN = "The worker stopped during the call. Asking the provider again."
LIMITED = PictureFailed(failure(FailureCode.RATE_LIMITED))


async def killed(shop: Workshop, generation: Generation) -> None:
    """Take the step, in which the process dies."""
    with pytest.raises(Killed):
        await shop.calls.paid_for(generation, 0)


async def check_given_up(shop: Workshop, generation: Generation, *, is_charged: bool) -> None:
    """However often the step is taken."""
    for _ in range(2):
        with pytest.raises(PictureNotMade) as caught:
            await shop.calls.paid_for(generation, 0)
        message = None if is_charged else "The worker stopped during the call, more than once."
        assert caught.value.why == failure(FailureCode.UNKNOWN_CHARGED, message, is_charged=is_charged)


async def test_a_call_that_may_have_been_paid_is_not_made_again(shop: Workshop, viewer: Viewer) -> None:
    """It stays on record as one that may have been charged, and counts with its estimate."""
    generation = await shop.asked(viewer, HOUSE)
    shop.provider.scripts = [[Killed()]]
    await killed(shop, generation)
    shop.clock.advance(60)
    await check_given_up(shop, generation, is_charged=True)
    (attempt,) = await shop.attempts(generation)
    assert (attempt.outcome, attempt.is_charged, attempt.finished_at) == ("UNKNOWN_CHARGED", True, shop.clock.time)
    assert len(shop.provider.requests) == 1
    assert ASKED_AGAIN not in await shop.stages(generation)
    await shop.run(generation)
    assert (await shop.used(viewer, QuotaUnit.MICRO_USD)).used == UNKNOWN_PRICE_MICRO_USD
    assert (await shop.used(viewer)).used == 0


@pytest.mark.parametrize("is_free", [True, False])
async def test_it_is_made_once_more_where_that_costs_nothing_or_is_allowed(
    shop: Workshop, daring: Workshop, viewer: Viewer, is_free: bool
) -> None:
    """At once, and never unsaid; the first one stays on record."""
    shop = shop if is_free else daring
    shop.provider.price = 0 if is_free else None
    generation = await shop.asked(viewer, HOUSE)
    shop.provider.scripts = [[Killed()]]
    await killed(shop, generation)
    await shop.calls.paid_for(generation, 0)
    lost, made = await shop.attempts(generation)
    assert (lost.outcome, lost.number, lost.is_charged) == ("UNKNOWN_CHARGED", 1, not is_free)
    assert (made.outcome, made.number) == ("SUCCEEDED", 2)
    assert len(shop.provider.requests) == 2
    assert shop.pauses == []
    assert (await shop.told(generation))[-1].stage == ASKED_AGAIN
    assert (await shop.told(generation))[-1].index == 0
    await shop.run(generation)
    expected = 40_000 + (0 if is_free else UNKNOWN_PRICE_MICRO_USD)
    assert (await shop.used(viewer, QuotaUnit.MICRO_USD)).used == expected


@pytest.mark.parametrize("is_free", [True, False])
async def test_a_second_crash_in_the_middle_ends_the_picture(
    shop: Workshop, daring: Workshop, viewer: Viewer, is_free: bool
) -> None:
    """No third call."""
    shop = shop if is_free else daring
    shop.provider.price = 0 if is_free else None
    generation = await shop.asked(viewer, HOUSE)
    shop.provider.scripts = [[Killed()], [Killed()]]
    for _ in range(2):
        await killed(shop, generation)
    await check_given_up(shop, generation, is_charged=not is_free)
    assert await shop.outcomes(generation) == ["UNKNOWN_CHARGED", "UNKNOWN_CHARGED"]
    assert len(shop.provider.requests) == 2


async def test_a_pause_that_was_cut_off_is_kept(daring: Workshop, viewer: Viewer) -> None:
    """The step goes on counting where it was."""
    generation = await daring.asked(viewer, HOUSE)
    daring.provider.scripts = [[LIMITED], [Killed()]]
    await killed(daring, generation)
    daring.provider.scripts = [[LIMITED]]
    await daring.calls.paid_for(generation, 0)
    assert await daring.outcomes(generation) == ["RATE_LIMITED", "UNKNOWN_CHARGED", "RATE_LIMITED", "SUCCEEDED"]


async def test_that_it_is_asked_again_is_said_once(daring: Workshop, viewer: Viewer) -> None:
    """Also when the process dies in a later pause."""
    generation = await daring.asked(viewer, HOUSE)
    daring.provider.scripts = [[Killed()], [LIMITED]]
    await killed(daring, generation)
    daring.unit_of_work.mishaps["generations.append"] = [WORKS, Killed()]
    await killed(daring, generation)
    await daring.calls.paid_for(generation, 0)
    assert await daring.outcomes(generation) == ["UNKNOWN_CHARGED", "RATE_LIMITED", "SUCCEEDED"]
    assert (await daring.stages(generation)).count(ASKED_AGAIN) == 1


async def test_two_workers_bring_one_picture(shop: Workshop, viewer: Viewer) -> None:
    """One was held for dead and goes on: nothing is told twice, kept twice, or counted twice."""
    shop.provider.price = 0
    generation = await shop.asked(viewer, HOUSE)
    may_answer = asyncio.Event()
    shop.provider.scripts = [[may_answer, DRAWN]]
    undead = asyncio.create_task(shop.jobs.make(generation.id, 0))
    await shop.provider.called.wait()
    await shop.jobs.make(generation.id, 0)
    told = await shop.told(generation)
    may_answer.set()
    await undead
    assert await shop.told(generation) == told
    assert await shop.outcomes(generation) == ["UNKNOWN_CHARGED", "SUCCEEDED"]
    ended = await shop.run(generation)
    (image,) = await shop.images(generation)
    assert set(shop.store.objects) == set(image.picture.keys)
    assert (await shop.used(viewer)).used == 1
    assert (ended.failures, shop.bus.published) == ((), await shop.told(generation))


async def test_a_picture_that_comes_when_all_is_over_is_kept(shop: Workshop, viewer: Viewer) -> None:
    """The worker was held for dead; what it paid for is on record as the others closed it."""
    generation = await shop.asked(viewer, HOUSE)
    may_answer = asyncio.Event()
    shop.provider.scripts = [[may_answer, DRAWN]]
    undead = asyncio.create_task(shop.jobs.make(generation.id, 0))
    await shop.provider.called.wait()
    ended = await shop.run(generation)
    told = await shop.told(generation)
    assert ended.failures == (failure(FailureCode.UNKNOWN_CHARGED, is_charged=True).at(0),)
    may_answer.set()
    await undead
    assert await shop.told(generation) == told
    assert len(await shop.images(generation)) == 1
    assert await shop.outcomes(generation) == ["UNKNOWN_CHARGED"]
    assert (await shop.used(viewer, QuotaUnit.MICRO_USD)).used == UNKNOWN_PRICE_MICRO_USD


async def test_who_lost_the_job_leaves_its_successors_call_alone(shop: Workshop, viewer: Viewer) -> None:
    """What another worker is at is no call that was cut off."""
    generation = await shop.asked(viewer, HOUSE)
    shop.provider.scripts = [[Killed()]]
    await killed(shop, generation)
    shop.unit_of_work.mishaps["jobs.is_ours"] = [False]
    with pytest.raises(GenerationOver):
        await shop.calls.paid_for(generation, 0)
    assert await shop.outcomes(generation) == ["STARTED"]
    assert len(shop.provider.requests) == 1


async def test_who_lost_the_job_in_a_pause_calls_nobody(shop: Workshop, viewer: Viewer) -> None:
    """The call would be the successor's to make."""
    generation = await shop.asked(viewer, HOUSE)
    shop.provider.scripts = [[LIMITED]]
    shop.unit_of_work.mishaps["jobs.is_ours"] = [WORKS, False]
    await shop.jobs.make(generation.id, 0)
    assert await shop.outcomes(generation) == ["RATE_LIMITED"]
    assert len(shop.provider.requests) == 1


async def test_who_lost_the_job_tells_no_failure(shop: Workshop, viewer: Viewer) -> None:
    """The successor may well bring the picture."""
    generation = await shop.asked(viewer, HOUSE)
    shop.provider.scripts = [[PictureFailed(failure(FailureCode.REFUSED_OUTPUT))]]
    shop.unit_of_work.mishaps["jobs.is_ours"] = [WORKS, False]
    told = await shop.told(generation)
    await shop.jobs.make(generation.id, 0)
    assert await shop.told(generation) == told
    assert await shop.outcomes(generation) == ["REFUSED_OUTPUT"]


@pytest.mark.parametrize("trouble", ["gone", "away"])
async def test_who_lost_the_job_does_not_end_it_for_a_reference(shop: Workshop, viewer: Viewer, trouble: str) -> None:
    """The successor may well have read it before it was gone, or when the store is back."""
    identity = await shop.identity(viewer)
    generation = await shop.requests.ask(viewer, GenerateImage(identity_id=identity.id))
    if trouble == "gone":
        shop.store.objects.clear()
    else:
        shop.store.is_down = True
    shop.unit_of_work.mishaps["jobs.is_ours"] = [False]
    assert await shop.jobs.prepare(generation.id) == 0
    assert (await shop.load(generation.id)).state is GenerationState.PREPARING


async def test_who_lost_the_job_pins_nothing(shop: Workshop, viewer: Viewer) -> None:
    """What the successor pinned is sent as it was, though its owner has another photo by now."""
    identity = await shop.identity(viewer)
    generation = await shop.requests.ask(viewer, GenerateImage(identity_id=identity.id))
    await shop.jobs.prepare(generation.id)
    pinned = (await shop.load(generation.id)).references
    before = {pin.key: shop.store.objects[pin.key] for pin in pinned}
    (slot,) = await shop.references(viewer)
    await shop.slots.upload(viewer, slot.id, a_photo(60, 60))
    shop.unit_of_work.mishaps["generations.load"] = [generation]
    shop.unit_of_work.mishaps["jobs.is_ours"] = [False]
    told = await shop.told(generation)
    assert await shop.jobs.prepare(generation.id) == 0
    assert (await shop.load(generation.id)).references == pinned
    assert {pin.key: shop.store.objects[pin.key] for pin in pinned} == before
    assert await shop.told(generation) == told


@pytest.mark.parametrize("step", ["finish", "break_off"])
async def test_who_lost_the_job_ends_nothing(shop: Workshop, viewer: Viewer, step: str) -> None:
    """Its successor's call stays on record as it is, and what is staged stays there for it; nothing is shown."""
    identity = await shop.identity(viewer)
    wish = replace(HOUSE, identity_id=identity.id, save_to_identity=True, options=ImageOptions(n=2))
    generation = await shop.asked(viewer, wish)
    shop.provider.scripts = [[DRAWN], [Killed()]]
    await shop.jobs.make(generation.id, 0)
    with pytest.raises(Killed):
        await shop.jobs.make(generation.id, 1)
    left = await shop.load(generation.id), await shop.told(generation), shop.staged(), await shop.attempts(generation)
    shop.unit_of_work.mishaps["jobs.is_ours"] = [False]
    await getattr(shop.jobs, step)(generation.id)
    assert left == (
        await shop.load(generation.id),
        await shop.told(generation),
        shop.staged(),
        await shop.attempts(generation),
    )
    assert (await shop.used(viewer)).reserved == 2
    async with shop.unit_of_work(read_only=True) as work:
        assert (await work.identities.get(viewer.scope, identity.id)).image_id is None


async def test_a_call_that_ends_while_it_is_given_up_is_not_made_again(daring: Workshop, viewer: Viewer) -> None:
    """What its own worker recorded just then is its last word, and what it stored is used."""
    generation = await daring.asked(viewer, HOUSE)
    receipt = await daring.calls.paid_for(generation, 0)
    (made,) = await daring.attempts(generation)
    daring.mishaps["exists"] = [False]
    daring.unit_of_work.mishaps["generations.attempts_of"] = [[replace(made, outcome="STARTED", finished_at=None)]]
    assert await daring.calls.paid_for(generation, 0) == receipt
    assert await daring.attempts(generation) == [made]
    assert len(daring.provider.requests) == 1
