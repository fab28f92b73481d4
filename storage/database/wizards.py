"""Questions about wizards and their steps."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Select, bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import NotFound
from domain.wizards import Step, Wizard
from storage.database.tables import step, wizard

# Farther than any wizard has steps.
OUT_OF_THE_WAY = 1000

_w, _s = wizard.c, step.c
_WIZARD = select(_w.id, _w.community_id, _w.name, _w.created_at)
STEP = select(_s.id, _s.community_id, _s.wizard_id, _s.title, _s.order, _s.background_id)
_PLACE = update(step).where(_s.id == bindparam("step_id")).values(order=bindparam("place"))


class Wizards:
    """Implements the port of the same noun."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, new: Wizard) -> None:
        """Store a wizard."""
        values = {"id": new.id, "community_id": new.community_id, "name": new.name, "created_at": new.created_at}
        await self._connection.execute(insert(wizard), values)

    async def get(self, community_id: UUID, id: UUID, *, for_update: bool = False) -> Wizard:
        """One wizard."""
        statement = _WIZARD.where(_w.id == id, _w.community_id == community_id)
        found = await self._wizards(statement.with_for_update() if for_update else statement)
        if not found:
            raise NotFound("Wizard", id)
        return found[0]

    async def update(self, changed: Wizard) -> None:
        """Store the name."""
        await self._connection.execute(update(wizard).where(_w.id == changed.id).values(name=changed.name))

    async def delete(self, id: UUID) -> None:
        """Remove a wizard; its steps go with it."""
        await self._connection.execute(delete(wizard).where(_w.id == id))

    async def list(self, community_id: UUID) -> Sequence[Wizard]:
        """Wizards of the community, the oldest first."""
        return await self._wizards(_WIZARD.where(_w.community_id == community_id).order_by(_w.created_at, _w.id))

    async def by_ids(self, community_id: UUID, ids: Sequence[UUID]) -> Sequence[Wizard]:
        """Wizards of the community."""
        return await self._wizards(_WIZARD.where(_w.id.in_(ids), _w.community_id == community_id))

    async def _wizards(self, statement: Select[Any]) -> Sequence[Wizard]:
        return [Wizard(*row) for row in await self._connection.execute(statement)]

    async def add_step(self, new: Step) -> None:
        """Store a step."""
        values = {
            "id": new.id,
            "community_id": new.community_id,
            "wizard_id": new.wizard_id,
            "title": new.title,
            "order": new.order,
            "background_id": new.background_id,
        }
        await self._connection.execute(insert(step), values)

    async def get_step(self, community_id: UUID, id: UUID) -> Step:
        """One step."""
        found = await self.steps_by_ids(community_id, [id])
        if not found:
            raise NotFound("Step", id)
        return found[0]

    async def update_step(self, changed: Step) -> None:
        """Store the title alone: the background may be changed by others meanwhile."""
        await self._connection.execute(update(step).where(_s.id == changed.id).values(title=changed.title))

    async def set_background(self, step_id: UUID, image_id: UUID | None) -> None:
        """Change the background alone."""
        await self._connection.execute(update(step).where(_s.id == step_id).values(background_id=image_id))

    async def delete_step(self, id: UUID) -> None:
        """Remove a step."""
        await self._connection.execute(delete(step).where(_s.id == id))

    async def arrange(self, wizard_id: UUID, step_ids: Sequence[UUID]) -> None:
        """Move all steps out of the way, for no two may ever be at one place; then each to its own."""
        out = update(step).where(_s.wizard_id == wizard_id).values(order=_s.order + OUT_OF_THE_WAY)
        await self._connection.execute(out)
        places = [{"step_id": step_id, "place": place} for place, step_id in enumerate(step_ids)]
        if places:
            await self._connection.execute(_PLACE, places)

    async def steps_of(self, wizard_ids: Sequence[UUID]) -> Sequence[Step]:
        """Steps of the wizards, by order."""
        return await self._steps(STEP.where(_s.wizard_id.in_(wizard_ids)).order_by(_s.wizard_id, _s.order))

    async def steps_by_ids(self, community_id: UUID, ids: Sequence[UUID]) -> Sequence[Step]:
        """Steps of the community."""
        return await self._steps(STEP.where(_s.id.in_(ids), _s.community_id == community_id))

    async def _steps(self, statement: Select[Any]) -> Sequence[Step]:
        return [Step(*row) for row in await self._connection.execute(statement)]
