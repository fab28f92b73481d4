"""The contract of the reference images' repository."""

import asyncio
from dataclasses import replace

import pytest

from domain.errors import NotFound
from domain.providers import ReferenceRole
from domain.reference_images import ReferenceImage, SlotTaken
from domain.repositories import UnitOfWorkFactory
from domain.users import Role, Scope
from tests.rows import PICTURE, a_slot, after, stored_community, stored_viewer


async def add(unit_of_work: UnitOfWorkFactory, *slots: ReferenceImage) -> None:
    """Store slots together."""
    async with unit_of_work() as work:
        for slot in slots:
            await work.reference_images.add(slot)
        await work.commit()


async def test_a_slot_comes_back_as_stored_and_as_changed(unit_of_work: UnitOfWorkFactory) -> None:
    """With a picture and without one, first and after an update."""
    viewer = await stored_viewer(unit_of_work)
    empty, filled = a_slot(viewer.user), a_slot(viewer.user, 4, picture=PICTURE, role=ReferenceRole.STYLE)
    await add(unit_of_work, filled, empty)
    changed = replace(empty, picture=PICTURE, name="New", order=2, role=ReferenceRole.BODY, updated_at=after(5))
    async with unit_of_work() as work:
        assert await work.reference_images.of_users([viewer.id]) == [empty, filled]
        assert await work.reference_images.taken_orders(viewer.id) == {0, 4}
        locked = await work.reference_images.get(viewer.scope, empty.id, for_update=True)
        assert locked == empty
        await work.reference_images.update(changed)
        await work.reference_images.update(replace(filled, picture=None))
        await work.commit()
    async with unit_of_work(read_only=True) as work:
        slots = await work.reference_images.of_users([viewer.id])
        assert slots == [changed, replace(filled, picture=None)]


async def test_a_deleted_slot_is_gone(unit_of_work: UnitOfWorkFactory) -> None:
    """And its order is free."""
    viewer = await stored_viewer(unit_of_work)
    slot = a_slot(viewer.user)
    await add(unit_of_work, slot)
    async with unit_of_work() as work:
        await work.reference_images.delete(slot.id)
        await work.commit()
    async with unit_of_work(read_only=True) as work:
        assert await work.reference_images.taken_orders(viewer.id) == set()
        with pytest.raises(NotFound):
            await work.reference_images.get(viewer.scope, slot.id)


async def test_a_slot_is_taken_once(unit_of_work: UnitOfWorkFactory) -> None:
    """Adding to a taken order, and moving there, are refused; another user's order is another slot."""
    viewer, other = await stored_viewer(unit_of_work), await stored_viewer(unit_of_work)
    first, second = a_slot(viewer.user, 0), a_slot(viewer.user, 1)
    await add(unit_of_work, first, second, a_slot(other.user, 0))
    with pytest.raises(SlotTaken):
        await add(unit_of_work, a_slot(viewer.user, 1))
    async with unit_of_work() as work:
        with pytest.raises(SlotTaken):
            await work.reference_images.update(replace(second, order=0))
    async with unit_of_work(read_only=True) as work:
        assert await work.reference_images.of_users([viewer.id]) == [first, second]


async def test_of_two_requests_for_the_last_slot_one_gets_it(unit_of_work: UnitOfWorkFactory) -> None:
    """Requests that all saw the same free slot can't all take it, however they interleave."""
    viewer = await stored_viewer(unit_of_work)
    await add(unit_of_work, *(a_slot(viewer.user, order) for order in range(4)))
    everybody_saw = asyncio.Barrier(3)

    async def take() -> bool:
        async with unit_of_work(read_only=True) as work:
            assert await work.reference_images.taken_orders(viewer.id) == {0, 1, 2, 3}
        await everybody_saw.wait()
        try:
            await add(unit_of_work, a_slot(viewer.user, 4))
        except SlotTaken:
            return False
        return True

    assert sorted(await asyncio.gather(take(), take(), take())) == [False, False, True]
    async with unit_of_work(read_only=True) as work:
        assert len(await work.reference_images.of_users([viewer.id])) == 5


async def test_a_scope_reaches_its_owner_or_its_whole_community(unit_of_work: UnitOfWorkFactory) -> None:
    """A member's scope reaches their own slots, an admin's those of the community, nobody's those beyond."""
    community = await stored_community(unit_of_work)
    owner = await stored_viewer(unit_of_work, community)
    admin = await stored_viewer(unit_of_work, community, role=Role.ADMIN)
    member, stranger = await stored_viewer(unit_of_work, community), await stored_viewer(unit_of_work, role=Role.ADMIN)
    slot = a_slot(owner.user)
    await add(unit_of_work, slot)
    async with unit_of_work(read_only=True) as work:
        for viewer in (owner, admin):
            assert await work.reference_images.get(viewer.scope, slot.id) == slot
            assert await work.reference_images.by_ids(viewer.scope, [slot.id]) == [slot]
        beyond = Scope(stranger.user.community_id, owner.id)
        for scope in (member.scope, stranger.scope, beyond):
            assert await work.reference_images.by_ids(scope, [slot.id]) == []
            with pytest.raises(NotFound):
                await work.reference_images.get(scope, slot.id)


async def test_a_locked_slot_waits_for_whoever_has_it(unit_of_work: UnitOfWorkFactory) -> None:
    """Of two changes at once the second sees what the first has written."""
    viewer = await stored_viewer(unit_of_work)
    slot = a_slot(viewer.user, name="")
    await add(unit_of_work, slot)

    async def write(letter: str) -> None:
        async with unit_of_work() as work:
            seen = await work.reference_images.get(viewer.scope, slot.id, for_update=True)
            await asyncio.sleep(0.01)
            await work.reference_images.update(replace(seen, name=seen.name + letter))
            await work.commit()

    await asyncio.gather(*(write(letter) for letter in "abcdef"))
    async with unit_of_work(read_only=True) as work:
        found = await work.reference_images.get(viewer.scope, slot.id)
    assert sorted(found.name) == list("abcdef")
