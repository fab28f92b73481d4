"""The contract of the images' repository, and of pages. What lists are searched for: see `test_image_search.py`."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID, uuid4

import pytest
from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError

from domain.errors import NotFound
from domain.images import Acceptance, Image, ImageList, ImageSource, ImageUses
from domain.pages import Cursor, Page, PageRequest
from domain.prompts import StructuredPrompt
from domain.providers import ProviderKind
from domain.repositories import UnitOfWorkFactory
from domain.tags import Tag, TagKind
from domain.users import Role, Scope, Viewer
from storage.database.databases import Database
from storage.database.tables import image as image_table
from tests.graphql import Statements
from tests.rows import (
    a_generation,
    a_prompt,
    a_recipe,
    a_step,
    a_wizard,
    after,
    an_identity,
    an_image,
    stored_community,
    stored_images,
    stored_viewer,
)

RECIPE = a_recipe(
    prompt='A "house"\nby the sea \u00e9\U0001f3e0',
    structured_prompt=StructuredPrompt(style="oil", mood="calm"),
    prompt_version=3,
    revised_prompt="A house",
    identity={"name": "The Analyst", "notes": ["patient"], "depth": {"of": 2}},
    reference_hashes=("ab" * 32, "cd" * 32),
    provider=ProviderKind.OPENAI,
    options={"n": 2, "seed": 2**53 + 1},
    cost_micro_usd=41_000,
    parent_image_id=UUID(int=7),
)
TAGS = (Tag(TagKind.THEME, "Sea  'side' \\ \"quoted\" é \U0001f3e0"), Tag(TagKind.CHARACTER, "Ada"))


async def test_an_image_comes_back_as_stored(unit_of_work: UnitOfWorkFactory) -> None:
    """Every field, with a whole recipe, a bare one and none."""
    viewer = await stored_viewer(unit_of_work)
    generation = a_generation(viewer.user)
    prompt = a_prompt(viewer.user.community_id, 10)
    bare = replace(RECIPE, structured_prompt=None, identity=None, reference_hashes=(), options={}, parent_image_id=None)
    made = an_image(
        viewer.user,
        source=ImageSource.GENERATED,
        recipe=RECIPE,
        generation_id=generation.id,
        generation_index=1,
        is_public=True,
        tags=TAGS,
        prompt_id=prompt.id,
    )
    images = [made, an_image(viewer.user, recipe=bare), an_image(viewer.user)]
    async with unit_of_work() as work:
        await work.generations.add(generation)
        await work.prompts.add(prompt)
        await work.commit()
    await stored_images(unit_of_work, *images)
    async with unit_of_work(read_only=True) as work:
        for image in images:
            assert await work.images.get_visible(viewer.scope, image.id) == image
            assert await work.images.get(viewer.scope, image.id) == image


async def test_the_picture_of_a_generation_is_stored_once(unit_of_work: UnitOfWorkFactory) -> None:
    """Repeating an index changes nothing, whatever id it comes with; an upload is never dropped silently."""
    viewer = await stored_viewer(unit_of_work)
    generation = a_generation(viewer.user)
    second = an_image(viewer.user, generation_id=generation.id, generation_index=1)
    first = an_image(viewer.user, generation_id=generation.id, generation_index=0)
    async with unit_of_work() as work:
        await work.generations.add(generation)
        await work.commit()
    again = replace(first, filename="again.png"), replace(second, id=uuid4())
    async with unit_of_work() as work:
        assert [await work.images.add(image) for image in (second, first, *again)] == [True, True, False, False]
        await work.commit()
    async with unit_of_work(read_only=True) as work:
        assert await work.images.of_generations([generation.id]) == [first, second]
        assert await work.images.count(ImageList(viewer.user.community_id, viewer.id)) == 2
    upload = an_image(viewer.user)
    await stored_images(unit_of_work, upload)
    with pytest.raises(Exception, match=r"(?i)unique"):
        await stored_images(unit_of_work, replace(upload, filename="another.png"))


async def test_who_may_see_an_image(unit_of_work: UnitOfWorkFactory) -> None:
    """Its owner and the admins; the members too when it is public; nobody of another community."""
    community = await stored_community(unit_of_work)
    owner, member = await stored_viewer(unit_of_work, community), await stored_viewer(unit_of_work, community)
    admin = await stored_viewer(unit_of_work, community, role=Role.ADMIN)
    stranger = await stored_viewer(unit_of_work, role=Role.ADMIN)
    private, public = an_image(owner.user), an_image(owner.user, is_public=True)
    await stored_images(unit_of_work, private, public)
    both = [private.id, public.id]

    async def seen(viewer: Viewer) -> set[UUID]:
        async with unit_of_work(read_only=True) as work:
            return {image.id for image in await work.images.visible_by_ids(viewer.scope, both)}

    assert await seen(owner) == await seen(admin) == set(both)
    assert await seen(member) == {public.id}
    assert await seen(stranger) == set()
    async with unit_of_work(read_only=True) as work:
        assert await work.images.get_visible(member.scope, public.id) == public
        for viewer, image in ((member, private), (stranger, public)):
            with pytest.raises(NotFound):
                await work.images.get_visible(viewer.scope, image.id)
        for viewer, image in ((member, public), (stranger, public)):
            with pytest.raises(NotFound):
                await work.images.get(viewer.scope, image.id)
        assert await work.images.get(admin.scope, private.id) == private
        assert len(await work.images.by_ids(community.id, both)) == 2
        assert await work.images.by_ids(stranger.user.community_id, both) == []


async def test_tags_and_sharing_are_all_that_changes(unit_of_work: UnitOfWorkFactory) -> None:
    """An image's other values stay, and other images stay as they are."""
    viewer = await stored_viewer(unit_of_work)
    image, other = an_image(viewer.user, tags=TAGS, recipe=RECIPE), an_image(viewer.user, tags=TAGS)
    await stored_images(unit_of_work, image, other)
    after = replace(image, tags=TAGS[:1], is_public=True)
    async with unit_of_work() as work:
        await work.images.update(replace(after, filename="other.png", recipe=None))
        await work.commit()
    async with unit_of_work(read_only=True) as work:
        assert await work.images.get(viewer.scope, image.id) == after
        assert await work.images.get(viewer.scope, other.id) == other


class Shown:
    """An image, and what shows it: its owner's identity, two of another's, and two steps of two wizards."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, owner: Viewer, other: Viewer) -> None:
        self._unit_of_work = unit_of_work
        self.owner = owner
        self.image, self.unused = an_image(owner.user, is_public=True), an_image(owner.user)
        self.own = an_identity(owner.user, image_id=self.image.id, created_at=after(2))
        self.others = tuple(
            an_identity(other.user, image_id=self.image.id, created_at=after(second)) for second in (1, 3)
        )
        self.wizards = [a_wizard(owner.user.community_id, created_at=after(second)) for second in (5, 4)]
        self.steps = tuple(
            a_step(wizard, order, background_id=self.image.id)
            for wizard, order in ((self.wizards[1], 0), (self.wizards[1], 2), (self.wizards[0], 1))
        )

    async def store(self) -> None:
        """Put it all into the database."""
        await stored_images(self._unit_of_work, self.image, self.unused)
        async with self._unit_of_work() as work:
            for identity in (*self.others, self.own):
                await work.identities.add(identity)
            for wizard in self.wizards:
                await work.wizards.add(wizard)
            for step in self.steps[::-1]:
                await work.wizards.add_step(step)
            await work.commit()

    async def uses(self) -> dict[UUID, ImageUses]:
        """What shows the image, and the one that nothing shows."""
        async with self._unit_of_work(read_only=True) as work:
            return await work.images.uses_of([self.image.id, self.unused.id])


@pytest.fixture
async def shown(unit_of_work: UnitOfWorkFactory) -> Shown:
    """An image that is shown."""
    community = await stored_community(unit_of_work)
    owner, other = await stored_viewer(unit_of_work, community), await stored_viewer(unit_of_work, community)
    shown = Shown(unit_of_work, owner, other)
    await shown.store()
    return shown


async def test_what_shows_an_image(shown: Shown) -> None:
    """Identities of all users and steps, in the order of their making; images without uses are left out."""
    first, third = shown.others
    assert await shown.uses() == {shown.image.id: ImageUses((first, shown.own, third), shown.steps)}


async def test_an_image_that_is_shown_is_not_removed(shown: Shown, unit_of_work: UnitOfWorkFactory) -> None:
    """The database refuses, whoever forgot to ask; one that nothing shows goes."""
    async with unit_of_work() as work:
        with pytest.raises(IntegrityError):
            await work.images.delete(shown.image.id)
    async with unit_of_work() as work:
        await work.images.delete(shown.unused.id)
        await work.commit()
    async with unit_of_work(read_only=True) as work:
        ids = [shown.image.id, shown.unused.id]
        assert await work.images.by_ids(shown.image.community_id, ids) == [shown.image]


@pytest.mark.parametrize("is_kept", [False, True])
async def test_uses_are_ended(shown: Shown, unit_of_work: UnitOfWorkFactory, is_kept: bool) -> None:
    """Every step's, and every identity's but those of the user named; identities note when."""
    elsewhere = an_identity(shown.owner.user, image_id=shown.unused.id)
    async with unit_of_work() as work:
        await work.identities.add(elsewhere)
        await work.images.end_uses(shown.image.id, shown.owner.id if is_kept else None, after(60))
        await work.commit()
    uses = {shown.unused.id: ImageUses((elsewhere,))}
    assert await shown.uses() == (uses | {shown.image.id: ImageUses((shown.own,))} if is_kept else uses)
    async with unit_of_work(read_only=True) as work:
        other = await work.identities.of_users([shown.others[0].user_id])
    assert other == [replace(identity, image_id=None, updated_at=after(60)) for identity in shown.others]


@pytest.mark.parametrize("lock", ["for_update", "for_use"])
async def test_an_image_about_to_be_shown_is_neither_removed_nor_hidden(
    unit_of_work: UnitOfWorkFactory, lock: str
) -> None:
    """Who wants to change it waits until the other unit of work ends."""
    viewer = await stored_viewer(unit_of_work)
    image = an_image(viewer.user)
    await stored_images(unit_of_work, image)
    order = []

    async def change() -> None:
        async with unit_of_work() as work:
            await work.images.get(viewer.scope, image.id, for_update=True)
            order.append("changed")

    async with unit_of_work() as work:
        assert await work.images.get_visible(viewer.scope, image.id, **{lock: True}) == image
        task = asyncio.create_task(change())
        await asyncio.sleep(0.2)
        order.append("shown")
    await task
    assert order == ["shown", "changed"]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite lets one write at a time
async def test_an_image_may_be_shown_in_two_places_at_once(unit_of_work: UnitOfWorkFactory) -> None:
    """Those who are about to show it don't wait for each other."""
    viewer = await stored_viewer(unit_of_work)
    image = an_image(viewer.user)
    await stored_images(unit_of_work, image)
    async with unit_of_work() as work, unit_of_work() as other, asyncio.timeout(5):
        for one in (work, other):
            assert await one.images.get_visible(viewer.scope, image.id, for_use=True) == image


async def test_what_became_of_the_images_of_a_version(shown: Shown, unit_of_work: UnitOfWorkFactory) -> None:
    """How many were made, and how many are a portrait, a background or public, each once; within the scope."""
    owner = shown.owner.user
    version, unused = a_prompt(owner.community_id, 10), a_prompt(owner.community_id, 11)
    stranger = await stored_viewer(unit_of_work)
    other = await stored_viewer(unit_of_work, await stored_community(unit_of_work))
    images = [an_image(owner, prompt_id=version.id, is_public=index == 0) for index in range(4)]
    images.append(an_image(other.user, prompt_id=version.id, is_public=True))
    async with unit_of_work() as work:
        await work.prompts.add(version)
        await work.prompts.add(unused)
        await work.commit()
    await stored_images(unit_of_work, *images)
    async with unit_of_work() as work:
        for image in images[:2]:
            await work.identities.add(an_identity(owner, image_id=image.id))
        await work.wizards.add_step(a_step(shown.wizards[0], 7, background_id=images[2].id))
        await work.commit()
    async with unit_of_work(read_only=True) as work:
        for scope, expected in (
            (shown.owner.scope, {version.id: Acceptance(4, 3)}),
            (Scope(owner.community_id, None), {version.id: Acceptance(4, 3)}),
            (Scope(owner.community_id, shown.others[0].user_id), {}),
            (other.scope, {version.id: Acceptance(1, 1)}),
            (stranger.scope, {}),
        ):
            assert await work.images.acceptance(scope, [version.id, unused.id]) == expected


async def test_the_lists_and_their_counts(unit_of_work: UnitOfWorkFactory) -> None:
    """One's own images, the public ones of the whole community, all of them, one's own public ones; the newest first."""
    community = await stored_community(unit_of_work)
    viewer, other = await stored_viewer(unit_of_work, community), await stored_viewer(unit_of_work, community)
    stranger = await stored_viewer(unit_of_work)
    mine = an_image(viewer.user, created_at=after(1))
    shared = an_image(viewer.user, is_public=True, created_at=after(2))
    theirs = an_image(other.user, is_public=True, created_at=after(3))
    hidden = an_image(other.user, created_at=after(4))
    await stored_images(unit_of_work, mine, shared, theirs, hidden, an_image(stranger.user, is_public=True))
    async with unit_of_work(read_only=True) as work:
        for wanted, images in (
            (ImageList(community.id, viewer.id), [shared, mine]),
            (ImageList(community.id, is_public=True), [theirs, shared]),
            (ImageList(community.id), [hidden, theirs, shared, mine]),
            (ImageList(community.id, viewer.id, is_public=True), [shared]),
            (ImageList(stranger.user.community_id, viewer.id), []),
        ):
            assert await work.images.page(wanted, PageRequest()) == Page(images, False, False)
            assert await work.images.count(wanted) == len(images)


class Library:
    """Ten images of one viewer, some of the same moment, and pages of them."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, viewer: Viewer) -> None:
        self._unit_of_work = unit_of_work
        self.viewer = viewer
        moments = [after(second) for second in (0, 1, 1, 1, 2, 3, 3, 4, 5, 6)]
        images = [an_image(viewer.user, created_at=moment) for moment in moments]
        self.newest_first = sorted(images, key=_place, reverse=True)

    async def page(
        self, size: int, after: Image | None = None, before: Image | None = None, *, backwards: bool = False
    ) -> Page[Image]:
        """A page between two images."""
        request = PageRequest(size, _cursor(after), _cursor(before), backwards)
        async with self._unit_of_work(read_only=True) as work:
            return await work.images.page(ImageList(self.viewer.user.community_id, self.viewer.id), request)

    async def walked(self, size: int, *, backwards: bool) -> list[Image]:
        """Every image, page by page, from one end to the other; the flags must be right on the way."""
        pages: list[Sequence[Image]] = []
        page = await self.page(size, backwards=backwards)
        while True:
            pages.append(page.rows)
            came_from, goes_on = (page.has_next, page.has_previous) if backwards else (page.has_previous, page.has_next)
            assert came_from is (len(pages) > 1)
            if not goes_on:
                break
            end = {"before": page.rows[0]} if backwards else {"after": page.rows[-1]}
            page = await self.page(size, **end, backwards=backwards)
        return [image for rows in (pages[::-1] if backwards else pages) for image in rows]


def _cursor(image: Image | None) -> Cursor | None:
    return Cursor(*_place(image)) if image else None


def _place(image: Image) -> tuple[datetime, UUID]:
    return image.created_at, image.id


@pytest.fixture
async def library(unit_of_work: UnitOfWorkFactory) -> Library:
    """A stored library."""
    library = Library(unit_of_work, await stored_viewer(unit_of_work))
    await stored_images(unit_of_work, *library.newest_first)
    return library


@pytest.mark.parametrize("size", [1, 3, 5, 10, 11])
@pytest.mark.parametrize("backwards", [False, True])
async def test_pages_in_both_directions_show_everything_once(library: Library, size: int, backwards: bool) -> None:
    """Whatever the size, in the same order, images of one moment included; the flags tell both ends."""
    assert await library.walked(size, backwards=backwards) == library.newest_first


async def test_a_page_between_two_cursors(library: Library) -> None:
    """Only what lies between them, from the end that was asked for, and what lies around is told."""
    images = library.newest_first
    assert await library.page(3, images[1], images[8]) == Page(images[2:5], has_next=True, has_previous=True)
    assert await library.page(9, images[1], images[8]) == Page(images[2:8], has_next=True, has_previous=True)
    assert await library.page(3, images[1], images[8], backwards=True) == Page(images[5:8], True, True)
    assert await library.page(3, before=images[5]) == Page(images[:3], has_next=True, has_previous=False)
    assert await library.page(3, images[5], backwards=True) == Page(images[7:], has_next=False, has_previous=True)


async def test_an_empty_page_tells_what_lies_around(library: Library, unit_of_work: UnitOfWorkFactory) -> None:
    """Past either end there is nothing but what one came from; in an empty list nothing at all."""
    newest, oldest = library.newest_first[0], library.newest_first[-1]
    assert await library.page(3, after=oldest) == Page([], has_next=False, has_previous=True)
    assert await library.page(3, before=newest, backwards=True) == Page([], has_next=True, has_previous=False)
    empty = Library(unit_of_work, await stored_viewer(unit_of_work))
    assert await empty.page(3) == Page([], False, False)
    assert await empty.page(3, after=newest) == Page([], False, False)


async def test_pages_are_stable_while_images_come_and_go(
    library: Library, unit_of_work: UnitOfWorkFactory, database: Database
) -> None:
    """New images shift nothing, and a cursor keeps its place after its own image was deleted."""
    images = library.newest_first
    first = await library.page(4)
    await stored_images(unit_of_work, *(an_image(library.viewer.user, created_at=after(100 + n)) for n in range(3)))
    with database.sync_engine().begin() as connection:
        connection.execute(delete(image_table).where(image_table.c.id == images[3].id))
    second = await library.page(4, after=first.rows[-1])
    assert second == Page(images[4:8], has_next=True, has_previous=True)
    back = await library.page(4, before=second.rows[0], backwards=True)
    assert [image.id for image in back.rows[1:]] == [image.id for image in images[:3]]
    assert (back.has_next, back.has_previous) == (True, True)


async def test_a_page_is_one_statement(library: Library, statements: Statements) -> None:
    """However many images it has, with cursors and without."""
    statements.sent.clear()
    await library.page(3)
    await library.page(3, after=library.newest_first[2])
    assert len(statements.sent) == 2
