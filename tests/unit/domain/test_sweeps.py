"""Sweeps: what crashes left is put right, and nothing else is touched."""

from dataclasses import replace
from uuid import uuid4

import pytest

from domain.failures import FailureCode, failure
from domain.generations import Generation, GenerationState
from domain.picture_store import STORED_WITHIN
from domain.providers import ImageOptions, PreviewArrived
from domain.quotas import QuotaUnit
from domain.sweeps import FOLDERS_KEPT, IDS_AT_ONCE, JOBS_KEPT, LEFT_ALONE, THOROUGH_EVERY, Sweeps
from domain.users import Viewer
from domain.wishes import GenerateImage
from tests import pictures
from tests.fakes.providers import DRAWN, Killed
from tests.uploads import a_photo
from tests.workshop import Workshop

HOUSE = GenerateImage(prompt="A house")
PREVIEW = PreviewArrived(pictures.jpeg(40, 30))
LOST_AFTER_S = LEFT_ALONE.total_seconds()
HOUR_S = THOROUGH_EVERY.total_seconds()
DAY_S = FOLDERS_KEPT.total_seconds()


@pytest.fixture
def sweeps(shop: Workshop) -> Sweeps:
    """The service."""
    return Sweeps(shop.unit_of_work, shop.pictures, shop.jobs, shop.line, shop.clock)


async def test_a_generation_that_no_job_will_end_is_ended(
    shop: Workshop, sweeps: Sweeps, viewer: Viewer, caplog: pytest.LogCaptureFixture
) -> None:
    """It fails in words, what it held of the quota is free again, and the operator is told."""
    lost = await shop.asked(viewer, HOUSE)
    assert (await shop.used(viewer)).reserved == 1
    shop.clock.advance(LOST_AFTER_S + 1)
    await sweeps.run()
    ended = await shop.load(lost.id)
    assert (ended.state, ended.finished_at) == (GenerationState.FAILED, shop.clock.time)
    assert ended.failures == (failure(FailureCode.INTERNAL, is_charged=True),)
    assert ((await shop.used(viewer)).reserved, (await shop.used(viewer)).used) == (0, 0)
    assert [(record.getMessage(), vars(record)["generations"]) for record in caplog.records] == [
        ("swept up after a crash", 1)
    ]


async def test_what_was_made_before_the_crash_stays_and_counts(shop: Workshop, sweeps: Sweeps, viewer: Viewer) -> None:
    """One picture was in the library."""
    lost = await shop.asked(viewer, HOUSE)
    await shop.jobs.make(lost.id, 0)
    shop.clock.advance(LOST_AFTER_S + 1)
    await sweeps.run()
    assert (await shop.load(lost.id)).state is GenerationState.SUCCEEDED
    assert len(await shop.images(lost)) == 1
    assert (await shop.used(viewer)).used == 1


async def test_a_generation_that_a_job_works_on_is_left_alone(shop: Workshop, sweeps: Sweeps, viewer: Viewer) -> None:
    """However long it takes."""
    running = await shop.asked(viewer, HOUSE)
    shop.line.jobs = {running.id}
    shop.clock.advance(100 * LOST_AFTER_S)
    await sweeps.run()
    assert (await shop.load(running.id)).state is GenerationState.GENERATING


async def test_a_young_generation_is_not_asked_about(shop: Workshop, sweeps: Sweeps, viewer: Viewer) -> None:
    """Its job may be a moment late; nor is one that has ended."""
    await shop.run(await shop.requests.ask(viewer, HOUSE))
    shop.clock.advance(60)
    await shop.requests.ask(viewer, HOUSE)
    shop.clock.advance(LOST_AFTER_S)
    await sweeps.run()
    assert shop.line.asked == []


async def test_objects_without_a_row_are_removed(
    shop: Workshop, sweeps: Sweeps, viewer: Viewer, caplog: pytest.LogCaptureFixture
) -> None:
    """A crash between storing and the commit left them; those of rows stay."""
    kept = await shop.library.upload(viewer, a_photo())
    shop.unit_of_work.mishaps["images.add"] = [Killed()]
    shop.unit_of_work.mishaps["pictures.doomed"] = [Killed()]
    with pytest.raises(Killed):
        await shop.library.upload(viewer, a_photo(60, 60))
    left = set(shop.store.objects) - set(kept.picture.keys)
    assert left
    shop.clock.advance(STORED_WITHIN.total_seconds() + 1)
    await sweeps.run()
    assert set(shop.store.objects) == set(kept.picture.keys)
    assert [vars(record)["objects"] for record in caplog.records] == [len(left)]
    await sweeps.run()
    assert len(caplog.records) == 1


async def test_a_sweep_that_fails_does_not_keep_generations_from_ending(
    shop: Workshop, sweeps: Sweeps, viewer: Viewer, caplog: pytest.LogCaptureFixture
) -> None:
    """The operator is told, and the next sweep finds the objects again."""
    image = await shop.library.upload(viewer, a_photo())
    lost = await shop.requests.ask(viewer, HOUSE)
    shop.store.is_down = True
    await shop.library.delete(viewer, image.id)
    shop.clock.advance(STORED_WITHIN.total_seconds() + 1)
    caplog.clear()
    await sweeps.run()
    assert (await shop.load(lost.id)).state is GenerationState.FAILED
    failed = [record for record in caplog.records if record.levelname == "ERROR"]
    assert {record.getMessage() for record in failed} == {"a sweep failed"}
    assert [vars(record)["sweep"] for record in failed] == ["objects", "folders"]
    assert shop.line.forgotten
    shop.store.is_down = False
    await sweeps.run()
    assert shop.store.objects == {}


async def test_a_generation_that_cannot_be_ended_does_not_keep_others_from_ending(
    shop: Workshop, sweeps: Sweeps, viewer: Viewer, caplog: pytest.LogCaptureFixture
) -> None:
    """Whichever is first; it is told, and the next sweep ends it too."""
    lost = [await shop.requests.ask(viewer, HOUSE) for _ in range(2)]
    shop.clock.advance(LOST_AFTER_S + 1)
    caplog.clear()
    shop.unit_of_work.mishaps["generations.load"] = [RuntimeError("the row is broken")]
    await sweeps.run()
    ended = [(await shop.load(one.id)).state is GenerationState.FAILED for one in lost]
    assert sorted(ended) == [False, True]
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == ["a sweep failed"]
    assert [vars(record)["generations"] for record in caplog.records if record.levelname == "WARNING"] == [1]
    await sweeps.run()
    assert [(await shop.load(one.id)).state for one in lost] == [GenerationState.FAILED] * 2


async def test_what_ended_without_settling_its_quota_is_settled(
    shop: Workshop, sweeps: Sweeps, viewer: Viewer, caplog: pytest.LogCaptureFixture
) -> None:
    """With what is on record: one picture of two. What runs keeps what it holds, and nothing is settled twice."""
    broken = await shop.asked(viewer, replace(HOUSE, options=ImageOptions(n=2)))
    await shop.jobs.make(broken.id, 0)
    await shop.requests.ask(viewer, HOUSE)
    shop.unit_of_work.mishaps["usage.unsettled"] = [[]]
    await shop.jobs.finish(broken.id)
    assert ((await shop.used(viewer)).used, (await shop.used(viewer)).reserved) == (0, 3)
    shop.clock.advance(LOST_AFTER_S + 1)
    shop.line.jobs = {generation.id for generation in await shop.generations(viewer)}
    for _ in range(2):
        await sweeps.run()
        shop.clock.advance(HOUR_S)
        assert ((await shop.used(viewer)).used, (await shop.used(viewer)).reserved) == (1, 1)
    assert (await shop.used(viewer, QuotaUnit.MICRO_USD)).used == 40_000
    assert [vars(record)["holds"] for record in caplog.records if record.levelname == "WARNING"] == [1]


async def test_a_hold_that_cannot_be_settled_does_not_keep_others_from_it(
    shop: Workshop, sweeps: Sweeps, viewer: Viewer
) -> None:
    """Whichever is first, and whether it is broken or gone; the next sweep settles it too."""
    for _ in range(3):
        generation = await shop.requests.ask(viewer, HOUSE)
        shop.unit_of_work.mishaps["usage.unsettled"] = [[]]
        await shop.events.end(generation)
    shop.clock.advance(LOST_AFTER_S + 1)
    shop.unit_of_work.mishaps["generations.load"] = [RuntimeError("the row is broken"), None]
    await sweeps.run()
    assert (await shop.used(viewer)).reserved == 2
    shop.clock.advance(HOUR_S)
    await sweeps.run()
    assert (await shop.used(viewer)).reserved == 0


class TestFolders:
    """What only the work needed, and previews."""

    async def test_they_go_a_day_after_the_end(
        self, shop: Workshop, sweeps: Sweeps, viewer: Viewer, caplog: pytest.LogCaptureFixture
    ) -> None:
        """And the events don't tell of previews any more; what runs keeps its own, and pictures stay."""
        caplog.set_level("INFO", "domain.sweeps")
        shop.provider.scripts = [[PREVIEW, DRAWN], [PREVIEW, DRAWN]]
        ended, running = await shop.asked(viewer, HOUSE), await shop.asked(viewer, HOUSE)
        await shop.run(ended)
        await shop.calls.paid_for(running, 0)
        shop.line.jobs = {running.id}
        (image,) = await shop.images(ended)
        kept = {key for key in shop.store.objects if str(running.id) in key} | set(image.picture.keys)
        left = f"{ended.community_id}/staging/{ended.id}/0"
        shop.store.objects[left] = (b"left behind", "image/png")
        assert await previews(shop, ended) == await previews(shop, running) == 1
        shop.clock.advance(DAY_S)
        await sweeps.run()
        assert left in shop.store.objects
        assert await previews(shop, ended) == 1
        shop.clock.advance(HOUR_S)
        await sweeps.run()
        assert set(shop.store.objects) == kept
        assert (await previews(shop, ended), await previews(shop, running)) == (0, 1)
        assert [(record.levelname, vars(record)["folders"]) for record in caplog.records] == [("INFO", 2)]

    async def test_a_store_that_is_away_keeps_them_for_the_next_sweep(
        self, shop: Workshop, sweeps: Sweeps, viewer: Viewer
    ) -> None:
        """Nothing is lost of them."""
        generation = await shop.run(await shop.requests.ask(viewer, HOUSE))
        left = f"{generation.community_id}/staging/{generation.id}/0"
        shop.store.objects[left] = (b"left behind", "image/png")
        shop.clock.advance(DAY_S + 1)
        shop.store.is_down = True
        await sweeps.run()
        shop.store.is_down = False
        shop.clock.advance(HOUR_S)
        await sweeps.run()
        assert left not in shop.store.objects

    async def test_many_are_swept_some_at_a_time(
        self, shop: Workshop, sweeps: Sweeps, viewer: Viewer, stranger: Viewer, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Each once. Of generations that are not there, in every community; what isn't in a generation's folder is left alone."""
        homes = [viewer.user.community_id, stranger.user.community_id]
        folders = [f"{homes[0]}/staging"] * (2 * IDS_AT_ONCE + 1) + [f"{homes[1]}/previews", f"{homes[1]}/staging"]
        for folder in folders:
            id = uuid4()
            for name in ("0", "0.json"):
                shop.store.objects[f"{folder}/{id}/{name}"] = (b"left behind", "image/png")
        others = {f"{homes[0]}/staging/note.txt", f"{uuid4()}/staging/{uuid4()}/0", f"{homes[0]}/images/{uuid4()}/0"}
        shop.store.objects |= dict.fromkeys(others, (b"kept", "text/plain"))
        caplog.set_level("INFO", "domain.sweeps")
        await sweeps.run()
        assert set(shop.store.objects) == others
        assert [vars(record)["folders"] for record in caplog.records] == [len(folders)]


async def test_what_is_known_of_jobs_is_forgotten_in_time(
    shop: Workshop, sweeps: Sweeps, caplog: pytest.LogCaptureFixture
) -> None:
    """A week after their end, and now and then: not each time that objects and generations are looked after."""
    caplog.set_level("INFO", "domain.sweeps")
    shop.line.ended = 7
    began = shop.clock.time
    for _ in range(7):
        await sweeps.run()
        shop.clock.advance(HOUR_S / 6)
    assert shop.line.forgotten == [began - JOBS_KEPT, began + THOROUGH_EVERY - JOBS_KEPT]
    assert [(record.levelname, record.getMessage(), vars(record)["jobs"]) for record in caplog.records] == [
        ("INFO", "swept", 7)
    ]


async def previews(shop: Workshop, generation: Generation) -> int:
    """How many the generation's events tell of."""
    return sum(event.preview is not None for event in await shop.told(generation))
