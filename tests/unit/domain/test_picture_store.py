"""Pictures into the store and out again, in the order that loses nothing and leaves nothing."""

import asyncio
import hashlib
import io
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest

from domain.errors import InvalidImage, InvalidImageReason, StoreUnavailable
from domain.picture_store import MADE_LIMITS, PREVIEW_SIDE_PX, STORED_WITHIN, SWEPT_AT_ONCE, PictureStore
from domain.pictures import Picture, PictureLimits, UploadedFile, VariantSize
from domain.users import Community, Viewer
from storage.imaging import PillowImaging
from tests.fakes.clock import FakeClock
from tests.fakes.mishaps import WORKS, UnluckyUnitOfWork, with_mishaps
from tests.fakes.objects import FakeObjectStore
from tests.fakes.providers import Killed
from tests.pictures import jpeg, noisy_jpeg
from tests.rows import stored_community, stored_viewer
from tests.uploads import a_photo, a_text

DOWN = StoreUnavailable("The object store can't be reached.")
AN_HOUR_S = STORED_WITHIN.total_seconds()


class SlowStore(FakeObjectStore):
    """An object store that takes its time to delete: `meanwhile` happens."""

    meanwhile: Callable[[], Awaitable[None]]

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete in the end."""
        await self.meanwhile()
        await super().delete(keys)


async def kept(pictures: PictureStore, unlucky: UnluckyUnitOfWork, whose: Viewer, side_px: int = 40) -> Picture:
    """A picture that a row needs: always the same one for a size."""
    async with pictures.storing(whose.user.community_id, a_photo(side_px, 30)) as picture, unlucky() as work:
        counted = await work.pictures.keep(whose.id, picture)
        await work.commit()
    return counted


async def released(unlucky: UnluckyUnitOfWork, picture: Picture, clock: FakeClock) -> None:
    """One row less needs the picture."""
    async with unlucky() as work:
        await work.pictures.release(picture, clock.now())
        await work.commit()


async def doomed(unlucky: UnluckyUnitOfWork, clock: FakeClock) -> set[str]:
    """Every key that is noted as to be removed."""
    async with unlucky() as work:
        return set(await work.pictures.claim(clock.now() + timedelta(days=1), 1000))


class TestStoring:
    """What comes in."""

    async def test_an_upload_is_stored_with_its_variants(
        self, pictures: PictureStore, store: FakeObjectStore, viewer: Viewer
    ) -> None:
        """The original byte for byte, its facts and hash, and a smaller picture for each size below its own."""
        data = jpeg(400, 300)
        async with pictures.storing(viewer.user.community_id, UploadedFile("me.jpg", io.BytesIO(data))) as picture:
            assert store.objects[picture.key] == (data, "image/jpeg")
            assert picture.key.startswith(f"{viewer.user.community_id}/images/")
            assert (picture.width_px, picture.height_px, picture.size_bytes) == (400, 300, len(data))
            assert picture.sha256 == hashlib.sha256(data).hexdigest()
            assert {VariantSize.THUMBNAIL, VariantSize.MEDIUM} <= set(picture.variant_keys)
            assert set(store.objects) == set(picture.keys)
            assert picture.placeholder

    async def test_what_is_no_picture_never_reaches_the_store(
        self, pictures: PictureStore, store: FakeObjectStore, viewer: Viewer
    ) -> None:
        """Nor does what is larger than allowed."""
        big = UploadedFile("big.jpg", io.BytesIO(noisy_jpeg(900, 900)))
        for file, reason in ((a_text(), InvalidImageReason.NOT_AN_IMAGE), (big, InvalidImageReason.TOO_LARGE)):
            with pytest.raises(InvalidImage) as caught:
                async with pictures.storing(viewer.user.community_id, file):
                    pytest.fail("there is no picture")
            assert caught.value.reason is reason
        assert store.objects == {}

    async def test_what_a_provider_made_may_be_larger_than_an_upload(
        self, pictures: PictureStore, store: FakeObjectStore, viewer: Viewer
    ) -> None:
        """A 4K PNG is."""
        data = noisy_jpeg(900, 900)
        assert len(data) > 100_000
        async with pictures.storing_made(viewer.user.community_id, data) as picture:
            assert store.objects[picture.key] == (data, "image/jpeg")
        assert MADE_LIMITS.max_bytes == 64 * 1024 * 1024
        assert PictureLimits().max_bytes == 20 * 1024 * 1024

    async def test_an_upload_that_ends_half_way_leaves_nothing(
        self, unlucky: UnluckyUnitOfWork, store: FakeObjectStore, viewer: Viewer, clock: FakeClock
    ) -> None:
        """The original was stored when the store went away for the variants."""
        failing = with_mishaps(store, {"put": [WORKS, DOWN]})
        await store.put("unrelated", b"x", "text/plain")
        pictures = PictureStore(unlucky, failing, PillowImaging(), PictureLimits(), clock)
        with pytest.raises(StoreUnavailable):
            async with pictures.storing(viewer.user.community_id, a_photo(400, 300)):
                pytest.fail("there is no picture")
        assert list(store.objects) == ["unrelated"]
        assert await doomed(unlucky, clock) == set()

    async def test_what_no_row_takes_is_removed(
        self, pictures: PictureStore, unlucky: UnluckyUnitOfWork, store: FakeObjectStore, viewer: Viewer
    ) -> None:
        """Whether the block ends well, fails, is cancelled, or is never committed."""
        with pytest.raises(RuntimeError, match=r"^no row$"):
            async with pictures.storing(viewer.user.community_id, a_photo()):
                raise RuntimeError("no row")
        with pytest.raises(asyncio.CancelledError):
            async with pictures.storing(viewer.user.community_id, a_photo()):
                raise asyncio.CancelledError
        async with pictures.storing(viewer.user.community_id, a_photo()) as picture, unlucky() as work:
            await work.pictures.keep(viewer.id, picture)
        assert store.objects == {}

    async def test_a_row_that_was_committed_keeps_its_picture(
        self, pictures: PictureStore, unlucky: UnluckyUnitOfWork, store: FakeObjectStore, viewer: Viewer
    ) -> None:
        """Also when the block was cancelled after the commit, before anybody heard of it."""
        storing = pictures.storing(viewer.user.community_id, a_photo())
        picture = await storing.__aenter__()
        async with unlucky() as work:
            await work.pictures.keep(viewer.id, picture)
            await work.commit()
        await storing.__aexit__(asyncio.CancelledError, asyncio.CancelledError(), None)
        assert set(store.objects) == set(picture.keys)


class TestSharing:
    """The same bytes are there once."""

    async def test_the_same_bytes_twice_are_one_picture(
        self, pictures: PictureStore, unlucky: UnluckyUnitOfWork, store: FakeObjectStore, viewer: Viewer
    ) -> None:
        """The second one's objects go; of other bytes there is another."""
        first = await kept(pictures, unlucky, viewer)
        assert await kept(pictures, unlucky, viewer) == first
        other = await kept(pictures, unlucky, viewer, side_px=50)
        assert set(store.objects) == {*first.keys, *other.keys}
        assert not set(first.keys) & set(other.keys)

    @pytest.mark.parametrize("is_neighbour", [True, False])
    async def test_people_share_nothing(
        self,
        pictures: PictureStore,
        unlucky: UnluckyUnitOfWork,
        store: FakeObjectStore,
        viewer: Viewer,
        community: Community,
        is_neighbour: bool,
    ) -> None:
        """Each has their own under their community's folder, also of one community."""
        home = community if is_neighbour else await stored_community(unlucky)
        other = await stored_viewer(unlucky, home)
        found = [await kept(pictures, unlucky, whose) for whose in (viewer, other)]
        assert found[0].sha256 == found[1].sha256
        assert set(store.objects) == {*found[0].keys, *found[1].keys}
        assert len(store.objects) == 2 * len(found[0].keys)

    async def test_the_last_one_takes_the_objects_along(
        self,
        pictures: PictureStore,
        unlucky: UnluckyUnitOfWork,
        store: FakeObjectStore,
        viewer: Viewer,
        clock: FakeClock,
    ) -> None:
        """While another needs them they stay."""
        picture = await kept(pictures, unlucky, viewer)
        await kept(pictures, unlucky, viewer)
        for left in (set(picture.keys), set[str]()):
            await released(unlucky, picture, clock)
            await pictures.clear_away(picture)
            assert set(store.objects) == left
        assert await doomed(unlucky, clock) == set()

    async def test_what_is_stored_while_the_last_one_goes_has_objects_of_its_own(
        self,
        pictures: PictureStore,
        unlucky: UnluckyUnitOfWork,
        store: FakeObjectStore,
        viewer: Viewer,
        clock: FakeClock,
    ) -> None:
        """The row was gone and its objects not yet removed when the same bytes came in again."""
        before = await kept(pictures, unlucky, viewer)
        await released(unlucky, before, clock)
        after = await kept(pictures, unlucky, viewer)
        await pictures.clear_away(before)
        assert set(store.objects) == set(after.keys)

    async def test_the_same_bytes_at_once_are_one_picture(
        self, pictures: PictureStore, unlucky: UnluckyUnitOfWork, store: FakeObjectStore, viewer: Viewer
    ) -> None:
        """Whoever is first; nothing of the others' is left."""
        found = await asyncio.gather(*(kept(pictures, unlucky, viewer) for _ in range(5)))
        assert len({picture.key for picture in found}) == 1
        assert set(store.objects) == set(found[0].keys)


class TestClearingAway:
    """What nobody needs is removed."""

    async def test_only_what_is_doomed_is_removed(
        self,
        pictures: PictureStore,
        unlucky: UnluckyUnitOfWork,
        store: FakeObjectStore,
        viewer: Viewer,
        clock: FakeClock,
    ) -> None:
        """Of every picture given; a slot without one has nothing to remove."""
        first, second, third = [await kept(pictures, unlucky, viewer, side_px) for side_px in (40, 50, 60)]
        await released(unlucky, first, clock)
        await released(unlucky, third, clock)
        await pictures.clear_away(first, None, second, third)
        assert set(store.objects) == set(second.keys)

    async def test_nothing_to_clear_away_asks_nothing_of_the_store(
        self, pictures: PictureStore, store: FakeObjectStore
    ) -> None:
        """Not even of one that is away."""
        store.is_down = True
        await pictures.clear_away(None)

    async def test_a_store_that_is_away_keeps_the_objects_for_the_sweep(
        self,
        pictures: PictureStore,
        unlucky: UnluckyUnitOfWork,
        store: FakeObjectStore,
        viewer: Viewer,
        clock: FakeClock,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """The row is gone already, so the caller's work is done; what stays behind is logged, and swept in the end."""
        picture = await kept(pictures, unlucky, viewer)
        await released(unlucky, picture, clock)
        store.is_down = True
        await pictures.clear_away(picture)
        assert [record.getMessage() for record in caplog.records] == ["objects left behind: the store is unavailable"]
        assert set(store.objects) == set(picture.keys)
        clock.advance(AN_HOUR_S + 1)
        with pytest.raises(StoreUnavailable):
            await pictures.sweep()
        store.is_down = False
        assert await pictures.sweep() == len(picture.keys)
        assert store.objects == {}


class TestSweeping:
    """What crashes left."""

    async def test_what_a_crash_left_is_removed_after_an_hour(
        self,
        pictures: PictureStore,
        unlucky: UnluckyUnitOfWork,
        store: FakeObjectStore,
        viewer: Viewer,
        clock: FakeClock,
    ) -> None:
        """Between storing and the commit; not before, for somebody may still be storing."""
        unlucky.mishaps["pictures.doomed"] = [Killed()]
        with pytest.raises(Killed):
            async with pictures.storing(viewer.user.community_id, a_photo()) as picture:
                pass
        clock.advance(AN_HOUR_S)
        assert await pictures.sweep() == 0
        assert set(store.objects) == set(picture.keys)
        clock.advance(1)
        assert await pictures.sweep() == len(picture.keys)
        assert store.objects == {}
        assert await pictures.sweep() == 0

    async def test_what_a_crash_left_of_a_stored_half_is_removed(
        self, unlucky: UnluckyUnitOfWork, store: FakeObjectStore, viewer: Viewer, clock: FakeClock
    ) -> None:
        """Every key was noted before its object was written."""
        failing = with_mishaps(store, {"put": [WORKS, Killed()], "delete": [Killed()]})
        pictures = PictureStore(unlucky, failing, PillowImaging(), PictureLimits(), clock)
        with pytest.raises(Killed):
            async with pictures.storing(viewer.user.community_id, a_photo(400, 300)):
                pytest.fail("there is no picture")
        assert len(store.objects) == 1
        clock.advance(AN_HOUR_S + 1)
        await pictures.sweep()
        assert store.objects == {}

    async def test_what_rows_need_is_never_swept(
        self,
        pictures: PictureStore,
        unlucky: UnluckyUnitOfWork,
        store: FakeObjectStore,
        viewer: Viewer,
        clock: FakeClock,
    ) -> None:
        """However old it is."""
        picture = await kept(pictures, unlucky, viewer)
        clock.advance(1000 * AN_HOUR_S)
        assert await pictures.sweep() == 0
        assert set(store.objects) == set(picture.keys)

    async def test_storing_that_takes_too_long_makes_no_row(
        self,
        pictures: PictureStore,
        unlucky: UnluckyUnitOfWork,
        store: FakeObjectStore,
        viewer: Viewer,
        clock: FakeClock,
    ) -> None:
        """The sweep had taken its objects for left over: a row without a picture would be worse."""
        async with AsyncExitStack() as stack:
            picture = await stack.enter_async_context(pictures.storing(viewer.user.community_id, a_photo()))
            clock.advance(AN_HOUR_S + 1)
            await pictures.sweep()
            async with unlucky() as work:
                with pytest.raises(StoreUnavailable, match=r"^Storing the picture took too long\. Try again\.$"):
                    await work.pictures.keep(viewer.id, picture)
        assert store.objects == {}
        assert set((await kept(pictures, unlucky, viewer)).keys) == set(store.objects)

    async def test_nobody_waits_for_a_sweep(self, unlucky: UnluckyUnitOfWork, viewer: Viewer, clock: FakeClock) -> None:
        """While the store is slow to delete others write, but take nothing into use that is being deleted."""
        store = SlowStore(clock)
        pictures = PictureStore(unlucky, store, PillowImaging(), PictureLimits(), clock)
        async with AsyncExitStack() as stack:
            picture = await stack.enter_async_context(pictures.storing(viewer.user.community_id, a_photo()))
            clock.advance(AN_HOUR_S + 1)

            async def keep() -> None:
                async with asyncio.timeout(2), unlucky() as work:
                    with pytest.raises(StoreUnavailable):
                        await work.pictures.keep(viewer.id, picture)

            store.meanwhile = keep
            assert await pictures.sweep() == len(picture.keys)
        assert store.objects == {}
        assert await doomed(unlucky, clock) == set()

    async def test_what_a_sweep_that_died_had_claimed_is_removed_by_the_next(
        self,
        pictures: PictureStore,
        unlucky: UnluckyUnitOfWork,
        store: FakeObjectStore,
        viewer: Viewer,
        clock: FakeClock,
    ) -> None:
        """Before its objects were removed, or after."""
        picture = await kept(pictures, unlucky, viewer)
        await released(unlucky, picture, clock)
        clock.advance(AN_HOUR_S + 1)
        failing = with_mishaps(store, {"delete": [Killed()]})
        with pytest.raises(Killed):
            await PictureStore(unlucky, failing, PillowImaging(), PictureLimits(), clock).sweep()
        assert set(store.objects) == set(picture.keys)
        unlucky.mishaps["pictures.forget"] = [Killed()]
        with pytest.raises(Killed):
            await pictures.sweep()
        assert store.objects == {}
        assert await doomed(unlucky, clock) == set(picture.keys)
        assert await pictures.sweep() == len(picture.keys)
        assert await doomed(unlucky, clock) == set()

    async def test_more_than_one_round_is_swept_to_the_end(
        self, pictures: PictureStore, unlucky: UnluckyUnitOfWork, store: FakeObjectStore, clock: FakeClock
    ) -> None:
        """A long outage leaves much."""
        keys = [f"c/images/{number}" for number in range(2 * SWEPT_AT_ONCE + 1)]
        for key in keys:
            await store.put(key, b"x", "text/plain")
        async with unlucky() as work:
            await work.pictures.doom(keys, clock.now())
            await work.commit()
        clock.advance(AN_HOUR_S + 1)
        assert await pictures.sweep() == len(keys)
        assert store.objects == {}
        assert await doomed(unlucky, clock) == set()


class TestPreviewsAndFolders:
    """What belongs to one generation."""

    async def test_a_preview_is_made_small(self, pictures: PictureStore, store: FakeObjectStore) -> None:
        """One object, without variants."""
        preview = await pictures.store_preview("c/previews/1", jpeg(1200, 900))
        assert (preview.width_px, preview.height_px) == (PREVIEW_SIDE_PX, 450)
        data, media_type = store.objects[preview.key]
        assert (preview.sha256, preview.size_bytes) == (hashlib.sha256(data).hexdigest(), len(data))
        assert preview.media_type == media_type
        assert preview.keys == (preview.key,)

    async def test_a_preview_that_is_no_picture_is_not_stored(
        self, pictures: PictureStore, store: FakeObjectStore
    ) -> None:
        """The bytes come from outside."""
        with pytest.raises(InvalidImage):
            await pictures.store_preview("c/previews/1", b"half of a")
        assert store.objects == {}

    async def test_a_folder_is_emptied_and_its_neighbours_stay(
        self, pictures: PictureStore, store: FakeObjectStore
    ) -> None:
        """Everything below the prefix."""
        for key in ("c/staging/1/0", "c/staging/1/0.json", "c/staging/12/0", "c/images/1"):
            await store.put(key, b"x", "text/plain")
        await pictures.discard_folder("c/staging/1/")
        assert set(store.objects) == {"c/staging/12/0", "c/images/1"}

    async def test_a_folder_in_a_store_that_is_away_stays(
        self, pictures: PictureStore, store: FakeObjectStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The work is done all the same; what stays behind is logged."""
        store.is_down = True
        await pictures.discard_folder("c/staging/1/")
        assert [record.getMessage() for record in caplog.records] == ["objects left behind: the store is unavailable"]
