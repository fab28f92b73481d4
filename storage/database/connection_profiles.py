"""Questions about connection profiles. Their keys are sealed: nothing here can open one."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.connection_profiles import ConnectionProfile
from domain.providers import ProviderKind
from storage.database.tables import connection_profile, user_account

_c = connection_profile.c
_COLUMNS = (
    _c.id,
    _c.community_id,
    _c.user_id,
    _c.name,
    _c.provider,
    _c.base_url,
    _c.model,
    _c.sealed_key,
    _c.key_hint,
    _c.is_default,
    _c.created_at,
    _c.last_used_at,
)
_PROFILE = select(*_COLUMNS)


def _profile(row: Sequence[Any]) -> ConnectionProfile:
    row_id, community_id, user_id, name, provider, *rest = row
    return ConnectionProfile(row_id, community_id, user_id, name, ProviderKind(provider), *rest)


class ConnectionProfiles:
    """Implements the port of the same noun."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, profile: ConnectionProfile) -> None:
        """Store a profile."""
        values = {column.name: getattr(profile, column.name) for column in _COLUMNS}
        await self._connection.execute(insert(connection_profile), values)

    async def update(self, profile: ConnectionProfile) -> None:
        """Store what its owner may change."""
        await self._connection.execute(
            update(connection_profile)
            .where(_c.id == profile.id)
            .values(
                name=profile.name,
                base_url=profile.base_url,
                model=profile.model,
                sealed_key=profile.sealed_key,
                key_hint=profile.key_hint,
                is_default=profile.is_default,
            )
        )

    async def delete(self, id: UUID) -> None:
        """Remove a profile."""
        await self._connection.execute(delete(connection_profile).where(_c.id == id))

    async def of_user(self, user_id: UUID, *, for_update: bool = False) -> Sequence[ConnectionProfile]:
        """A user's, the oldest first."""
        of_user = _PROFILE.where(_c.user_id == user_id)
        if for_update:
            # The user's row stands for profiles that aren't there yet. Those that are, are held in the order in which
            # keys are rotated: so a key is never put back that was sealed anew meanwhile, and nobody waits in a circle.
            user = select(user_account.c.id).where(user_account.c.id == user_id)
            await self._connection.execute(user.with_for_update(key_share=True))
            await self._connection.execute(of_user.order_by(_c.id).with_for_update(key_share=True))
        return await self._all(of_user.order_by(_c.created_at, _c.id))

    async def of_user_by_ids(self, user_id: UUID, ids: Sequence[UUID]) -> Sequence[ConnectionProfile]:
        """Those of the user."""
        return await self._all(_PROFILE.where(_c.id.in_(ids), _c.user_id == user_id))

    async def end_default(self, user_id: UUID) -> None:
        """Take the default from whichever has it."""
        statement = update(connection_profile).where(_c.user_id == user_id, _c.is_default)
        await self._connection.execute(statement.values(is_default=False))

    async def used(self, id: UUID, at: datetime) -> None:
        """Move the moment of the last use."""
        await self._connection.execute(update(connection_profile).where(_c.id == id).values(last_used_at=at))

    async def keys(self, after: UUID | None, limit: int) -> Sequence[ConnectionProfile]:
        """Those with a key, by id."""
        statement = _PROFILE.where(_c.sealed_key.is_not(None)).order_by(_c.id).limit(limit)
        return await self._all(statement.where(_c.id > after) if after else statement)

    async def reseal(self, id: UUID, before: str, sealed_key: str) -> bool:
        """Compare and swap."""
        statement = update(connection_profile).where(_c.id == id, _c.sealed_key == before)
        return (await self._connection.execute(statement.values(sealed_key=sealed_key))).rowcount == 1

    async def _all(self, statement: Select[Any]) -> Sequence[ConnectionProfile]:
        return [_profile(row) for row in await self._connection.execute(statement)]
