"""The contract of usage: counters that never pass their limit, and a ledger that is never altered."""

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError

from domain.costs import CostBasis
from domain.errors import NotFound
from domain.generations import EventDraft, Generation, GenerationState
from domain.quotas import Account, Allowance, Counter, Feature, Limit, QuotaUnit, UsageEvent, UsageKind
from domain.repositories import UnitOfWorkFactory
from storage.database.databases import Database
from storage.database.tables import usage_event
from tests.graphql import Statements
from tests.rows import a_generation, a_plan, a_reservation, after, limit_of, stored_community, stored_viewer

FEATURE = Feature.IMAGE_GENERATION
MONEY = QuotaUnit.MICRO_USD
HUGE = 2**40


def an_account(period: str = "2026-11", unit: QuotaUnit = QuotaUnit.IMAGES) -> Account:
    """An account of nobody's."""
    return Account(uuid4(), FEATURE, unit, period)


async def reserve(unit_of_work: UnitOfWorkFactory, account: Account, amount: int, limit: int | None) -> bool:
    """Reserve in a unit of work of its own."""
    async with unit_of_work() as work:
        is_reserved = await work.usage.reserve(account, amount, limit)
        await work.commit()
    return is_reserved


async def move(unit_of_work: UnitOfWorkFactory, account: Account, reserved_delta: int, used_delta: int) -> None:
    """Change a counter in a unit of work of its own."""
    async with unit_of_work() as work:
        await work.usage.move(account, reserved_delta, used_delta)
        await work.commit()


async def counter(unit_of_work: UnitOfWorkFactory, account: Account) -> Counter:
    """How an account stands."""
    async with unit_of_work(read_only=True) as work:
        return (await work.usage.counters([account]))[account]


async def a_running_generation(unit_of_work: UnitOfWorkFactory) -> Generation:
    """A generation that is in the database."""
    generation = a_generation((await stored_viewer(unit_of_work)).user)
    async with unit_of_work() as work:
        await work.generations.add(generation)
        await work.commit()
    return generation


async def record(unit_of_work: UnitOfWorkFactory, *events: UsageEvent) -> None:
    """Write lines together."""
    async with unit_of_work() as work:
        for event in events:
            await work.usage.record(event)
        await work.commit()


def an_end(held: UsageEvent, used: int = 1) -> UsageEvent:
    """The line that settles a reservation, or releases it when nothing was used."""
    kind = UsageKind.SETTLE if used else UsageKind.RELEASE
    delta = -held.reserved_delta
    return replace(held, id=uuid4(), kind=kind, reserved_delta=delta, used_delta=used, at=after(9))


async def test_what_limits_users_requests(unit_of_work: UnitOfWorkFactory) -> None:
    """The time zone, the priority and the limits of the community's plan, and the limits of the users asked for."""
    community = await stored_community(unit_of_work)
    viewer, other = await stored_viewer(unit_of_work, community), await stored_viewer(unit_of_work, community)
    dollars = Limit(FEATURE, MONEY, 5_000_000)
    plan, another = a_plan(None, limit_of(50), dollars, priority=7), a_plan(community.id, limit_of(1), priority=3)
    async with unit_of_work() as work:
        assert await work.usage.allowance(community.id, [viewer.id]) == Allowance("UTC")
        for each in (plan, another):
            await work.plans.add(each)
        await work.users.update_community(replace(community, time_zone="Asia/Tokyo", plan_id=plan.id))
        for user, amount in ((viewer, 7), (other, 8)):
            await work.plans.set_user_limit(user.id, FEATURE, QuotaUnit.IMAGES, amount)
        await work.commit()
    async with unit_of_work(read_only=True) as work:
        of_nobody, of_viewer, of_both = [
            await work.usage.allowance(community.id, users) for users in ([], [viewer.id], [viewer.id, other.id])
        ]
        with pytest.raises(NotFound, match="Community not found"):
            await work.usage.allowance(uuid4(), [viewer.id])
    limits = {(community.id, FEATURE, QuotaUnit.IMAGES): 50, (community.id, FEATURE, MONEY): 5_000_000}
    assert of_nobody == Allowance("Asia/Tokyo", limits, 7)
    limits[viewer.id, FEATURE, QuotaUnit.IMAGES] = 7
    assert of_viewer == Allowance("Asia/Tokyo", limits, 7)
    limits[other.id, FEATURE, QuotaUnit.IMAGES] = 8
    assert of_both == Allowance("Asia/Tokyo", limits, 7)


async def test_reserving_goes_exactly_to_the_limit(unit_of_work: UnitOfWorkFactory) -> None:
    """What is used counts as what is reserved does; what is refused changes nothing."""
    account = an_account()
    await move(unit_of_work, account, 0, 3)
    answers = [await reserve(unit_of_work, account, amount, 10) for amount in (5, 3, 2, 1)]
    assert answers == [True, False, True, False]
    assert await counter(unit_of_work, account) == Counter(used=3, reserved=7)


async def test_the_first_reservation_of_a_month_keeps_to_the_limit(unit_of_work: UnitOfWorkFactory) -> None:
    """Where nothing was counted yet: up to the limit, and not a row above it; other months don't count."""
    account = an_account()
    assert not await reserve(unit_of_work, account, 11, 10)
    assert await counter(unit_of_work, account) == Counter()
    assert await reserve(unit_of_work, account, 10, 10)
    assert not await reserve(unit_of_work, account, 1, 10)
    assert await reserve(unit_of_work, replace(account, period="2026-12"), 10, 10)
    assert await reserve(unit_of_work, replace(account, unit=MONEY), 10, 10)
    assert await reserve(unit_of_work, replace(account, subject_id=uuid4()), 10, 10)
    assert await counter(unit_of_work, account) == Counter(reserved=10)


async def test_without_a_limit_everything_is_reserved(unit_of_work: UnitOfWorkFactory) -> None:
    """Large amounts too, the first and those that follow."""
    account = an_account(unit=MONEY)
    for _ in range(2):
        assert await reserve(unit_of_work, account, HUGE, None)
    assert await counter(unit_of_work, account) == Counter(reserved=2 * HUGE)


@pytest.mark.parametrize("used", [0, 5])
async def test_nothing_may_always_be_reserved(unit_of_work: UnitOfWorkFactory, used: int) -> None:
    """What is free needs no quota, whether the limit is 0 or was passed before it was lowered."""
    account = an_account()
    if used:
        await move(unit_of_work, account, 0, used)
    assert await reserve(unit_of_work, account, 0, 0)
    assert await counter(unit_of_work, account) == Counter(used)


async def test_reservations_at_once_never_pass_the_limit(unit_of_work: UnitOfWorkFactory) -> None:
    """Forty of three each against a hundred: thirty-three get through, also where no row was before."""
    account = an_account()
    answers = await asyncio.gather(*(reserve(unit_of_work, account, 3, 100) for _ in range(40)))
    assert sum(answers) == 33
    assert await counter(unit_of_work, account) == Counter(reserved=99)


async def test_what_is_not_committed_is_not_reserved(unit_of_work: UnitOfWorkFactory) -> None:
    """A request that fails later leaves the quota as it was."""
    account = an_account()
    async with unit_of_work() as work:
        assert await work.usage.reserve(account, 5, 5)
    assert await counter(unit_of_work, account) == Counter()


async def test_a_counter_moves_whatever_the_limit(unit_of_work: UnitOfWorkFactory) -> None:
    """From reserved to used, beyond what was reserved; but never below zero, and the accounts beside it stay."""
    account, other = an_account(), an_account()
    for each in (account, other):
        assert await reserve(unit_of_work, each, 4, 4)
    await move(unit_of_work, account, -4, 9)
    assert await counter(unit_of_work, account) == Counter(used=9)
    assert await counter(unit_of_work, other) == Counter(reserved=4)
    for subject in (account, an_account()):
        with pytest.raises(IntegrityError):
            await move(unit_of_work, subject, -1, 0)
    assert await counter(unit_of_work, account) == Counter(used=9)


async def test_counters_that_begin_at_once_are_added_up(unit_of_work: UnitOfWorkFactory) -> None:
    """Ten moves of an account that has no row: none is lost."""
    account = an_account()
    await asyncio.gather(*(move(unit_of_work, account, 1, HUGE) for _ in range(10)))
    assert await counter(unit_of_work, account) == Counter(used=10 * HUGE, reserved=10)


async def test_many_counters_are_one_question(unit_of_work: UnitOfWorkFactory, statements: Statements) -> None:
    """In the order asked for, each for itself: of whom, in which unit and month; those without a row are zero."""
    first, second = an_account(), an_account()
    asked = [second, first, replace(first, unit=MONEY), replace(first, period="2026-12"), an_account()]
    for used, account in enumerate([*asked[:-1], replace(second, unit=MONEY), replace(second, period="2026-12")], 1):
        await move(unit_of_work, account, 10 * used, used)
    statements.sent.clear()
    async with unit_of_work(read_only=True) as work:
        found = await work.usage.counters(asked)
    assert len(statements.sent) == 1
    assert list(found) == asked
    assert list(found.values()) == [*(Counter(used, 10 * used) for used in (1, 2, 3, 4)), Counter()]


async def test_reservations_come_back_as_recorded_until_they_end(unit_of_work: UnitOfWorkFactory) -> None:
    """Every field, in the order they were reserved in; each unit ends for itself, settled or released."""
    generation, other = await a_running_generation(unit_of_work), await a_running_generation(unit_of_work)
    money = a_reservation(generation, HUGE, unit=MONEY, basis=CostBasis.TYPICAL)
    images = a_reservation(generation)
    await record(unit_of_work, money, images, a_reservation(other))
    async with unit_of_work() as work:
        assert await work.usage.unsettled(generation.id) == [images, money]
        await work.usage.record(an_end(images))
        assert await work.usage.unsettled(generation.id) == [money]
        await work.usage.record(an_end(money, used=0))
        assert await work.usage.unsettled(generation.id) == []
        assert len(await work.usage.unsettled(other.id)) == 1


async def test_a_reservation_ends_once(unit_of_work: UnitOfWorkFactory) -> None:
    """Of several at once who ask what is unsettled one gets it, and the others nothing; a second end is refused."""
    generation = await a_running_generation(unit_of_work)
    held = a_reservation(generation)
    await record(unit_of_work, held)

    async def settle() -> int:
        async with unit_of_work() as work:
            found = await work.usage.unsettled(generation.id)
            await asyncio.sleep(0.05)
            for event in found:
                await work.usage.record(an_end(event))
            await work.commit()
        return len(found)

    assert sorted(await asyncio.gather(*(settle() for _ in range(4)))) == [0, 0, 0, 1]
    for again in (an_end(held), an_end(held, used=0), replace(held, id=uuid4())):
        with pytest.raises(IntegrityError):
            await record(unit_of_work, again)


async def test_a_plan_without_limits_has_a_priority_all_the_same(
    unit_of_work: UnitOfWorkFactory, statements: Statements
) -> None:
    """And it takes one statement to know it."""
    community = await stored_community(unit_of_work)
    plan = a_plan(None, priority=4)
    async with unit_of_work() as work:
        await work.plans.add(plan)
        await work.users.update_community(replace(community, plan_id=plan.id))
        await work.commit()
    statements.sent.clear()
    async with unit_of_work(read_only=True) as work:
        assert await work.usage.allowance(community.id, []) == Allowance("UTC", {}, 4)
    assert len(statements.sent) == 1


async def test_what_ended_and_still_holds_is_found(unit_of_work: UnitOfWorkFactory) -> None:
    """Once, whatever it holds, when it ended before the moment; not what runs, was settled, or reserved long ago."""
    held, half, settled, old, late, running = [await a_running_generation(unit_of_work) for _ in range(6)]
    async with unit_of_work() as work:
        for generation in (held, half, settled, old):
            await work.generations.finish(generation.id, after(20), EventDraft(GenerationState.FAILED), [], None)
        await work.generations.finish(late.id, after(30), EventDraft(GenerationState.FAILED), [], None)
        await work.commit()
    for generation in (held, half, settled, late, running):
        images, money = a_reservation(generation, at=after(5)), a_reservation(generation, unit=MONEY, at=after(5))
        await record(unit_of_work, images, money)
        if generation is half:
            await record(unit_of_work, an_end(money, used=0))
        if generation is settled:
            await record(unit_of_work, an_end(images), an_end(money, used=0))
    await record(unit_of_work, a_reservation(old, at=after(4)))
    async with unit_of_work(read_only=True) as work:
        assert sorted(await work.usage.held_by_ended(after(5), after(30))) == sorted([held.id, half.id])


@pytest.mark.parametrize("kind", list(UsageKind))
async def test_no_line_of_the_ledger_is_changed_or_removed(
    unit_of_work: UnitOfWorkFactory, database: Database, kind: UsageKind
) -> None:
    """The database itself refuses it, whoever asks."""
    event = a_reservation(await a_running_generation(unit_of_work), kind=kind)
    await record(unit_of_work, event)
    which = usage_event.c.id == event.id
    for statement in (sa.update(usage_event).where(which).values(used_delta=9), sa.delete(usage_event).where(which)):
        with pytest.raises(DBAPIError, match="append-only"), database.sync_engine().begin() as connection:
            connection.execute(statement)
    with database.sync_engine().connect() as connection:
        assert connection.execute(sa.select(usage_event.c.used_delta).where(which)).scalar_one() == 0


async def test_a_generation_stays_as_long_as_the_ledger_tells_of_it(
    unit_of_work: UnitOfWorkFactory, database: Database
) -> None:
    """No line goes as a side effect."""
    generation = await a_running_generation(unit_of_work)
    await record(unit_of_work, a_reservation(generation))
    with pytest.raises(IntegrityError), database.sync_engine().begin() as connection:
        connection.execute(sa.text("DELETE FROM generation"))
