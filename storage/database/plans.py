"""Questions about plans, and about the limits of single users."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, delete, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as insert_or_update
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import Conflict, NotFound
from domain.quotas import Feature, Limit, Plan, QuotaUnit
from storage.database.refusals import refused_as
from storage.database.tables import plan, plan_limit, user_limit

_c, _l, _u = plan.c, plan_limit.c, user_limit.c
_PLAN = (
    select(_c.id, _c.community_id, _c.name, _c.created_at, _c.priority, _l.feature, _l.unit, _l.amount)
    .outerjoin(plan_limit, _l.plan_id == _c.id)
    .order_by(_c.name, _c.id, _l.feature, _l.unit)
)


def _plan(rows: Sequence[Sequence[Any]]) -> Plan:
    row_id, community_id, name, created_at, priority, *_ = rows[0]
    limits = tuple(Limit(Feature(row[5]), QuotaUnit(row[6]), row[7]) for row in rows if row[5] is not None)
    return Plan(row_id, community_id, name, limits, created_at, priority)


def _offered(community_id: UUID) -> ColumnElement[bool]:
    """The community's own plans and the operator's."""
    return or_(_c.community_id == community_id, _c.community_id.is_(None))


class Plans:
    """Implements the port of the same noun."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, new: Plan) -> None:
        """Store a plan."""
        values = {column.name: getattr(new, column.name) for column in plan.c}
        await self._connection.execute(insert(plan), values)
        await self._add_limits(new)

    async def _add_limits(self, of: Plan) -> None:
        rows = [
            {"plan_id": of.id, "feature": limit.feature, "unit": limit.unit, "amount": limit.amount}
            for limit in of.limits
        ]
        if rows:
            await self._connection.execute(insert(plan_limit), rows)

    async def get(self, community_id: UUID, id: UUID, *, for_update: bool = False) -> Plan:
        """One plan that is offered. Its limits are read once it is locked: whoever held it may have changed them."""
        if for_update:
            await self._connection.execute(select(_c.id).where(_c.id == id).with_for_update())
        found = await self.by_ids(community_id, [id])
        if not found:
            raise NotFound("Plan", id)
        return found[0]

    async def update(self, changed: Plan) -> None:
        """Store name, priority and limits."""
        values = {"name": changed.name, "priority": changed.priority}
        await self._connection.execute(update(plan).where(_c.id == changed.id).values(values))
        await self._connection.execute(delete(plan_limit).where(_l.plan_id == changed.id))
        await self._add_limits(changed)

    async def delete(self, id: UUID) -> None:
        """Remove a plan that nobody is on."""
        with refused_as({"fk_community_plan_id": Conflict("The plan is in use: put its communities on another first")}):
            await self._connection.execute(delete(plan).where(_c.id == id))

    async def list(self, community_id: UUID) -> Sequence[Plan]:
        """Plans that are offered, by name."""
        return await self._plans(_offered(community_id))

    async def by_ids(self, community_id: UUID, ids: Sequence[UUID]) -> Sequence[Plan]:
        """Those of the plans that are offered."""
        return await self._plans(_offered(community_id), _c.id.in_(ids))

    async def _plans(self, *conditions: ColumnElement[bool]) -> Sequence[Plan]:
        rows = await self._connection.execute(_PLAN.where(*conditions))
        return [_plan(list(group)) for _, group in groupby(rows, key=lambda row: row.id)]

    async def set_user_limit(self, user_id: UUID, feature: Feature, unit: QuotaUnit, amount: int | None) -> None:
        """Store or remove one limit."""
        if amount is None:
            which = (_u.user_id == user_id, _u.feature == feature, _u.unit == unit)
            await self._connection.execute(delete(user_limit).where(*which))
            return
        statement = insert_or_update(user_limit)
        statement = statement.on_conflict_do_update(
            index_elements=[_u.user_id, _u.feature, _u.unit], set_={"amount": statement.excluded.amount}
        )
        values = {"user_id": user_id, "feature": feature, "unit": unit, "amount": amount}
        await self._connection.execute(statement, values)
