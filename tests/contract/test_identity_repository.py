"""The contract of the identities' repository."""

from dataclasses import replace
from uuid import uuid4

import pytest
from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError

from domain.errors import NotFound
from domain.repositories import UnitOfWorkFactory
from domain.users import Role
from storage.database.databases import Database
from storage.database.tables import image as image_table
from tests.rows import a_generation, after, an_identity, an_image, stored_community, stored_viewer


async def test_an_identity_comes_back_as_stored_and_as_changed(unit_of_work: UnitOfWorkFactory) -> None:
    """Every field, first and after an update; lists begin with the oldest."""
    viewer = await stored_viewer(unit_of_work)
    image = an_image(viewer.user)
    younger, older = an_identity(viewer.user, created_at=after(1)), an_identity(viewer.user)
    changed = replace(
        older,
        name="The Poet",
        category="",
        i_am_statement="",
        visualization="At sea",
        notes=(),
        image_id=image.id,
        updated_at=after(5),
    )
    async with unit_of_work() as work:
        await work.images.add(image)
        await work.identities.add(younger)
        await work.identities.add(older)
        assert await work.identities.get(viewer.scope, older.id, for_update=True) == older
        await work.identities.update(changed)
        await work.commit()
    async with unit_of_work(read_only=True) as work:
        assert await work.identities.of_users([viewer.id, uuid4()]) == [changed, younger]


async def test_the_portrait_alone_is_changed(unit_of_work: UnitOfWorkFactory) -> None:
    """`set_image` leaves the words as they are, and does nothing for an identity that is gone."""
    viewer = await stored_viewer(unit_of_work)
    image, identity = an_image(viewer.user), an_identity(viewer.user)
    async with unit_of_work() as work:
        await work.images.add(image)
        await work.identities.add(identity)
        await work.identities.set_image(identity.id, image.id, after(3))
        await work.identities.set_image(uuid4(), image.id, after(3))
        await work.commit()
    async with unit_of_work(read_only=True) as work:
        found = await work.identities.get(viewer.scope, identity.id)
    assert found == replace(identity, image_id=image.id, updated_at=after(3))


async def test_what_pointed_at_a_deleted_identity_stays(unit_of_work: UnitOfWorkFactory) -> None:
    """A generation of the identity is kept, without it."""
    viewer = await stored_viewer(unit_of_work)
    identity = an_identity(viewer.user)
    generation = a_generation(viewer.user, identity_id=identity.id, identity={"name": "The Analyst"})
    async with unit_of_work() as work:
        await work.identities.add(identity)
        await work.generations.add(generation)
        await work.identities.delete(identity.id)
        await work.commit()
    async with unit_of_work(read_only=True) as work:
        assert await work.generations.load(generation.id) == replace(generation, identity_id=None)
        with pytest.raises(NotFound):
            await work.identities.get(viewer.scope, identity.id)


async def test_a_portrait_is_held_by_its_identity(unit_of_work: UnitOfWorkFactory, database: Database) -> None:
    """The image can't be removed from under it; without the identity it can."""
    viewer = await stored_viewer(unit_of_work)
    image = an_image(viewer.user)
    identity = an_identity(viewer.user, image_id=image.id)
    removal = delete(image_table).where(image_table.c.id == image.id)
    async with unit_of_work() as work:
        await work.images.add(image)
        await work.identities.add(identity)
        await work.commit()
    with pytest.raises(IntegrityError), database.sync_engine().begin() as connection:
        connection.execute(removal)
    async with unit_of_work() as work:
        assert await work.identities.get(viewer.scope, identity.id) == identity
        await work.identities.delete(identity.id)
        await work.commit()
    with database.sync_engine().begin() as connection:
        assert connection.execute(removal).rowcount == 1


async def test_a_scope_reaches_its_owner_or_its_whole_community(unit_of_work: UnitOfWorkFactory) -> None:
    """A member's scope reaches their own identities, an admin's those of the community, nobody's those beyond."""
    community = await stored_community(unit_of_work)
    owner, member = await stored_viewer(unit_of_work, community), await stored_viewer(unit_of_work, community)
    admin = await stored_viewer(unit_of_work, community, role=Role.ADMIN)
    stranger = await stored_viewer(unit_of_work, role=Role.ADMIN)
    identity = an_identity(owner.user)
    async with unit_of_work() as work:
        await work.identities.add(identity)
        await work.commit()
    async with unit_of_work(read_only=True) as work:
        for viewer in (owner, admin):
            assert await work.identities.by_ids(viewer.scope, [identity.id]) == [identity]
        for viewer in (member, stranger):
            assert await work.identities.by_ids(viewer.scope, [identity.id]) == []
            with pytest.raises(NotFound):
                await work.identities.get(viewer.scope, identity.id)
