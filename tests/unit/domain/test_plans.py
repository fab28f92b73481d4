"""Plans and the limits of single users: who may make them, and who may put whom on which."""

from dataclasses import replace

import pytest

from domain.errors import Conflict, Forbidden, InvalidInput, NotFound
from domain.quotas import MAX_AMOUNT, MAX_PLANS, Feature, Limit, Plan, QuotaUnit
from domain.users import Community, Role, Viewer
from tests.rows import a_plan, limit_of, stored_viewer
from tests.workshop import Workshop

IMAGES = QuotaUnit.IMAGES
GENERATING = Feature.IMAGE_GENERATION
MONEY = Limit(GENERATING, QuotaUnit.MICRO_USD, 5_000_000)


@pytest.fixture
async def operator(shop: Workshop, community: Community) -> Viewer:
    """Who runs the server: an admin of the same community."""
    return await stored_viewer(shop.unit_of_work, community, role=Role.ADMIN, is_operator=True, name="Hedy")


async def plans(shop: Workshop, viewer: Viewer) -> list[Plan]:
    """What the viewer's community may be put on."""
    async with shop.unit_of_work(read_only=True) as work:
        return list(await work.plans.list(viewer.user.community_id))


async def home(shop: Workshop, viewer: Viewer) -> Community:
    """The viewer's community as the database has it."""
    async with shop.unit_of_work(read_only=True) as work:
        return await work.users.community(viewer.user.community_id)


class TestWriting:
    """Creating, changing, deleting."""

    async def test_an_admin_makes_plans_for_their_community(
        self, shop: Workshop, admin: Viewer, stranger: Viewer
    ) -> None:
        """Others don't see them."""
        made = await shop.quotas.create_plan(admin, " Small ", [limit_of(5), MONEY])
        assert made == Plan(made.id, admin.user.community_id, "Small", (limit_of(5), MONEY), shop.clock.time)
        assert await plans(shop, admin) == [made]
        assert await plans(shop, stranger) == []

    async def test_the_operator_makes_plans_for_all(self, shop: Workshop, operator: Viewer, stranger: Viewer) -> None:
        """Every community may be put on them."""
        made = await shop.quotas.create_plan(operator, "Free", [limit_of(1)], for_all=True)
        assert made.community_id is None
        assert await plans(shop, stranger) == [made]

    async def test_what_is_given_changes_and_the_rest_stays(self, shop: Workshop, admin: Viewer) -> None:
        """No limits at all are limits too."""
        made = await shop.quotas.create_plan(admin, "Small", [limit_of(5)])
        renamed = await shop.quotas.update_plan(admin, made.id, name=" Smaller ")
        assert renamed == replace(made, name="Smaller")
        limited = await shop.quotas.update_plan(admin, made.id, limits=[MONEY])
        assert limited == replace(renamed, limits=(MONEY,))
        assert await plans(shop, admin) == [limited]
        free = await shop.quotas.update_plan(admin, made.id, limits=[])
        assert await plans(shop, admin) == [free] == [replace(limited, limits=())]

    @pytest.mark.parametrize(
        ("name", "limits", "path", "message"),
        [
            (" ", [], "name", "Name must be 1 to 255 characters"),
            ("x" * 256, [], "name", "Name must be 1 to 255 characters"),
            ("x", [limit_of(-1)], "limits", "A limit must be between 0 and 2,147,483,647"),
            ("x", [limit_of(MAX_AMOUNT + 1)], "limits", "A limit must be between 0 and 2,147,483,647"),
            ("x", [limit_of(1), MONEY, limit_of(2)], "limits", "Limit each feature once in each unit"),
        ],
    )
    async def test_what_breaks_a_rule_is_not_stored(
        self, shop: Workshop, admin: Viewer, name: str, limits: list[Limit], path: str, message: str
    ) -> None:
        """Neither as a new plan nor as a change."""
        made = await shop.quotas.create_plan(admin, "x" * 255, [limit_of(0), replace(MONEY, amount=MAX_AMOUNT)])
        for attempt in (
            shop.quotas.create_plan(admin, name, limits),
            shop.quotas.update_plan(admin, made.id, name=name, limits=limits),
        ):
            with pytest.raises(InvalidInput) as caught:
                await attempt
            assert [(problem.path, problem.message) for problem in caught.value.problems] == [((path,), message)]
        assert await plans(shop, admin) == [made]

    async def test_a_plan_has_a_priority(self, shop: Workshop, admin: Viewer) -> None:
        """One unless told otherwise; it changes alone, and stays when other things change."""
        plain = await shop.quotas.create_plan(admin, "Plain", [])
        made = await shop.quotas.create_plan(admin, "Quick", [limit_of(5)], priority=10)
        assert (plain.priority, made.priority) == (1, 10)
        slower = await shop.quotas.update_plan(admin, made.id, priority=3)
        assert slower == replace(made, priority=3)
        renamed = await shop.quotas.update_plan(admin, made.id, name="Quicker")
        assert await plans(shop, admin) == [plain, renamed] == [plain, replace(slower, name="Quicker")]

    @pytest.mark.parametrize("priority", [-1, 0, 11])
    async def test_a_priority_has_its_bounds(self, shop: Workshop, admin: Viewer, priority: int) -> None:
        """For a new plan as for a change."""
        made = await shop.quotas.create_plan(admin, "Plain", [])
        for attempt in (
            shop.quotas.create_plan(admin, "Other", [], priority=priority),
            shop.quotas.update_plan(admin, made.id, priority=priority),
        ):
            with pytest.raises(InvalidInput, match=r"^A priority must be between 1 and 10$") as caught:
                await attempt
            assert caught.value.problems[0].path == ("priority",)
        assert await plans(shop, admin) == [made]

    async def test_there_is_a_most(self, shop: Workshop, admin: Viewer, stranger: Viewer) -> None:
        """Those of other communities don't count."""
        async with shop.unit_of_work() as work:
            for _ in range(MAX_PLANS - 1):
                await work.plans.add(a_plan(admin.user.community_id))
            await work.plans.add(a_plan(stranger.user.community_id))
            await work.commit()
        await shop.quotas.create_plan(admin, "The last", [])
        with pytest.raises(Conflict, match=r"^There are 100 plans: remove one that nobody is on$"):
            await shop.quotas.create_plan(admin, "One more", [])
        assert len(await plans(shop, admin)) == 100

    async def test_a_plan_goes_when_nobody_is_on_it(self, shop: Workshop, admin: Viewer) -> None:
        """Before, it stays."""
        made = await shop.quotas.create_plan(admin, "Small", [limit_of(5)])
        await shop.quotas.set_community_plan(admin, made.id)
        with pytest.raises(Conflict, match=r"^The plan is in use"):
            await shop.quotas.delete_plan(admin, made.id)
        assert await plans(shop, admin) == [made]
        await shop.quotas.set_community_plan(admin, None)
        await shop.quotas.delete_plan(admin, made.id)
        assert await plans(shop, admin) == []

    async def test_the_operators_plans_are_the_operators_to_change(
        self, shop: Workshop, admin: Viewer, operator: Viewer
    ) -> None:
        """An admin is told so."""
        free = await shop.quotas.create_plan(operator, "Free", [limit_of(1)], for_all=True)
        for attempt in (
            shop.quotas.create_plan(admin, "Mine", [], for_all=True),
            shop.quotas.update_plan(admin, free.id, limits=[]),
            shop.quotas.delete_plan(admin, free.id),
        ):
            with pytest.raises(Forbidden, match=r"^Only the operator of this server may change plans for all"):
                await attempt
        assert await plans(shop, admin) == [free]
        await shop.quotas.update_plan(operator, free.id, name="Freer")
        await shop.quotas.delete_plan(operator, free.id)
        assert await plans(shop, admin) == []


class TestCommunities:
    """Which plan a community is on."""

    async def test_an_admin_puts_the_community_on_a_plan(self, shop: Workshop, admin: Viewer, viewer: Viewer) -> None:
        """And on another, and on none; everybody's quota follows."""
        small, large = [await shop.quotas.create_plan(admin, "Plan", [limit_of(amount)]) for amount in (5, 50)]
        for plan, limit in ((small, 5), (large, 50), (None, None)):
            after = await shop.quotas.set_community_plan(admin, plan.id if plan else None)
            assert after.plan_id == (plan.id if plan else None)
            assert await home(shop, admin) == after
            assert (await shop.used_together(after)).limit == limit
            assert (await shop.used(viewer)).limit is None

    async def test_what_the_operator_set_the_operator_changes(
        self, shop: Workshop, admin: Viewer, operator: Viewer
    ) -> None:
        """An admin can't put the community on one of the operator's plans, nor take it off."""
        rule = r"^Only the operator of this server puts communities on that plan, or takes them off$"
        mine = await shop.quotas.create_plan(admin, "Mine", [])
        free = await shop.quotas.create_plan(operator, "Free", [limit_of(1)], for_all=True)
        with pytest.raises(Conflict, match=rule):
            await shop.quotas.set_community_plan(admin, free.id)
        await shop.quotas.set_community_plan(operator, free.id)
        for id in (mine.id, None, free.id):
            with pytest.raises(Conflict, match=rule):
                await shop.quotas.set_community_plan(admin, id)
        assert (await home(shop, admin)).plan_id == free.id
        await shop.quotas.set_community_plan(operator, mine.id)
        assert (await shop.quotas.set_community_plan(admin, None)).plan_id is None

    async def test_another_communitys_plan_is_not_found(self, shop: Workshop, admin: Viewer, stranger: Viewer) -> None:
        """Neither to be on, nor to change; nothing is."""
        theirs = await shop.quotas.create_plan(stranger, "Theirs", [limit_of(5)])
        for attempt in (
            shop.quotas.set_community_plan(admin, theirs.id),
            shop.quotas.update_plan(admin, theirs.id, limits=[]),
            shop.quotas.delete_plan(admin, theirs.id),
        ):
            with pytest.raises(NotFound, match=r"^Plan not found$"):
                await attempt
        assert await plans(shop, stranger) == [theirs]
        assert (await home(shop, admin)).plan_id is None


class TestUsers:
    """Limits of single users."""

    async def test_an_admin_limits_a_user(self, shop: Workshop, admin: Viewer, viewer: Viewer) -> None:
        """Otherwise, and no longer; each unit by itself, and nobody else."""
        for amount in (5, 0, None):
            assert await shop.quotas.set_user_limit(admin, viewer.id, GENERATING, IMAGES, amount) == viewer.user
            assert (await shop.used(viewer)).limit == amount
            assert (await shop.used(viewer, QuotaUnit.MICRO_USD)).limit is None
            assert (await shop.used(admin)).limit is None

    @pytest.mark.parametrize("amount", [-1, MAX_AMOUNT + 1])
    async def test_a_limit_has_bounds(self, shop: Workshop, admin: Viewer, viewer: Viewer, amount: int) -> None:
        """As in a plan."""
        with pytest.raises(InvalidInput, match=r"^A limit must be between 0 and 2,147,483,647$") as refusal:
            await shop.quotas.set_user_limit(admin, viewer.id, GENERATING, IMAGES, amount)
        assert [problem.path for problem in refusal.value.problems] == [("amount",)]
        assert (await shop.used(viewer)).limit is None

    async def test_a_user_of_another_community_is_not_found(
        self, shop: Workshop, admin: Viewer, stranger: Viewer
    ) -> None:
        """Nothing is limited."""
        with pytest.raises(NotFound, match=r"^User not found$"):
            await shop.quotas.set_user_limit(admin, stranger.id, GENERATING, IMAGES, 0)
        assert (await shop.used(stranger)).limit is None


async def test_members_change_nothing(shop: Workshop, viewer: Viewer, admin: Viewer) -> None:
    """Of plans or limits, also not their own."""
    made = await shop.quotas.create_plan(admin, "Small", [limit_of(5)])
    for attempt in (
        shop.quotas.create_plan(viewer, "Mine", []),
        shop.quotas.update_plan(viewer, made.id, limits=[]),
        shop.quotas.delete_plan(viewer, made.id),
        shop.quotas.set_community_plan(viewer, made.id),
        shop.quotas.set_user_limit(viewer, viewer.id, GENERATING, IMAGES, 5),
    ):
        with pytest.raises(Forbidden, match=r"^Only an admin of the community may change plans and limits$"):
            await attempt
    assert await plans(shop, admin) == [made]
    assert (await home(shop, admin)).plan_id is None
    assert (await shop.used(viewer)).limit is None
