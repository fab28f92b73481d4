"""Questions about prompt versions."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import NotFound
from domain.prompts import ContextKey, Prompt, PromptType, VersionTaken
from storage.database.refusals import refused_as
from storage.database.tables import prompt

_c = prompt.c
_PROMPT = select(
    _c.id,
    _c.community_id,
    _c.type,
    _c.version,
    _c.name,
    _c.body,
    _c.required_context_keys,
    _c.is_active,
    _c.author_id,
    _c.created_at,
)
_REFUSALS = ("uq_prompt_community_id_type_version", "uq_prompt_built_in")


def _prompt(row: Sequence[Any]) -> Prompt:
    row_id, community_id, kind, version, name, body, required, is_active, author_id, created_at = row
    keys = tuple(map(ContextKey, required))
    return Prompt(row_id, community_id, PromptType(kind), version, name, body, keys, is_active, author_id, created_at)


def _offered(community_id: UUID | None) -> ColumnElement[bool]:
    """The community's own versions and the built-in ones."""
    return or_(_c.community_id == community_id, _c.community_id.is_(None))


class Prompts:
    """Implements the port of the same noun."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, new: Prompt) -> None:
        """Store a version."""
        values = {
            "id": new.id,
            "community_id": new.community_id,
            "type": new.type,
            "version": new.version,
            "name": new.name,
            "body": new.body,
            "required_context_keys": list(new.required_context_keys),
            "is_active": new.is_active,
            "author_id": new.author_id,
            "created_at": new.created_at,
        }
        with refused_as(dict.fromkeys(_REFUSALS, VersionTaken())):
            await self._connection.execute(insert(prompt), values)

    async def get(self, community_id: UUID, id: UUID) -> Prompt:
        """One version."""
        found = await self.by_ids(community_id, [id])
        if not found:
            raise NotFound("Prompt", id)
        return found[0]

    async def latest_version(self, community_id: UUID | None, type: PromptType) -> int:
        """The highest number."""
        statement = select(func.coalesce(func.max(_c.version), 0)).where(_c.type == type, _offered(community_id))
        return int((await self._connection.execute(statement)).scalar_one())

    async def active(self, community_id: UUID, type: PromptType) -> Prompt:
        """The version in use; of two with one number the community's own."""
        statement = (
            _PROMPT.where(_c.type == type, _c.is_active, _offered(community_id))
            .order_by(_c.version.desc(), _c.community_id.is_(None))
            .limit(1)
        )
        row = (await self._connection.execute(statement)).first()
        if row is None:
            raise NotFound("Prompt")
        return _prompt(row)

    async def set_active(self, id: UUID, is_active: bool) -> None:
        """Turn a version on or off."""
        await self._connection.execute(update(prompt).where(_c.id == id).values(is_active=is_active))

    async def list(self, community_id: UUID, type: PromptType | None) -> Sequence[Prompt]:
        """Versions by type, the newest first."""
        statement = _PROMPT.where(_offered(community_id)).order_by(
            _c.type, _c.version.desc(), _c.community_id.is_(None)
        )
        if type:
            statement = statement.where(_c.type == type)
        return [_prompt(row) for row in await self._connection.execute(statement)]

    async def by_ids(self, community_id: UUID, ids: Sequence[UUID]) -> Sequence[Prompt]:
        """Versions that are offered."""
        statement = _PROMPT.where(_c.id.in_(ids), _offered(community_id))
        return [_prompt(row) for row in await self._connection.execute(statement)]
