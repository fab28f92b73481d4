"""Plans, limits and quotas over GraphQL: what a month allows, who may change that, and what a refusal says."""

from typing import Any

import pytest

from domain.quotas import MAX_AMOUNT, Account, Feature, QuotaUnit
from domain.users import Community, Role, Viewer
from tests.database import RecordedJobs
from tests.graphql import Client, Statements, World, gid, nobody
from tests.rows import a_plan, limit_of, stored_community, stored_viewer

QUOTA = "{ feature unit limit used reserved remaining resetsAt }"
PLAN = "{ id name isShared priority limits { feature unit amount } }"
IMAGES = {"feature": "IMAGE_GENERATION", "unit": "IMAGES"}
MONEY = {"feature": "IMAGE_GENERATION", "unit": "MICRO_USD"}
DECEMBER = "2026-12-01T00:00:00+00:00"
NOTHING_USED = {**IMAGES, "limit": None, "used": 0, "reserved": 0, "remaining": None, "resetsAt": DECEMBER}


@pytest.fixture
async def home(world: World) -> list[Viewer]:
    """An admin and two members of a community."""
    community = await stored_community(world.unit_of_work)
    return [await stored_viewer(world.unit_of_work, community, role=role) for role in (Role.ADMIN, *[Role.MEMBER] * 2)]


async def change(client: Client, viewer: Viewer, mutation: str, /, **input: object) -> dict[str, Any]:
    """Call a mutation."""
    fields = {
        "deletePlan": "deletedId",
        "setCommunityPlan": f"community {{ name plan {PLAN} }}",
        "updateCommunity": "community { name timeZone }",
        "setUserLimit": f"user {{ id quota(feature: IMAGE_GENERATION) {QUOTA} }}",
    }.get(mutation, f"plan {PLAN}")
    return await client.mutate(
        mutation, input, f"... on {mutation[0].upper()}{mutation[1:]}Success {{ {fields} }}", viewer
    )


async def standing(client: Client, viewer: Viewer, unit: str = "IMAGES") -> tuple[dict[str, Any], dict[str, Any]]:
    """The quotas of the viewer's community and of themself."""
    query = f"""query ($unit: QuotaUnit!) {{ viewer {{
        community {{ quota(feature: IMAGE_GENERATION, unit: $unit) {QUOTA} }}
        quota(feature: IMAGE_GENERATION, unit: $unit) {QUOTA}
    }} }}"""
    found = (await client.data(query, {"unit": unit}, viewer))["viewer"]
    return found["community"]["quota"], found["quota"]


async def generate(client: Client, viewer: Viewer, **input: object) -> dict[str, Any]:
    """Ask for images."""
    selection = "... on GenerateImageSuccess { generation { id estimatedCostMicroUsd } }"
    return await client.mutate("generateImage", {"prompt": "A house", **input}, selection, viewer)


async def test_without_limits_nothing_is_refused_but_all_is_counted(client: Client, home: list[Viewer]) -> None:
    """What runs is reserved, of the community and of who asked."""
    _, ada, bob = home
    await generate(client, ada, options={"n": 3})
    assert await standing(client, ada) == ({**NOTHING_USED, "reserved": 3}, {**NOTHING_USED, "reserved": 3})
    assert await standing(client, bob) == ({**NOTHING_USED, "reserved": 3}, NOTHING_USED)


async def test_a_plan_limits_the_community(client: Client, home: list[Viewer], jobs: RecordedJobs) -> None:
    """All members share the plan's allowance; what would exceed it is refused with how the quota stands."""
    admin, ada, bob = home
    plan = (await change(client, admin, "createPlan", name=" Small ", limits=[{**IMAGES, "amount": 3}]))["plan"]
    assert plan == {
        "id": plan["id"],
        "name": "Small",
        "isShared": False,
        "priority": 1,
        "limits": [{**IMAGES, "amount": 3}],
    }
    on_plan = await change(client, admin, "setCommunityPlan", planId=plan["id"])
    assert on_plan["community"] == {"name": "Lovelace", "plan": plan}
    await generate(client, ada, options={"n": 2})
    assert await generate(client, bob, options={"n": 2}) == {
        "__typename": "QuotaExceededError",
        "message": "The community's quota for this month doesn't allow 2 more: 2 of 3 images are used or reserved. "
        "It starts anew on 2026-12-01 00:00 UTC.",
        **IMAGES,
        "limit": 3,
        "used": 2,
        "resetsAt": DECEMBER,
    }
    assert len(jobs.enqueued) == 1 + 1  # the second was put in line by a transaction that was then rolled back
    community, own = await standing(client, bob)
    assert community == {**NOTHING_USED, "limit": 3, "reserved": 2, "remaining": 1}
    assert own == NOTHING_USED
    raised = await change(client, admin, "updatePlan", id=plan["id"], limits=[{**IMAGES, "amount": 4}])
    assert raised["plan"] == {**plan, "limits": [{**IMAGES, "amount": 4}]}
    assert (await generate(client, bob, options={"n": 2}))["__typename"] == "GenerateImageSuccess"


async def test_a_users_own_limit(client: Client, home: list[Viewer]) -> None:
    """It holds beside the community's plan, for that user alone, and is lifted again."""
    admin, ada, bob = home
    limited = await change(client, admin, "setUserLimit", userId=gid(ada.user), **IMAGES, amount=1)
    assert limited["user"] == {"id": gid(ada.user), "quota": {**NOTHING_USED, "limit": 1, "remaining": 1}}
    refused = await generate(client, ada, options={"n": 2})
    assert (refused["__typename"], refused["limit"], refused["used"]) == ("QuotaExceededError", 1, 0)
    assert refused["message"].startswith("Your quota")
    assert (await generate(client, bob, options={"n": 2}))["__typename"] == "GenerateImageSuccess"
    lifted = await change(client, admin, "setUserLimit", userId=gid(ada.user), **IMAGES)
    assert lifted["user"]["quota"] == NOTHING_USED
    assert (await generate(client, ada, options={"n": 2}))["__typename"] == "GenerateImageSuccess"


async def test_money_is_limited_too(client: Client, home: list[Viewer]) -> None:
    """By what the provider charges; the amount that is expected is told with the generation."""
    admin, ada, _ = home
    asked = {"provider": "OPENAI", "model": "gpt-image-2", "options": {"quality": "medium", "size": "1024x1024"}}
    cost = (await generate(client, ada, **asked))["generation"]["estimatedCostMicroUsd"]
    limit = 2 * cost - 1
    await change(client, admin, "setUserLimit", userId=gid(ada.user), **MONEY, amount=limit)
    _, own = await standing(client, ada, "MICRO_USD")
    assert (own["limit"], own["reserved"], own["remaining"]) == (limit, cost, cost - 1)
    refused = await generate(client, ada, **asked)
    assert (refused["unit"], refused["limit"], refused["used"]) == ("MICRO_USD", limit, cost)


async def test_what_was_used_is_told(client: Client, world: World, home: list[Viewer]) -> None:
    """Amounts beyond GraphQL's Int are told as its largest, also by a refusal."""
    admin, ada, _ = home
    account = Account(ada.user.community_id, Feature.IMAGE_GENERATION, QuotaUnit.MICRO_USD, "2026-11")
    async with world.unit_of_work() as work:
        await work.usage.move(account, 7, 5)
        await work.commit()
    community, _ = await standing(client, ada, "MICRO_USD")
    assert (community["used"], community["reserved"]) == (5, 7)
    async with world.unit_of_work() as work:
        await work.usage.move(account, 3_000_000_000, 4_000_000_000)
        await work.commit()
    community, _ = await standing(client, ada, "MICRO_USD")
    assert (community["used"], community["reserved"]) == (MAX_AMOUNT, MAX_AMOUNT)
    plan = (await change(client, admin, "createPlan", name="Big", limits=[{**MONEY, "amount": MAX_AMOUNT}]))["plan"]
    await change(client, admin, "setCommunityPlan", planId=plan["id"])
    refused = await generate(client, ada, provider="OPENAI")
    assert (refused["__typename"], refused["used"]) == ("QuotaExceededError", MAX_AMOUNT)


async def test_who_sees_whose_quota(client: Client, world: World, home: list[Viewer]) -> None:
    """One's own, and an admin everybody's; of others it is null."""
    admin, ada, bob = home
    query = "query ($id: ID!) { node(id: $id) { ... on User { quota(feature: IMAGE_GENERATION) { used } } } }"
    for viewer in (admin, ada):
        node = (await client.data(query, {"id": gid(ada.user)}, viewer))["node"]
        assert node == {"quota": {"used": 0}}
    made = await client.mutate(
        "createPrompt",
        {"type": "COACH", "name": "x", "body": "x"},
        "... on CreatePromptSuccess { prompt { id } }",
        admin,
    )
    author = "query ($id: ID!) { node(id: $id) { ... on Prompt { author { name quota(feature: IMAGE_GENERATION) { used } } } } }"
    seen = await client.data(author, {"id": made["prompt"]["id"]}, bob)
    assert seen == {"node": {"author": {"name": "Ada", "quota": None}}}


async def test_many_quotas_are_two_statements(
    client: Client, world: World, home: list[Viewer], statements: Statements
) -> None:
    """However many users there are, each with its own limit and use, and in both units."""
    admin = home[0]
    money = "money: quota(feature: IMAGE_GENERATION, unit: MICRO_USD) { unit limit used }"
    query = f"{{ accounts {{ id quota(feature: IMAGE_GENERATION) {{ unit limit used }} {money} }} }}"
    expected: dict[str, tuple[int | None, int]] = {gid(admin.user): (None, 0)}
    for limit in (2, 9):
        for amount in range(limit):
            user = (await stored_viewer(world.unit_of_work, Community(admin.user.community_id, ""), is_test=True)).user
            async with world.unit_of_work() as work:
                await work.plans.set_user_limit(user.id, Feature.IMAGE_GENERATION, QuotaUnit.IMAGES, amount)
                account = Account(user.id, Feature.IMAGE_GENERATION, QuotaUnit.IMAGES, "2026-11")
                await work.usage.move(account, 0, limit)
                await work.commit()
            expected[gid(user)] = (amount, limit)
        statements.sent.clear()
        found = (await client.data(query, viewer=admin))["accounts"]
        assert len(statements.sent) == 1 + 1 + 2, statements.sent  # who asks, the accounts, limits and counters
        assert {one["id"]: one["quota"] for one in found} == {
            id: {"unit": "IMAGES", "limit": amount, "used": used} for id, (amount, used) in expected.items()
        }
        assert [one["money"] for one in found] == [{"unit": "MICRO_USD", "limit": None, "used": 0}] * len(expected)


async def test_a_plans_priority(client: Client, home: list[Viewer], jobs: RecordedJobs) -> None:
    """It is 1 unless said otherwise, stays when it isn't given, and holds for what is asked for from then on."""
    admin, ada, _ = home
    plan = (await change(client, admin, "createPlan", name="Plain", limits=[], priority=None))["plan"]
    assert plan["priority"] == 1
    plan = (await change(client, admin, "createPlan", name="Big", limits=[], priority=10))["plan"]
    assert plan["priority"] == 10
    await generate(client, ada)
    await change(client, admin, "setCommunityPlan", planId=plan["id"])
    await generate(client, ada)
    for input, priority in (({"name": "Bigger"}, 10), ({"priority": None}, 10), ({"priority": 3}, 3)):
        changed = (await change(client, admin, "updatePlan", id=plan["id"], **input))["plan"]
        assert changed["priority"] == priority
    await generate(client, ada)
    assert jobs.priorities == [1, 10, 3]
    for priority in (0, 11):
        refused = await change(client, admin, "updatePlan", id=plan["id"], priority=priority)
        problem = {"path": ["priority"], "message": "A priority must be between 1 and 10"}
        assert (refused["__typename"], refused["fields"]) == ("InvalidInputError", [problem])
    plans = (await client.data("{ plans { name priority } }", viewer=ada))["plans"]
    assert plans == [{"name": "Bigger", "priority": 3}, {"name": "Plain", "priority": 1}]


async def test_plans_are_listed(client: Client, world: World, home: list[Viewer]) -> None:
    """The community's own and the operator's, by name; another community's are not."""
    admin, ada, _ = home
    own = a_plan(admin.user.community_id, limit_of(3), name="B", priority=4)
    shared = a_plan(None, name="A")
    strangers = a_plan((await stored_community(world.unit_of_work)).id, name="C")
    await world.add(own, shared, strangers)
    expected = [
        {"id": gid(shared), "name": "A", "isShared": True, "priority": 1, "limits": []},
        {"id": gid(own), "name": "B", "isShared": False, "priority": 4, "limits": [{**IMAGES, "amount": 3}]},
    ]
    query = f"query ($ids: [ID!]!) {{ plans {PLAN} nodes(ids: $ids) {{ id }} }}"
    data = await client.data(query, {"ids": [gid(plan) for plan in (own, shared, strangers)]}, ada)
    assert data == {"plans": expected, "nodes": [{"id": gid(own)}, {"id": gid(shared)}, None]}


async def test_a_plan_in_use_stays(client: Client, home: list[Viewer]) -> None:
    """It goes once the community is on none; its name may change meanwhile."""
    admin = home[0]
    plan = (await change(client, admin, "createPlan", name="Small", limits=[]))["plan"]
    await change(client, admin, "setCommunityPlan", planId=plan["id"])
    assert (await change(client, admin, "deletePlan", id=plan["id"]))["__typename"] == "ConflictError"
    assert (await change(client, admin, "updatePlan", id=plan["id"], name="Tiny"))["plan"]["name"] == "Tiny"
    assert (await change(client, admin, "setCommunityPlan", planId=None))["community"]["plan"] is None
    gone = await change(client, admin, "deletePlan", id=plan["id"])
    assert gone == {"__typename": "DeletePlanSuccess", "deletedId": plan["id"]}
    assert await client.data("{ plans { id } }", viewer=admin) == {"plans": []}


async def test_what_the_operator_set_stays(client: Client, world: World, home: list[Viewer]) -> None:
    """Nobody but the operator puts the community on the operator's plan, takes it off, or changes that plan."""
    admin = home[0]
    operator = await stored_viewer(
        world.unit_of_work, Community(admin.user.community_id, ""), role=Role.ADMIN, is_operator=True
    )
    shared, own = a_plan(None, limit_of(3)), a_plan(admin.user.community_id)
    await world.add(shared, own)
    refusal = {
        "__typename": "ConflictError",
        "message": "Only the operator of this server puts communities on that plan, or takes them off",
    }
    assert await change(client, admin, "setCommunityPlan", planId=gid(shared)) == refusal
    assert (await change(client, operator, "setCommunityPlan", planId=gid(shared)))["community"]["plan"]["isShared"]
    assert await change(client, admin, "setCommunityPlan", planId=gid(own)) == refusal
    assert await change(client, admin, "setCommunityPlan") == refusal
    for mutation in (
        f'updatePlan(input: {{id: "{gid(shared)}", limits: []}})',
        f'deletePlan(input: {{id: "{gid(shared)}"}})',
    ):
        (error,) = (await client.ask(f"mutation {{ {mutation} {{ __typename }} }}", viewer=admin))["errors"]
        assert error["message"] == "Only the operator of this server may change plans for all communities"
        assert error["extensions"] == {"code": "FORBIDDEN"}
    plans = (await client.data(f"{{ plans {PLAN} }}", viewer=admin))["plans"]
    assert {
        "id": gid(shared),
        "name": "Small",
        "isShared": True,
        "priority": 1,
        "limits": [{**IMAGES, "amount": 3}],
    } in plans


async def test_a_hundred_plans(client: Client, world: World, home: list[Viewer]) -> None:
    """More are refused."""
    await world.add(*(a_plan(home[0].user.community_id) for _ in range(100)))
    assert await change(client, home[0], "createPlan", name="x", limits=[]) == {
        "__typename": "ConflictError",
        "message": "There are 100 plans: remove one that nobody is on",
    }


@pytest.mark.parametrize(
    ("mutation", "input", "message"),
    [
        ("createPlan", {"name": "", "limits": []}, "Name must be 1 to 255 characters"),
        ("createPlan", {"name": "x", "limits": [], "priority": 0}, "A priority must be between 1 and 10"),
        (
            "createPlan",
            {"name": "x", "limits": [{**IMAGES, "amount": -1}]},
            "A limit must be between 0 and 2,147,483,647",
        ),
        ("createPlan", {"name": "x", "limits": [{**IMAGES, "amount": 1}] * 2}, "Limit each feature once in each unit"),
        ("setUserLimit", {"userId": "ada", **IMAGES, "amount": -1}, "A limit must be between 0 and 2,147,483,647"),
        (
            "updateCommunity",
            {"timeZone": "Atlantis"},
            "There is no time zone Atlantis. Use a name such as Europe/Berlin",
        ),
    ],
)
async def test_wrong_values(
    client: Client, home: list[Viewer], mutation: str, input: dict[str, object], message: str
) -> None:
    """The answer says what to mend, and nothing has changed."""
    given = {key: gid(home[1].user) if value == "ada" else value for key, value in input.items()}
    answer = await change(client, home[0], mutation, **given)
    assert (answer["__typename"], answer["message"]) == ("InvalidInputError", message)
    query = "{ plans { id } viewer { community { name timeZone } } }"
    assert await client.data(query, viewer=home[1]) == {
        "plans": [],
        "viewer": {"community": {"name": "Lovelace", "timeZone": "UTC"}},
    }
    assert await standing(client, home[1]) == (NOTHING_USED, NOTHING_USED)


async def test_months_begin_by_the_communitys_time_zone(client: Client, home: list[Viewer]) -> None:
    """An admin sets it, and every quota follows."""
    changed = await change(client, home[0], "updateCommunity", timeZone="Europe/Berlin")
    assert changed["community"] == {"name": "Lovelace", "timeZone": "Europe/Berlin"}
    community, own = await standing(client, home[1])
    assert community["resetsAt"] == own["resetsAt"] == "2026-12-01T00:00:00+01:00"


CHANGES = {
    "createPlan": 'name: "x", limits: []',
    "updatePlan": f'id: "{nobody("Plan")}"',
    "deletePlan": f'id: "{nobody("Plan")}"',
    "setCommunityPlan": "",
    "setUserLimit": f'userId: "{nobody("User")}", feature: IMAGE_GENERATION, unit: IMAGES',
    "updateCommunity": 'timeZone: "UTC"',
}


@pytest.mark.parametrize("mutation", CHANGES)
async def test_members_change_nothing(client: Client, world: World, home: list[Viewer], mutation: str) -> None:
    """Plans, limits and the community are the admins'."""
    plan = a_plan(home[0].user.community_id)
    await world.add(plan)
    input = CHANGES[mutation].replace(nobody("Plan"), gid(plan)).replace(nobody("User"), gid(home[1].user))
    answer = await client.ask(f"mutation {{ {mutation}(input: {{ {input} }}) {{ __typename }} }}", viewer=home[1])
    assert [error["extensions"] for error in answer["errors"]] == [{"code": "FORBIDDEN"}]
    data = await client.data("{ plans { name } viewer { community { name } } }", viewer=home[1])
    assert data == {"plans": [{"name": "Small"}], "viewer": {"community": {"name": "Lovelace"}}}


async def test_what_is_not_there_is_not_found(client: Client, world: World, home: list[Viewer]) -> None:
    """Another community's plan and user, and those that never were."""
    stranger = await stored_viewer(world.unit_of_work)
    plan = a_plan(stranger.user.community_id)
    await world.add(plan)
    for id in (gid(plan), nobody("Plan"), "nonsense"):
        refusal = {"__typename": "NotFoundError", "message": "Plan not found", "id": id}
        for mutation, input in (
            ("updatePlan", {"id": id}),
            ("deletePlan", {"id": id}),
            ("setCommunityPlan", {"planId": id}),
        ):
            assert await change(client, home[0], mutation, **input) == refusal
    for id in (gid(stranger.user), nobody("User")):
        answer = await change(client, home[0], "setUserLimit", userId=id, **IMAGES, amount=1)
        assert answer == {"__typename": "NotFoundError", "message": "User not found", "id": id}


async def test_an_estimate(client: Client, world: World, home: list[Viewer], jobs: RecordedJobs) -> None:
    """What asking would cost and meet with, quota included; nothing is put in line or reserved."""
    admin, ada, _ = home
    await change(client, admin, "setUserLimit", userId=gid(ada.user), **IMAGES, amount=1)
    query = """query ($input: GenerateImageInput!) {
        estimateGeneration(input: $input) { costMicroUsd basis seconds problems } }"""

    async def estimated(**input: object) -> dict[str, Any]:
        data: dict[str, Any] = (await client.data(query, {"input": input}, ada))["estimateGeneration"]
        return data

    free = {"costMicroUsd": 0, "basis": "The provider's listed price.", "seconds": None, "problems": []}
    assert await estimated(prompt="A house") == free
    two = await estimated(prompt="A house", options={"n": 2})
    assert (two["costMicroUsd"], len(two["problems"])) == (0, 1)
    assert two["problems"][0].startswith("Your quota for this month doesn't allow 2 more")
    nothing = {"costMicroUsd": None, "basis": "No price is known.", "seconds": None}
    assert await estimated() == {
        **nothing,
        "problems": ["Give one of identityId, prompt, structuredPrompt and parentImageId"],
    }
    for id in (nobody("Identity"), "nonsense"):
        assert await estimated(identityId=id) == {**nothing, "problems": ["Identity not found"]}
    assert jobs.enqueued == []
    assert (await standing(client, ada))[1]["reserved"] == 0
