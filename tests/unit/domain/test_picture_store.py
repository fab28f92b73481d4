"""Pictures into the store and out again, in the order that loses nothing."""

import asyncio
import hashlib
import io
from uuid import UUID

import pytest

from domain.errors import InvalidImage, InvalidImageReason, StoreUnavailable
from domain.picture_store import MADE_LIMITS, PREVIEW_SIDE_PX, PictureStore
from domain.pictures import PictureLimits, UploadedFile, VariantSize
from storage.imaging import PillowImaging
from tests import pictures
from tests.fakes.mishaps import WORKS, with_mishaps
from tests.fakes.objects import FakeObjectStore
from tests.uploads import a_photo, a_text

COMMUNITY, ID = UUID(int=1), UUID(int=2)
DOWN = StoreUnavailable("The object store can't be reached.")


async def test_an_upload_is_stored_with_its_variants(library: PictureStore, store: FakeObjectStore) -> None:
    """The original byte for byte, its facts and hash, and a smaller picture for each size below its own."""
    data = pictures.jpeg(400, 300)
    picture = await library.store(COMMUNITY, "references", UploadedFile("me.jpg", io.BytesIO(data)))
    assert store.objects[picture.key] == (data, "image/jpeg")
    assert picture.key.startswith(f"{COMMUNITY}/references/")
    assert (picture.width_px, picture.height_px, picture.size_bytes) == (400, 300, len(data))
    assert picture.sha256 == hashlib.sha256(data).hexdigest()
    assert {VariantSize.THUMBNAIL, VariantSize.MEDIUM} <= set(picture.variant_keys)
    assert set(store.objects) == set(picture.keys)
    assert picture.placeholder


async def test_what_is_no_picture_never_reaches_the_store(library: PictureStore, store: FakeObjectStore) -> None:
    """Nor does what is larger than allowed."""
    with pytest.raises(InvalidImage) as caught:
        await library.store(COMMUNITY, "references", a_text())
    assert caught.value.reason is InvalidImageReason.NOT_AN_IMAGE
    big = UploadedFile("big.jpg", io.BytesIO(pictures.noisy_jpeg(900, 900)))
    with pytest.raises(InvalidImage) as caught:
        await library.store(COMMUNITY, "references", big)
    assert caught.value.reason is InvalidImageReason.TOO_LARGE
    assert store.objects == {}


async def test_an_upload_that_ends_half_way_leaves_nothing(store: FakeObjectStore) -> None:
    """The original was stored when the store went away for the variants."""
    failing = with_mishaps(store, {"put": [WORKS, DOWN]})
    await store.put("unrelated", b"x", "text/plain")
    library = PictureStore(failing, PillowImaging(), PictureLimits())
    with pytest.raises(StoreUnavailable):
        await library.store(COMMUNITY, "images", a_photo(400, 300))
    assert list(store.objects) == ["unrelated"]


async def test_storing_a_made_picture_again_overwrites(library: PictureStore, store: FakeObjectStore) -> None:
    """The key follows from the id; providers' pictures may be larger than uploads."""
    data = pictures.noisy_jpeg(900, 900)
    assert len(data) > library.limits.max_bytes
    first = await library.store_made(COMMUNITY, data, ID)
    again = await library.store_made(COMMUNITY, data, ID)
    assert first == again
    assert first.key == f"{COMMUNITY}/images/{ID}.jpg"
    assert set(store.objects) == set(first.keys)


async def test_a_preview_is_made_small(library: PictureStore, store: FakeObjectStore) -> None:
    """One object, without variants."""
    preview = await library.store_preview("c/previews/1", pictures.jpeg(1200, 900))
    assert (preview.width_px, preview.height_px) == (PREVIEW_SIDE_PX, 450)
    data, media_type = store.objects[preview.key]
    assert (preview.sha256, preview.size_bytes) == (hashlib.sha256(data).hexdigest(), len(data))
    assert preview.media_type == media_type
    assert preview.keys == (preview.key,)


async def test_a_preview_that_is_no_picture_is_not_stored(library: PictureStore, store: FakeObjectStore) -> None:
    """The bytes come from outside."""
    with pytest.raises(InvalidImage):
        await library.store_preview("c/previews/1", b"half of a")
    assert store.objects == {}


async def test_a_picture_is_kept_when_its_block_ends_well(library: PictureStore, store: FakeObjectStore) -> None:
    """And removed when it fails."""
    picture = await library.store(COMMUNITY, "images", a_photo())
    async with library.kept_if_committed(picture):
        pass
    assert set(store.objects) == set(picture.keys)
    with pytest.raises(RuntimeError, match=r"^no row$"):
        async with library.kept_if_committed(picture):
            raise RuntimeError("no row")
    assert store.objects == {}


async def test_a_picture_outlives_a_cancelled_block(library: PictureStore, store: FakeObjectStore) -> None:
    """The row may have been committed: an unused object is better than a row without its picture."""
    picture = await library.store(COMMUNITY, "images", a_photo())
    with pytest.raises(asyncio.CancelledError):
        async with library.kept_if_committed(picture):
            raise asyncio.CancelledError
    assert set(store.objects) == set(picture.keys)


async def test_discarding_takes_every_object(library: PictureStore, store: FakeObjectStore) -> None:
    """Of every picture given; a slot without one has nothing to remove."""
    first, second = [await library.store(COMMUNITY, "images", a_photo()) for _ in range(2)]
    await library.discard(first, None, second)
    assert store.objects == {}


async def test_nothing_to_discard_asks_nothing_of_the_store(library: PictureStore, store: FakeObjectStore) -> None:
    """Not even of one that is away."""
    store.is_down = True
    await library.discard(None)


async def test_a_store_that_is_away_keeps_the_objects(
    library: PictureStore, store: FakeObjectStore, caplog: pytest.LogCaptureFixture
) -> None:
    """The row is gone already, so the caller's work is done; what stays behind is logged."""
    picture = await library.store(COMMUNITY, "images", a_photo())
    store.is_down = True
    await library.discard(picture)
    await library.discard_folder("c/staging/")
    assert [record.getMessage() for record in caplog.records] == [
        "objects left behind: the store is unavailable",
        "objects left behind: the store is unavailable",
    ]
    assert picture.key in store.objects


async def test_a_folder_is_emptied_and_its_neighbours_stay(library: PictureStore, store: FakeObjectStore) -> None:
    """Everything below the prefix."""
    for key in ("c/staging/1/0", "c/staging/1/0.json", "c/staging/12/0", "c/images/1"):
        await store.put(key, b"x", "text/plain")
    await library.discard_folder("c/staging/1/")
    assert set(store.objects) == {"c/staging/12/0", "c/images/1"}


def test_a_made_picture_may_be_larger_than_an_upload() -> None:
    """A 4K PNG is."""
    assert MADE_LIMITS.max_bytes == 64 * 1024 * 1024
    assert PictureLimits().max_bytes == 20 * 1024 * 1024
