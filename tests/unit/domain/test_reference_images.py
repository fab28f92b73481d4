"""Slots of reference images: who gets which, what is refused in which words, and what becomes of the files."""

import asyncio
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Conflict, DomainError, InvalidImage, InvalidInput, LimitReached, NotFound, StoreUnavailable
from domain.picture_store import PictureStore
from domain.providers import ReferenceRole
from domain.reference_images import ReferenceImage, ReferenceImages, check_name, check_order, free_order
from domain.repositories import UnitOfWorkFactory
from domain.users import Viewer
from tests.fakes.clock import FakeClock
from tests.fakes.mishaps import UnluckyUnitOfWork
from tests.fakes.objects import FakeObjectStore
from tests.uploads import a_photo, a_text


@pytest.fixture
def slots(unlucky: UnluckyUnitOfWork, pictures: PictureStore, clock: FakeClock) -> ReferenceImages:
    """The service."""
    return ReferenceImages(unlucky, pictures, clock)


async def stored(unit_of_work: UnitOfWorkFactory, viewer: Viewer) -> list[ReferenceImage]:
    """The user's slots, by order."""
    async with unit_of_work(read_only=True) as work:
        return list(await work.reference_images.of_users([viewer.id]))


def keys(*images: ReferenceImage) -> set[str]:
    """Every object of the slots' pictures."""
    return {key for image in images if image.picture for key in image.picture.keys}


class TestRules:
    """Names and orders."""

    def test_a_name_is_trimmed(self) -> None:
        """It may be empty."""
        assert check_name("  From the left ") == "From the left"
        assert check_name(" ") == ""

    def test_a_name_has_a_greatest_length(self) -> None:
        """After trimming."""
        assert len(check_name(" " + "x" * 255)) == 255
        with pytest.raises(InvalidInput, match=r"^Name must be at most 255 characters$") as caught:
            check_name("x" * 256)
        assert caught.value.problems[0].path == ("name",)

    @pytest.mark.parametrize("order", [-1, 5])
    def test_an_order_is_one_of_five(self, order: int) -> None:
        """Counted from 0."""
        assert [check_order(order) for order in range(5)] == [0, 1, 2, 3, 4]
        with pytest.raises(InvalidInput, match=r"^Order must be between 0 and 4$") as caught:
            check_order(order)
        assert caught.value.problems[0].path == ("order",)

    def test_the_lowest_free_slot_is_given(self) -> None:
        """Gaps are filled."""
        assert free_order(set(), None) == 0
        assert free_order({0, 1, 3}, None) == 2

    def test_the_wanted_slot_is_given_when_it_is_free(self) -> None:
        """Else it is in use."""
        assert free_order({0}, 4) == 4
        with pytest.raises(Conflict, match=r"^Order 2 is already in use$"):
            free_order({2}, 2)

    def test_five_are_the_most(self) -> None:
        """Whichever is wanted."""
        with pytest.raises(LimitReached, match=r"^Maximum 5 reference images allowed$") as caught:
            free_order({0, 1, 2, 3, 4}, 2)
        assert caught.value.limit == 5

    @given(st.sets(st.integers(0, 4)), st.none() | st.integers(-2, 7))
    def test_a_slot_that_is_given_is_free(self, taken: set[int], wanted: int | None) -> None:
        """Whatever is taken and wanted: a free one of the five, the wanted one where one is wanted."""
        try:
            order = free_order(taken, wanted)
        except DomainError:
            assert len(taken) == 5 or wanted in taken or wanted not in range(5)
            return
        assert order in set(range(5)) - taken
        assert order == (min(set(range(5)) - taken) if wanted is None else wanted)


class TestCreating:
    """New slots."""

    async def test_slots_fill_from_the_lowest(
        self, slots: ReferenceImages, viewer: Viewer, clock: FakeClock, unlucky: UnluckyUnitOfWork
    ) -> None:
        """A slot may stand without a picture."""
        await slots.create(viewer, order=1)
        first = await slots.create(viewer)
        third = await slots.create(viewer, name=" Left ", role=ReferenceRole.BODY)
        assert (first.order, first.role, first.picture, first.created_at) == (0, ReferenceRole.FACE, None, clock.time)
        assert (third.order, third.name, third.role) == (2, "Left", ReferenceRole.BODY)
        assert [slot.order for slot in await stored(unlucky, viewer)] == [0, 1, 2]

    async def test_a_slot_comes_with_its_picture(
        self, slots: ReferenceImages, viewer: Viewer, store: FakeObjectStore, unlucky: UnluckyUnitOfWork
    ) -> None:
        """In the folder of the viewer's community."""
        slot = await slots.create(viewer, file=a_photo())
        assert await stored(unlucky, viewer) == [slot]
        assert slot.picture
        assert slot.picture.key.startswith(f"{viewer.user.community_id}/images/")
        assert set(store.objects) == keys(slot)

    async def test_a_full_set_is_refused_before_the_file_is_looked_at(
        self, slots: ReferenceImages, viewer: Viewer, store: FakeObjectStore, unlucky: UnluckyUnitOfWork
    ) -> None:
        """Nothing is stored, not even for a moment, and who writes just then is not waited for."""
        for _ in range(5):
            await slots.create(viewer)
        store.is_down = True
        async with asyncio.timeout(5), unlucky():
            with pytest.raises(LimitReached, match=r"^Maximum 5 reference images allowed$"):
                await slots.create(viewer, file=a_photo())

    @pytest.mark.parametrize(
        ("order", "message"), [(2, "Order 2 is already in use"), (5, "Order must be between 0 and 4")]
    )
    async def test_a_slot_that_cannot_be_had_leaves_no_file(
        self, slots: ReferenceImages, viewer: Viewer, store: FakeObjectStore, order: int, message: str
    ) -> None:
        """Taken, or not one of the five."""
        await slots.create(viewer, order=2)
        with pytest.raises(DomainError) as caught:
            await slots.create(viewer, order=order, file=a_photo())
        assert caught.value.message == message
        assert store.objects == {}

    async def test_what_is_no_picture_makes_no_slot(
        self, slots: ReferenceImages, viewer: Viewer, unlucky: UnluckyUnitOfWork
    ) -> None:
        """Nor does a store that is away."""
        with pytest.raises(InvalidImage):
            await slots.create(viewer, file=a_text())
        assert await stored(unlucky, viewer) == []

    async def test_a_store_that_is_away_makes_no_slot(
        self, slots: ReferenceImages, viewer: Viewer, store: FakeObjectStore, unlucky: UnluckyUnitOfWork
    ) -> None:
        """The caller is told, and may try again."""
        store.is_down = True
        with pytest.raises(StoreUnavailable):
            await slots.create(viewer, file=a_photo())
        assert await stored(unlucky, viewer) == []

    async def test_of_two_who_want_the_last_slot_one_gets_it(
        self, slots: ReferenceImages, viewer: Viewer, store: FakeObjectStore, unlucky: UnluckyUnitOfWork
    ) -> None:
        """The other is told the limit, and leaves no file behind."""
        for _ in range(4):
            await slots.create(viewer)
        first, second = await asyncio.gather(
            slots.create(viewer, file=a_photo()), slots.create(viewer, file=a_photo()), return_exceptions=True
        )
        won, lost = (first, second) if isinstance(first, ReferenceImage) else (second, first)
        assert isinstance(won, ReferenceImage)
        assert isinstance(lost, LimitReached)
        assert lost.message == "Maximum 5 reference images allowed"
        assert await stored(unlucky, viewer) == [*(await stored(unlucky, viewer))[:4], won]
        assert set(store.objects) == keys(won)

    async def test_a_lost_race_takes_the_next_free_slot(
        self, slots: ReferenceImages, viewer: Viewer, unlucky: UnluckyUnitOfWork
    ) -> None:
        """Another's slot came between reading which are free and storing ours: the database's key says so."""
        await slots.create(viewer)
        unlucky.mishaps["reference_images.taken_orders"] = [set(), set()]
        assert (await slots.create(viewer)).order == 1

    async def test_a_lost_race_for_a_wanted_slot_is_refused(
        self, slots: ReferenceImages, viewer: Viewer, store: FakeObjectStore, unlucky: UnluckyUnitOfWork
    ) -> None:
        """No other slot was asked for; the file goes."""
        await slots.create(viewer, order=3)
        unlucky.mishaps["reference_images.taken_orders"] = [set(), set()]
        with pytest.raises(Conflict, match=r"^Order 3 is already in use$"):
            await slots.create(viewer, order=3, file=a_photo())
        assert store.objects == {}

    async def test_a_failed_commit_leaves_no_file(
        self, slots: ReferenceImages, viewer: Viewer, store: FakeObjectStore, unlucky: UnluckyUnitOfWork
    ) -> None:
        """Nor a row."""
        unlucky.mishaps["commit"] = [RuntimeError("disk full")]
        with pytest.raises(RuntimeError, match=r"^disk full$"):
            await slots.create(viewer, file=a_photo())
        assert store.objects == {}
        assert await stored(unlucky, viewer) == []

    async def test_an_admin_makes_slots_for_users_of_the_community(
        self, slots: ReferenceImages, viewer: Viewer, admin: Viewer, unlucky: UnluckyUnitOfWork
    ) -> None:
        """They are the user's."""
        slot = await slots.create(admin, user_id=viewer.id)
        assert await stored(unlucky, viewer) == [slot]
        assert await stored(unlucky, admin) == []

    async def test_nobody_else_makes_slots_for_another(
        self, slots: ReferenceImages, viewer: Viewer, admin: Viewer, stranger: Viewer, store: FakeObjectStore
    ) -> None:
        """Neither a member, nor an admin of another community: the user is not found."""
        for who, whom in ((viewer, admin), (stranger, viewer)):
            with pytest.raises(NotFound, match=r"^User not found$"):
                await slots.create(who, user_id=whom.id, file=a_photo())
        assert store.objects == {}


class TestUploading:
    """Pictures for slots that are there."""

    async def test_a_picture_is_put_into_an_empty_slot(
        self,
        slots: ReferenceImages,
        viewer: Viewer,
        store: FakeObjectStore,
        unlucky: UnluckyUnitOfWork,
        clock: FakeClock,
    ) -> None:
        """The rest of the slot stays."""
        slot = await slots.create(viewer, name="Left", order=2)
        clock.advance(60)
        after = await slots.upload(viewer, slot.id, a_photo())
        assert (after.name, after.order, after.created_at) == ("Left", 2, slot.created_at)
        assert after.updated_at == clock.time
        assert await stored(unlucky, viewer) == [after]
        assert set(store.objects) == keys(after)

    async def test_replacing_stores_the_new_and_removes_the_old(
        self, slots: ReferenceImages, viewer: Viewer, store: FakeObjectStore
    ) -> None:
        """Under a new key, so that no cache shows the old one."""
        before = await slots.create(viewer, file=a_photo())
        after = await slots.upload(viewer, before.id, a_photo(30, 40))
        assert not keys(before) & keys(after)
        assert set(store.objects) == keys(after)

    async def test_a_failed_commit_keeps_the_old_picture(
        self, slots: ReferenceImages, viewer: Viewer, store: FakeObjectStore, unlucky: UnluckyUnitOfWork
    ) -> None:
        """And removes the new one."""
        before = await slots.create(viewer, file=a_photo())
        unlucky.mishaps["commit"] = [RuntimeError("disk full")]
        with pytest.raises(RuntimeError, match=r"^disk full$"):
            await slots.upload(viewer, before.id, a_photo(30, 40))
        assert set(store.objects) == keys(before)
        assert await stored(unlucky, viewer) == [before]

    async def test_a_slot_that_is_deleted_meanwhile_leaves_no_file(
        self, slots: ReferenceImages, viewer: Viewer, store: FakeObjectStore, unlucky: UnluckyUnitOfWork
    ) -> None:
        """The slot was there when the file came in, and gone when it was stored."""
        slot = await slots.create(viewer)
        await slots.delete(viewer, slot.id)
        unlucky.mishaps["reference_images.get"] = [slot]
        with pytest.raises(NotFound, match=r"^Reference image not found$"):
            await slots.upload(viewer, slot.id, a_photo())
        assert store.objects == {}

    async def test_without_a_file_nothing_is_asked(self, slots: ReferenceImages, viewer: Viewer) -> None:
        """Not even whether the slot is there."""
        with pytest.raises(InvalidInput, match=r"^No image file provided$") as caught:
            await slots.upload(viewer, uuid4(), None)
        assert caught.value.problems[0].path == ("file",)

    async def test_what_is_no_picture_changes_nothing(
        self, slots: ReferenceImages, viewer: Viewer, store: FakeObjectStore, unlucky: UnluckyUnitOfWork
    ) -> None:
        """The old picture stays."""
        before = await slots.create(viewer, file=a_photo())
        with pytest.raises(InvalidImage):
            await slots.upload(viewer, before.id, a_text())
        assert await stored(unlucky, viewer) == [before]
        assert set(store.objects) == keys(before)


class TestChanging:
    """Names, orders and roles."""

    async def test_what_is_given_changes_and_the_rest_stays(
        self, slots: ReferenceImages, viewer: Viewer, unlucky: UnluckyUnitOfWork, clock: FakeClock
    ) -> None:
        """An empty name is a name."""
        slot = await slots.create(viewer, name="Left", order=1, file=a_photo())
        clock.advance(60)
        moved = await slots.update(viewer, slot.id, order=4)
        assert (moved.name, moved.order, moved.role, moved.picture) == ("Left", 4, ReferenceRole.FACE, slot.picture)
        after = await slots.update(viewer, slot.id, name=" ", role=ReferenceRole.STYLE)
        assert (after.name, after.order, after.role, after.updated_at) == ("", 4, ReferenceRole.STYLE, clock.time)
        assert await stored(unlucky, viewer) == [after]

    async def test_a_slot_may_stay_where_it_is(self, slots: ReferenceImages, viewer: Viewer) -> None:
        """Its own order is not in use by another."""
        slot = await slots.create(viewer, order=1)
        assert (await slots.update(viewer, slot.id, order=1)).order == 1

    @pytest.mark.parametrize(
        ("order", "message"), [(2, "Order 2 is already in use"), (-1, "Order must be between 0 and 4")]
    )
    async def test_a_slot_moves_to_a_free_place_only(
        self, slots: ReferenceImages, viewer: Viewer, unlucky: UnluckyUnitOfWork, order: int, message: str
    ) -> None:
        """Else both stay where they are."""
        first, second = await slots.create(viewer, order=1), await slots.create(viewer, order=2)
        with pytest.raises(DomainError) as caught:
            await slots.update(viewer, first.id, order=order)
        assert caught.value.message == message
        assert await stored(unlucky, viewer) == [first, second]

    async def test_a_name_that_is_too_long_changes_nothing(
        self, slots: ReferenceImages, viewer: Viewer, unlucky: UnluckyUnitOfWork
    ) -> None:
        """Nor does the order that came with it."""
        slot = await slots.create(viewer)
        with pytest.raises(InvalidInput):
            await slots.update(viewer, slot.id, name="x" * 256, order=3)
        assert await stored(unlucky, viewer) == [slot]


class TestDeleting:
    """Slots and their files."""

    async def test_deleting_takes_the_files(
        self, slots: ReferenceImages, viewer: Viewer, store: FakeObjectStore, unlucky: UnluckyUnitOfWork
    ) -> None:
        """Those of the other slots stay; the place is free again."""
        first, second = [await slots.create(viewer, file=a_photo()) for _ in range(2)]
        await slots.delete(viewer, first.id)
        assert await stored(unlucky, viewer) == [second]
        assert set(store.objects) == keys(second)
        assert (await slots.create(viewer)).order == 0

    async def test_a_failed_commit_keeps_the_files(
        self, slots: ReferenceImages, viewer: Viewer, store: FakeObjectStore, unlucky: UnluckyUnitOfWork
    ) -> None:
        """The row is still there, and needs them."""
        slot = await slots.create(viewer, file=a_photo())
        unlucky.mishaps["commit"] = [RuntimeError("disk full")]
        with pytest.raises(RuntimeError, match=r"^disk full$"):
            await slots.delete(viewer, slot.id)
        assert await stored(unlucky, viewer) == [slot]
        assert set(store.objects) == keys(slot)

    async def test_a_store_that_is_away_does_not_keep_the_slot(
        self, slots: ReferenceImages, viewer: Viewer, store: FakeObjectStore, unlucky: UnluckyUnitOfWork
    ) -> None:
        """The files stay behind, unused."""
        slot = await slots.create(viewer, file=a_photo())
        store.is_down = True
        await slots.delete(viewer, slot.id)
        assert await stored(unlucky, viewer) == []


async def test_someone_elses_slot_is_not_found(
    slots: ReferenceImages,
    viewer: Viewer,
    admin: Viewer,
    stranger: Viewer,
    store: FakeObjectStore,
    unlucky: UnluckyUnitOfWork,
) -> None:
    """For a member it is another's, for a foreign admin another community's: nothing changes, and no file is stored."""
    theirs = await slots.create(admin, file=a_photo())
    for who in (viewer, stranger):
        for attempt in (
            slots.upload(who, theirs.id, a_photo()),
            slots.update(who, theirs.id, name="Mine"),
            slots.delete(who, theirs.id),
        ):
            with pytest.raises(NotFound, match=r"^Reference image not found$"):
                await attempt
    assert await stored(unlucky, admin) == [theirs]
    assert set(store.objects) == keys(theirs)


async def test_an_admin_changes_a_users_slot(slots: ReferenceImages, viewer: Viewer, admin: Viewer) -> None:
    """It stays the user's."""
    slot = await slots.create(viewer)
    after = await slots.update(admin, slot.id, name="Left")
    assert (after.name, after.user_id) == ("Left", viewer.id)
