"""Pictures from the web: who may bring them in, what they are called, and that nothing is kept of what isn't one."""

import pytest

from domain.errors import (
    DomainError,
    FetchRefused,
    InvalidImage,
    InvalidImageReason,
    InvalidInput,
    NotFound,
    StoreUnavailable,
)
from domain.images import Image, ImageList, ImageSource
from domain.pages import PageRequest
from domain.pictures import PictureLimits
from domain.tags import Tag, TagKind
from domain.users import Viewer
from tests import pictures
from tests.fakes.mishaps import WORKS
from tests.workshop import Workshop

URL = "https://pictures.example/sea/The%20house.jpeg?token=secret#top"
SEA = Tag(TagKind.THEME, "The sea")


@pytest.fixture(autouse=True)
def house(shop: Workshop) -> None:
    """A picture of the web."""
    shop.fetcher.answers[URL] = pictures.jpeg(40, 30)


async def stored(shop: Workshop, viewer: Viewer) -> list[Image]:
    """The viewer's images."""
    async with shop.unit_of_work(read_only=True) as work:
        return list((await work.images.page(ImageList(viewer.user.community_id, viewer.id), PageRequest())).rows)


async def test_a_picture_of_the_web_becomes_an_image(shop: Workshop, viewer: Viewer) -> None:
    """The viewer's own, private, with its tags; called by the last part of its path, and nothing says where it was."""
    image = await shop.library.import_from(viewer, f" {URL}\n", [SEA, Tag(TagKind.THEME, "the SEA")])
    assert (image.owner_id, image.source, image.filename) == (viewer.id, ImageSource.IMPORTED, "The house.jpg")
    assert (image.tags, image.is_public, image.created_at, image.recipe) == ((SEA,), False, shop.clock.time, None)
    assert (image.picture.width_px, image.picture.height_px) == (40, 30)
    assert await stored(shop, viewer) == [image]
    assert set(shop.store.objects) == set(image.picture.keys)
    assert "secret" not in str(image)
    assert shop.fetcher.asked == [(URL, PictureLimits().max_bytes)]


@pytest.mark.parametrize(
    ("url", "filename"),
    [
        ("https://pictures.example", "picture.jpg"),
        ("https://pictures.example/sea/", "sea.jpg"),
        ("https://pictures.example/..%2F..%2Fetc%2Fpasswd", "passwd.jpg"),
        ("https://pictures.example/a%00b%0A.php", "ab.jpg"),
        ("https://pictures.example/C:%5CUsers%5Cada%5Cme.png", "me.jpg"),
        (f"https://pictures.example/{'x' * 300}.jpg", "x" * 200 + ".jpg"),
    ],
)
async def test_its_name_is_safe_to_show(shop: Workshop, viewer: Viewer, url: str, filename: str) -> None:
    """As that of any file that somebody sends."""
    shop.fetcher.answers[url] = pictures.jpeg(40, 30)
    assert (await shop.library.import_from(viewer, url)).filename == filename


async def test_a_picture_that_is_there_already_is_shared(shop: Workshop, viewer: Viewer) -> None:
    """As with a file that is uploaded twice."""
    first, second = [await shop.library.import_from(viewer, URL) for _ in range(2)]
    assert first.id != second.id
    assert first.picture == second.picture


async def test_an_admin_imports_for_users_of_the_community(
    shop: Workshop, viewer: Viewer, admin: Viewer, stranger: Viewer
) -> None:
    """Nobody else does: the user is not found, and nothing is fetched."""
    for who, whom in ((viewer, admin), (stranger, viewer)):
        with pytest.raises(NotFound, match=r"^User not found$"):
            await shop.library.import_from(who, URL, user_id=whom.id)
    assert shop.fetcher.asked == []
    image = await shop.library.import_from(admin, URL, user_id=viewer.id)
    assert await stored(shop, viewer) == [image]


async def test_a_wrong_tag_is_told_before_anything_is_fetched(shop: Workshop, viewer: Viewer) -> None:
    """The caller can mend it."""
    with pytest.raises(InvalidInput, match=r"^A tag's value must be 1 to 100 characters$"):
        await shop.library.import_from(viewer, URL, [Tag(TagKind.CHAT, "")])
    assert shop.fetcher.asked == []


@pytest.mark.parametrize(
    "error",
    [
        FetchRefused("That address can't be fetched from."),
        InvalidImage("This is no picture", InvalidImageReason.NOT_AN_IMAGE),
    ],
)
async def test_what_cannot_be_fetched_makes_no_image(shop: Workshop, viewer: Viewer, error: DomainError) -> None:
    """In the fetcher's words."""
    shop.fetcher.answers[URL] = error
    with pytest.raises(type(error)) as caught:
        await shop.library.import_from(viewer, URL)
    assert caught.value is error
    assert await stored(shop, viewer) == []
    assert shop.store.objects == {}


@pytest.mark.parametrize("data", [b"Dear diary", pictures.jpeg()[:500], pictures.svg(), b""])
async def test_what_only_looks_like_a_picture_makes_no_image(shop: Workshop, viewer: Viewer, data: bytes) -> None:
    """It is checked as a file is that somebody uploads."""
    shop.fetcher.answers[URL] = data
    with pytest.raises(InvalidImage):
        await shop.library.import_from(viewer, URL)
    assert await stored(shop, viewer) == []
    assert shop.store.objects == {}


async def test_a_store_that_is_away_makes_no_image(shop: Workshop, viewer: Viewer) -> None:
    """The caller is told, and may try again."""
    shop.store.is_down = True
    with pytest.raises(StoreUnavailable):
        await shop.library.import_from(viewer, URL)
    assert await stored(shop, viewer) == []


async def test_a_failed_commit_leaves_no_file(shop: Workshop, viewer: Viewer) -> None:
    """The second one is the image's."""
    shop.unit_of_work.mishaps["commit"] = [WORKS, RuntimeError("disk full")]
    with pytest.raises(RuntimeError, match=r"^disk full$"):
        await shop.library.import_from(viewer, URL)
    assert shop.store.objects == {}
    assert await stored(shop, viewer) == []
