"""Wizards: ordered steps that a community's members are led through, each in front of a background of the library."""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID, uuid4

from domain.errors import InvalidInput, LimitReached
from domain.names import checked_name
from domain.ports import Clock
from domain.repositories import UnitOfWork, UnitOfWorkFactory
from domain.users import Viewer

MAX_WIZARDS = 200
MAX_STEPS = 100


@dataclass(frozen=True, slots=True)
class Wizard:
    """A wizard of a community."""

    id: UUID
    community_id: UUID
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `order` counts from 0 without gaps; `background_id` is an image of the library."""

    id: UUID
    community_id: UUID
    wizard_id: UUID
    title: str
    order: int
    background_id: UUID | None


def _placed(ids: list[UUID], id: UUID, order: int | None) -> list[UUID]:
    """The ids with `id` at its place: the last one when none is named. Raises InvalidInput."""
    others = [other for other in ids if other != id]
    if order is None:
        return [*others, id]
    if not 0 <= order <= len(others):
        raise InvalidInput(f"Order must be between 0 and {len(others)}", "order")
    return [*others[:order], id, *others[order:]]


class Wizards:
    """What admins do with wizards. Everybody in the community may see them."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, clock: Clock) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock

    async def create(self, viewer: Viewer, name: str) -> Wizard:
        """A new wizard, without steps. Raises Forbidden, InvalidInput, LimitReached."""
        viewer.require_admin("wizards")
        wizard = Wizard(uuid4(), viewer.user.community_id, checked_name(name), self._clock.now())
        async with self._unit_of_work() as work:
            await work.users.community(wizard.community_id, for_update=True)
            if len(await work.wizards.list(wizard.community_id)) >= MAX_WIZARDS:
                raise LimitReached(f"Maximum {MAX_WIZARDS} wizards allowed", MAX_WIZARDS)
            await work.wizards.add(wizard)
            await work.commit()
        return wizard

    async def rename(self, viewer: Viewer, id: UUID, name: str) -> Wizard:
        """Give a wizard another name. Raises Forbidden, NotFound, InvalidInput."""
        viewer.require_admin("wizards")
        name = checked_name(name)
        async with self._unit_of_work() as work:
            after = replace(await work.wizards.get(viewer.user.community_id, id, for_update=True), name=name)
            await work.wizards.update(after)
            await work.commit()
        return after

    async def delete(self, viewer: Viewer, id: UUID) -> None:
        """Remove a wizard with its steps; their backgrounds stay in the library. Raises Forbidden, NotFound."""
        viewer.require_admin("wizards")
        async with self._unit_of_work() as work:
            found = await work.wizards.get(viewer.user.community_id, id, for_update=True)
            await work.wizards.delete(found.id)
            await work.commit()

    async def add_step(self, viewer: Viewer, wizard_id: UUID, title: str, order: int | None = None) -> Step:
        """A new step, the last one or at a place of its own, where the later ones move up.

        Raises Forbidden, NotFound, InvalidInput, LimitReached.
        """
        viewer.require_admin("wizards")
        title = checked_name(title, "title")
        async with self._unit_of_work() as work:
            wizard = await work.wizards.get(viewer.user.community_id, wizard_id, for_update=True)
            ids = [step.id for step in await work.wizards.steps_of([wizard.id])]
            if len(ids) >= MAX_STEPS:
                raise LimitReached(f"Maximum {MAX_STEPS} steps allowed", MAX_STEPS)
            step = Step(uuid4(), wizard.community_id, wizard.id, title, len(ids), None)
            arranged = _placed([*ids, step.id], step.id, order)
            await work.wizards.add_step(step)
            await work.wizards.arrange(wizard.id, arranged)
            await work.commit()
        return replace(step, order=arranged.index(step.id))

    async def update_step(
        self, viewer: Viewer, id: UUID, *, title: str | None = None, order: int | None = None
    ) -> Step:
        """Rename a step, or move it to another place. Raises Forbidden, NotFound, InvalidInput."""
        viewer.require_admin("wizards")
        async with self._unit_of_work() as work:
            before = await self._locked(work, viewer, id)
            after = replace(before, title=before.title if title is None else checked_name(title, "title"))
            await work.wizards.update_step(after)
            if order is not None:
                ids = [step.id for step in await work.wizards.steps_of([before.wizard_id])]
                arranged = _placed(ids, id, order)
                await work.wizards.arrange(before.wizard_id, arranged)
                after = replace(after, order=arranged.index(id))
            await work.commit()
        return after

    async def delete_step(self, viewer: Viewer, id: UUID) -> None:
        """Remove a step; the later ones move down. Raises Forbidden, NotFound."""
        viewer.require_admin("wizards")
        async with self._unit_of_work() as work:
            found = await self._locked(work, viewer, id)
            await work.wizards.delete_step(id)
            left = await work.wizards.steps_of([found.wizard_id])
            await work.wizards.arrange(found.wizard_id, [step.id for step in left])
            await work.commit()

    async def set_background(self, viewer: Viewer, step_id: UUID, image_id: UUID | None) -> Step:
        """Put an image behind a step: the viewer's own, or one that is public; None takes it away.

        Raises Forbidden, NotFound, InvalidInput.
        """
        viewer.require_admin("wizards")
        async with self._unit_of_work() as work:
            await work.wizards.get_step(viewer.user.community_id, step_id)
            if image_id:
                # Before the wizard, as whoever removes an image locks them.
                image = await work.images.get_visible(viewer.scope, image_id, for_use=True)
                if image.owner_id != viewer.id and not image.is_public:
                    # An admin sees everybody's images; to show one to all is its owner's to allow.
                    raise InvalidInput("A background is an image of your own, or one that is public", "imageId")
            after = replace(await self._locked(work, viewer, step_id), background_id=image_id)
            await work.wizards.set_background(step_id, image_id)
            await work.commit()
        return after

    async def _locked(self, work: UnitOfWork, viewer: Viewer, step_id: UUID) -> Step:
        """The step, with its wizard locked: whoever arranges steps waits."""
        found = await work.wizards.get_step(viewer.user.community_id, step_id)
        await work.wizards.get(found.community_id, found.wizard_id, for_update=True)
        return await work.wizards.get_step(viewer.user.community_id, step_id)
