"""Reference images: the photos a person keeps, in five slots, to be recognised by in generated pictures."""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID, uuid4

from domain.errors import Conflict, InvalidInput, LimitReached
from domain.names import MAX_NAME_CHARS
from domain.picture_store import PictureStore
from domain.pictures import Picture, UploadedFile
from domain.ports import Clock
from domain.providers import ReferenceRole
from domain.repositories import UnitOfWorkFactory
from domain.users import Viewer

MAX_REFERENCE_IMAGES = 5


@dataclass(frozen=True, slots=True)
class ReferenceImage:
    """One slot. It may stand without a picture; `order` (0-4) is unique per user."""

    id: UUID
    community_id: UUID
    user_id: UUID
    name: str
    order: int
    role: ReferenceRole
    picture: Picture | None
    created_at: datetime
    updated_at: datetime


class SlotTaken(Exception):
    """The database's unique (user, order) key refused the row; raised by the repository."""


def check_name(name: str) -> str:
    """The name, trimmed. Raises InvalidInput."""
    name = name.strip()
    if len(name) > MAX_NAME_CHARS:
        raise InvalidInput(f"Name must be at most {MAX_NAME_CHARS} characters", "name")
    return name


def check_order(order: int) -> int:
    """The order itself. Raises InvalidInput."""
    if not 0 <= order < MAX_REFERENCE_IMAGES:
        raise InvalidInput(f"Order must be between 0 and {MAX_REFERENCE_IMAGES - 1}", "order")
    return order


def free_order(taken: set[int], wanted: int | None) -> int:
    """The slot a new reference image gets: the wanted one, or the lowest free one."""
    if len(taken) >= MAX_REFERENCE_IMAGES:
        raise LimitReached(f"Maximum {MAX_REFERENCE_IMAGES} reference images allowed", MAX_REFERENCE_IMAGES)
    if wanted is None:
        return min(set(range(MAX_REFERENCE_IMAGES)) - taken)
    if check_order(wanted) in taken:
        raise Conflict(f"Order {wanted} is already in use")
    return wanted


class ReferenceImages:
    """What people do with their reference images."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, pictures: PictureStore, clock: Clock) -> None:
        self._unit_of_work = unit_of_work
        self._pictures = pictures
        self._clock = clock

    async def create(
        self,
        viewer: Viewer,
        *,
        user_id: UUID | None = None,
        name: str = "",
        order: int | None = None,
        role: ReferenceRole = ReferenceRole.FACE,
        file: UploadedFile | None = None,
    ) -> ReferenceImage:
        """A new slot for the viewer, or for the user an admin names; with its picture when a file is given.

        Raises NotFound, LimitReached, Conflict, InvalidInput, InvalidImage, StoreUnavailable.
        """
        name = check_name(name)
        async with self._unit_of_work(read_only=True) as work:
            user = await work.users.acted_for(viewer, user_id)
            free_order(await work.reference_images.taken_orders(user.id), order)
        now = self._clock.now()
        row = ReferenceImage(uuid4(), user.community_id, user.id, name, 0, role, None, created_at=now, updated_at=now)
        if file is None:
            return await self._insert(row, order)
        async with self._pictures.storing(user.community_id, file) as picture:
            return await self._insert(replace(row, picture=picture), order)

    async def _insert(self, row: ReferenceImage, wanted: int | None) -> ReferenceImage:
        # Every lost race takes one slot, so this ends with a free slot or a typed refusal.
        while True:
            async with self._unit_of_work() as work:
                taken = await work.reference_images.taken_orders(row.user_id)
                placed = replace(row, order=free_order(taken, wanted))
                if row.picture:
                    placed = replace(placed, picture=await work.pictures.keep(row.user_id, row.picture))
                try:
                    await work.reference_images.add(placed)
                    await work.commit()
                except SlotTaken:
                    continue
                return placed

    async def upload(self, viewer: Viewer, id: UUID, file: UploadedFile | None) -> ReferenceImage:
        """Put a picture into the slot, or replace the one in it. Raises NotFound, InvalidInput, InvalidImage."""
        if file is None:
            raise InvalidInput("No image file provided", "file")
        async with self._unit_of_work(read_only=True) as work:
            found = await work.reference_images.get(viewer.scope, id)
        now = self._clock.now()
        async with self._pictures.storing(found.community_id, file) as picture, self._unit_of_work() as work:
            before = await work.reference_images.get(viewer.scope, id, for_update=True)
            if before.picture:
                kept = await work.pictures.exchange(before.user_id, picture, before.picture, now)
            else:
                kept = await work.pictures.keep(before.user_id, picture)
            after = replace(before, picture=kept, updated_at=now)
            await work.reference_images.update(after)
            await work.commit()
        await self._pictures.clear_away(before.picture)
        return after

    async def update(
        self,
        viewer: Viewer,
        id: UUID,
        *,
        name: str | None = None,
        order: int | None = None,
        role: ReferenceRole | None = None,
    ) -> ReferenceImage:
        """Rename, move to a free slot, or change what it shows. Raises NotFound, Conflict, InvalidInput."""
        async with self._unit_of_work() as work:
            before = await work.reference_images.get(viewer.scope, id, for_update=True)
            after = replace(
                before,
                name=before.name if name is None else check_name(name),
                order=before.order if order is None else check_order(order),
                role=role or before.role,
                updated_at=self._clock.now(),
            )
            try:
                await work.reference_images.update(after)
                await work.commit()
            except SlotTaken:
                raise Conflict(f"Order {after.order} is already in use") from None
            return after

    async def delete(self, viewer: Viewer, id: UUID) -> None:
        """Remove the slot and its files. Raises NotFound."""
        async with self._unit_of_work() as work:
            found = await work.reference_images.get(viewer.scope, id, for_update=True)
            await work.reference_images.delete(found.id)
            if found.picture:
                await work.pictures.release(found.picture, self._clock.now())
            await work.commit()
        await self._pictures.clear_away(found.picture)
