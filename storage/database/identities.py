"""Questions about identities."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import NotFound
from domain.identities import Identity
from domain.users import Scope
from storage.database.reaches import reached
from storage.database.tables import identity

_c = identity.c
IDENTITY = select(
    _c.id,
    _c.community_id,
    _c.user_id,
    _c.name,
    _c.category,
    _c.i_am_statement,
    _c.visualization,
    _c.notes,
    _c.image_id,
    _c.created_at,
    _c.updated_at,
)


def identity_of_row(row: Sequence[Any]) -> Identity:
    """The identity of the columns of IDENTITY."""
    row_id, community_id, user_id, name, category, statement, visualization, notes, *rest = row
    return Identity(row_id, community_id, user_id, name, category, statement, visualization, tuple(notes), *rest)


def _values(row: Identity) -> dict[str, Any]:
    return {
        "name": row.name,
        "category": row.category,
        "i_am_statement": row.i_am_statement,
        "visualization": row.visualization,
        "notes": list(row.notes),
        "image_id": row.image_id,
        "updated_at": row.updated_at,
    }


class Identities:
    """Implements the port of the same noun."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, new: Identity) -> None:
        """Store an identity."""
        values = {
            "id": new.id,
            "community_id": new.community_id,
            "user_id": new.user_id,
            "created_at": new.created_at,
            **_values(new),
        }
        await self._connection.execute(insert(identity), values)

    async def get(self, scope: Scope, id: UUID, *, for_update: bool = False) -> Identity:
        """One identity."""
        statement = IDENTITY.where(_c.id == id, reached(scope, _c.community_id, _c.user_id))
        row = (await self._connection.execute(statement.with_for_update() if for_update else statement)).first()
        if row is None:
            raise NotFound("Identity", id)
        return identity_of_row(row)

    async def update(self, changed: Identity) -> None:
        """Store new values."""
        await self._connection.execute(update(identity).where(_c.id == changed.id).values(_values(changed)))

    async def set_image(self, id: UUID, image_id: UUID, at: datetime) -> None:
        """Change the portrait alone."""
        await self._connection.execute(update(identity).where(_c.id == id).values(image_id=image_id, updated_at=at))

    async def delete(self, id: UUID) -> None:
        """Remove an identity."""
        await self._connection.execute(delete(identity).where(_c.id == id))

    async def by_ids(self, scope: Scope, ids: Sequence[UUID]) -> Sequence[Identity]:
        """Identities in reach."""
        statement = IDENTITY.where(_c.id.in_(ids), reached(scope, _c.community_id, _c.user_id))
        return [identity_of_row(row) for row in await self._connection.execute(statement)]

    async def of_users(self, user_ids: Sequence[UUID]) -> Sequence[Identity]:
        """Identities of the users, the oldest first."""
        statement = IDENTITY.where(_c.user_id.in_(user_ids)).order_by(_c.created_at, _c.id)
        return [identity_of_row(row) for row in await self._connection.execute(statement)]
