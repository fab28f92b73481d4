"""Identities: their words, their portraits, and whether a picture can be asked for."""

from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from domain.errors import FieldProblem, InvalidImage, InvalidInput, LimitReached, NotFound
from domain.identities import MAX_IDENTITIES, Identities, Identity, IdentityText, readiness
from domain.images import Image, ImageSource
from domain.picture_store import PictureStore
from domain.pictures import Picture
from domain.providers import ReferenceRole
from domain.reference_images import ReferenceImage
from domain.repositories import UnitOfWorkFactory
from domain.users import Community, Viewer
from tests.fakes.clock import FakeClock
from tests.fakes.mishaps import UnluckyUnitOfWork
from tests.fakes.objects import FakeObjectStore
from tests.rows import PICTURE, a_slot, a_user, an_identity, an_image, stored_images
from tests.uploads import a_photo, a_text

ADA = a_user(Community(UUID(int=1), "Lovelace"))


@pytest.fixture
def identities(unlucky: UnluckyUnitOfWork, pictures: PictureStore, clock: FakeClock) -> Identities:
    """The service."""
    return Identities(unlucky, pictures, clock)


async def stored(unit_of_work: UnitOfWorkFactory, viewer: Viewer) -> list[Identity]:
    """The user's identities."""
    async with unit_of_work(read_only=True) as work:
        return list(await work.identities.of_users([viewer.id]))


async def library_image(unit_of_work: UnitOfWorkFactory, viewer: Viewer, id: UUID) -> Image:
    """An image as the database has it."""
    async with unit_of_work(read_only=True) as work:
        return await work.images.get_visible(viewer.scope, id)


def pictured(order: int, sha256: str, role: ReferenceRole = ReferenceRole.FACE, side_px: int = 256) -> ReferenceImage:
    """A slot with a picture."""
    picture = replace(PICTURE, sha256=sha256, width_px=side_px, height_px=side_px + 1)
    return a_slot(ADA, order, picture=picture, role=role)


class TestWords:
    """What an identity is described by."""

    def test_an_identity_is_described_line_by_line(self) -> None:
        """As prompts get it."""
        assert an_identity(ADA).described() == (
            'Identity Name: "The Analyst"\n'
            "Category: Work\n"
            "I Am Statement: I am exact\n"
            "Visualization: At the engine\n"
            "Notes: patient; curious"
        )

    def test_what_is_empty_is_left_out(self) -> None:
        """No line asks to be filled by a model."""
        bare = an_identity(ADA, category="", i_am_statement="", visualization="", notes=())
        assert bare.described() == 'Identity Name: "The Analyst"'

    def test_words_are_trimmed(self) -> None:
        """Empty notes go, and what is not given stays so."""
        text = IdentityText(name=" Ada ", visualization=" ", notes=(" a ", " ", "b"))
        assert text.trimmed() == IdentityText(name="Ada", visualization="", notes=("a", "b"))

    def test_every_wrong_field_is_told_at_once(self) -> None:
        """With its limit."""
        text = IdentityText(" ", "x" * 256, "x" * 4001, "x" * 4001, ("x",) * 50 + ("x" * 4001,))
        with pytest.raises(InvalidInput) as caught:
            text.trimmed()
        assert caught.value.problems == (
            FieldProblem(("name",), "Name must not be empty"),
            FieldProblem(("category",), "category must be at most 255 characters"),
            FieldProblem(("iAmStatement",), "iAmStatement must be at most 4,000 characters"),
            FieldProblem(("visualization",), "visualization must be at most 4,000 characters"),
            FieldProblem(("notes",), "notes must be at most 50"),
            FieldProblem(("notes",), "Each note must be at most 4,000 characters"),
        )
        assert caught.value.message == "; ".join(problem.message for problem in caught.value.problems)

    def test_the_limits_themselves_are_within_them(self) -> None:
        """All at once."""
        text = IdentityText("x" * 255, "x" * 255, "x" * 4000, "x" * 4000, ("x" * 4000,) * 50)
        assert text.trimmed() == text


class TestReadiness:
    """What is missing before money is spent."""

    def test_a_described_person_with_a_face_is_ready(self) -> None:
        """Nothing is missing and nothing weak."""
        ready = readiness(an_identity(ADA), [pictured(0, "a"), pictured(1, "b", ReferenceRole.STYLE)])
        assert ready.is_ready
        assert ready.problems == ()

    @pytest.mark.parametrize("references", [[], [a_slot(ADA)]])
    def test_without_a_picture_nothing_can_be_asked_for(self, references: list[ReferenceImage]) -> None:
        """A slot without one doesn't count; a missing face isn't told beside it."""
        missing = readiness(an_identity(ADA), references)
        assert not missing.is_ready
        assert missing.problems == ("Upload at least one reference image",)

    def test_weaknesses_do_not_keep_from_asking(self) -> None:
        """Each is told."""
        bare = an_identity(ADA, i_am_statement="", visualization="")
        body = ReferenceRole.BODY
        weak = readiness(bare, [pictured(0, "a", body, side_px=255), pictured(3, "a", body), a_slot(ADA, 1)])
        assert weak.is_ready
        assert weak.problems == (
            "Describe the identity: it has neither an I-am statement nor a visualization",
            "Reference image 0 is small (255x256 px): use 256 or more",
            "The same reference image is there more than once",
            "No reference image shows a face",
        )

    @pytest.mark.parametrize("words", [{"i_am_statement": ""}, {"visualization": ""}])
    def test_one_of_statement_and_visualization_is_enough(self, words: dict[str, str]) -> None:
        """Either one describes."""
        assert readiness(an_identity(ADA, **words), [pictured(0, "a")]).problems == ()

    def test_blockers_come_first(self) -> None:
        """The worst is read first."""
        problems = readiness(an_identity(ADA, i_am_statement="", visualization=""), []).problems
        assert problems[0] == "Upload at least one reference image"
        assert len(problems) == 2


class TestWriting:
    """Creating, changing, deleting."""

    async def test_an_identity_needs_a_name_alone(
        self, identities: Identities, viewer: Viewer, unlucky: UnluckyUnitOfWork, clock: FakeClock
    ) -> None:
        """The rest starts empty."""
        made = await identities.create(viewer, IdentityText(name=" The Analyst "))
        assert made == Identity(
            id=made.id,
            community_id=viewer.user.community_id,
            user_id=viewer.id,
            name="The Analyst",
            category="",
            i_am_statement="",
            visualization="",
            notes=(),
            image_id=None,
            created_at=clock.time,
            updated_at=clock.time,
        )
        assert await stored(unlucky, viewer) == [made]

    async def test_everything_given_is_kept(self, identities: Identities, viewer: Viewer) -> None:
        """Field by field."""
        made = await identities.create(viewer, IdentityText("A", "Work", "I am", "At sea", ("n",)))
        assert (made.category, made.i_am_statement, made.visualization, made.notes) == (
            "Work",
            "I am",
            "At sea",
            ("n",),
        )

    async def test_without_a_name_nothing_is_made(
        self, identities: Identities, viewer: Viewer, unlucky: UnluckyUnitOfWork
    ) -> None:
        """Not given is as good as empty."""
        with pytest.raises(InvalidInput, match=r"^Name must not be empty$"):
            await identities.create(viewer, IdentityText(category="Work"))
        assert await stored(unlucky, viewer) == []

    async def test_there_is_a_most(self, identities: Identities, viewer: Viewer, unlucky: UnluckyUnitOfWork) -> None:
        """One more is refused."""
        async with unlucky() as work:
            for _ in range(MAX_IDENTITIES):
                await work.identities.add(an_identity(viewer.user))
            await work.commit()
        with pytest.raises(LimitReached, match=r"^Maximum 200 identities allowed$") as caught:
            await identities.create(viewer, IdentityText(name="One more"))
        assert caught.value.limit == 200
        assert len(await stored(unlucky, viewer)) == 200

    async def test_what_is_given_changes_and_the_rest_stays(
        self, identities: Identities, viewer: Viewer, unlucky: UnluckyUnitOfWork, clock: FakeClock
    ) -> None:
        """An empty text empties a field."""
        made = await identities.create(viewer, IdentityText("A", "Work", "I am", "At sea", ("n",)))
        clock.advance(60)
        after = await identities.update(viewer, made.id, IdentityText(category="", notes=()))
        assert after == replace(made, category="", notes=(), updated_at=clock.time)
        last = await identities.update(viewer, made.id, IdentityText("B", None, "You are", "At home"))
        assert (last.name, last.i_am_statement, last.visualization) == ("B", "You are", "At home")
        assert await stored(unlucky, viewer) == [last]

    async def test_an_identity_keeps_a_name(
        self, identities: Identities, viewer: Viewer, unlucky: UnluckyUnitOfWork
    ) -> None:
        """It can't be emptied."""
        made = await identities.create(viewer, IdentityText(name="A"))
        with pytest.raises(InvalidInput, match=r"^Name must not be empty$"):
            await identities.update(viewer, made.id, IdentityText(name=" "))
        assert await stored(unlucky, viewer) == [made]

    async def test_deleting_leaves_the_portrait_in_the_library(
        self, identities: Identities, viewer: Viewer, unlucky: UnluckyUnitOfWork, store: FakeObjectStore
    ) -> None:
        """Images have a life of their own."""
        made = await identities.create(viewer, IdentityText(name="A"))
        pictured = await identities.upload_portrait(viewer, made.id, a_photo())
        await identities.delete(viewer, made.id)
        assert await stored(unlucky, viewer) == []
        assert pictured.image_id
        image = await library_image(unlucky, viewer, pictured.image_id)
        assert set(store.objects) == set(image.picture.keys)


class TestPortraits:
    """The image of an identity."""

    async def test_an_uploaded_portrait_is_an_image_of_the_library(
        self, identities: Identities, viewer: Viewer, admin: Viewer, unlucky: UnluckyUnitOfWork, store: FakeObjectStore
    ) -> None:
        """It belongs to the identity's user, whoever uploads it."""
        made = await identities.create(viewer, IdentityText(name="A"))
        after = await identities.upload_portrait(admin, made.id, a_photo(filename="ada.jpeg"))
        assert after.image_id
        image = await library_image(unlucky, viewer, after.image_id)
        assert (image.owner_id, image.source, image.filename) == (viewer.id, ImageSource.UPLOADED, "ada.jpg")
        assert image.picture.key.startswith(f"{viewer.user.community_id}/images/")
        assert set(store.objects) == set(image.picture.keys)
        assert await stored(unlucky, viewer) == [after]

    async def test_a_new_portrait_leaves_the_old_image_in_the_library(
        self, identities: Identities, viewer: Viewer, unlucky: UnluckyUnitOfWork
    ) -> None:
        """So that there is a history."""
        made = await identities.create(viewer, IdentityText(name="A"))
        first = await identities.upload_portrait(viewer, made.id, a_photo())
        second = await identities.upload_portrait(viewer, made.id, a_photo())
        assert first.image_id
        assert second.image_id not in {None, first.image_id}
        assert (await library_image(unlucky, viewer, first.image_id)).id == first.image_id

    async def test_without_a_file_nothing_is_asked(self, identities: Identities, viewer: Viewer) -> None:
        """Not even whether the identity is there."""
        with pytest.raises(InvalidInput, match=r"^No image file provided$"):
            await identities.upload_portrait(viewer, uuid4(), None)

    async def test_what_is_no_picture_changes_nothing(
        self, identities: Identities, viewer: Viewer, unlucky: UnluckyUnitOfWork, store: FakeObjectStore
    ) -> None:
        """No image is made."""
        made = await identities.create(viewer, IdentityText(name="A"))
        with pytest.raises(InvalidImage):
            await identities.upload_portrait(viewer, made.id, a_text())
        assert await stored(unlucky, viewer) == [made]
        assert store.objects == {}

    async def test_a_failed_commit_leaves_no_file_and_no_image(
        self, identities: Identities, viewer: Viewer, unlucky: UnluckyUnitOfWork, store: FakeObjectStore
    ) -> None:
        """Nor a portrait."""
        made = await identities.create(viewer, IdentityText(name="A"))
        unlucky.mishaps["commit"] = [RuntimeError("disk full")]
        with pytest.raises(RuntimeError, match=r"^disk full$"):
            await identities.upload_portrait(viewer, made.id, a_photo())
        assert store.objects == {}
        assert await stored(unlucky, viewer) == [made]

    async def test_an_identity_that_is_deleted_meanwhile_leaves_no_file(
        self, identities: Identities, viewer: Viewer, unlucky: UnluckyUnitOfWork, store: FakeObjectStore
    ) -> None:
        """It was there when the file came in, and gone when it was stored."""
        made = await identities.create(viewer, IdentityText(name="A"))
        await identities.delete(viewer, made.id)
        unlucky.mishaps["identities.get"] = [made]
        with pytest.raises(NotFound, match=r"^Identity not found$"):
            await identities.upload_portrait(viewer, made.id, a_photo())
        assert store.objects == {}

    async def test_an_image_that_can_be_seen_can_become_the_portrait(
        self, identities: Identities, viewer: Viewer, admin: Viewer, unlucky: UnluckyUnitOfWork
    ) -> None:
        """One's own, or a public one of the community; and it can be taken off again."""
        made = await identities.create(viewer, IdentityText(name="A"))
        for image in (an_image(viewer.user), an_image(admin.user, is_public=True)):
            await stored_images(unlucky, image)
            assert (await identities.save_portrait(viewer, made.id, image.id)).image_id == image.id
        bare = await identities.remove_portrait(viewer, made.id)
        assert bare.image_id is None
        assert await stored(unlucky, viewer) == [bare]

    async def test_an_admin_shows_nobody_anothers_private_image(
        self, identities: Identities, viewer: Viewer, admin: Viewer, unlucky: UnluckyUnitOfWork
    ) -> None:
        """Though the admin sees it."""
        made = await identities.create(viewer, IdentityText(name="A"))
        image = an_image(admin.user)
        await stored_images(unlucky, image)
        with pytest.raises(
            InvalidInput, match=r"^A portrait is an image of the identity's user, or one that is public$"
        ):
            await identities.save_portrait(admin, made.id, image.id)
        assert await stored(unlucky, viewer) == [made]

    async def test_an_image_that_cannot_be_seen_is_not_found(
        self, identities: Identities, viewer: Viewer, admin: Viewer, stranger: Viewer, unlucky: UnluckyUnitOfWork
    ) -> None:
        """Another's private one, another community's public one."""
        made = await identities.create(viewer, IdentityText(name="A"))
        for image in (an_image(admin.user), an_image(stranger.user, is_public=True)):
            await stored_images(unlucky, image)
            with pytest.raises(NotFound, match=r"^Image not found$"):
                await identities.save_portrait(viewer, made.id, image.id)
        assert await stored(unlucky, viewer) == [made]


async def test_an_admin_acts_for_users_of_the_community(
    identities: Identities, viewer: Viewer, admin: Viewer, unlucky: UnluckyUnitOfWork
) -> None:
    """What is made belongs to the user."""
    made = await identities.create(admin, IdentityText(name="A"), viewer.id)
    after = await identities.update(admin, made.id, IdentityText(name="B"))
    assert await stored(unlucky, viewer) == [after]
    await identities.delete(admin, made.id)
    assert await stored(unlucky, viewer) == []


async def test_someone_elses_identity_is_not_found(
    identities: Identities,
    viewer: Viewer,
    admin: Viewer,
    stranger: Viewer,
    unlucky: UnluckyUnitOfWork,
    store: FakeObjectStore,
) -> None:
    """For a member it is another's, for a foreign admin another community's: nothing changes, and no file is stored."""
    theirs = await identities.create(admin, IdentityText(name="Theirs"))
    for who in (viewer, stranger):
        for attempt in (
            identities.update(who, theirs.id, IdentityText(name="Mine")),
            identities.delete(who, theirs.id),
            identities.upload_portrait(who, theirs.id, a_photo()),
            identities.save_portrait(who, theirs.id, uuid4()),
            identities.remove_portrait(who, theirs.id),
        ):
            with pytest.raises(NotFound, match=r"^Identity not found$"):
                await attempt
        with pytest.raises(NotFound, match=r"^User not found$"):
            await identities.create(who, IdentityText(name="For them"), admin.id)
    assert await stored(unlucky, admin) == [theirs]
    assert store.objects == {}


def test_a_small_picture_is_told_by_its_shorter_side() -> None:
    """However long the other is."""
    tall = Picture("k", "a", "image/png", 1, 100, 4000, "")
    assert (
        "Reference image 2 is small (100x4000 px): use 256 or more"
        in readiness(an_identity(ADA), [a_slot(ADA, 2, picture=tall)]).problems
    )
