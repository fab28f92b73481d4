"""Questions about communities and users."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as insert_or_ignore
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import Conflict, NotFound
from domain.users import Community, Role, User, Viewer
from storage.database.refusals import refused_as
from storage.database.tables import community, user_account

_c = user_account.c
_USER = select(
    _c.id,
    _c.community_id,
    _c.email,
    _c.name,
    _c.role,
    _c.is_test,
    _c.created_at,
    _c.tokens_valid_after,
    _c.is_operator,
)
_BY_ID = _USER.where(_c.id == bindparam("id"))
_OF_COMMUNITY = _USER.where(_c.community_id == bindparam("community_id"))
_BY_IDS = _OF_COMMUNITY.where(_c.id.in_(bindparam("ids", expanding=True)))
_COMMUNITY = select(community.c.id, community.c.name, community.c.time_zone, community.c.plan_id)

_CONFLICTS = {
    "uq_user_account_community_id_email": Conflict("The community has a user with this e-mail address already"),
    "uq_user_account_email_password": Conflict("Another user signs in with this e-mail address"),
    "uq_user_account_community_id_external_id": Conflict("The community has this user already"),
    "pk_user_account": Conflict("The community has this user already"),
}


def _user(row: Sequence[Any]) -> User:
    row_id, community_id, email, name, role, *rest = row
    return User(row_id, community_id, email, name, Role(role), *rest)


def _values(row: Community) -> dict[str, Any]:
    return {"name": row.name, "time_zone": row.time_zone, "plan_id": row.plan_id}


class Users:
    """Implements the port of the same noun."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add_community(self, new: Community) -> None:
        """Store a community; one of an external issuer may have come with another request just now."""
        statement = insert_or_ignore(community).on_conflict_do_nothing(index_elements=["id"])
        await self._connection.execute(statement, {"id": new.id, **_values(new)})

    async def add(self, user: User, password_hash: str | None) -> None:
        """Store a user of our own."""
        await self._add(user, password_hash=password_hash)

    async def add_external(self, user: User, subject: str) -> None:
        """Store a user of an external issuer."""
        await self._add(user, external_id=subject)

    async def _add(self, user: User, password_hash: str | None = None, external_id: str | None = None) -> None:
        values = {
            "id": user.id,
            "community_id": user.community_id,
            "email": user.email,
            "name": user.name,
            "role": user.role,
            "is_test": user.is_test,
            "is_operator": user.is_operator,
            "password_hash": password_hash,
            "external_id": external_id,
            "created_at": user.created_at,
            "tokens_valid_after": user.tokens_valid_after,
        }
        with refused_as(_CONFLICTS):
            await self._connection.execute(insert(user_account), values)

    async def get(self, id: UUID) -> User:
        """Whoever has the id."""
        row = (await self._connection.execute(_BY_ID, {"id": id})).first()
        if row is None:
            raise NotFound("User", id)
        return _user(row)

    async def acted_for(self, viewer: Viewer, user_id: UUID | None) -> User:
        """The viewer, or whom an admin names."""
        if user_id is None or user_id == viewer.id:
            return viewer.user
        found = await self.by_ids(viewer.user.community_id, [user_id]) if viewer.is_admin else ()
        if not found:
            raise NotFound("User", user_id)
        return found[0]

    async def by_external_id(self, community_id: UUID, subject: str) -> User | None:
        """Whom the issuer calls so."""
        statement = _OF_COMMUNITY.where(_c.external_id == subject)
        row = (await self._connection.execute(statement, {"community_id": community_id})).first()
        return _user(row) if row else None

    async def credentials(self, email: str) -> tuple[User, str] | None:
        """Who signs in with the address."""
        statement = _USER.add_columns(_c.password_hash).where(_c.email == email, _c.password_hash.is_not(None))
        row = (await self._connection.execute(statement)).first()
        return (_user(row[:-1]), row[-1]) if row else None

    async def of_email(self, email: str) -> User | None:
        """Who has the address: first of all the one who signs in with it."""
        statement = _USER.where(_c.email == email).order_by(_c.password_hash.is_(None), _c.created_at).limit(1)
        row = (await self._connection.execute(statement)).first()
        return _user(row) if row else None

    async def by_ids(self, community_id: UUID, ids: Sequence[UUID]) -> Sequence[User]:
        """Those of the community."""
        rows = await self._connection.execute(_BY_IDS, {"community_id": community_id, "ids": ids})
        return [_user(row) for row in rows]

    async def test_users(self, community_id: UUID) -> Sequence[User]:
        """Test users by name."""
        statement = _OF_COMMUNITY.where(_c.is_test).order_by(_c.name, _c.id)
        return [_user(row) for row in await self._connection.execute(statement, {"community_id": community_id})]

    async def set_role(self, id: UUID, role: Role) -> None:
        """Change the role."""
        await self._connection.execute(update(user_account).where(_c.id == id).values(role=role))

    async def community(self, id: UUID, *, for_update: bool = False) -> Community:
        """One community. The lock leaves alone who only points at it, as every new row of the community does."""
        statement = _COMMUNITY.where(community.c.id == id)
        statement = statement.with_for_update(key_share=True) if for_update else statement
        row = (await self._connection.execute(statement)).first()
        if row is None:
            raise NotFound("Community", id)
        return Community(*row)

    async def update_community(self, changed: Community) -> None:
        """Store new values. Raises NotFound when the plan was removed just now."""
        with refused_as({"fk_community_plan_id": NotFound("Plan", changed.plan_id)}):
            await self._connection.execute(
                update(community).where(community.c.id == changed.id).values(_values(changed))
            )

    async def communities(self, ids: Sequence[UUID]) -> Sequence[Community]:
        """Communities by id."""
        rows = await self._connection.execute(_COMMUNITY.where(community.c.id.in_(ids)))
        return [Community(*row) for row in rows]

    async def community_ids(self) -> Sequence[UUID]:
        """All communities' ids."""
        return (await self._connection.execute(select(community.c.id))).scalars().all()

    async def community_named(self, name: str) -> Community | None:
        """The community of the name; always the same one where two are called so."""
        statement = _COMMUNITY.where(community.c.name == name).order_by(community.c.id).limit(1)
        row = (await self._connection.execute(statement)).first()
        return Community(*row) if row else None

    async def count(self) -> int:
        """All users."""
        return (await self._connection.execute(select(func.count()).select_from(user_account))).scalar_one()

    async def revoke_tokens(self, id: UUID, before: datetime) -> None:
        """Move the moment from which tokens are valid."""
        await self._connection.execute(update(user_account).where(_c.id == id).values(tokens_valid_after=before))

    async def tokens_valid_after(self, ids: Sequence[UUID]) -> dict[UUID, datetime]:
        """The moment for each user."""
        rows = await self._connection.execute(select(_c.id, _c.tokens_valid_after).where(_c.id.in_(ids)))
        return {row[0]: row[1] for row in rows}
