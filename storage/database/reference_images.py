"""Questions about slots of reference images."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import NotFound
from domain.providers import ReferenceRole
from domain.reference_images import ReferenceImage, SlotTaken
from domain.users import Scope
from storage.database.pictures import picture_columns, picture_of_row, picture_values
from storage.database.reaches import reached
from storage.database.refusals import refused_as
from storage.database.tables import reference_image

_c = reference_image.c
_SLOT = select(
    _c.id,
    _c.community_id,
    _c.user_id,
    _c.name,
    _c.order,
    _c.role,
    _c.created_at,
    _c.updated_at,
    *picture_columns(reference_image),
)
_OF_USERS = _SLOT.where(_c.user_id.in_(bindparam("user_ids", expanding=True))).order_by(_c.user_id, _c.order)


def _slot(row: Sequence[Any]) -> ReferenceImage:
    row_id, community_id, user_id, name, order, role, created_at, updated_at, *picture = row
    return ReferenceImage(
        row_id,
        community_id,
        user_id,
        name,
        order,
        ReferenceRole(role),
        None if picture[0] is None else picture_of_row(picture),
        created_at,
        updated_at,
    )


def _values(slot: ReferenceImage) -> dict[str, Any]:
    return {
        "name": slot.name,
        "order": slot.order,
        "role": slot.role,
        "updated_at": slot.updated_at,
        **picture_values(slot.picture),
    }


class ReferenceImages:
    """Implements the port of the same noun."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def taken_orders(self, user_id: UUID) -> set[int]:
        """Slots in use."""
        return set((await self._connection.execute(select(_c.order).where(_c.user_id == user_id))).scalars())

    async def add(self, new: ReferenceImage) -> None:
        """Store a slot."""
        values = {
            "id": new.id,
            "community_id": new.community_id,
            "user_id": new.user_id,
            "created_at": new.created_at,
            **_values(new),
        }
        with refused_as({"uq_reference_image_user_id_order": SlotTaken()}):
            await self._connection.execute(insert(reference_image), values)

    async def get(self, scope: Scope, id: UUID, *, for_update: bool = False) -> ReferenceImage:
        """One slot."""
        statement = _SLOT.where(_c.id == id, reached(scope, _c.community_id, _c.user_id))
        row = (await self._connection.execute(statement.with_for_update() if for_update else statement)).first()
        if row is None:
            raise NotFound("Reference image", id)
        return _slot(row)

    async def update(self, changed: ReferenceImage) -> None:
        """Store new values."""
        with refused_as({"uq_reference_image_user_id_order": SlotTaken()}):
            await self._connection.execute(update(reference_image).where(_c.id == changed.id).values(_values(changed)))

    async def delete(self, id: UUID) -> None:
        """Remove a slot."""
        await self._connection.execute(delete(reference_image).where(_c.id == id))

    async def by_ids(self, scope: Scope, ids: Sequence[UUID]) -> Sequence[ReferenceImage]:
        """Slots in reach."""
        statement = _SLOT.where(_c.id.in_(ids), reached(scope, _c.community_id, _c.user_id))
        return [_slot(row) for row in await self._connection.execute(statement)]

    async def of_users(self, user_ids: Sequence[UUID]) -> Sequence[ReferenceImage]:
        """Slots of the users, by order."""
        return [_slot(row) for row in await self._connection.execute(_OF_USERS, {"user_ids": user_ids})]
