"""The contract of the plans' repository: plans, who is offered them, and the limits of single users."""

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest
from sqlalchemy.exc import IntegrityError

from domain.errors import Conflict, NotFound
from domain.quotas import Feature, Limit, Plan, QuotaUnit
from domain.repositories import UnitOfWorkFactory
from domain.users import Community
from tests.rows import a_plan, limit_of, stored_community, stored_viewer

IMAGES = limit_of(10)
MONEY = Limit(Feature.IMAGE_GENERATION, QuotaUnit.MICRO_USD, 2_000_000_000)


async def stored(unit_of_work: UnitOfWorkFactory, *plans: Plan) -> None:
    """Store plans together."""
    async with unit_of_work() as work:
        for plan in plans:
            await work.plans.add(plan)
        await work.commit()


async def put_on(unit_of_work: UnitOfWorkFactory, community: Community, plan: Plan | None) -> None:
    """Put a community on a plan, or on none."""
    async with unit_of_work() as work:
        await work.users.update_community(replace(community, plan_id=plan.id if plan else None))
        await work.commit()


async def test_plans_come_back_as_stored_by_name(unit_of_work: UnitOfWorkFactory) -> None:
    """With two limits, one or none; the community's own and the operator's, two of one name apart from each other."""
    community = await stored_community(unit_of_work)
    plans = [
        a_plan(community.id, name="Free"),
        a_plan(None, IMAGES, name="Large", priority=10),
        a_plan(community.id, IMAGES, MONEY, name="Small"),
        a_plan(None, MONEY, name="Small"),
    ]
    await stored(unit_of_work, *reversed(plans))
    async with unit_of_work(read_only=True) as work:
        found = await work.plans.list(community.id)
    assert [plan.name for plan in found] == ["Free", "Large", "Small", "Small"]
    assert sorted(found, key=plans.index) == plans


@pytest.mark.parametrize("priority", [0, 11])
async def test_a_priority_out_of_bounds_is_refused(unit_of_work: UnitOfWorkFactory, priority: int) -> None:
    """By the database itself."""
    with pytest.raises(IntegrityError):
        await stored(unit_of_work, a_plan(None, priority=priority))


async def test_other_communities_plans_are_not_found(unit_of_work: UnitOfWorkFactory) -> None:
    """The operator's are offered to all, a community's own to itself alone."""
    here, there = await stored_community(unit_of_work), await stored_community(unit_of_work)
    ours, everybodys = a_plan(here.id, IMAGES), a_plan(None, IMAGES)
    await stored(unit_of_work, ours, everybodys)
    async with unit_of_work(read_only=True) as work:
        for community, plans in ((here, [ours, everybodys]), (there, [everybodys])):
            found = await work.plans.by_ids(community.id, [ours.id, everybodys.id, uuid4()])
            assert sorted(found, key=lambda plan: plan.id) == sorted(plans, key=lambda plan: plan.id)
            assert len(await work.plans.list(community.id)) == len(plans)
            assert await work.plans.get(community.id, everybodys.id) == everybodys
        assert await work.plans.get(here.id, ours.id) == ours
        for community, id in ((there, ours.id), (here, uuid4())):
            with pytest.raises(NotFound, match="Plan not found"):
                await work.plans.get(community.id, id)


async def test_a_changed_plan_has_its_new_limits_alone(unit_of_work: UnitOfWorkFactory) -> None:
    """Another name, a limit less, more or other; the other plan keeps its own."""
    community = await stored_community(unit_of_work)
    plan, other = a_plan(community.id, IMAGES, MONEY), a_plan(community.id, IMAGES, name="Other")
    await stored(unit_of_work, plan, other)
    for limits in ((IMAGES,), (MONEY,), (), (replace(IMAGES, amount=0), MONEY)):
        changed = replace(plan, name=f"With {len(limits)}", limits=limits, priority=1 + len(limits))
        async with unit_of_work() as work:
            await work.plans.update(changed)
            await work.commit()
        async with unit_of_work(read_only=True) as work:
            assert await work.plans.get(community.id, plan.id) == changed
            assert await work.plans.get(community.id, other.id) == other


async def test_a_plan_changed_by_several_at_once_is_as_one_of_them_said(unit_of_work: UnitOfWorkFactory) -> None:
    """Name and limits never mix."""
    community = await stored_community(unit_of_work)
    plan = a_plan(community.id, IMAGES)
    await stored(unit_of_work, plan)
    wishes = [
        replace(plan, name=str(number), limits=(limit_of(number), replace(MONEY, amount=number))) for number in range(8)
    ]

    async def change(wish: Plan) -> None:
        async with unit_of_work() as work:
            await work.plans.update(wish)
            await work.commit()

    await asyncio.gather(*map(change, wishes))
    async with unit_of_work(read_only=True) as work:
        assert await work.plans.get(community.id, plan.id) in wishes


async def test_a_plan_in_use_stays(unit_of_work: UnitOfWorkFactory) -> None:
    """Removing it is a conflict while a community is on it; afterwards it goes, with its limits."""
    community, other = await stored_community(unit_of_work), await stored_community(unit_of_work)
    plan = a_plan(None, IMAGES)
    await stored(unit_of_work, plan)
    await put_on(unit_of_work, other, plan)
    async with unit_of_work() as work:
        with pytest.raises(Conflict, match="The plan is in use"):
            await work.plans.delete(plan.id)
    async with unit_of_work(read_only=True) as work:
        assert await work.plans.list(community.id) == [plan]
    await put_on(unit_of_work, other, None)
    async with unit_of_work() as work:
        await work.plans.delete(plan.id)
        await work.commit()
    async with unit_of_work(read_only=True) as work:
        assert await work.plans.list(community.id) == []


async def test_a_plan_that_is_gone_is_not_found(unit_of_work: UnitOfWorkFactory) -> None:
    """Also when it went after somebody looked at it: no community is on a plan that isn't there."""
    community = await stored_community(unit_of_work)
    with pytest.raises(NotFound, match="Plan not found"):
        await put_on(unit_of_work, community, a_plan(None))
    async with unit_of_work(read_only=True) as work:
        assert await work.users.community(community.id) == community


async def test_a_users_limits_are_set_changed_and_lifted(unit_of_work: UnitOfWorkFactory) -> None:
    """Each unit for itself, for the one user; lifting what isn't there does nothing."""
    viewer = await stored_viewer(unit_of_work)
    other = await stored_viewer(unit_of_work, Community(viewer.user.community_id, ""))
    feature = Feature.IMAGE_GENERATION
    for images, money, expected in (
        (5, None, (limit_of(5),)),
        (7, 2**31 - 1, (limit_of(7), Limit(feature, QuotaUnit.MICRO_USD, 2**31 - 1))),
        (0, None, (limit_of(0),)),
        (None, None, ()),
    ):
        async with unit_of_work() as work:
            await work.plans.set_user_limit(other.id, feature, QuotaUnit.IMAGES, 3)
            await work.plans.set_user_limit(viewer.id, feature, QuotaUnit.IMAGES, images)
            await work.plans.set_user_limit(viewer.id, feature, QuotaUnit.MICRO_USD, money)
            await work.commit()
        async with unit_of_work(read_only=True) as work:
            allowance = await work.usage.allowance(viewer.user.community_id, [viewer.id, other.id])
        own = {(viewer.id, limit.feature, limit.unit): limit.amount for limit in expected}
        assert allowance.limits == {**own, (other.id, feature, QuotaUnit.IMAGES): 3}
