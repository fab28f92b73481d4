"""Questions about the counters of usage, and the ledger they are the sums of."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, bindparam, exists, insert, literal_column, null, select, union_all, update
from sqlalchemy.dialects.postgresql import insert as insert_or_update
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.costs import CostBasis
from domain.errors import NotFound
from domain.quotas import Account, Allowance, Counter, Feature, QuotaUnit, UsageEvent, UsageKind
from storage.database.tables import community, generation, plan, plan_limit, usage_counter, usage_event, user_limit

NO_LIMIT = 2**63 - 1

_c, _e = usage_counter.c, usage_event.c
_ALLOWANCE = union_all(
    select(
        community.c.time_zone,
        plan.c.priority,
        community.c.id.label("subject_id"),
        *plan_limit.c["feature", "unit", "amount"],
    )
    .outerjoin(plan, plan.c.id == community.c.plan_id)
    .outerjoin(plan_limit, plan_limit.c.plan_id == plan.c.id)
    .where(community.c.id == bindparam("community_id")),
    select(null(), null(), *user_limit.c["user_id", "feature", "unit", "amount"]).where(
        user_limit.c.user_id.in_(bindparam("user_ids", expanding=True))
    ),
)
_ACCOUNT = (_c.subject_id, _c.feature, _c.unit, _c.period)
_OF_ACCOUNT = tuple(column == bindparam(f"of_{column.name}", type_=column.type) for column in _ACCOUNT)
_COUNTERS = select(*_ACCOUNT, _c.used, _c.reserved).where(
    *(column.in_(bindparam(f"of_{column.name}", expanding=True)) for column in _ACCOUNT)
)
_CHANGE = (
    update(usage_counter)
    .where(*_OF_ACCOUNT)
    .values(
        used=_c.used + bindparam("used_delta", type_=BigInteger),
        reserved=_c.reserved + bindparam("reserved_delta", type_=BigInteger),
    )
)
_NEW = insert_or_update(usage_counter)
_TOGETHER = {"used": _c.used + _NEW.excluded.used, "reserved": _c.reserved + _NEW.excluded.reserved}
_ADD = _NEW.on_conflict_do_update(
    index_elements=_ACCOUNT,
    set_=_TOGETHER,
    where=_TOGETHER["used"] + _TOGETHER["reserved"] <= bindparam("limit", type_=BigInteger),
).returning(_c.used)
_OF_GENERATION = _e.generation_id == bindparam("generation_id")
_IS_RESERVATION = _e.kind == literal_column(f"'{UsageKind.RESERVE}'")
# By unit, as they were reserved: transactions that hold counters in one order never wait for each other.
_RESERVED = select(usage_event).where(_OF_GENERATION, _IS_RESERVATION).order_by(_e.feature, _e.unit).with_for_update()
_ENDED = select(_e.feature, _e.unit).where(_OF_GENERATION, ~_IS_RESERVATION)
_end = usage_event.alias("end")
_HELD_BY_ENDED = (
    select(_e.generation_id)
    .distinct()
    .join(generation, generation.c.id == _e.generation_id)
    .where(
        _e.at >= bindparam("since"),
        _IS_RESERVATION,
        generation.c.finished_at < bindparam("before"),
        ~exists().where(
            _end.c.generation_id == _e.generation_id,
            _end.c.feature == _e.feature,
            _end.c.unit == _e.unit,
            _end.c.kind != literal_column(f"'{UsageKind.RESERVE}'"),
            # No end is before its beginning: so that the index of moments serves both.
            _end.c.at >= bindparam("since"),
        ),
    )
)


def _event(row: Mapping[Any, Any]) -> UsageEvent:
    values = {column.name: row[column] for column in usage_event.c}
    values["feature"] = Feature(values["feature"])
    values["unit"] = QuotaUnit(values["unit"])
    values["kind"] = UsageKind(values["kind"])
    values["basis"] = CostBasis(values["basis"]) if values["basis"] else None
    return UsageEvent(**values)


def _which(account: Account) -> dict[str, Any]:
    return {f"of_{column.name}": getattr(account, column.name) for column in _ACCOUNT}


class Usage:
    """Implements the port of the same noun."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def allowance(self, community_id: UUID, user_ids: Sequence[UUID]) -> Allowance:
        """The community's time zone, its plan's priority and limits, and the users' own limits."""
        whose = {"community_id": community_id, "user_ids": user_ids}
        rows = (await self._connection.execute(_ALLOWANCE, whose)).all()
        time_zone, priority = next(((row.time_zone, row.priority) for row in rows if row.time_zone), (None, None))
        if time_zone is None:
            raise NotFound("Community", community_id)
        limits = {
            (row.subject_id, Feature(row.feature), QuotaUnit(row.unit)): row.amount for row in rows if row.feature
        }
        return Allowance(time_zone, limits, priority or 1)

    async def reserve(self, account: Account, amount: int, limit: int | None) -> bool:
        """Reserve within the limit. The counter's first row of a month knows no condition, so that is asked before."""
        if amount == 0:
            return True
        limit = NO_LIMIT if limit is None else limit
        return amount <= limit and await self._add(account, amount, 0, limit)

    async def move(self, account: Account, reserved_delta: int, used_delta: int) -> None:
        """Change the counter that is there, or begin one."""
        deltas = {"reserved_delta": reserved_delta, "used_delta": used_delta}
        changed = await self._connection.execute(_CHANGE, {**_which(account), **deltas})
        if not changed.rowcount:
            await self._add(account, reserved_delta, used_delta, NO_LIMIT)

    async def _add(self, account: Account, reserved: int, used: int, limit: int) -> bool:
        values = {column.name: getattr(account, column.name) for column in _ACCOUNT}
        added = await self._connection.execute(_ADD, {**values, "reserved": reserved, "used": used, "limit": limit})
        return added.first() is not None

    async def counters(self, accounts: Sequence[Account]) -> dict[Account, Counter]:
        """The counters, or zeros."""
        # Every combination of what they have is read: no more than they are, when they are of one month and unit.
        columns = [column.name for column in _ACCOUNT]
        asked = {f"of_{name}": list({getattr(account, name) for account in accounts}) for name in columns}
        rows = await self._connection.execute(_COUNTERS, asked)
        found = {Account(*row[:4]): Counter(*row[4:]) for row in rows}
        return {account: found.get(account, Counter()) for account in accounts}

    async def record(self, event: UsageEvent) -> None:
        """Store a line."""
        await self._connection.execute(
            insert(usage_event), {column.name: getattr(event, column.name) for column in usage_event.c}
        )

    async def unsettled(self, generation_id: UUID) -> Sequence[UsageEvent]:
        """Reservations that have no end. The ends are read after the lock: whoever held it may have written them."""
        of_generation = {"generation_id": generation_id}
        reserved = [_event(row) for row in (await self._connection.execute(_RESERVED, of_generation)).mappings()]
        ended = {tuple(row) for row in await self._connection.execute(_ENDED, of_generation)}
        return [event for event in reserved if (event.feature, event.unit) not in ended]

    async def held_by_ended(self, since: datetime, before: datetime) -> Sequence[UUID]:
        """Generations that ended without their reservations."""
        rows = await self._connection.execute(_HELD_BY_ENDED, {"since": since, "before": before})
        return rows.scalars().all()
