"""The steps of the work: prepare, make each picture, finish; each may be repeated after a crash."""

import hashlib
import io
from dataclasses import replace
from uuid import uuid4

import pytest

from domain.costs import UNKNOWN_PRICE_MICRO_USD, Cost, CostBasis
from domain.errors import StoreUnavailable
from domain.failures import FailureCode, failure
from domain.generations import GenerationState
from domain.images import ImageSource
from domain.pictures import UploadedFile
from domain.prompts import StructuredPrompt
from domain.providers import ImageOptions, PictureArrived, PictureFailed
from domain.quotas import QuotaUnit
from domain.users import Viewer
from domain.wishes import GenerateImage
from tests import pictures
from tests.fakes.mishaps import WORKS
from tests.fakes.providers import DRAWN, MODEL, Killed
from tests.rows import an_image, stored_images
from tests.workshop import Workshop

HOUSE = GenerateImage(prompt="A house")
DOWN = StoreUnavailable("The object store can't be reached.")
REFUSED = PictureFailed(failure(FailureCode.REFUSED_INPUT))
TIMED_OUT = PictureFailed(failure(FailureCode.TIMEOUT, is_charged=True))


def houses(n: int) -> GenerateImage:
    """A wish for several pictures."""
    return replace(HOUSE, options=ImageOptions(n=n))


class TestTheWholeWay:
    """From the request to the end."""

    async def test_pictures_come_into_the_library_with_their_recipe(self, shop: Workshop, viewer: Viewer) -> None:
        """Everything that made them, and nothing that a person could not repeat."""
        parent = an_image(viewer.user)
        await stored_images(shop.unit_of_work, parent)
        identity = await shop.identity(viewer, references=2)
        parts = StructuredPrompt(mood="calm")
        shop.provider.models = [replace(MODEL, qualities=("high",))]
        wish = GenerateImage(
            identity_id=identity.id,
            structured_prompt=parts,
            options=ImageOptions(quality="high"),
            parent_image_id=parent.id,
        )
        generation = await shop.run(await shop.requests.ask(viewer, wish))
        (image,) = await shop.images(generation)
        assert (image.owner_id, image.source, image.is_public) == (viewer.id, ImageSource.GENERATED, False)
        assert (image.generation_id, image.generation_index) == (generation.id, 0)
        assert image.filename == "picture 1.jpg"
        assert image.picture.sha256 == hashlib.sha256(DRAWN.data).hexdigest()
        recipe = image.recipe
        assert recipe
        assert (recipe.prompt, recipe.prompt_version) == (generation.prompt, 1)
        assert (recipe.structured_prompt, recipe.identity) == (parts, generation.identity)
        assert (recipe.revised_prompt, recipe.cost_micro_usd) == ("a finer house", 40_000)
        assert recipe.cost_basis is CostBasis.LISTED
        assert (recipe.provider, recipe.model) == (generation.provider, "sketch-1")
        assert recipe.options == {"n": 1, "quality": "high"}
        assert recipe.parent_image_id == parent.id
        assert recipe.reference_hashes == tuple(
            slot.picture.sha256 for slot in await shop.references(viewer) if slot.picture
        )
        assert len(recipe.reference_hashes) == 2

    async def test_every_step_is_told_in_order(self, shop: Workshop, viewer: Viewer) -> None:
        """Numbered without gaps, as published as stored; the last picture is announced as being stored."""
        generation = await shop.run(await shop.requests.ask(viewer, houses(2)))
        assert await shop.stages(generation) == [
            "Waiting for a free place",
            "Reading the reference images",
            "The provider is making the pictures",
            "Picture 1 of 2 is done",
            "Storing the pictures",
            "Picture 2 of 2 is done",
            "Done",
        ]
        assert shop.bus.published == await shop.told(generation)
        assert (generation.state, generation.event_seq) == (GenerationState.SUCCEEDED, 7)
        assert (generation.failures, generation.actual_cost) == ((), Cost(80_000, CostBasis.LISTED))
        images = await shop.images(generation)
        assert [event.image_id for event in await shop.told(generation) if event.image_id] == [
            image.id for image in images
        ]
        assert [image.filename for image in images] == ["picture 1.jpg", "picture 2.jpg"]

    async def test_nothing_is_left_that_only_the_work_needed(self, shop: Workshop, viewer: Viewer) -> None:
        """Copies of references above all; what stays is the library's and the references themselves."""
        identity = await shop.identity(viewer)
        generation = await shop.requests.ask(viewer, GenerateImage(identity_id=identity.id))
        await shop.jobs.prepare(generation.id)
        assert len(shop.staged()) == 1
        await shop.jobs.make(generation.id, 0)
        await shop.jobs.finish(generation.id)
        assert shop.staged() == set()
        (image,) = await shop.images(generation)
        (slot,) = await shop.references(viewer)
        assert slot.picture
        assert set(shop.store.objects) == {*image.picture.keys, *slot.picture.keys}

    async def test_the_first_picture_becomes_the_portrait_when_asked_for(self, shop: Workshop, viewer: Viewer) -> None:
        """The first that there is: picture 0 was refused."""
        identity = await shop.identity(viewer)
        shop.provider.scripts = [[REFUSED]]
        wish = replace(houses(3), identity_id=identity.id, save_to_identity=True)
        generation = await shop.run(await shop.requests.ask(viewer, wish))
        images = await shop.images(generation)
        assert [image.generation_index for image in images] == [1, 2]
        async with shop.unit_of_work(read_only=True) as work:
            assert (await work.identities.get(viewer.scope, identity.id)).image_id == images[0].id

    async def test_a_portrait_stays_when_none_was_asked_for(self, shop: Workshop, viewer: Viewer) -> None:
        """The picture is in the library alone."""
        identity = await shop.identity(viewer)
        await shop.run(await shop.requests.ask(viewer, GenerateImage(identity_id=identity.id)))
        async with shop.unit_of_work(read_only=True) as work:
            assert (await work.identities.get(viewer.scope, identity.id)).image_id is None


class TestFailures:
    """Of some pictures, or of all."""

    async def test_some_pictures_are_a_success_with_failures(self, shop: Workshop, viewer: Viewer) -> None:
        """Each failure with its index, a refused one called once."""
        shop.provider.scripts = [[DRAWN], [REFUSED], [TIMED_OUT]]
        generation = await shop.run(await shop.requests.ask(viewer, houses(3)))
        assert generation.state is GenerationState.SUCCEEDED
        assert generation.failures == (REFUSED.failure.at(1), TIMED_OUT.failure.at(2))
        assert (await shop.stages(generation))[-1] == "Done: 1 of 3 pictures"
        assert await shop.failed(generation) == list(generation.failures)
        assert [request.index for request in shop.provider.requests] == [0, 1, 2]

    async def test_all_refused_is_a_refusal(self, shop: Workshop, viewer: Viewer) -> None:
        """Exactly one call for each picture, no other provider asked, no pause, no picture."""
        shop.provider.scripts = [[REFUSED], [REFUSED]]
        generation = await shop.run(await shop.requests.ask(viewer, houses(2)))
        assert generation.state is GenerationState.REFUSED
        assert [request.index for request in shop.provider.requests] == [0, 1]
        assert (shop.other.requests, shop.pauses) == ([], [])
        assert await shop.images(generation) == []
        assert set(shop.store.objects) == set()

    async def test_bytes_that_are_no_picture_are_a_bad_response(self, shop: Workshop, viewer: Viewer) -> None:
        """Charged, and not asked for again; nothing of them is kept."""
        shop.provider.scripts = [[PictureArrived(b"<html>Sorry</html>")]]
        generation = await shop.run(await shop.requests.ask(viewer, HOUSE))
        assert generation.failures == (failure(FailureCode.BAD_RESPONSE, is_charged=True).at(0),)
        assert generation.state is GenerationState.FAILED
        assert len(shop.provider.requests) == 1
        assert shop.store.objects == {}

    async def test_a_store_that_is_away_is_waited_for_while_storing(self, shop: Workshop, viewer: Viewer) -> None:
        """Then the picture is kept after all, paid once."""
        generation = await shop.asked(viewer, HOUSE)
        await shop.calls.paid_for(generation, 0)
        shop.mishaps["get"] = [DOWN]
        shop.mishaps["put"] = [DOWN] * 3
        await shop.jobs.make(generation.id, 0)
        assert len(shop.pauses) == 4
        assert len(await shop.images(generation)) == 1
        assert len(shop.provider.requests) == 1

    async def test_a_store_that_stays_away_costs_the_picture(self, shop: Workshop, viewer: Viewer) -> None:
        """It was paid for, and the failure says so; no row names an object that isn't there."""
        generation = await shop.asked(viewer, HOUSE)
        await shop.calls.paid_for(generation, 0)
        shop.mishaps["put"] = [DOWN] * 8
        await shop.jobs.make(generation.id, 0)
        await shop.jobs.finish(generation.id)
        ended = await shop.load(generation.id)
        assert ended.failures == (failure(FailureCode.STORAGE_UNAVAILABLE, is_charged=True).at(0),)
        assert await shop.images(generation) == []
        assert shop.store.objects == {}

    async def test_a_store_that_is_away_before_the_call_costs_nothing(self, shop: Workshop, viewer: Viewer) -> None:
        """The provider was not called, and the failure doesn't claim it."""
        generation = await shop.asked(viewer, HOUSE)
        shop.store.is_down = True
        await shop.jobs.make(generation.id, 0)
        assert await shop.failed(generation) == [failure(FailureCode.STORAGE_UNAVAILABLE).at(0)]
        assert shop.provider.requests == []

    async def test_work_that_breaks_off_ends_at_once(self, shop: Workshop, viewer: Viewer) -> None:
        """So that nobody waits for it; what was made stays, and nothing is left in staging."""
        identity = await shop.identity(viewer)
        generation = await shop.asked(viewer, replace(houses(2), identity_id=identity.id))
        await shop.jobs.make(generation.id, 0)
        await shop.jobs.break_off(generation.id)
        ended = await shop.load(generation.id)
        assert (ended.state, len(await shop.images(generation))) == (GenerationState.SUCCEEDED, 1)
        assert ended.failures == (failure(FailureCode.INTERNAL, is_charged=True),)
        assert shop.staged() == set()

    @pytest.mark.parametrize("price", [None, 0, 25_000])
    async def test_a_call_that_nobody_waits_for_any_more_counts(
        self, shop: Workshop, viewer: Viewer, price: int | None
    ) -> None:
        """As paid for, unless it is free."""
        shop.provider.price = price
        generation = await shop.asked(viewer, HOUSE)
        shop.provider.scripts = [[Killed()]]
        with pytest.raises(Killed):
            await shop.jobs.make(generation.id, 0)
        await shop.jobs.break_off(generation.id)
        (attempt,) = await shop.attempts(generation)
        assert (attempt.outcome, attempt.finished_at) == ("UNKNOWN_CHARGED", shop.clock.time)
        assert attempt.is_charged is (price != 0)
        money = await shop.used(viewer, QuotaUnit.MICRO_USD)
        assert (money.used, money.reserved) == (UNKNOWN_PRICE_MICRO_USD if price is None else price, 0)


class TestReferences:
    """Pinned before anything is paid."""

    async def test_references_are_pinned_as_providers_get_them(self, shop: Workshop, viewer: Viewer) -> None:
        """Upright copies without metadata, known by the originals' hashes; slots without a picture are left out."""
        identity = await shop.identity(viewer, references=0)
        await shop.slots.create(viewer, name="Empty")
        secret = pictures.private_jpeg(6)
        await shop.slots.create(viewer, name="Photo", file=UploadedFile("me.jpg", io.BytesIO(secret)))
        generation = await shop.asked(viewer, GenerateImage(identity_id=identity.id))
        (pin,) = generation.references
        assert (pin.name, pin.sha256) == ("Photo", hashlib.sha256(secret).hexdigest())
        assert (pin.width_px, pin.height_px, pin.media_type) == (400, 300, "image/jpeg")
        assert b"Secret" in secret
        assert b"Secret" not in shop.store.objects[pin.key][0]

    async def test_a_pinned_reference_outlives_its_slot(self, shop: Workshop, viewer: Viewer) -> None:
        """Deleting the photo meanwhile changes nothing for pictures on their way, also when the work begins again."""
        identity = await shop.identity(viewer)
        generation = await shop.asked(viewer, GenerateImage(identity_id=identity.id))
        (slot,) = await shop.references(viewer)
        await shop.slots.delete(viewer, slot.id)
        assert await shop.jobs.prepare(generation.id) == 1
        await shop.jobs.make(generation.id, 0)
        assert len(await shop.images(generation)) == 1
        assert len(shop.provider.requests[0].references) == 1

    @pytest.mark.parametrize("trouble", ["gone", "broken", "deleted"])
    async def test_an_unreadable_reference_stops_before_any_call(
        self, shop: Workshop, viewer: Viewer, trouble: str
    ) -> None:
        """Gone from the store, no picture any more, or its slot deleted: no call, nothing pinned is left behind."""
        identity = await shop.identity(viewer, references=2)
        generation = await shop.requests.ask(viewer, GenerateImage(identity_id=identity.id))
        first, second = await shop.references(viewer)
        assert second.picture
        if trouble == "gone":
            del shop.store.objects[second.picture.key]
        elif trouble == "broken":
            shop.store.objects[second.picture.key] = (b"Dear diary", "image/jpeg")
        else:
            await shop.slots.delete(viewer, first.id)
            await shop.slots.delete(viewer, second.id)
        ended = await shop.run(generation)
        assert (ended.state, ended.references) == (GenerationState.FAILED, ())
        assert ended.failures == (failure(FailureCode.REFERENCE_UNREADABLE),)
        assert (await shop.told(generation))[-1].failure == ended.failures[0]
        assert (shop.provider.requests, await shop.attempts(generation)) == ([], [])
        assert shop.staged() == set()

    async def test_a_store_that_is_away_is_waited_for_while_pinning(self, shop: Workshop, viewer: Viewer) -> None:
        """Reading and writing alike."""
        identity = await shop.identity(viewer)
        generation = await shop.requests.ask(viewer, GenerateImage(identity_id=identity.id))
        shop.mishaps["get"], shop.mishaps["put"] = [DOWN], [DOWN]
        assert await shop.jobs.prepare(generation.id) == 1
        assert len(shop.pauses) == 2
        assert len((await shop.load(generation.id)).references) == 1

    async def test_a_store_that_stays_away_ends_it_before_any_call(self, shop: Workshop, viewer: Viewer) -> None:
        """Nothing was charged."""
        identity = await shop.identity(viewer)
        generation = await shop.requests.ask(viewer, GenerateImage(identity_id=identity.id))
        shop.store.is_down = True
        ended = await shop.run(generation)
        assert ended.failures == (failure(FailureCode.STORAGE_UNAVAILABLE),)
        assert shop.provider.requests == []


class TestRepeating:
    """Each step may be taken again, and changes nothing."""

    async def test_repeated_steps_tell_nothing_twice(self, shop: Workshop, viewer: Viewer) -> None:
        """Nor call, nor pin, nor store again."""
        identity = await shop.identity(viewer)
        generation = await shop.requests.ask(viewer, replace(houses(2), identity_id=identity.id))
        assert [await shop.jobs.prepare(generation.id) for _ in range(3)] == [2, 2, 2]
        for index in (0, 0, 1, 1, 0):
            await shop.jobs.make(generation.id, index)
        for _ in range(2):
            await shop.jobs.finish(generation.id)
        assert len(await shop.told(generation)) == 7
        assert len(shop.provider.requests) == 2
        assert len(await shop.images(generation)) == 2

    async def test_a_failure_is_not_tried_again(self, shop: Workshop, viewer: Viewer) -> None:
        """What was told stays told."""
        generation = await shop.asked(viewer, HOUSE)
        shop.provider.scripts = [[TIMED_OUT]]
        for _ in range(3):
            await shop.jobs.make(generation.id, 0)
        assert len(shop.provider.requests) == 1
        assert len(await shop.failed(generation)) == 1

    async def test_what_has_ended_is_left_alone(self, shop: Workshop, viewer: Viewer) -> None:
        """As is what is not there at all."""
        generation = await shop.run(await shop.requests.ask(viewer, HOUSE))
        told = await shop.told(generation)
        for id in (generation.id, uuid4()):
            assert await shop.jobs.prepare(id) == 0
            await shop.jobs.make(id, 0)
            await shop.jobs.finish(id)
            await shop.jobs.break_off(id)
        assert await shop.told(generation) == told
        assert len(shop.provider.requests) == 1

    @pytest.mark.parametrize("moment", ["generations.outcomes", "images.add", "generations.append", "commit"])
    async def test_a_crash_anywhere_after_the_call_pays_nothing_again(
        self, shop: Workshop, viewer: Viewer, moment: str
    ) -> None:
        """The bytes are staged before anything else is done with them: one call, one picture, whatever broke."""
        generation = await shop.asked(viewer, HOUSE)
        await shop.calls.paid_for(generation, 0)
        shop.unit_of_work.mishaps[moment] = [Killed()]
        with pytest.raises(Killed):
            await shop.jobs.make(generation.id, 0)
        await shop.jobs.make(generation.id, 0)
        await shop.jobs.finish(generation.id)
        assert len(shop.provider.requests) == 1
        (image,) = await shop.images(generation)
        assert set(shop.store.objects) == set(image.picture.keys)
        assert (await shop.load(generation.id)).state is GenerationState.SUCCEEDED

    async def test_what_is_half_stored_is_not_taken_for_a_picture(self, daring: Workshop, viewer: Viewer) -> None:
        """Where the bytes are, the receipt is too: without them the call is made again."""
        generation = await daring.asked(viewer, HOUSE)
        daring.mishaps["put"] = [WORKS, Killed()]
        with pytest.raises(Killed):
            await daring.jobs.make(generation.id, 0)
        assert (await daring.run(generation)).state is GenerationState.SUCCEEDED
        assert await daring.outcomes(generation) == ["UNKNOWN_CHARGED", "SUCCEEDED"]

    async def test_a_crash_in_the_call_ends_the_picture(self, shop: Workshop, viewer: Viewer) -> None:
        """The generation says that it may have been charged."""
        generation = await shop.asked(viewer, HOUSE)
        shop.provider.scripts = [[Killed()]]
        with pytest.raises(Killed):
            await shop.jobs.make(generation.id, 0)
        ended = await shop.run(generation)
        assert ended.failures == (failure(FailureCode.UNKNOWN_CHARGED, is_charged=True).at(0),)
        assert len(shop.provider.requests) == 1

    async def test_a_crash_while_pinning_pins_anew(self, shop: Workshop, viewer: Viewer) -> None:
        """The copies are written over, so none is left behind."""
        identity = await shop.identity(viewer, references=2)
        generation = await shop.requests.ask(viewer, GenerateImage(identity_id=identity.id))
        shop.unit_of_work.mishaps["generations.pin_references"] = [Killed()]
        with pytest.raises(Killed):
            await shop.jobs.prepare(generation.id)
        await shop.jobs.prepare(generation.id)
        pinned = (await shop.load(generation.id)).references
        assert shop.staged() == {pin.key for pin in pinned}
        assert len(pinned) == 2


async def test_storing_is_told_when_the_last_picture_has_arrived(shop: Workshop, viewer: Viewer) -> None:
    """Also when others had failed before it, or are still being stored."""
    shop.provider.scripts = [[REFUSED]]
    generation = await shop.asked(viewer, houses(3))
    await shop.jobs.make(generation.id, 0)
    await shop.calls.paid_for(generation, 2)
    assert "Storing the pictures" not in await shop.stages(generation)
    await shop.jobs.make(generation.id, 1)
    assert (await shop.stages(generation))[-2:] == ["Storing the pictures", "Picture 2 of 3 is done"]
