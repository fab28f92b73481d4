"""What lists of images are searched for: the same is found on every database."""

from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from domain.images import Image, ImageFilter, ImageSource, image_filter
from domain.pages import Cursor, Page, PageRequest
from domain.providers import ProviderKind
from domain.repositories import UnitOfWorkFactory
from domain.search import MAX_WORDS
from domain.tags import MAX_TAGS, Tag, TagKind
from storage.database.databases import Database
from tests.graphql import Statements
from tests.rows import a_generation, a_prompt, a_recipe, after, an_image, stored_images
from tests.searches import CORPUS, SECRET, Library, new_library


@pytest.fixture
async def library(unit_of_work: UnitOfWorkFactory) -> Library:
    """An empty library."""
    return await new_library(unit_of_work)


SEARCHED: dict[str, set[str]] = {
    "creme": {"accents"},
    "CRÈME BRULEE": {"accents"},
    "cre\u0300me": {"accents"},
    "carte a": {"accents"},
    "crem": {"accents"},
    "cr": set(),
    "cremeux": set(),
    "red": {"case", "underscores"},
    "hou red": {"case", "underscores"},
    "STRASSE": {"sharp s"},
    "straße": {"sharp s"},
    "fine": {"ligature"},
    "ﬂow": {"ligature"},
    "istanbul": {"turkish"},
    "İSTANBUL": {"turkish"},
    "東": {"chinese"},
    "京東": {"chinese"},
    "タワ": {"chinese"},
    "西": set(),
    "2026": {"chinese"},
    "서울": {"hangul"},
    "οδυσσευς": {"greek"},
    "cat": {"emoji"},
    "66": {"digits"},
    "6": set(),
    "20 1 2": {"digits"},
    "2": {"digits", "underscores"},
    "it's": {"apostrophes"},
    "don't": {"apostrophes"},
    "house_2": {"underscores"},
    "well known": {"hyphens"},
    "co-op": {"hyphens"},
    "xrindfleisch": {"long"},
    "y" + "e" * 199: {"long"},
    "\U0001d49c" * 200: {"long"},
    "a" * 199 + "b": set(),
    "\ufb03" * 200: {"cut"},
    "\U00010400" * 200: {"wide"},
    "secret": {"signs"},
    "t0": {"signs"},
    "and": {"operators"},
    "and or not near null": {"operators"},
    "house'; drop table image --": set(),
    "red' | 'cat": set(),
    'red" OR "cat': set(),
    "!red": {"case", "underscores"},
    "cat:*": {"emoji"},
    "cat & !dog": {"emoji"},
    "c*": set(),
    r"cat\ ": {"emoji"},
    "السلام": {"arabic"},
    "नमस्ते": {"hindi"},
}


async def test_what_a_search_finds(library: Library) -> None:
    """The same on every database, in one's own list, in the public ones and in everybody's."""
    images = {
        name: an_image(library.viewer.user, filename="_.png", recipe=a_recipe(prompt=prompt), is_public=True)
        for name, prompt in CORPUS.items()
    }
    await stored_images(library.unit_of_work, *images.values())
    for wanted in library.lists:
        found = {search: {image.id for image in await library.found(wanted, search=search)} for search in SEARCHED}
        assert found == {search: {images[name].id for name in names} for search, names in SEARCHED.items()}


async def test_private_words_are_found_in_no_public_list(library: Library) -> None:
    """Neither whole nor by their beginning, not even by their owner; what is open of the same image is."""
    tag = Tag(TagKind.CHARACTER, "Lovelace")
    recipe = a_recipe(prompt="I am afraid of heights", identity=SECRET)
    image = await library.add(filename="summit.png", recipe=recipe, is_public=True, tags=(tag,))
    own_public = replace(library.mine, is_public=True)
    for search in ("afraid", "afr", "am", "summit afraid"):
        assert await library.found(library.mine, search=search) == [image]
        assert await library.found(library.everybodys, search=search) == [image]
        assert await library.found(library.public, search=search) == []
        assert await library.found(own_public, search=search) == []
    for search in ("summit", "love", "lovelace summ"):
        for wanted in library.lists:
            assert await library.found(wanted, search=search) == [image]


async def test_a_list_finds_its_own_images_alone(library: Library) -> None:
    """Others' private ones are found in nobody's list but everybody's; public ones in the public list."""
    shared = an_image(library.other.user, filename="shared cat.png", is_public=True, created_at=after(2))
    hidden = an_image(library.other.user, filename="hidden cat.png", created_at=after(1))
    await stored_images(library.unit_of_work, shared, hidden)
    own = await library.add(filename="own cat.png")
    assert await library.found(library.mine, search="cat") == [own]
    assert await library.found(library.public, search="cat") == [shared]
    assert await library.found(library.everybodys, search="cat") == [shared, hidden, own]
    assert await library.found(replace(library.mine, is_public=True), search="cat") == []


async def test_what_changes_is_found_by_what_it_is_now(library: Library) -> None:
    """Tags that came and went, an image that was shared and no longer is, one that is gone."""
    sea, hill = Tag(TagKind.THEME, "Sea"), Tag(TagKind.THEME, "Hill")
    before = await library.add(filename="ada.png", tags=(sea,))
    changed = replace(before, tags=(hill,), is_public=True)
    for image, gone in ((changed, before), (before, changed)):
        async with library.unit_of_work() as work:
            await work.images.update(image)
            await work.commit()
        assert await library.found(library.mine, search=f"ada {image.tags[0].value}") == [image]
        assert await library.found(library.mine, tags=image.tags) == [image]
        assert await library.found(library.mine, search=gone.tags[0].value) == []
        assert await library.found(library.mine, tags=gone.tags) == []
        assert await library.found(library.public, search="ada") == ([image] if image.is_public else [])
    async with library.unit_of_work() as work:
        await work.images.delete(before.id)
        await work.commit()
    assert await library.found(library.mine, search="ada") == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # PostgreSQL has the tokens in the image's row
async def test_an_image_has_one_row_of_tokens_as_long_as_it_is_there(library: Library, database: Database) -> None:
    """However often it is changed, or stored again; others' rows stay."""

    def rows() -> Any:
        with database.sync_engine().connect() as connection:
            return connection.execute(text("SELECT count(*) FROM image_search")).scalar_one()

    before = rows()
    image, generation = await library.add(), a_generation(library.viewer.user)
    async with library.unit_of_work() as work:
        await work.generations.add(generation)
        for is_public in (True, False, True):
            await work.images.update(replace(image, is_public=is_public))
        await work.commit()
    again = replace(image, id=uuid4(), generation_id=generation.id, generation_index=0)
    await stored_images(library.unit_of_work, again, replace(again, id=uuid4()))
    assert rows() == before + 2
    async with library.unit_of_work() as work:
        await work.images.delete(image.id)
        await work.images.delete(again.id)
        await work.commit()
    assert rows() == before


ODD_TAGS = ("a'b", 'a"b', "a\\b", "a & !b | c:*", "¶o", "§", "東京", "🙂", "a b", "ab", "%_", "x" * 100, "é", "e")


async def test_a_tag_is_found_whatever_it_holds(library: Library) -> None:
    """It alone, for no two tags are mixed up; in capitals or not; a kind's values are no other kind's."""
    images = [await library.add(tags=(Tag(TagKind.THEME, value),)) for value in ODD_TAGS]
    for value, image in zip(ODD_TAGS, images, strict=True):
        assert await library.found(library.mine, tags=[Tag(TagKind.THEME, value.upper())]) == [image]
        assert await library.found(library.mine, tags=[Tag(TagKind.CHAT, value)]) == []


async def test_every_tag_and_every_word_must_fit(library: Library) -> None:
    """A filter narrows a list with everything in it."""
    sea, ada = Tag(TagKind.THEME, "Sea"), Tag(TagKind.CHARACTER, "Ada")
    both = await library.add(filename="red house.png", tags=(sea, ada), created_at=after(1))
    one = await library.add(filename="red hut.png", tags=(sea,))
    assert await library.found(library.mine, tags=[sea]) == [both, one]
    assert await library.found(library.mine, tags=[sea, ada]) == [both]
    assert await library.found(library.mine, tags=[sea], search="hut red") == [one]
    assert await library.found(library.mine, tags=[ada], search="hut") == []


async def test_a_filter_of_every_other_kind(library: Library) -> None:
    """Where an image came from, who made it, when, with which version; alone, together and with words."""
    version = a_prompt(library.viewer.user.community_id, 10)
    async with library.unit_of_work() as work:
        await work.prompts.add(version)
        await work.commit()
    made = await library.add(
        filename="cat.png",
        source=ImageSource.GENERATED,
        recipe=a_recipe(provider=ProviderKind.OPENAI),
        prompt_id=version.id,
        created_at=after(2),
    )
    imported = await library.add(filename="cat.png", source=ImageSource.IMPORTED, created_at=after(1))
    sent = await library.add(filename="dog.png", created_at=after(0))
    of_version = replace(library.mine, prompt_id=version.id)
    assert await library.found(library.mine, source=ImageSource.IMPORTED) == [imported]
    assert await library.found(library.mine, provider=ProviderKind.OPENAI) == [made]
    assert await library.found(library.mine, provider=ProviderKind.GEMINI) == []
    assert await library.found(of_version) == [made]
    assert await library.found(of_version, search="cat") == [made]
    assert await library.found(of_version, search="dog") == []
    assert await library.found(library.mine, created_after=after(0)) == [made, imported]
    assert await library.found(library.mine, created_before=after(2)) == [imported, sent]
    window = {"created_after": after(0), "created_before": after(2)}
    assert await library.found(library.mine, **window, search="cat") == [imported]
    assert await library.found(library.mine, **window, search="cat", source=ImageSource.GENERATED) == []
    everything = {"source": ImageSource.GENERATED, "provider": ProviderKind.OPENAI, "created_after": after(1)}
    assert await library.found(of_version, **everything, search="cat", created_before=after(3)) == [made]


async def test_what_is_far_away_is_found_too(library: Library) -> None:
    """Among more images than a list is walked through: pages, what lies around them, and counts are right."""
    needles, pins = [10, 11, 600, 1180, 1190], [3, 5, 7, 9]
    words = dict.fromkeys(needles, "needle") | dict.fromkeys(pins, "pin")
    user = library.viewer.user
    images = [
        an_image(user, filename=f"{words.get(age, 'straw')}.png", created_at=after(-age), is_public=True)
        for age in range(1200)
    ]
    hidden = an_image(library.other.user, filename="needle.png", created_at=after(-1185))
    await stored_images(library.unit_of_work, *images, hidden)
    found = [images[age] for age in needles]
    wish = image_filter(search="needle")
    for wanted in (replace(library.mine, filter=wish), replace(library.public, filter=wish)):
        async with library.unit_of_work(read_only=True) as work:
            pages = [await work.images.page(wanted, PageRequest(2))]
            while pages[-1].has_next:
                last = pages[-1].rows[-1]
                pages.append(await work.images.page(wanted, PageRequest(2, after=Cursor(last.created_at, last.id))))
            assert [list(page.rows) for page in pages] == [found[:2], found[2:4], found[4:]]
            assert [page.has_previous for page in pages] == [False, True, True]
            back = await work.images.page(wanted, PageRequest(2, before=_place(found[3]), backwards=True))
            assert back == Page(found[1:3], has_next=True, has_previous=True)
            beyond = await work.images.page(wanted, PageRequest(2, after=_place(images[-1])))
            assert beyond == Page([], has_next=False, has_previous=True)
            newest = await work.images.page(wanted, PageRequest(2, before=_place(images[9]), backwards=True))
            assert newest == Page([], has_next=True, has_previous=False)
            assert await work.images.count(wanted) == len(found)
            latest = replace(wanted, filter=image_filter(search="needle", created_after=after(-1190)))
            assert await work.images.page(latest, PageRequest()) == Page(found[:4], False, False)
            assert await work.images.count(latest) == len(found) - 1
            pin = replace(wanted, filter=image_filter(search="pin"))
            oldest = await work.images.page(pin, PageRequest(2, backwards=True))
            assert oldest == Page([images[7], images[9]], has_next=False, has_previous=True)
            beyond = await work.images.page(pin, PageRequest(2, after=_place(images[-1])))
            assert beyond == Page([], has_next=False, has_previous=True)
            nothing = replace(wanted, filter=image_filter(search="haystack"))
            assert await work.images.page(nothing, PageRequest(2)) == Page([], False, False)
            assert await work.images.page(nothing, PageRequest(2, after=_place(found[3]))) == Page([], False, False)


def _place(image: Image) -> Cursor:
    return Cursor(image.created_at, image.id)


async def test_the_longest_search_there_can_be(library: Library) -> None:
    """As many words and tags as the rules allow."""
    tags = tuple(Tag(TagKind.THEME, f"tag {number}") for number in range(MAX_TAGS))
    search = " ".join(f"word{number}" for number in range(MAX_WORDS))
    image = await library.add(recipe=a_recipe(prompt=search, identity=SECRET), tags=tags)
    assert await library.found(library.mine, search=search, tags=tags) == [image]


async def test_a_search_is_one_statement_however_many_words(library: Library, statements: Statements) -> None:
    """And always the same one, so that what is kept of statements is bounded."""
    async with library.unit_of_work(read_only=True) as work:
        statements.sent.clear()
        for wish in (ImageFilter(("cat",)), ImageFilter(("cat", "dog"), (Tag(TagKind.CHAT, "a"),) * 3)):
            await work.images.page(replace(library.mine, filter=wish), PageRequest())
    first, second = statements.sent
    assert first == second
