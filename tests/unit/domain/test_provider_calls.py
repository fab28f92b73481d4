"""Calling a provider for one picture: what is on record, what is asked again, and what is never paid twice."""

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest

from domain.costs import Cost, CostBasis
from domain.errors import StoreUnavailable
from domain.failures import FailureCode, failure
from domain.generations import Generation, RetryPolicy
from domain.picture_store import MADE_LIMITS
from domain.provider_calls import CallLimits, PictureNotMade, Receipt, staging
from domain.providers import PictureArrived, PictureFailed, PreviewArrived, ProviderKind, ReferenceRole
from domain.users import Viewer
from domain.wishes import GenerateImage
from tests import pictures
from tests.fakes.clock import FakeClock
from tests.fakes.mishaps import UnluckyUnitOfWork
from tests.fakes.objects import FakeObjectStore
from tests.fakes.providers import DRAWN, Killed
from tests.workshop import Workshop

HOUSE = GenerateImage(prompt="A house")
PRICE = Cost(40_000, CostBasis.LISTED)
DOWN = StoreUnavailable("The object store can't be reached.")
PREVIEW = PreviewArrived(pictures.jpeg(40, 30))


def failed(code: FailureCode, *, is_charged: bool = False, retry_after_s: int | None = None) -> PictureFailed:
    """How a provider says no."""
    return PictureFailed(failure(code, is_charged=is_charged, retry_after_s=retry_after_s), request_id="req-no")


@pytest.fixture
async def house(shop: Workshop, viewer: Viewer) -> Generation:
    """A prepared generation of one picture."""
    return await shop.asked(viewer, HOUSE)


async def not_made(shop: Workshop, generation: Generation) -> PictureNotMade:
    """The error of a picture that can't be had."""
    with pytest.raises(PictureNotMade) as caught:
        await shop.calls.paid_for(generation, 0)
    return caught.value


class TestOneCall:
    """What a call leaves behind."""

    async def test_a_picture_leaves_its_bytes_its_receipt_and_a_record(self, shop: Workshop, house: Generation) -> None:
        """With the provider's own request id, what it cost, and how long it took."""
        asked_at = shop.clock.time
        receipt = await shop.calls.paid_for(house, 0)
        assert receipt == Receipt("a finer house", "req-1", PRICE, asked_at)
        assert shop.staged() == {f"{staging(house)}/0", f"{staging(house)}/0.json"}
        assert shop.store.objects[f"{staging(house)}/0"][0] == DRAWN.data
        (attempt,) = await shop.attempts(house)
        assert (attempt.index, attempt.number, attempt.outcome) == (0, 1, "SUCCEEDED")
        assert (attempt.started_at, attempt.finished_at) == (asked_at, asked_at)
        assert (attempt.provider_request_id, attempt.cost) == ("req-1", PRICE)
        assert shop.provider.closed == 1

    async def test_the_provider_is_told_everything(self, shop: Workshop, viewer: Viewer) -> None:
        """The rendered prompt, the options, the index, and the references as they were pinned."""
        identity = await shop.identity(viewer, references=2)
        wish = GenerateImage(identity_id=identity.id, options=replace(HOUSE.options, n=3))
        generation = await shop.asked(viewer, wish)
        await shop.calls.paid_for(generation, 2)
        (request,) = shop.provider.requests
        assert (request.model, request.prompt, request.index) == ("sketch-1", generation.prompt, 2)
        assert request.options == generation.options
        assert [reference.name for reference in request.references] == ["Photo 0", "Photo 1"]
        for reference, pin in zip(request.references, generation.references, strict=True):
            assert reference.role is ReferenceRole.FACE
            assert reference.sha256 == pin.sha256
            assert reference.picture.data == shop.store.objects[pin.key][0]
            assert reference.picture.media_type == "image/jpeg"

    async def test_the_record_is_there_before_the_call(self, shop: Workshop, house: Generation) -> None:
        """So that a crash in the middle leaves a trace."""
        shop.provider.scripts = [[Killed()]]
        with pytest.raises(Killed):
            await shop.calls.paid_for(house, 0)
        (attempt,) = await shop.attempts(house)
        assert (attempt.outcome, attempt.finished_at) == ("STARTED", None)

    async def test_a_call_that_can_not_be_recorded_is_not_made(self, shop: Workshop, house: Generation) -> None:
        """A paid call without a trace is worse than none."""
        shop.unit_of_work.mishaps["generations.add_attempt"] = [RuntimeError("disk full")]
        with pytest.raises(RuntimeError, match=r"^disk full$"):
            await shop.calls.paid_for(house, 0)
        assert shop.provider.requests == []

    @pytest.mark.parametrize("code", [FailureCode.REFUSED_INPUT, FailureCode.INVALID_KEY, FailureCode.TIMEOUT])
    async def test_a_failure_that_asking_again_does_not_help_is_the_last_word(
        self, shop: Workshop, house: Generation, code: FailureCode
    ) -> None:
        """One call, on record with its code and request id; a refusal above all is never repeated."""
        shop.provider.scripts = [[failed(code)]]
        assert (await not_made(shop, house)).why == failure(code)
        (attempt,) = await shop.attempts(house)
        assert (attempt.outcome, attempt.provider_request_id, attempt.cost) == (code, "req-no", None)
        assert attempt.finished_at == shop.clock.time
        assert len(shop.provider.requests) == 1
        assert shop.pauses == []
        assert shop.staged() == set()


class TestBrokenPromises:
    """Adapters that don't do what the port says."""

    async def test_an_adapter_that_raises_is_an_internal_failure(
        self, shop: Workshop, house: Generation, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Not a crash: logged once with its traceback, and held for charged."""
        shop.provider.scripts = [[KeyError("choices")]]
        assert (await not_made(shop, house)).why == failure(FailureCode.INTERNAL, is_charged=True)
        assert await shop.outcomes(house) == ["INTERNAL"]
        (record,) = [record for record in caplog.records if record.exc_info]
        assert record.getMessage() == "provider adapter failed"

    async def test_an_adapter_that_says_nothing_gave_an_empty_result(self, shop: Workshop, house: Generation) -> None:
        """Previews are no picture."""
        shop.provider.scripts = [[PREVIEW]]
        assert (await not_made(shop, house)).why == failure(FailureCode.EMPTY_RESULT, is_charged=True)

    @pytest.mark.parametrize("size", [0, MADE_LIMITS.max_bytes + 1])
    async def test_bytes_of_an_impossible_size_are_a_bad_response(
        self, shop: Workshop, house: Generation, size: int
    ) -> None:
        """Nothing is staged; the request id is kept for the vendor's support."""
        shop.provider.scripts = [[PictureArrived(bytes(size), request_id="req-2")]]
        assert (await not_made(shop, house)).why == failure(FailureCode.BAD_RESPONSE, is_charged=True)
        assert [attempt.provider_request_id for attempt in await shop.attempts(house)] == ["req-2"]
        assert shop.staged() == set()

    async def test_the_first_word_is_the_last(self, shop: Workshop, house: Generation) -> None:
        """What comes after the picture is not listened to, and the call is closed."""
        shop.provider.scripts = [[DRAWN, failed(FailureCode.REFUSED_OUTPUT)]]
        await shop.calls.paid_for(house, 0)
        assert shop.provider.closed == 1

    async def test_a_provider_that_never_answers_is_given_up_as_charged(
        self, unlucky: UnluckyUnitOfWork, store: FakeObjectStore, clock: FakeClock, viewer: Viewer
    ) -> None:
        """After the time limit, without another call, and the call is closed."""
        shop = Workshop(unlucky, store, clock, CallLimits(timeout_s=0.05))
        generation = await shop.asked(viewer, HOUSE)
        shop.provider.scripts = [[60.0, DRAWN]]
        assert (await not_made(shop, generation)).why == failure(FailureCode.TIMEOUT, is_charged=True)
        assert await shop.outcomes(generation) == ["TIMEOUT"]
        assert (len(shop.provider.requests), shop.provider.closed) == (1, 1)

    @pytest.mark.parametrize(("common_s", "own_s", "outcome"), [(60.0, 0.05, "TIMEOUT"), (0.05, 60.0, "SUCCEEDED")])
    async def test_a_provider_may_have_a_time_of_its_own(
        self,
        unlucky: UnluckyUnitOfWork,
        store: FakeObjectStore,
        clock: FakeClock,
        viewer: Viewer,
        common_s: float,
        own_s: float,
        outcome: str,
    ) -> None:
        """Shorter or longer than the common one."""
        limits = CallLimits(timeout_s=common_s, timeouts_s={ProviderKind.OFFLINE: own_s})
        shop = Workshop(unlucky, store, clock, limits)
        generation = await shop.asked(viewer, HOUSE)
        shop.provider.scripts = [[0.2, DRAWN]]
        with suppress(PictureNotMade):
            await shop.calls.paid_for(generation, 0)
        assert await shop.outcomes(generation) == [outcome]


class TestPreviews:
    """Partial pictures."""

    async def test_previews_are_told_as_they_come(self, shop: Workshop, house: Generation) -> None:
        """Made small, stored under keys of their own, numbered."""
        shop.provider.scripts = [[PREVIEW, PREVIEW, DRAWN]]
        await shop.calls.paid_for(house, 0)
        first, second = [event for event in await shop.told(house) if event.preview]
        assert (first.stage, second.stage) == ("Preview 1", "Preview 2")
        assert first.preview
        assert second.preview
        assert first.index == second.index == 0
        assert first.preview.key != second.preview.key
        assert {first.preview.key, second.preview.key} <= set(shop.store.objects)
        assert first.preview.key.startswith(f"{house.community_id}/previews/{house.id}/0-1-")

    async def test_a_broken_preview_does_not_cost_the_picture(self, shop: Workshop, house: Generation) -> None:
        """It is dropped; the next one is shown."""
        shop.provider.scripts = [[PreviewArrived(b"half of a"), PREVIEW, DRAWN]]
        await shop.calls.paid_for(house, 0)
        assert [event.stage for event in await shop.told(house) if event.preview] == ["Preview 2"]
        assert await shop.outcomes(house) == ["SUCCEEDED"]

    async def test_a_preview_that_can_not_be_stored_does_not_cost_the_picture(
        self, shop: Workshop, house: Generation
    ) -> None:
        """Nor one that can't be told."""
        shop.mishaps["put"] = [DOWN]
        shop.unit_of_work.mishaps["generations.append"] = [OSError("connection lost")]
        shop.provider.scripts = [[PREVIEW, PREVIEW, DRAWN]]
        await shop.calls.paid_for(house, 0)
        assert [event for event in await shop.told(house) if event.preview] == []
        assert await shop.outcomes(house) == ["SUCCEEDED"]
        assert shop.pauses == []


class TestAskingAgain:
    """In one place, and only where it is safe."""

    async def test_a_rate_limit_is_waited_for(self, shop: Workshop, house: Generation) -> None:
        """For as long as the provider says; people read why and how long."""
        shop.provider.scripts = [[failed(FailureCode.RATE_LIMITED, retry_after_s=7)]]
        await shop.calls.paid_for(house, 0)
        assert len(shop.provider.requests) == 2
        (pause,) = shop.pauses
        assert 7 <= pause <= 8
        assert await shop.outcomes(house) == ["RATE_LIMITED", "SUCCEEDED"]
        stage = (await shop.stages(house))[-1]
        assert stage.startswith("The provider is limiting how fast it may be called. Trying again in ")
        assert stage.endswith((" 7 s.", " 8 s."))

    async def test_it_gives_up_in_the_end(self, shop: Workshop, house: Generation) -> None:
        """After four calls and growing pauses; the last failure is told."""
        shop.provider.scripts = [[failed(FailureCode.PROVIDER_UNAVAILABLE)]] * 4
        assert (await not_made(shop, house)).why == failure(FailureCode.PROVIDER_UNAVAILABLE)
        assert len(shop.provider.requests) == 4
        assert [attempt.number for attempt in await shop.attempts(house)] == [1, 2, 3, 4]
        assert all(low <= pause <= 2 * low for low, pause in zip((0.5, 1, 2), shop.pauses, strict=True))

    async def test_a_pause_is_told_as_a_second_at_least(
        self, unlucky: UnluckyUnitOfWork, store: FakeObjectStore, clock: FakeClock, viewer: Viewer
    ) -> None:
        """Nobody reads that it goes on in 0 s."""
        shop = Workshop(unlucky, store, clock, CallLimits(calls=RetryPolicy(first_pause_s=0.1)))
        house = await shop.asked(viewer, HOUSE)
        shop.provider.scripts = [[failed(FailureCode.RATE_LIMITED)]]
        await shop.calls.paid_for(house, 0)
        assert (await shop.stages(house))[-1].endswith("Trying again in 1 s.")

    @pytest.mark.parametrize(
        "event",
        [failed(FailureCode.PROVIDER_UNAVAILABLE, is_charged=True), failed(FailureCode.RATE_LIMITED, retry_after_s=61)],
    )
    async def test_what_may_be_paid_or_takes_too_long_is_not_asked_again(
        self, shop: Workshop, house: Generation, event: PictureFailed
    ) -> None:
        """One call."""
        shop.provider.scripts = [[event]]
        assert (await not_made(shop, house)).why == event.failure
        assert (len(shop.provider.requests), shop.pauses) == (1, [])


class TestRepeatedSteps:
    """After a crash, the step is taken again."""

    async def test_staged_bytes_are_not_paid_for_again(self, shop: Workshop, house: Generation) -> None:
        """However often; the receipt is the first call's."""
        first = await shop.calls.paid_for(house, 0)
        shop.clock.advance(60)
        assert [await shop.calls.paid_for(house, 0) for _ in range(3)] == [first] * 3
        assert len(shop.provider.requests) == 1

    async def test_a_crash_between_staging_and_recording_loses_nothing(self, shop: Workshop, house: Generation) -> None:
        """The record gets what the receipt says: the cost, the request id, and the time the picture came."""
        came_at = shop.clock.time
        shop.unit_of_work.mishaps["generations.finish_attempt"] = [Killed()]
        with pytest.raises(Killed):
            await shop.calls.paid_for(house, 0)
        assert await shop.outcomes(house) == ["STARTED"]
        shop.clock.advance(3600)
        await shop.calls.paid_for(house, 0)
        (attempt,) = await shop.attempts(house)
        assert (attempt.outcome, attempt.finished_at) == ("SUCCEEDED", came_at)
        assert (attempt.provider_request_id, attempt.cost) == ("req-1", PRICE)
        assert len(shop.provider.requests) == 1

    async def test_another_pictures_calls_do_not_count(self, shop: Workshop, viewer: Viewer) -> None:
        """Each picture has its own record."""
        generation = await shop.asked(viewer, replace(HOUSE, options=replace(HOUSE.options, n=2)))
        shop.provider.scripts = [[Killed()]]
        with pytest.raises(Killed):
            await shop.calls.paid_for(generation, 0)
        await shop.calls.paid_for(generation, 1)
        assert await shop.outcomes(generation) == ["STARTED", "SUCCEEDED"]

    @pytest.mark.parametrize("code", ["REFUSED_INPUT", "REFUSED_OUTPUT", "TIMEOUT", "PROVIDER_UNAVAILABLE"])
    async def test_a_last_word_stays_the_last(self, shop: Workshop, house: Generation, code: str) -> None:
        """A refusal is not asked again because the process died before telling it, nor is a paid call."""
        said = failed(FailureCode(code), is_charged=code != "REFUSED_INPUT")
        shop.provider.scripts = [[said]]
        await not_made(shop, house)
        assert (await not_made(shop, house)).why == said.failure
        assert len(shop.provider.requests) == 1

    async def test_a_spent_policy_is_not_renewed(self, shop: Workshop, house: Generation) -> None:
        """Four calls are four, however often the step is taken."""
        shop.provider.scripts = [[failed(FailureCode.PROVIDER_UNAVAILABLE)]] * 4
        for _ in range(2):
            assert (await not_made(shop, house)).why == failure(FailureCode.PROVIDER_UNAVAILABLE)
        assert len(shop.provider.requests) == 4

    async def test_a_limit_before_the_crash_is_waited_for_after_it(self, shop: Workshop, house: Generation) -> None:
        """The process died in the pause: the provider is not hurried."""
        shop.provider.scripts = [[failed(FailureCode.RATE_LIMITED)]]
        shop.unit_of_work.mishaps["generations.append"] = [Killed()]
        with pytest.raises(Killed):
            await shop.calls.paid_for(house, 0)
        await shop.calls.paid_for(house, 0)
        assert await shop.outcomes(house) == ["RATE_LIMITED", "SUCCEEDED"]
        (pause,) = shop.pauses
        assert 0.5 <= pause <= 1

    async def test_a_picture_that_was_stored_and_is_gone_is_not_paid_for_again(
        self, shop: Workshop, house: Generation
    ) -> None:
        """The store lost it."""
        await shop.calls.paid_for(house, 0)
        shop.store.objects.clear()
        assert (await not_made(shop, house)).why == failure(FailureCode.STORAGE_UNAVAILABLE, is_charged=True)
        assert len(shop.provider.requests) == 1


class TestAStoreThatIsAway:
    """Is waited for, so that what was paid for is kept."""

    async def test_it_is_waited_for(self, shop: Workshop, house: Generation) -> None:
        """Before the call and after it; the provider is called once."""
        shop.mishaps["exists"] = [DOWN]
        shop.mishaps["put"] = [DOWN, DOWN]
        came_at = shop.clock.time
        receipt = await shop.calls.paid_for(house, 0)
        assert len(shop.pauses) == 3
        assert len(shop.provider.requests) == 1
        assert shop.staged() == {f"{staging(house)}/0", f"{staging(house)}/0.json"}
        assert came_at < receipt.arrived_at < shop.clock.time
        assert (await shop.attempts(house))[0].finished_at == receipt.arrived_at

    async def test_in_the_end_the_picture_is_given_up_with_its_cost_on_record(
        self, shop: Workshop, house: Generation
    ) -> None:
        """Eight tries; the provider is not called again, now or when the step is taken again."""
        shop.mishaps["put"] = [DOWN] * 8
        for _ in range(2):
            assert (await not_made(shop, house)).why == failure(FailureCode.STORAGE_UNAVAILABLE, is_charged=True)
        assert len(shop.pauses) == 7
        (attempt,) = await shop.attempts(house)
        assert (attempt.outcome, attempt.cost) == ("STORAGE_UNAVAILABLE", PRICE)
        assert attempt.provider_request_id == "req-1"
        assert len(shop.provider.requests) == 1

    async def test_away_from_the_beginning_nothing_is_called(self, shop: Workshop, house: Generation) -> None:
        """Nor recorded."""
        shop.store.is_down = True
        with pytest.raises(StoreUnavailable):
            await shop.calls.paid_for(house, 0)
        assert shop.provider.requests == []
        assert await shop.attempts(house) == []

    async def test_a_pinned_reference_that_is_gone_is_told_before_the_call(
        self, shop: Workshop, viewer: Viewer
    ) -> None:
        """Waiting doesn't bring it back."""
        identity = await shop.identity(viewer)
        generation = await shop.asked(viewer, GenerateImage(identity_id=identity.id))
        del shop.store.objects[generation.references[0].key]
        assert (await not_made(shop, generation)).why == failure(FailureCode.REFERENCE_UNREADABLE)
        assert (shop.provider.requests, shop.pauses) == ([], [])
        assert await shop.attempts(generation) == []


async def test_a_call_that_is_cancelled_is_closed(shop: Workshop, house: Generation) -> None:
    """As when the process is told to stop: the record says that it had begun."""
    shop.provider.scripts = [[60.0, DRAWN]]
    task = asyncio.create_task(shop.calls.paid_for(house, 0))
    await shop.provider.called.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert shop.provider.closed == 1
    assert await shop.outcomes(house) == ["STARTED"]
