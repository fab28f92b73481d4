"""The contract of the users' repository."""

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest

from domain.errors import Conflict, NotFound
from domain.repositories import UnitOfWorkFactory
from domain.users import Community, Role, User
from tests.rows import a_plan, a_user, after, stored_community, stored_viewer


async def test_a_user_comes_back_as_stored(unit_of_work: UnitOfWorkFactory) -> None:
    """Every field, moments aware and to the microsecond."""
    viewer = await stored_viewer(unit_of_work, role=Role.ADMIN, is_test=True)
    operator = await stored_viewer(unit_of_work, is_operator=True)
    async with unit_of_work(read_only=True) as work:
        found = await work.users.get(viewer.id)
        assert found == viewer.user
        assert await work.users.get(operator.id) == operator.user
        assert found.created_at.utcoffset() is not None
        with pytest.raises(NotFound):
            await work.users.get(uuid4())


async def test_credentials_are_those_of_who_signs_in(unit_of_work: UnitOfWorkFactory) -> None:
    """Only a user with a password hash has credentials; `of_email` finds the others too, that one first."""
    here, there = await stored_community(unit_of_work), await stored_community(unit_of_work)
    external, ours = a_user(here, email="ada@example.org"), a_user(there, email="ada@example.org", created_at=after(9))
    async with unit_of_work() as work:
        await work.users.add_external(external, "subject-1")
        assert await work.users.credentials("ada@example.org") is None
        assert await work.users.of_email("ada@example.org") == external
        await work.users.add(ours, "hash")
        assert await work.users.credentials("ada@example.org") == (ours, "hash")
        assert await work.users.of_email("ada@example.org") == ours
        assert await work.users.of_email("eve@example.org") is None


async def add(unit_of_work: UnitOfWorkFactory, user: User, password_hash: str | None) -> None:
    """Store a user in a unit of work of their own."""
    async with unit_of_work() as work:
        await work.users.add(user, password_hash)
        await work.commit()


async def test_an_address_is_taken_once_per_community_and_once_for_passwords(unit_of_work: UnitOfWorkFactory) -> None:
    """The same address is refused twice in a community, and among all who sign in; nothing of it is stored."""
    here, there = await stored_community(unit_of_work), await stored_community(unit_of_work)
    await add(unit_of_work, a_user(here, email="ada@example.org"), "hash")
    with pytest.raises(Conflict, match="The community has a user"):
        await add(unit_of_work, a_user(here, email="ada@example.org"), None)
    with pytest.raises(Conflict, match="Another user signs in"):
        await add(unit_of_work, a_user(there, email="ada@example.org"), "hash")
    await add(unit_of_work, a_user(there, email="ada@example.org"), None)
    async with unit_of_work(read_only=True) as work:
        assert await work.users.count() == 2


async def test_a_newcomer_of_an_external_issuer_is_stored_once(unit_of_work: UnitOfWorkFactory) -> None:
    """Of many requests at once, each bringing the community and the user, one stores them and the others conflict."""
    community = Community(uuid4(), "elsewhere")

    async def arrive(number: int) -> bool:
        try:
            async with unit_of_work() as work:
                await work.users.add_community(community)
                await work.users.add_external(a_user(community, email=f"{number}@example.org"), "subject-1")
                await work.commit()
        except Conflict:
            return False
        return True

    assert sum(await asyncio.gather(*(arrive(number) for number in range(8)))) == 1
    async with unit_of_work(read_only=True) as work:
        assert await work.users.communities([community.id]) == [community]
        found = await work.users.by_external_id(community.id, "subject-1")
        assert found is not None
        assert await work.users.by_external_id(uuid4(), "subject-1") is None
        assert await work.users.count() == 1


async def test_whom_a_viewer_may_act_for(unit_of_work: UnitOfWorkFactory) -> None:
    """Oneself always; an admin for anyone in the community; a member, and beyond the community, nobody else."""
    community = await stored_community(unit_of_work)
    admin = await stored_viewer(unit_of_work, community, role=Role.ADMIN)
    member = await stored_viewer(unit_of_work, community)
    stranger = await stored_viewer(unit_of_work)
    async with unit_of_work(read_only=True) as work:
        assert await work.users.acted_for(member, None) == member.user
        assert await work.users.acted_for(member, member.id) == member.user
        assert await work.users.acted_for(admin, member.id) == member.user
        for viewer, other in ((member, admin), (admin, stranger)):
            with pytest.raises(NotFound):
                await work.users.acted_for(viewer, other.id)


async def test_lists_keep_to_the_community(unit_of_work: UnitOfWorkFactory) -> None:
    """Users by id and test users are those of the one community, test users by name."""
    community = await stored_community(unit_of_work)
    zoe = (await stored_viewer(unit_of_work, community, name="Zoe", is_test=True)).user
    ben = (await stored_viewer(unit_of_work, community, name="Ben", is_test=True)).user
    real = (await stored_viewer(unit_of_work, community)).user
    stranger = (await stored_viewer(unit_of_work, is_test=True)).user
    async with unit_of_work(read_only=True) as work:
        assert await work.users.test_users(community.id) == [ben, zoe]
        found = await work.users.by_ids(community.id, [real.id, stranger.id, uuid4()])
        assert found == [real]
        assert await work.users.by_ids(community.id, []) == []


async def test_changing_role_and_tokens(unit_of_work: UnitOfWorkFactory) -> None:
    """The role and the moment from which tokens are valid change for the one user; who is gone is left out."""
    viewer, other = await stored_viewer(unit_of_work), await stored_viewer(unit_of_work)
    async with unit_of_work() as work:
        await work.users.set_role(viewer.id, Role.ADMIN)
        await work.users.revoke_tokens(viewer.id, after(60))
        await work.commit()
    async with unit_of_work(read_only=True) as work:
        changed = replace(viewer.user, role=Role.ADMIN, tokens_valid_after=after(60))
        assert await work.users.get(viewer.id) == changed
        assert await work.users.get(other.id) == other.user
        assert await work.users.tokens_valid_after([viewer.id, uuid4()]) == {viewer.id: after(60)}


async def test_a_community_is_found_by_name(unit_of_work: UnitOfWorkFactory) -> None:
    """By its whole name, and always the same one where two have it."""
    communities = [await stored_community(unit_of_work, "Twins") for _ in range(2)]
    async with unit_of_work(read_only=True) as work:
        assert await work.users.community_named("Twins") == min(communities, key=lambda each: each.id)
        assert await work.users.community_named("Twin") is None


async def test_a_community_comes_back_as_stored_and_as_changed(unit_of_work: UnitOfWorkFactory) -> None:
    """Every field, however it is asked for; the others stay as they are."""
    plan = a_plan(None)
    async with unit_of_work() as work:
        await work.plans.add(plan)
        await work.commit()
    community, other = Community(uuid4(), "Lovelace", "Asia/Tokyo", plan.id), Community(uuid4(), "Babbage")
    changed = replace(other, name="Byron", time_zone="Europe/London", plan_id=plan.id)
    async with unit_of_work() as work:
        for each in (community, other):
            await work.users.add_community(each)
        assert await work.users.community(other.id, for_update=True) == other
        await work.users.update_community(changed)
        await work.commit()
    async with unit_of_work(read_only=True) as work:
        for expected in (community, changed):
            assert await work.users.community(expected.id) == expected
            assert await work.users.communities([expected.id, uuid4()]) == [expected]
            assert await work.users.community_named(expected.name) == expected
        with pytest.raises(NotFound, match="Community not found"):
            await work.users.community(uuid4())


async def test_a_locked_community_waits_for_its_turn(unit_of_work: UnitOfWorkFactory) -> None:
    """Of many who look at it in order to change it each sees what the one before wrote."""
    community = await stored_community(unit_of_work, "")

    async def lengthen() -> None:
        async with unit_of_work() as work:
            before = await work.users.community(community.id, for_update=True)
            await work.users.update_community(replace(before, name=before.name + "."))
            await work.commit()

    await asyncio.gather(*(lengthen() for _ in range(12)))
    async with unit_of_work(read_only=True) as work:
        assert (await work.users.community(community.id)).name == "." * 12


async def test_every_community_is_known(unit_of_work: UnitOfWorkFactory) -> None:
    """By its id."""
    communities = [await stored_community(unit_of_work) for _ in range(3)]
    async with unit_of_work(read_only=True) as work:
        assert set(await work.users.community_ids()) >= {community.id for community in communities}
