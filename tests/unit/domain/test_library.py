"""What people do with the images of the library: bring them in, tag them, share them, remove them."""

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from domain.errors import (
    DomainError,
    Forbidden,
    ImageInUse,
    InvalidImage,
    InvalidInput,
    NotFound,
    StoreUnavailable,
)
from domain.generations import EventDraft
from domain.identities import Identities, Identity
from domain.images import Image, ImageFilter, ImageList, ImageSource
from domain.pages import PageRequest
from domain.tags import Tag, TagKind
from domain.users import Community, Scope, Viewer
from domain.wishes import GenerateImage
from domain.wizards import Step
from tests.fakes.mishaps import WORKS
from tests.rows import an_identity, stored_viewer
from tests.uploads import a_photo, a_text
from tests.workshop import Workshop

ADA, SEA = Tag(TagKind.CHARACTER, "Ada"), Tag(TagKind.THEME, "The sea")


@pytest.fixture
async def other(shop: Workshop, community: Community) -> Viewer:
    """Another member of the community."""
    return await stored_viewer(shop.unit_of_work, community, name="Bob")


async def stored(shop: Workshop, viewer: Viewer) -> list[Image]:
    """The viewer's images, the newest first."""
    wanted = ImageList(viewer.user.community_id, viewer.id)
    async with shop.unit_of_work(read_only=True) as work:
        return list((await work.images.page(wanted, PageRequest())).rows)


async def public(shop: Workshop, viewer: Viewer, *words: str) -> list[Image]:
    """What everybody in the community finds."""
    wanted = ImageList(viewer.user.community_id, is_public=True, filter=ImageFilter(words))
    async with shop.unit_of_work(read_only=True) as work:
        return list((await work.images.page(wanted, PageRequest())).rows)


async def portrait(shop: Workshop, whose: Viewer, image: Image, name: str = "The Analyst") -> Identity:
    """An identity that shows the image."""
    identity = an_identity(whose.user, name=name, image_id=image.id)
    async with shop.unit_of_work() as work:
        await work.identities.add(identity)
        await work.commit()
    return identity


async def background(shop: Workshop, admin: Viewer, image: Image) -> Step:
    """A step that shows the image."""
    step = await shop.step(admin)
    return await shop.wizards.set_background(admin, step.id, image.id)


async def shown(shop: Workshop, *showing: Identity | Step) -> list[UUID | None]:
    """Which image each of them shows now."""
    ids, scope = [one.id for one in showing], Scope(showing[0].community_id, None)
    async with shop.unit_of_work(read_only=True) as work:
        found: dict[UUID, UUID | None] = {one.id: one.image_id for one in await work.identities.by_ids(scope, ids)}
        found |= {one.id: one.background_id for one in await work.wizards.steps_by_ids(scope.community_id, ids)}
    return [found[id] for id in ids]


class TestUploading:
    """Files become images."""

    async def test_an_upload_is_the_viewers_own(self, shop: Workshop, viewer: Viewer) -> None:
        """Private, with its tags, and with its objects in the store."""
        image = await shop.library.upload(viewer, a_photo(filename="garden.jpeg"), [SEA, Tag(TagKind.THEME, "the SEA")])
        assert (image.owner_id, image.source, image.filename) == (viewer.id, ImageSource.UPLOADED, "garden.jpg")
        assert (image.tags, image.is_public, image.created_at) == ((SEA,), False, shop.clock.time)
        assert await stored(shop, viewer) == [image]
        assert set(shop.store.objects) == set(image.picture.keys)

    async def test_the_same_file_twice_is_two_images_of_one_picture(self, shop: Workshop, viewer: Viewer) -> None:
        """Each with a name and a life of its own."""
        first = await shop.library.upload(viewer, a_photo(filename="a.jpg"))
        second = await shop.library.upload(viewer, a_photo(filename="b.jpg"))
        assert first.id != second.id
        assert first.picture == second.picture
        assert set(shop.store.objects) == set(first.picture.keys)

    async def test_a_persons_images_portraits_and_slots_share_a_picture(
        self, shop: Workshop, viewer: Viewer, admin: Viewer
    ) -> None:
        """What an admin brings in for the person, and what is made for them, as well; not what is the admin's own."""
        mine = await shop.library.upload(viewer, a_photo())
        theirs = await shop.library.upload(admin, a_photo())
        await shop.library.upload(admin, a_photo(), user_id=viewer.id)
        identity = await shop.identity(viewer, references=0)
        await Identities(shop.unit_of_work, shop.pictures, shop.clock).upload_portrait(admin, identity.id, a_photo())
        await shop.slots.create(admin, user_id=viewer.id, file=a_photo())
        slots = [await shop.slots.create(viewer), await shop.slots.create(viewer, file=a_photo(50, 30))]
        filled = [await shop.slots.upload(admin, slot.id, a_photo()) for slot in slots]
        generation = await shop.requests.ask(viewer, GenerateImage(prompt="A house"))
        made = await shop.drawn(generation)
        same = replace(made, picture=replace(made.picture, sha256=mine.picture.sha256))
        await shop.events.tell(generation, EventDraft(), same)
        assert {image.picture.key for image in await stored(shop, viewer)} == {mine.picture.key}
        assert [slot.picture for slot in filled] == [mine.picture] * 2
        assert set(shop.store.objects) == {*mine.picture.keys, *theirs.picture.keys}

    async def test_nobody_learns_what_another_has(self, shop: Workshop, viewer: Viewer, other: Viewer) -> None:
        """A file that is uploaded, deleted and uploaded again is new each time, whoever else has it."""
        mine = await shop.library.upload(viewer, a_photo())
        first = await shop.library.upload(other, a_photo())
        await shop.library.delete(other, first.id)
        second = await shop.library.upload(other, a_photo())
        assert len({image.picture.key for image in (mine, first, second)}) == 3
        assert set(shop.store.objects) == {*mine.picture.keys, *second.picture.keys}

    async def test_an_admin_uploads_for_users_of_the_community(
        self, shop: Workshop, viewer: Viewer, admin: Viewer, stranger: Viewer
    ) -> None:
        """Nobody else does: the user is not found, and no file is stored."""
        for who, whom in ((viewer, admin), (stranger, viewer)):
            with pytest.raises(NotFound, match=r"^User not found$"):
                await shop.library.upload(who, a_photo(), user_id=whom.id)
        assert shop.store.objects == {}
        image = await shop.library.upload(admin, a_photo(), user_id=viewer.id)
        assert image.owner_id == viewer.id
        assert await stored(shop, viewer) == [image]

    async def test_what_breaks_a_rule_is_not_stored(self, shop: Workshop, viewer: Viewer) -> None:
        """No file, a wrong tag, no picture."""
        for file, tags, error in (
            (None, [], InvalidInput("No image file provided", "file")),
            (a_photo(), [Tag(TagKind.CHAT, "")], InvalidInput("A tag's value must be 1 to 100 characters", "tags")),
        ):
            with pytest.raises(InvalidInput) as caught:
                await shop.library.upload(viewer, file, tags)
            assert (caught.value.message, caught.value.problems) == (error.message, error.problems)
        with pytest.raises(InvalidImage):
            await shop.library.upload(viewer, a_text())
        assert await stored(shop, viewer) == []
        assert shop.store.objects == {}

    async def test_a_store_that_is_away_makes_no_image(self, shop: Workshop, viewer: Viewer) -> None:
        """The caller is told, and may try again."""
        shop.store.is_down = True
        with pytest.raises(StoreUnavailable):
            await shop.library.upload(viewer, a_photo())
        assert await stored(shop, viewer) == []

    async def test_a_failed_commit_leaves_no_file(self, shop: Workshop, viewer: Viewer) -> None:
        """The first commit notes the objects, the second is the image's."""
        for number, file in enumerate((a_photo(), a_photo())):
            shop.unit_of_work.mishaps["commit"] = [*[WORKS] * number, RuntimeError("disk full")]
            with pytest.raises(RuntimeError, match=r"^disk full$"):
                await shop.library.upload(viewer, file)
        assert shop.store.objects == {}
        assert await stored(shop, viewer) == []


class TestTagging:
    """Adding and removing."""

    async def test_tags_come_and_go(self, shop: Workshop, viewer: Viewer, admin: Viewer) -> None:
        """The rest of the image stays; an admin may do it too."""
        image = await shop.library.upload(viewer, a_photo(), [ADA])
        after = await shop.library.tag(viewer, image.id, add=[SEA], remove=[ADA])
        assert after == replace(image, tags=(SEA,))
        assert await stored(shop, viewer) == [after]
        assert (await shop.library.tag(admin, image.id, add=[ADA])).tags == (SEA, ADA)

    async def test_it_is_found_by_what_it_is_tagged_with_now(self, shop: Workshop, viewer: Viewer) -> None:
        """And no longer by what it was."""
        image = await shop.library.upload(viewer, a_photo(), [ADA])
        await shop.library.set_public(viewer, image.id, True)
        assert len(await public(shop, viewer, "ada")) == 1
        await shop.library.tag(viewer, image.id, add=[SEA], remove=[ADA])
        assert await public(shop, viewer, "ada") == []
        assert len(await public(shop, viewer, "sea")) == 1

    async def test_a_wrong_tag_changes_nothing(self, shop: Workshop, viewer: Viewer) -> None:
        """Nor does what came with it."""
        image = await shop.library.upload(viewer, a_photo(), [ADA])
        with pytest.raises(InvalidInput):
            await shop.library.tag(viewer, image.id, add=[Tag(TagKind.CHAT, " ")], remove=[ADA])
        assert await stored(shop, viewer) == [image]

    async def test_changes_at_once_are_all_kept(self, shop: Workshop, viewer: Viewer) -> None:
        """Each waits for the one before."""
        image = await shop.library.upload(viewer, a_photo())
        tags = [Tag(TagKind.CHAT, f"{number}") for number in range(5)]
        await asyncio.gather(*(shop.library.tag(viewer, image.id, add=[tag]) for tag in tags))
        assert set((await stored(shop, viewer))[0].tags) == set(tags)


class TestSharing:
    """With the community, and no longer."""

    async def test_a_shared_image_is_everybodys_to_see(self, shop: Workshop, viewer: Viewer, other: Viewer) -> None:
        """Until it is shared no longer; saying so twice changes nothing."""
        image = await shop.library.upload(viewer, a_photo())
        for is_public, found in ((True, [replace(image, is_public=True)]), (False, [])):
            for _ in range(2):
                after = await shop.library.set_public(viewer, image.id, is_public)
                assert after == replace(image, is_public=is_public)
                assert await public(shop, other) == found

    async def test_none_turns_it_round(self, shop: Workshop, viewer: Viewer) -> None:
        """And round again."""
        image = await shop.library.upload(viewer, a_photo())
        turned = [(await shop.library.set_public(viewer, image.id, None)).is_public for _ in range(3)]
        assert turned == [True, False, True]
        assert [kept.is_public for kept in await stored(shop, viewer)] == [True]

    async def test_only_the_owner_shares(self, shop: Workshop, viewer: Viewer, admin: Viewer) -> None:
        """An admin may not: it is the owner's to allow. Leaving a private image private is allowed."""
        image = await shop.library.upload(viewer, a_photo())
        for is_public in (True, None):
            with pytest.raises(Forbidden, match=r"^Only its owner may make an image public$"):
                await shop.library.set_public(admin, image.id, is_public)
        assert await shop.library.set_public(admin, image.id, False) == image
        assert await stored(shop, viewer) == [image]

    async def test_an_admin_may_end_it(self, shop: Workshop, viewer: Viewer, admin: Viewer) -> None:
        """Saying that it is public when it is changes nothing."""
        image = await shop.library.upload(viewer, a_photo())
        await shop.library.set_public(viewer, image.id, True)
        assert (await shop.library.set_public(admin, image.id, True)).is_public
        assert not (await shop.library.set_public(admin, image.id, None)).is_public
        assert await public(shop, viewer) == []

    async def test_a_use_of_others_keeps_it_shared(
        self, shop: Workshop, viewer: Viewer, other: Viewer, admin: Viewer
    ) -> None:
        """The owner is told by whom; of other people's identities how many they are."""
        image = await shop.library.upload(viewer, a_photo())
        shared = await shop.library.set_public(viewer, image.id, True)
        mine, theirs = [await portrait(shop, who, image) for who in (viewer, other)]
        step = await background(shop, admin, image)
        with pytest.raises(ImageInUse) as caught:
            await shop.library.set_public(viewer, image.id, False)
        assert caught.value.message == (
            "The image is in use: it is the portrait of 1 identity of others, the background of the step Welcome"
        )
        assert (caught.value.uses.identities, caught.value.uses.steps) == ((), (step,))
        assert await public(shop, viewer) == [shared]
        assert await shown(shop, mine, theirs, step) == [image.id] * 3

    async def test_by_force_those_uses_end(self, shop: Workshop, viewer: Viewer, other: Viewer, admin: Viewer) -> None:
        """The owner's own portraits stay: they need no sharing."""
        image = await shop.library.upload(viewer, a_photo())
        await shop.library.set_public(viewer, image.id, True)
        mine, theirs = [await portrait(shop, who, image) for who in (viewer, other)]
        step = await background(shop, admin, image)
        shop.clock.advance(60)
        await shop.library.set_public(viewer, image.id, False, force=True)
        assert await shown(shop, mine, theirs, step) == [image.id, None, None]
        assert await public(shop, viewer) == []
        async with shop.unit_of_work(read_only=True) as work:
            assert (await work.identities.get(other.scope, theirs.id)).updated_at == shop.clock.time

    async def test_the_owners_portraits_alone_keep_nothing(self, shop: Workshop, viewer: Viewer) -> None:
        """No force is needed."""
        image = await shop.library.upload(viewer, a_photo())
        await shop.library.set_public(viewer, image.id, True)
        mine = await portrait(shop, viewer, image)
        await shop.library.set_public(viewer, image.id, False)
        assert await shown(shop, mine) == [image.id]

    async def test_what_was_private_may_stay_so_whatever_shows_it(self, shop: Workshop, admin: Viewer) -> None:
        """Its owner showed it; nothing changes."""
        image = await shop.library.upload(admin, a_photo())
        step = await background(shop, admin, image)
        assert await shop.library.set_public(admin, image.id, False) == image
        assert await shop.background(step) == image.id

    async def test_force_alone_does_nothing_to_uses(self, shop: Workshop, viewer: Viewer, other: Viewer) -> None:
        """While the image stays public."""
        image = await shop.library.upload(viewer, a_photo())
        await shop.library.set_public(viewer, image.id, True)
        theirs = await portrait(shop, other, image)
        await shop.library.set_public(viewer, image.id, True, force=True)
        assert await shown(shop, theirs) == [image.id]

    async def test_a_shared_image_of_another_is_not_a_members_to_change(
        self, shop: Workshop, viewer: Viewer, other: Viewer
    ) -> None:
        """It is seen, and yet not found."""
        image = await shop.library.upload(viewer, a_photo())
        await shop.library.set_public(viewer, image.id, True)
        for is_public in (True, False, None):
            with pytest.raises(NotFound, match=r"^Image not found$"):
                await shop.library.set_public(other, image.id, is_public, force=True)
        assert len(await public(shop, other)) == 1


class TestDeleting:
    """Images and their files."""

    async def test_deleting_takes_the_files(self, shop: Workshop, viewer: Viewer) -> None:
        """Those of other pictures stay."""
        first, second = [await shop.library.upload(viewer, a_photo(side, 30)) for side in (40, 50)]
        await shop.library.delete(viewer, first.id)
        assert await stored(shop, viewer) == [second]
        assert set(shop.store.objects) == set(second.picture.keys)

    async def test_files_that_others_have_too_stay(self, shop: Workshop, viewer: Viewer, other: Viewer) -> None:
        """Until the last one goes, whoever deletes it."""
        first, second = [await shop.library.upload(who, a_photo()) for who in (viewer, other)]
        await shop.library.delete(viewer, first.id)
        assert await stored(shop, other) == [second]
        assert set(shop.store.objects) == set(second.picture.keys)
        await shop.library.delete(other, second.id)
        assert shop.store.objects == {}

    async def test_a_reference_image_shares_its_files_with_the_library(self, shop: Workshop, viewer: Viewer) -> None:
        """The same photo in both: deleting or replacing one leaves the other whole."""
        image = await shop.library.upload(viewer, a_photo())
        slot = await shop.slots.create(viewer, file=a_photo())
        assert slot.picture == image.picture
        await shop.library.delete(viewer, image.id)
        assert set(shop.store.objects) == set(image.picture.keys)
        again = await shop.library.upload(viewer, a_photo())
        replaced = await shop.slots.upload(viewer, slot.id, a_photo(50, 30))
        assert replaced.picture
        assert set(shop.store.objects) == {*again.picture.keys, *replaced.picture.keys}
        await shop.slots.delete(viewer, slot.id)
        assert set(shop.store.objects) == set(again.picture.keys)

    async def test_a_slots_picture_is_replaced_by_itself(self, shop: Workshop, viewer: Viewer) -> None:
        """The same photo again: it is still there, and counted once."""
        slot = await shop.slots.create(viewer, file=a_photo())
        after = await shop.slots.upload(viewer, slot.id, a_photo())
        assert after.picture == slot.picture
        assert slot.picture
        assert set(shop.store.objects) == set(slot.picture.keys)
        await shop.slots.delete(viewer, slot.id)
        assert shop.store.objects == {}

    async def test_what_shows_it_holds_it(self, shop: Workshop, viewer: Viewer, admin: Viewer) -> None:
        """The owner's own uses too; who may see them reads their names."""
        image = await shop.library.upload(viewer, a_photo())
        mine = await portrait(shop, viewer, image)
        for who in (viewer, admin):
            with pytest.raises(ImageInUse) as caught:
                await shop.library.delete(who, image.id)
            assert caught.value.message == "The image is in use: it is the portrait of The Analyst"
            assert caught.value.uses.identities == (mine,)
        assert await stored(shop, viewer) == [image]
        assert set(shop.store.objects) == set(image.picture.keys)

    async def test_by_force_every_use_ends(self, shop: Workshop, viewer: Viewer, other: Viewer, admin: Viewer) -> None:
        """What showed it stays, without it."""
        image = await shop.library.upload(viewer, a_photo())
        await shop.library.set_public(viewer, image.id, True)
        showing = [await portrait(shop, viewer, image), await portrait(shop, other, image)]
        step = await background(shop, admin, image)
        await shop.library.delete(viewer, image.id, force=True)
        assert await shown(shop, *showing, step) == [None, None, None]
        assert await stored(shop, viewer) == []
        assert shop.store.objects == {}

    async def test_a_failed_commit_keeps_everything(self, shop: Workshop, viewer: Viewer) -> None:
        """The row, its use, and the files it needs."""
        image = await shop.library.upload(viewer, a_photo())
        mine = await portrait(shop, viewer, image)
        shop.unit_of_work.mishaps["commit"] = [RuntimeError("disk full")]
        with pytest.raises(RuntimeError, match=r"^disk full$"):
            await shop.library.delete(viewer, image.id, force=True)
        assert await stored(shop, viewer) == [image]
        assert await shown(shop, mine) == [image.id]
        assert set(shop.store.objects) == set(image.picture.keys)

    async def test_a_store_that_is_away_does_not_keep_the_image(self, shop: Workshop, viewer: Viewer) -> None:
        """The files stay behind for the sweep."""
        image = await shop.library.upload(viewer, a_photo())
        shop.store.is_down = True
        await shop.library.delete(viewer, image.id)
        assert await stored(shop, viewer) == []
        async with shop.unit_of_work(read_only=True) as work:
            assert set(await work.pictures.doomed(list(image.picture.keys))) == set(image.picture.keys)

    async def test_it_is_deleted_once(self, shop: Workshop, viewer: Viewer) -> None:
        """Two who do so at once: the second doesn't find it, and no files are given up twice."""
        first, second = [await shop.library.upload(viewer, a_photo()) for _ in range(2)]
        outcomes = await asyncio.gather(
            *(shop.library.delete(viewer, first.id) for _ in range(3)), return_exceptions=True
        )
        assert sum(outcome is None for outcome in outcomes) == 1
        assert sum(isinstance(outcome, NotFound) for outcome in outcomes) == 2
        assert set(shop.store.objects) == set(second.picture.keys)


class TestAtOnce:
    """What shows an image and what ends that wait for each other."""

    async def both(self, *work: Awaitable[object]) -> list[object]:
        """What came of each: an answer, or a refusal in words."""
        outcomes = await asyncio.gather(*work, return_exceptions=True)
        assert all(isinstance(outcome, DomainError) or not isinstance(outcome, Exception) for outcome in outcomes)
        return list(outcomes)

    @pytest.mark.parametrize("is_shown_first", [True, False])
    async def test_a_background_that_is_deleted_meanwhile(
        self, shop: Workshop, admin: Viewer, is_shown_first: bool
    ) -> None:
        """Either it is shown, and can't be deleted, or it is gone, and can't be shown."""
        image, before = [await shop.library.upload(admin, a_photo(side, 30)) for side in (40, 50)]
        step = await background(shop, admin, before)
        work = [
            shop.wizards.set_background(admin, step.id, image.id),
            shop.library.delete(admin, image.id),
        ]
        outcomes = await self.both(*(work if is_shown_first else reversed(work)))
        kept = image in await stored(shop, admin)
        assert await shown(shop, step) == [image.id if kept else before.id]
        assert sum(isinstance(outcome, ImageInUse if kept else NotFound) for outcome in outcomes) == 1

    @pytest.mark.parametrize("is_shown_first", [True, False])
    async def test_a_background_that_is_shared_no_longer_meanwhile(
        self, shop: Workshop, viewer: Viewer, admin: Viewer, is_shown_first: bool
    ) -> None:
        """A step never shows what its owner doesn't share."""
        image = await shop.library.upload(viewer, a_photo())
        await shop.library.set_public(viewer, image.id, True)
        step = await background(shop, admin, await shop.library.upload(admin, a_photo(50, 30)))
        work = [
            shop.wizards.set_background(admin, step.id, image.id),
            shop.library.set_public(viewer, image.id, False),
        ]
        await self.both(*(work if is_shown_first else reversed(work)))
        (is_public,) = [kept.is_public for kept in await stored(shop, viewer)]
        assert (await shown(shop, step) == [image.id]) is is_public

    @pytest.mark.parametrize("is_shown_first", [True, False])
    async def test_a_portrait_that_is_deleted_meanwhile(
        self, shop: Workshop, viewer: Viewer, is_shown_first: bool
    ) -> None:
        """The same for identities, and by force: nothing ever shows what is gone."""
        image = await shop.library.upload(viewer, a_photo())
        identity = await shop.identity(viewer, references=0)
        identities = Identities(shop.unit_of_work, shop.pictures, shop.clock)
        work = [
            identities.save_portrait(viewer, identity.id, image.id),
            shop.library.delete(viewer, image.id, force=True),
        ]
        await self.both(*(work if is_shown_first else reversed(work)))
        assert await stored(shop, viewer) == []
        assert await shown(shop, identity) == [None]


@pytest.mark.parametrize("is_public", [True, False])
async def test_someone_elses_image_is_not_found(
    shop: Workshop, viewer: Viewer, admin: Viewer, stranger: Viewer, is_public: bool
) -> None:
    """For a member it is another's, for a foreign admin another community's: nothing changes, be it shared or not."""
    image = await shop.library.upload(admin, a_photo(), [ADA])
    theirs = await shop.library.set_public(admin, image.id, is_public)
    for who in (viewer, stranger):
        for attempt in (
            shop.library.tag(who, theirs.id, remove=[ADA]),
            shop.library.set_public(who, theirs.id, None),
            shop.library.delete(who, theirs.id, force=True),
            shop.library.delete(who, uuid4()),
        ):
            with pytest.raises(NotFound, match=r"^Image not found$"):
                await attempt
    assert await stored(shop, admin) == [theirs]
    assert set(shop.store.objects) == set(theirs.picture.keys)


async def test_an_admin_deletes_for_users_of_the_community(shop: Workshop, viewer: Viewer, admin: Viewer) -> None:
    """Of whomever."""
    image = await shop.library.upload(viewer, a_photo())
    await shop.library.delete(admin, image.id)
    assert await stored(shop, viewer) == []


async def test_a_prompt_about_a_person_is_found_by_its_owner_alone(
    shop: Workshop, viewer: Viewer, other: Viewer
) -> None:
    """Also when the picture is shared; the owner finds it by every word."""
    identity = await shop.identity(viewer)
    generation = await shop.run(await shop.requests.ask(viewer, GenerateImage(identity_id=identity.id)))
    (image,) = await shop.images(generation)
    await shop.library.set_public(viewer, image.id, True)
    assert [found.id for found in await public(shop, other, "picture")] == [image.id]
    for word in ("exact", "analyst"):  # what the person wrote, and what they called it
        assert await public(shop, other, word) == []
        mine = ImageList(viewer.user.community_id, viewer.id, filter=ImageFilter((word,)))
        async with shop.unit_of_work(read_only=True) as work:
            assert [found.id for found in (await work.images.page(mine, PageRequest())).rows] == [image.id]
