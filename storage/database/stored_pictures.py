"""Questions about the objects of pictures: how many rows need them, and which are to be removed."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert as insert_or_update
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import StoreUnavailable
from domain.pictures import Picture
from storage.database.pictures import sizes_of_json
from storage.database.tables import doomed_object, stored_picture

_p, _d = stored_picture.c, doomed_object.c


class Pictures:
    """Implements the port of the same noun."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def doom(self, keys: Sequence[str], at: datetime) -> None:
        """Note what is to be removed; what was noted before is removed later, and stays claimed if it was."""
        statement = insert_or_update(doomed_object)
        statement = statement.on_conflict_do_update(
            index_elements=[_d.object_key], set_={"doomed_at": statement.excluded.doomed_at}
        )
        rows = [{"object_key": key, "doomed_at": at, "is_claimed": False} for key in sorted(keys)]
        if rows:
            await self._connection.execute(statement, rows)

    async def keep(self, owner_id: UUID, picture: Picture) -> Picture:
        """Count one more user, of this picture or of the owner's one that has the same bytes."""
        values = {
            "picture_key": picture.key,
            "owner_id": owner_id,
            "sha256": picture.sha256,
            "variant_keys": picture.variant_keys,
            "users": 1,
        }
        statement = insert_or_update(stored_picture).on_conflict_do_update(
            index_elements=[_p.owner_id, _p.sha256], set_={"users": _p.users + 1}
        )
        returned = statement.returning(_p.picture_key, _p.variant_keys, _p.users)
        key, variant_keys, users = (await self._connection.execute(returned, values)).one()
        if users == 1:
            await self._take_into_use(picture)
        return replace(picture, key=key, variant_keys=sizes_of_json(variant_keys))

    async def _take_into_use(self, picture: Picture) -> None:
        unclaimed = delete(doomed_object).where(_d.object_key.in_(picture.keys), ~_d.is_claimed)
        if (await self._connection.execute(unclaimed)).rowcount != len(picture.keys):
            # A sweep took them for left over.
            raise StoreUnavailable("Storing the picture took too long. Try again.")

    async def exchange(self, owner_id: UUID, picture: Picture, former: Picture, at: datetime) -> Picture:
        """Keep one and release the other, in the order of their bytes: who swaps them the other way waits for us."""
        if former.sha256 < picture.sha256:
            await self.release(former, at)
            return await self.keep(owner_id, picture)
        kept = await self.keep(owner_id, picture)
        await self.release(former, at)
        return kept

    async def release(self, picture: Picture, at: datetime) -> None:
        """Count one user less. A picture nobody counted has had one."""
        whose = _p.picture_key == picture.key
        users = (await self._connection.execute(select(_p.users).where(whose).with_for_update())).scalar()
        if users is not None and users > 1:
            await self._connection.execute(update(stored_picture).where(whose).values(users=users - 1))
            return
        await self._connection.execute(delete(stored_picture).where(whose))
        await self.doom(picture.keys, at)

    async def doomed(self, keys: Sequence[str]) -> list[str]:
        """Those that are doomed."""
        return list(await self._connection.scalars(select(_d.object_key).where(_d.object_key.in_(keys))))

    async def claim(self, doomed_before: datetime, limit: int) -> list[str]:
        """What was doomed first, whether a sweep that died had claimed it or not."""
        first = select(_d.object_key).where(_d.doomed_at < doomed_before).order_by(_d.doomed_at).limit(limit)
        claimed = update(doomed_object).where(_d.object_key.in_(first.with_for_update(skip_locked=True)))
        return list(await self._connection.scalars(claimed.values(is_claimed=True).returning(_d.object_key)))

    async def forget(self, keys: Sequence[str]) -> None:
        """The objects are gone."""
        await self._connection.execute(delete(doomed_object).where(_d.object_key.in_(keys)))
