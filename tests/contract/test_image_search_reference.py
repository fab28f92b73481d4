"""Any search in any library finds what a reference in Python says, on every database."""

from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.images import Image, ImageFilter, ImageList, ImageSource
from domain.pages import Cursor, PageRequest
from domain.repositories import UnitOfWorkFactory
from domain.search import MAX_WORDS, is_beginning, words
from domain.tags import Tag, TagKind
from tests.rows import a_recipe, after, an_image, stored_images
from tests.searches import SECRET, Library, new_library

SOME_WORDS = [
    "a",
    "aa",
    "aaa",
    "aaaa",
    "cat",
    "cats",
    "category",
    "ca",
    "Café",
    "CAFE",
    "café",
    "straße",
    "STRASSE",
    "strassen",
    "東京",
    "京",
    "東a",
    "İ",
    "i",
    "ﬁ",
    "fi",
    "fin",
    "fine",
    "§cat",
    "¶o",
    "o'neil",
    "o",
    "neil",
    "6",
    "66",
    "666",
    "x_y",
    '"cat"',
    "cat*",
    "!cat",
    "cat|dog",
    "dog:*",
    "dog\\",
    "AND",
    "OR",
    "NOT",
    "서울",
    "ㅅ",
    "🙂",
    "½",
    "²",
    "é",
]
TEXTS = st.lists(
    st.sampled_from(SOME_WORDS) | st.text(st.characters(codec="utf-8", exclude_characters="\0/"), max_size=4),
    max_size=5,
).map(" ".join)
TAGS = st.lists(
    st.builds(Tag, st.sampled_from(TagKind), st.sampled_from(["Cat", "cAT", "Straße", "strasse", "' \\ \" &"])),
    max_size=2,
    unique_by=lambda tag: tag.key,
).map(tuple)
IMAGES = st.fixed_dictionaries(
    {
        "name": TEXTS,
        "prompt": st.none() | TEXTS,
        "is_secret": st.booleans(),
        "tags": TAGS,
        "is_public": st.booleans(),
        "is_mine": st.booleans(),
        "second": st.integers(0, 3),
        "source": st.sampled_from(ImageSource),
    }
)
SEARCHES = st.fixed_dictionaries(
    {
        "list": st.integers(0, 3),
        "text": TEXTS,
        "tags": TAGS,
        "source": st.none() | st.none() | st.sampled_from(ImageSource),
        "after": st.none() | st.integers(0, 3),
        "before": st.none() | st.integers(0, 3),
    }
)


def described(library: Library, facts: dict[str, Any]) -> Image:
    """The image of these facts."""
    recipe = None
    if facts["prompt"] is not None:
        recipe = a_recipe(prompt=facts["prompt"], identity=SECRET if facts["is_secret"] else None)
    return an_image(
        (library.viewer if facts["is_mine"] else library.other).user,
        filename=f"{facts['name']}.png",
        recipe=recipe,
        tags=facts["tags"],
        is_public=facts["is_public"],
        created_at=after(facts["second"]),
        source=facts["source"],
    )


def asked(library: Library, facts: dict[str, Any]) -> ImageList:
    """The list of these facts."""
    moments = [None if facts[end] is None else after(facts[end]) for end in ("after", "before")]
    searched = tuple(dict.fromkeys(words(facts["text"])))[:MAX_WORDS]
    wish = ImageFilter(searched, facts["tags"], facts["source"], None, *moments)
    wanted: ImageList = library.lists[facts["list"]]
    return replace(wanted, filter=wish)


def is_found(image: Image, wanted: ImageList) -> bool:
    """The reference."""
    if (wanted.is_public and not image.is_public) or wanted.owner_id not in (None, image.owner_id):
        return False
    wish = wanted.filter
    known = image.search_text()
    findable = known.open if wanted.is_public else known.open + known.private
    return (
        all(
            any(one == word or (is_beginning(word) and one.startswith(word)) for one in findable) for word in wish.words
        )
        and {tag.key for tag in wish.tags} <= {tag.key for tag in image.tags}
        and wish.source in (None, image.source)
        and (wish.created_after is None or image.created_at > wish.created_after)
        and (wish.created_before is None or image.created_at < wish.created_before)
    )


async def walked(library: Library, wanted: ImageList, size: int) -> list[Image]:
    """The list page by page; the flags must be right on the way."""
    rows: list[Image] = []
    async with library.unit_of_work(read_only=True) as work:
        while True:
            cursor = Cursor(rows[-1].created_at, rows[-1].id) if rows else None
            page = await work.images.page(wanted, PageRequest(size, after=cursor))
            assert page.has_previous is bool(rows)
            rows += page.rows
            if not page.has_next:
                return rows


@given(st.lists(IMAGES, min_size=1, max_size=8), st.lists(SEARCHES, min_size=1, max_size=6))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_search_in_any_library_finds_what_the_reference_finds(
    unit_of_work: UnitOfWorkFactory, images: list[dict[str, Any]], searches: list[dict[str, Any]]
) -> None:
    """In the same order, with the right count, page by page."""
    library = await new_library(unit_of_work)
    stored = [described(library, facts) for facts in images]
    await stored_images(unit_of_work, *stored)
    newest_first = sorted(stored, key=lambda image: (image.created_at, image.id), reverse=True)
    for facts in searches:
        wanted = asked(library, facts)
        expected = [image for image in newest_first if is_found(image, wanted)]
        assert await walked(library, wanted, 3) == expected
        async with unit_of_work(read_only=True) as work:
            assert await work.images.count(wanted) == len(expected)
