"""Quotas: what a community and its users may use in a calendar month, and the ledger of what they did use.

What a generation may use is reserved when it is put in line, and settled with what it did use when it ends. The ledger
tells every change; the counters are its sums, kept so that a reservation is one conditional update.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from domain.costs import CostBasis
from domain.errors import Conflict, Forbidden, InvalidInput, NotFound, QuotaExceeded
from domain.names import checked_name

if TYPE_CHECKING:
    from domain.costs import Cost
    from domain.generations import Generation
    from domain.ports import Clock
    from domain.repositories import UnitOfWork, UnitOfWorkFactory
    from domain.users import Community, User, Viewer

MAX_PLANS = 100
MAX_PRIORITY = 10
MAX_AMOUNT = 2_147_483_647
"""What GraphQL's Int holds; in micro-USD a little over 2,147 dollars a month."""
_AMOUNTS = f"A limit must be between 0 and {MAX_AMOUNT:,}"


class Feature(StrEnum):
    """What is counted."""

    IMAGE_GENERATION = "IMAGE_GENERATION"


class QuotaUnit(StrEnum):
    """What it is counted in: pictures, or millionths of a US dollar."""

    IMAGES = "IMAGES"
    MICRO_USD = "MICRO_USD"


class UsageKind(StrEnum):
    """What a line of the ledger tells."""

    RESERVE = "RESERVE"
    SETTLE = "SETTLE"
    RELEASE = "RELEASE"


@dataclass(frozen=True, slots=True)
class Limit:
    """How much of a feature may be used in a month."""

    feature: Feature
    unit: QuotaUnit
    amount: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A set of limits; what it doesn't limit is free. Without a community it is the operator's, for any community.

    `priority`, 1 to 10, is how many times the places of a busy provider its communities get, against one without a plan.
    """

    id: UUID
    community_id: UUID | None
    name: str
    limits: tuple[Limit, ...]
    created_at: datetime
    priority: int = 1


@dataclass(frozen=True, slots=True)
class Counter:
    """What a subject, which is a community or a user, used and has reserved in one period."""

    used: int = 0
    reserved: int = 0


Measure = tuple[UUID, Feature, QuotaUnit]
"""What is limited: whose use, of what, in which unit."""


@dataclass(frozen=True, slots=True)
class Account:
    """Where usage is counted: whose, of what, in which unit, in which month (such as `2026-11`)."""

    subject_id: UUID
    feature: Feature
    unit: QuotaUnit
    period: str

    @property
    def measure(self) -> Measure:
        """What limits it, in every month."""
        return self.subject_id, self.feature, self.unit


@dataclass(frozen=True, slots=True)
class Quota:
    """How a month's quota stands. `limit` is None when there is none."""

    feature: Feature
    unit: QuotaUnit
    limit: int | None
    used: int
    reserved: int
    resets_at: datetime

    @property
    def remaining(self) -> int | None:
        """What may still be asked for."""
        return None if self.limit is None else max(0, self.limit - self.used - self.reserved)


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """A line of the ledger: what changed in the counters of a community and of one of its users. Never altered.

    `basis` says how an amount of money is known.
    """

    id: UUID
    community_id: UUID
    user_id: UUID
    generation_id: UUID
    feature: Feature
    unit: QuotaUnit
    period: str
    kind: UsageKind
    reserved_delta: int
    used_delta: int
    at: datetime
    basis: CostBasis | None = None

    @property
    def accounts(self) -> tuple[Account, Account]:
        """Where the line counts. Always in this order, so that two transactions never wait for each other."""
        return (
            Account(self.community_id, self.feature, self.unit, self.period),
            Account(self.user_id, self.feature, self.unit, self.period),
        )


@dataclass(frozen=True, slots=True)
class Allowance:
    """What limits users' requests: the community's plan, their own limits, and the community's time zone."""

    time_zone: str = "UTC"
    limits: Mapping[Measure, int] = field(default_factory=dict)
    priority: int = 1


def period_of(now: datetime, time_zone: str) -> str:
    """The calendar month, such as `2026-11`, that the moment falls in."""
    return f"{now.astimezone(ZoneInfo(time_zone)):%Y-%m}"


def resets_at(now: datetime, time_zone: str) -> datetime:
    """When the next month begins."""
    local = now.astimezone(ZoneInfo(time_zone))
    return datetime(local.year + local.month // 12, local.month % 12 + 1, 1, tzinfo=local.tzinfo)


async def reserve(work: UnitOfWork, generation: Generation, allowance: Allowance, now: datetime) -> None:
    """Reserve what a generation may use, for its community and for who asked. Raises QuotaExceeded.

    Last in its transaction: from here to the commit every other request of the community waits.
    """
    for event in _reservations(generation, allowance, now):
        for account in event.accounts:
            limit = allowance.limits.get(account.measure)
            if not await work.usage.reserve(account, event.reserved_delta, limit):
                quota = (await _standing(work, [account], allowance, now))[account]
                raise QuotaExceeded(_exceeded(quota, event, account), quota)
        await work.usage.record(event)


async def shortfalls(work: UnitOfWork, generation: Generation, now: datetime) -> list[str]:
    """What reserving would be refused with, in words; nothing is reserved."""
    allowance = await work.usage.allowance(generation.community_id, [generation.requested_by_id])
    asked = {account: event for event in _reservations(generation, allowance, now) for account in event.accounts}
    quotas = await _standing(work, asked, allowance, now)
    return [
        _exceeded(quota, asked[account], account)
        for account, quota in quotas.items()
        if quota.remaining is not None and asked[account].reserved_delta > quota.remaining
    ]


def _reservations(generation: Generation, allowance: Allowance, now: datetime) -> list[UsageEvent]:
    pictures, price = generation.options.n, generation.reserved_price
    amounts = {QuotaUnit.IMAGES: pictures, QuotaUnit.MICRO_USD: pictures * price.micro_usd}
    return [
        UsageEvent(
            id=uuid4(),
            community_id=generation.community_id,
            user_id=generation.requested_by_id,
            generation_id=generation.id,
            feature=Feature.IMAGE_GENERATION,
            unit=unit,
            period=period_of(now, allowance.time_zone),
            kind=UsageKind.RESERVE,
            reserved_delta=amount,
            used_delta=0,
            at=now,
            basis=price.basis if unit is QuotaUnit.MICRO_USD else None,
        )
        for unit, amount in amounts.items()
    ]


async def _standing(
    work: UnitOfWork, accounts: Iterable[Account], allowance: Allowance, now: datetime
) -> dict[Account, Quota]:
    resets = resets_at(now, allowance.time_zone)
    return {
        account: Quota(
            account.feature,
            account.unit,
            allowance.limits.get(account.measure),
            counter.used,
            counter.reserved,
            resets,
        )
        for account, counter in (await work.usage.counters(list(accounts))).items()
    }


def _exceeded(quota: Quota, event: UsageEvent, account: Account) -> str:
    whose = "Your" if account.subject_id == event.user_id else "The community's"
    taken, limit = quota.used + quota.reserved, quota.limit or 0
    if quota.unit is QuotaUnit.IMAGES:
        asked, used = f"{event.reserved_delta} more", f"{taken:,} of {limit:,} images"
    else:
        asked, used = f"{_dollars(event.reserved_delta)} more", f"{_dollars(taken)} of {_dollars(limit)}"
    return (
        f"{whose} quota for this month doesn't allow {asked}: {used} are used or reserved. "
        f"It starts anew on {quota.resets_at:%Y-%m-%d %H:%M %Z}."
    )


def _dollars(micro_usd: int) -> str:
    return f"${micro_usd / 1_000_000:,.2f}"


async def settle(work: UnitOfWork, generation: Generation, images: int, cost: Cost, now: datetime) -> None:
    """Count what a generation did use instead of what it reserved; once settled, nothing more is counted."""
    actual = {QuotaUnit.IMAGES: images, QuotaUnit.MICRO_USD: cost.micro_usd}
    for held in await work.usage.unsettled(generation.id):
        used = actual[held.unit]
        event = replace(
            held,
            id=uuid4(),
            kind=UsageKind.SETTLE if used else UsageKind.RELEASE,
            reserved_delta=-held.reserved_delta,
            used_delta=used,
            at=now,
            basis=cost.basis if used and held.unit is QuotaUnit.MICRO_USD else None,
        )
        for account in event.accounts:
            await work.usage.move(account, event.reserved_delta, event.used_delta)
        await work.usage.record(event)


class Quotas:
    """How quotas stand, and the plans and limits that make them."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, clock: Clock) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock

    async def standing(self, community_id: UUID, measures: Sequence[Measure]) -> dict[Measure, Quota]:
        """How quotas of the community and of its users stand; two statements, however many they are."""
        now = self._clock.now()
        async with self._unit_of_work(read_only=True) as work:
            allowance = await work.usage.allowance(community_id, [subject_id for subject_id, *_ in measures])
            period = period_of(now, allowance.time_zone)
            quotas = await _standing(work, [Account(*measure, period) for measure in measures], allowance, now)
        return {account.measure: quota for account, quota in quotas.items()}

    async def create_plan(
        self, viewer: Viewer, name: str, limits: Sequence[Limit], *, priority: int = 1, for_all: bool = False
    ) -> Plan:
        """A new plan of the viewer's community, or, by an operator, for all communities.

        Raises Forbidden, InvalidInput, Conflict.
        """
        community_id = None if for_all else viewer.user.community_id
        _require_may_plan(viewer, community_id)
        plan = Plan(
            uuid4(),
            community_id,
            checked_name(name),
            _checked_limits(limits),
            self._clock.now(),
            _checked_priority(priority),
        )
        async with self._unit_of_work() as work:
            await work.users.community(viewer.user.community_id, for_update=True)
            if len(await work.plans.list(viewer.user.community_id)) >= MAX_PLANS:
                raise Conflict(f"There are {MAX_PLANS} plans: remove one that nobody is on")
            await work.plans.add(plan)
            await work.commit()
        return plan

    async def update_plan(
        self,
        viewer: Viewer,
        id: UUID,
        *,
        name: str | None = None,
        limits: Sequence[Limit] | None = None,
        priority: int | None = None,
    ) -> Plan:
        """Rename a plan, or give it other limits: they hold at once. Another priority holds for what is yet asked for.

        Raises Forbidden, NotFound, InvalidInput.
        """
        async with self._unit_of_work() as work:
            before = await work.plans.get(viewer.user.community_id, id, for_update=True)
            _require_may_plan(viewer, before.community_id)
            after = replace(
                before,
                name=before.name if name is None else checked_name(name),
                limits=before.limits if limits is None else _checked_limits(limits),
                priority=before.priority if priority is None else _checked_priority(priority),
            )
            await work.plans.update(after)
            await work.commit()
        return after

    async def delete_plan(self, viewer: Viewer, id: UUID) -> None:
        """Remove a plan that nobody is on. Raises Forbidden, NotFound, Conflict."""
        async with self._unit_of_work() as work:
            found = await work.plans.get(viewer.user.community_id, id, for_update=True)
            _require_may_plan(viewer, found.community_id)
            await work.plans.delete(found.id)
            await work.commit()

    async def set_community_plan(self, viewer: Viewer, plan_id: UUID | None) -> Community:
        """Put the viewer's community on a plan, or on none. Only an operator puts one on the operator's, or takes it off.

        Raises Forbidden, NotFound, Conflict.
        """
        _require_may_plan(viewer, viewer.user.community_id)
        async with self._unit_of_work() as work:
            community = await work.users.community(viewer.user.community_id, for_update=True)
            plans = await work.plans.by_ids(community.id, [id for id in (community.plan_id, plan_id) if id])
            if plan_id and plan_id not in {plan.id for plan in plans}:
                raise NotFound("Plan", plan_id)
            if any(plan.community_id is None for plan in plans) and not viewer.user.is_operator:
                raise Conflict("Only the operator of this server puts communities on that plan, or takes them off")
            after = replace(community, plan_id=plan_id)
            await work.users.update_community(after)
            await work.commit()
        return after

    async def set_user_limit(
        self, viewer: Viewer, user_id: UUID, feature: Feature, unit: QuotaUnit, amount: int | None
    ) -> User:
        """Limit what one user may use, beside the community's plan; None lifts it.

        Raises Forbidden, NotFound, InvalidInput.
        """
        _require_may_plan(viewer, viewer.user.community_id)
        if amount is not None and not 0 <= amount <= MAX_AMOUNT:
            raise InvalidInput(_AMOUNTS, "amount")
        async with self._unit_of_work() as work:
            user = await work.users.acted_for(viewer, user_id)
            await work.plans.set_user_limit(user.id, feature, unit, amount)
            await work.commit()
        return user


def _require_may_plan(viewer: Viewer, community_id: UUID | None) -> None:
    if community_id is None and not viewer.user.is_operator:
        raise Forbidden("Only the operator of this server may change plans for all communities")
    viewer.require_admin("plans and limits")


def _checked_priority(priority: int) -> int:
    if not 1 <= priority <= MAX_PRIORITY:
        raise InvalidInput(f"A priority must be between 1 and {MAX_PRIORITY}", "priority")
    return priority


def _checked_limits(limits: Sequence[Limit]) -> tuple[Limit, ...]:
    if any(not 0 <= limit.amount <= MAX_AMOUNT for limit in limits):
        raise InvalidInput(_AMOUNTS, "limits")
    if len({(limit.feature, limit.unit) for limit in limits}) < len(limits):
        raise InvalidInput("Limit each feature once in each unit", "limits")
    return tuple(limits)
