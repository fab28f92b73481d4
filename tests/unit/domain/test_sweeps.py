"""Sweeps: what crashes left is put right, and nothing else is touched."""

import pytest

from domain.failures import FailureCode, failure
from domain.generations import GenerationState
from domain.picture_store import STORED_WITHIN
from domain.sweeps import STARTS_WITHIN, Sweeps
from domain.users import Viewer
from domain.wishes import GenerateImage
from tests.fakes.monitor import FakeMonitor
from tests.fakes.providers import Killed
from tests.uploads import a_photo
from tests.workshop import Workshop

HOUSE = GenerateImage(prompt="A house")
LOST_AFTER_S = STARTS_WITHIN.total_seconds()


@pytest.fixture
def monitor() -> FakeMonitor:
    """A job engine that knows nothing."""
    return FakeMonitor()


@pytest.fixture
def sweeps(shop: Workshop, monitor: FakeMonitor) -> Sweeps:
    """The service."""
    return Sweeps(shop.unit_of_work, shop.pictures, shop.jobs, monitor, shop.clock)


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


async def test_a_generation_that_a_job_works_on_is_left_alone(
    shop: Workshop, sweeps: Sweeps, monitor: FakeMonitor, viewer: Viewer
) -> None:
    """However long it takes."""
    running = await shop.asked(viewer, HOUSE)
    monitor.jobs = {running.id}
    shop.clock.advance(100 * LOST_AFTER_S)
    await sweeps.run()
    assert (await shop.load(running.id)).state is GenerationState.GENERATING


async def test_a_young_generation_is_not_asked_about(
    shop: Workshop, sweeps: Sweeps, monitor: FakeMonitor, viewer: Viewer
) -> None:
    """Its job may be a moment late; nor is one that has ended."""
    await shop.run(await shop.requests.ask(viewer, HOUSE))
    shop.clock.advance(60)
    await shop.requests.ask(viewer, HOUSE)
    shop.clock.advance(LOST_AFTER_S)
    await sweeps.run()
    assert monitor.asked == []


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
    (told,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert (told.getMessage(), vars(told)["sweep"]) == ("a sweep failed", "objects")
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
