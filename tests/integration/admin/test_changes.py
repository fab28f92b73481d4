"""The operators' page: what it changes through the rules, and that it changes nothing else."""

import re
from dataclasses import replace
from uuid import uuid4

from app.wiring import Atelier
from domain.generations import GenerationState
from domain.prompts import PromptType
from domain.quotas import Feature, QuotaUnit
from domain.users import Role, Viewer
from domain.wishes import GenerateImage
from engine.jobs import migrate
from storage.database.tables import image, plan, prompt, user_account
from tests.admin import BASE, LISTS, PASSWORD, Browser, Things, problem, rows
from tests.rows import (
    a_plan,
    stored_community,
)

READ_ONLY = ("images", "generations", "usage", "workers")


async def test_what_no_service_changes_can_t_be_changed(browser: Browser, atelier: Atelier, things: Things) -> None:
    """Forms that the library could show are not there, and what it could do by itself is refused."""
    before = [await rows(atelier, table) for table in (image, user_account, plan, prompt)]
    for key in LISTS:
        id = things.ids.get(key, uuid4())
        answers = [
            await browser.act(key, id, "delete"),
            await browser.send(f"/_api/{key}/action", query={"pks": id, "name": "delete"}),
            await browser.send(f"/_api/{key}/action", query={"all": 1, "name": "delete"}),
            await browser.send(f"/_api/{key}/action", {"scope": "page", "format": "csv"}, {"name": "export"}),
            await browser.send(f"/_api/{key}/import", {"format": "csv"}),
            await browser.send(f"/_api/{key}/inline-edit", {"name": "x"}, {"pk": id, "field": "name"}),
        ]
        assert [answer.status_code for answer in answers] == [400, 400, 400, 400, 403, 403], key
    for key in READ_ONLY:
        for path in (f"/{key}/create", f"/{key}/edit?pk={uuid4()}"):
            assert (await browser.http.get(f"/admin{path}")).status_code == 403
        assert (await browser.send(f"/{key}/create", {"prompt": "x"})).status_code == 403
        assert (await browser.send(f"/{key}/edit", {"prompt": "x"}, {"pk": things.ids.get(key)})).status_code == 403
    assert (await browser.send("/communities/create", {"name": "x"})).status_code == 403
    assert (await browser.send("/prompts/edit", {"body": "x"}, {"pk": things.ids["prompts"]})).status_code == 403
    assert [await rows(atelier, table) for table in (image, user_account, plan, prompt)] == before


async def test_forms_take_their_own_fields_alone(browser: Browser, atelier: Atelier, things: Things) -> None:
    """What else is sent along changes nothing."""
    more = {"is_operator": "on", "password": "another password", "email": "x@example.org", "name": "X"}
    more |= {"password_hash": "x", "community": str(uuid4()), "id": str(uuid4())}
    answer = await browser.send("/users/edit", {"role": "ADMIN", **more}, {"pk": things.member.id})
    assert answer.status_code == 303
    async with atelier.unit_of_work(read_only=True) as work:
        assert await work.users.get(things.member.id) == replace(things.member, role=Role.ADMIN)
    made = {"email": "new@example.org", "community_name": "Looms", "role": "MEMBER", "is_operator": "on"}
    assert (await browser.send("/users/create", made)).status_code == 303
    async with atelier.unit_of_work(read_only=True) as work:
        new = await work.users.of_email("new@example.org")
    assert new
    assert not new.is_operator


async def test_making_a_user(browser: Browser, atelier: Atelier, things: Things) -> None:
    """In a community by its name; the rules say what is wrong, and a password is never shown again."""
    form = {"email": "new@example.org", "name": "Newcomer", "community_name": "Looms", "role": "ADMIN", "is_test": "on"}
    refused = await browser.send("/users/create", {**form, "password": "too few"})
    assert problem(refused) == "password: A password has 8 to 1,000 characters"
    assert "too few" not in refused.text
    taken = await browser.send("/users/create", {**form, "email": "mary@example.org"})
    assert problem(taken) == "email: The community has a user with this e-mail address already"
    assert (
        problem(await browser.send("/users/create", {**form, "role": "OWNER"}))
        == "role: Choose one of the values offered"
    )
    assert (
        problem(await browser.send("/users/create", {**form, "name": "New\0comer"}))
        == "name: There is a character that is none"
    )
    nowhere = await browser.send("/users/create", {**form, "community_name": ""})
    assert problem(nowhere) == "community_name: This field is required."
    assert (await browser.send("/users/create", {**form, "password": PASSWORD})).status_code == 303
    _, _, user = await atelier.accounts.sign_in("new@example.org", PASSWORD)
    assert (user.name, user.role, user.is_test, user.community_id) == (
        "Newcomer",
        Role.ADMIN,
        True,
        things.member.community_id,
    )


async def test_a_user_s_role_and_limits(browser: Browser, atelier: Atelier, things: Things) -> None:
    """Set, shown in the form as they were typed in, and lifted again by leaving them empty."""

    async def standing() -> list[int | None]:
        measures = [(things.member.id, Feature.IMAGE_GENERATION, unit) for unit in QuotaUnit]
        found = await atelier.quotas.standing(things.member.community_id, measures)
        return [found[measure].limit for measure in measures]

    id = {"pk": things.member.id}
    limited = {"role": "ADMIN", "limits_images": "2147483647", "limits_dollars": "2.5"}
    assert (await browser.send("/users/edit", limited, id)).status_code == 303
    assert await standing() == [2_147_483_647, 2_500_000]
    form = await browser.page("/users/edit", pk=things.member.id)
    assert 'value="2147483647"' in form
    assert 'value="2.50"' in form
    refused = await browser.send("/users/edit", {"role": "MEMBER", "limits_images": "many"}, id)
    assert problem(refused) == "limits_images: Give a number of images, such as 50"
    for field, typed, most in (
        ("limits_images", "2147483648", "2,147,483,647"),
        ("limits_dollars", "2147.483648", "$2,147.483647"),
    ):
        too_much = await browser.send("/users/edit", {"role": "MEMBER", field: typed}, id)
        assert problem(too_much) == f"{field}: Give at most {most}"
    assert await standing() == [2_147_483_647, 2_500_000]
    assert (await browser.send("/users/edit", {"role": "MEMBER"}, id)).status_code == 303
    assert await standing() == [None, None]
    async with atelier.unit_of_work(read_only=True) as work:
        assert (await work.users.get(things.member.id)).role is Role.MEMBER


async def test_revoking_a_user_s_tokens(browser: Browser, atelier: Atelier, things: Things) -> None:
    """They are dead from now on."""
    answer = await browser.act("users", things.member.id, "revoke")
    assert answer.status_code == 200
    async with atelier.unit_of_work(read_only=True) as work:
        assert (await work.users.get(things.member.id)).tokens_valid_after > things.member.tokens_valid_after
    for nobody in (uuid4(), "nonsense", ""):
        gone = await browser.act("users", nobody, "revoke")
        assert (gone.status_code, gone.json()) == (400, {"msg": "User not found"})


async def test_plans(browser: Browser, atelier: Atelier, things: Things) -> None:
    """For all communities or one; changed, given to a community, and removed when nobody is on them."""
    community_id = things.member.community_id
    form = {"name": "Generous", "limits_images": "500", "limits_dollars": "", "priority": "10"}
    assert (await browser.send("/plans/create", form)).status_code == 303
    own = {"name": "Own", "community": community_id, "limits_images": "", "limits_dollars": "10.25", "priority": "1"}
    assert (await browser.send("/plans/create", own)).status_code == 303
    async with atelier.unit_of_work(read_only=True) as work:
        found = {one.name: one for one in await work.plans.list(community_id)}
    assert {name: (one.community_id, [limit.amount for limit in one.limits]) for name, one in found.items()} == {
        "Generous": (None, [500]),
        "Modest": (None, [12]),
        "Own": (community_id, [10_250_000]),
    }
    assert {name: one.priority for name, one in found.items()} == {"Generous": 10, "Modest": 1, "Own": 1}
    wrong = {"name": " ", "limits_images": "1", "priority": "1"}
    edited = await browser.send("/plans/edit", wrong, {"pk": found["Own"].id})
    assert problem(edited) == "name: Name must be 1 to 255 characters"
    form = {"name": "Our own", "limits_images": "30", "limits_dollars": "0", "priority": "3"}
    assert (await browser.send("/plans/edit", form, {"pk": found["Own"].id})).status_code == 303
    assert (await browser.send("/communities/edit", {"plan": found["Own"].id}, {"pk": community_id})).status_code == 303
    assert re.search(r'name="priority"[^>]*value="3"', await browser.page("/plans/edit", pk=found["Own"].id))
    measures = [(community_id, Feature.IMAGE_GENERATION, unit) for unit in QuotaUnit]
    quotas = await atelier.quotas.standing(community_id, measures)
    assert [quotas[measure].limit for measure in measures] == [30, 0]
    in_use = await browser.act("plans", found["Own"].id, "remove")
    assert in_use.status_code == 400
    assert "on" in in_use.json()["msg"]
    page = await browser.page("/communities/detail", pk=community_id)
    assert "Our own" in page
    assert (await browser.send("/communities/edit", {"plan": ""}, {"pk": community_id})).status_code == 303
    removed = await browser.act("plans", found["Own"].id, "remove")
    assert removed.json() == {"redirect": f"{BASE}/admin/plans/list"}
    assert {row["name"] for row in await rows(atelier, plan)} == {"Generous", "Modest"}


async def test_a_plan_s_priority(browser: Browser, atelier: Atelier, things: Things) -> None:
    """A whole number from 1 to 10, which the form begins with at 1."""
    assert re.search(r'name="priority"[^>]*value="1"', await browser.page("/plans/create"))
    before = await rows(atelier, plan)
    for wrong in ("0", "11"):
        refused = await browser.send("/plans/create", {"name": "Other", "priority": wrong})
        assert problem(refused) == "priority: Ensure this value is between 1 and 10"
    for wrong in ("", "many", "2.5"):
        refused = await browser.send("/plans/create", {"name": "Other", "priority": wrong})
        assert problem(refused) == "priority: This field is required."
        refused = await browser.send("/plans/edit", {"name": "Other", "priority": wrong}, {"pk": things.ids["plans"]})
        assert problem(refused) == "priority: This field is required."
    assert await rows(atelier, plan) == before


async def test_a_generation_is_cancelled(browser: Browser, atelier: Atelier, things: Things) -> None:
    """By the rules, whoever's it is; its page no longer offers it then, and tells what was asked for again."""
    migrate(atelier.database.sync_engine())
    asked = await atelier.requests.ask(Viewer(things.member), GenerateImage(prompt="A mill by the river"))
    assert "Cancel the generation" in await browser.page("/generations/detail", pk=asked.id)
    assert "Cancel the generation" not in await browser.page("/generations/list")
    assert (await browser.act("generations", asked.id, "cancel")).status_code == 200
    page = await browser.page("/generations/detail", pk=asked.id)
    assert "CANCELLED" in page
    assert "Cancel the generation" not in page
    assert (await browser.act("generations", asked.id, "cancel")).status_code == 400
    async with atelier.unit_of_work(read_only=True) as work:
        events = await work.generations.events(asked.id, 0, 10)
    assert [event.state for event in events] == [GenerationState.QUEUED, GenerationState.CANCELLED]
    again = await atelier.requests.retry(Viewer(things.member), asked.id)
    assert f"/admin/generations/detail?pk={asked.id}" in await browser.page("/generations/detail", pk=again.id)
    for nobody in (uuid4(), "nonsense", ""):
        gone = await browser.act("generations", nobody, "cancel")
        assert (gone.status_code, gone.json()) == (400, {"msg": "Generation not found"})


async def test_a_community_is_put_on_plans_that_it_may_have(browser: Browser, atelier: Atelier, things: Things) -> None:
    """Another community's own, what is no plan, and what is no id, are refused in words."""
    other = await stored_community(atelier.unit_of_work, "Other")
    foreign = a_plan(other.id, name="Theirs")
    async with atelier.unit_of_work() as work:
        await work.plans.add(foreign)
        await work.commit()
    id = {"pk": things.member.community_id}
    assert problem(await browser.send("/communities/edit", {"plan": foreign.id}, id)) == "plan: Plan not found"
    for wrong in (uuid4(), "nonsense"):
        assert (
            problem(await browser.send("/communities/edit", {"plan": wrong}, id))
            == "plan: Choose one of those there are"
        )
    offered = await browser.get("/_api/plans/relation-lookup", q="mod")
    assert [item["name"] for item in offered.json()["items"]] == ["Modest"]


async def test_prompt_versions(browser: Browser, atelier: Atelier, things: Things) -> None:
    """Made by the rules, which check the body, and turned on and off; the built-in one stays."""
    form = {
        "community": things.member.community_id,
        "type": "IMAGE_GENERATION",
        "name": "Sober",
        "body": "Draw {identity_context}.\r\nSoberly.",
        "required_context_keys": ["IDENTITY_CONTEXT"],
    }
    refused = await browser.send("/prompts/create", {**form, "body": "Draw {nonsense}"})
    assert problem(refused).startswith("body: {nonsense} is not a placeholder of IMAGE_GENERATION prompts")
    refused = await browser.send(
        "/prompts/create", {**form, "type": "SENTINEL", "required_context_keys": ["STRUCTURED_PROMPT"]}
    )
    assert problem(refused).startswith("required_context_keys: SENTINEL prompts have no STRUCTURED_PROMPT")
    assert (await browser.send("/prompts/create", form)).status_code == 303
    async with atelier.unit_of_work(read_only=True) as work:
        versions = await work.prompts.list(things.member.community_id, PromptType.IMAGE_GENERATION)
    made, built_in = versions[0], versions[-1]
    assert (made.version, made.name, made.body, made.is_active) == (
        8,
        "Sober",
        "Draw {identity_context}.\nSoberly.",
        False,
    )
    assert (await browser.act("prompts", made.id, "activate")).status_code == 200
    assert "Deactivate" in await browser.page("/prompts/detail", pk=made.id)
    assert (await browser.act("prompts", made.id, "deactivate")).status_code == 200
    assert (await browser.act("prompts", made.id, "deactivate")).status_code == 400
    assert (await browser.act("prompts", built_in.id, "deactivate")).status_code == 400
    assert "Deactivate" not in await browser.page("/prompts/detail", pk=built_in.id)
    async with atelier.unit_of_work(read_only=True) as work:
        kept = await work.prompts.list(things.member.community_id, PromptType.IMAGE_GENERATION)
    assert {one.id: one.is_active for one in kept} == {one.id: one.is_active for one in versions}


async def test_an_image_is_made_private(browser: Browser, atelier: Atelier, things: Things) -> None:
    """Only one that is public can be."""
    shown = things.images[1]
    assert (await browser.act("images", shown.id, "unpublish")).status_code == 400
    await atelier.images.set_public(Viewer(things.member), shown.id, is_public=True)
    assert "Make private" in await browser.page("/images/detail", pk=shown.id)
    assert (await browser.act("images", shown.id, "unpublish")).status_code == 200
    assert "Make private" not in await browser.page("/images/detail", pk=shown.id)


async def test_an_image_in_use_is_removed_only_by_force(browser: Browser, atelier: Atelier, things: Things) -> None:
    """Its users are named first; an image with files of its own leaves none behind."""
    used, free = things.ids["images"], things.images[1]
    refused = await browser.act("images", used, "remove")
    assert refused.status_code == 400
    assert refused.json()["msg"].startswith("The image is in use: it is the portrait of The Analyst")
    assert (await browser.act("images", used, "remove", force="on")).status_code == 200
    removed = await browser.act("images", free.id, "remove")
    assert removed.json() == {"redirect": f"{BASE}/admin/images/list"}
    assert [row["id"] for row in await rows(atelier, image)] == [things.images[0].id]
    assert not await atelier.objects.exists(free.picture.key)
    assert await atelier.objects.exists(things.images[0].picture.key)
