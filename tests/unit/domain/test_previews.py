"""Previews are shown beside the call: whatever becomes of them, the picture takes no longer and costs no more."""

import asyncio
from typing import BinaryIO

from domain.provider_calls import MAX_QUEUED_PREVIEWS, CallLimits
from domain.providers import PreviewArrived
from domain.users import Viewer
from domain.wishes import GenerateImage
from tests import pictures
from tests.fakes.clock import FakeClock
from tests.fakes.mishaps import UnluckyUnitOfWork
from tests.fakes.objects import FakeObjectStore
from tests.fakes.providers import DRAWN
from tests.workshop import Workshop

PREVIEW = PreviewArrived(pictures.jpeg(40, 30))
SOON_S = 5.0


class SlowStore(FakeObjectStore):
    """A store that takes previews and never ends storing them."""

    async def put(self, key: str, body: BinaryIO | bytes, media_type: str) -> None:
        """Hang on a preview."""
        if "/previews/" in key:
            await asyncio.Event().wait()
        await super().put(key, body, media_type)


async def test_a_store_that_hangs_on_previews_does_not_use_up_the_providers_time(
    unlucky: UnluckyUnitOfWork, clock: FakeClock, viewer: Viewer
) -> None:
    """More previews than are kept waiting: the picture comes all the same, at once, and no preview is told."""
    shop = Workshop(unlucky, SlowStore(clock), clock, CallLimits(timeout_s=SOON_S, previews_s=0.05))
    generation = await shop.asked(viewer, GenerateImage(prompt="A house"))
    shop.provider.scripts = [[PREVIEW] * (MAX_QUEUED_PREVIEWS + 3) + [DRAWN]]
    await asyncio.wait_for(shop.calls.paid_for(generation, 0), SOON_S)
    assert await shop.outcomes(generation) == ["SUCCEEDED"]
    assert [event for event in await shop.told(generation) if event.preview] == []


async def test_previews_that_still_wait_are_shown_before_the_picture(shop: Workshop, viewer: Viewer) -> None:
    """They come in order, and none after its picture."""
    generation = await shop.asked(viewer, GenerateImage(prompt="A house"))
    shop.provider.scripts = [[PREVIEW, PREVIEW, PREVIEW, DRAWN]]
    await shop.run(generation)
    stages = await shop.stages(generation)
    assert stages[3:6] == ["Preview 1", "Preview 2", "Preview 3"]
    assert stages[-2:] == ["Picture 1 of 1 is done", "Done"]
