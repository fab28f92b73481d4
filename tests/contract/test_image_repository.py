"""The contract of the images' repository. How lists are paged and searched: see the two files beside."""

import asyncio
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from sqlalchemy.exc import IntegrityError

from domain.costs import CostBasis
from domain.errors import NotFound
from domain.images import Acceptance, ImageList, ImageSource, ImageUses
from domain.pages import Page, PageRequest
from domain.prompts import StructuredPrompt
from domain.providers import ProviderKind
from domain.repositories import UnitOfWorkFactory
from domain.tags import Tag, TagKind
from domain.users import Role, Scope, Viewer
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
    cost_basis=CostBasis.USAGE,
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


async def test_an_id_that_was_read_may_be_part_of_a_recipe(unit_of_work: UnitOfWorkFactory) -> None:
    """Drivers have classes of their own for ids."""
    viewer = await stored_viewer(unit_of_work)
    parent = an_image(viewer.user)
    await stored_images(unit_of_work, parent)
    async with unit_of_work(read_only=True) as work:
        read = await work.images.get(viewer.scope, parent.id)
    child = an_image(viewer.user, recipe=replace(RECIPE, parent_image_id=read.id))
    await stored_images(unit_of_work, child)
    async with unit_of_work(read_only=True) as work:
        assert (await work.images.get(viewer.scope, child.id)).recipe == replace(RECIPE, parent_image_id=parent.id)


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
        self.wizards = [
            a_wizard(owner.user.community_id, id=UUID(int=number), created_at=after(-number)) for number in (1, 2)
        ]
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


@pytest.mark.parametrize(("lock", "other_lock"), [("for_use", "for_update"), ("for_update", "for_use")])
async def test_an_image_about_to_be_shown_is_neither_removed_nor_hidden(
    unit_of_work: UnitOfWorkFactory, lock: str, other_lock: str
) -> None:
    """Who wants to change it waits for who is about to show it, and the other way round."""
    viewer = await stored_viewer(unit_of_work)
    image = an_image(viewer.user)
    await stored_images(unit_of_work, image)
    order = []

    async def lock_too() -> None:
        async with unit_of_work() as work:
            await work.images.get_visible(viewer.scope, image.id, **{other_lock: True})
            order.append("second")

    async with unit_of_work() as work:
        assert await work.images.get_visible(viewer.scope, image.id, **{lock: True}) == image
        task = asyncio.create_task(lock_too())
        await asyncio.sleep(0.2)
        order.append("first")
    await task
    assert order == ["first", "second"]


async def test_two_changes_of_an_image_come_in_turn(unit_of_work: UnitOfWorkFactory) -> None:
    """The second sees what the first did."""
    viewer = await stored_viewer(unit_of_work)
    image = an_image(viewer.user)
    await stored_images(unit_of_work, image)

    async def add(tag: Tag) -> None:
        async with unit_of_work() as work:
            before = await work.images.get(viewer.scope, image.id, for_update=True)
            await asyncio.sleep(0.05)
            await work.images.update(replace(before, tags=(*before.tags, tag)))
            await work.commit()

    await asyncio.gather(*(add(tag) for tag in TAGS))
    async with unit_of_work(read_only=True) as work:
        assert set((await work.images.get(viewer.scope, image.id)).tags) == set(TAGS)


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
