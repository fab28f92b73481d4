"""Wizards and their steps over GraphQL: admins make them, everybody in the community sees them."""

from typing import Any

import pytest

from domain.users import Role, Viewer
from tests.graphql import Client, World, gid, nobody
from tests.rows import a_step, a_wizard, an_image, stored_community, stored_viewer

STEP = "step { id title order background { id } wizard { id name } }"
STEPS = "{ wizards { name steps { title order } } }"


@pytest.fixture
async def home(world: World) -> list[Viewer]:
    """An admin and a member of a community."""
    community = await stored_community(world.unit_of_work)
    return [await stored_viewer(world.unit_of_work, community, role=role) for role in (Role.ADMIN, Role.MEMBER)]


async def change(client: Client, viewer: Viewer, name: str, /, **input: object) -> dict[str, Any]:
    """Call a mutation."""
    fields = "deletedId" if name.startswith("delete") else STEP if "Step" in name else "wizard { id name createdAt }"
    return await client.mutate(name, input, f"... on {name[0].upper()}{name[1:]}Success {{ {fields} }}", viewer)


async def titles(client: Client, viewer: Viewer) -> list[str]:
    """The steps of the one wizard, by order, which counts from 0 without gaps."""
    (wizard,) = (await client.data(STEPS, viewer=viewer))["wizards"]
    assert [step["order"] for step in wizard["steps"]] == list(range(len(wizard["steps"])))
    return [step["title"] for step in wizard["steps"]]


async def test_a_wizard_comes_and_goes(client: Client, world: World, home: list[Viewer]) -> None:
    """Made, renamed and removed by an admin; members see it, by the list and by its id."""
    admin, member = home
    made = (await change(client, admin, "createWizard", name=" Who I am "))["wizard"]
    assert made == {"id": made["id"], "name": "Who I am", "createdAt": world.clock.now().isoformat()}
    renamed = (await change(client, admin, "updateWizard", id=made["id"], name="Who we are"))["wizard"]
    assert renamed == {**made, "name": "Who we are"}
    query = "query ($id: ID!) { wizard(id: $id) { name } wizards { name } }"
    seen = {"name": "Who we are"}
    assert await client.data(query, {"id": made["id"]}, member) == {"wizard": seen, "wizards": [seen]}
    await change(client, admin, "addStep", wizardId=made["id"], title="Welcome")
    gone = await change(client, admin, "deleteWizard", id=made["id"])
    assert gone == {"__typename": "DeleteWizardSuccess", "deletedId": made["id"]}
    assert await client.data(query, {"id": made["id"]}, member) == {"wizard": None, "wizards": []}


async def test_steps_are_added_moved_and_removed(client: Client, world: World, home: list[Viewer]) -> None:
    """Others make room: the numbers have no gaps at any time."""
    admin, member = home
    wizard = a_wizard(admin.user.community_id)
    await world.add(wizard)
    added = (await change(client, admin, "addStep", wizardId=gid(wizard), title="One"))["step"]
    assert added == {
        "id": added["id"],
        "title": "One",
        "order": 0,
        "background": None,
        "wizard": {"id": gid(wizard), "name": "Who I am"},
    }
    await change(client, admin, "addStep", wizardId=gid(wizard), title="Two")
    zero = (await change(client, admin, "addStep", wizardId=gid(wizard), title="Zero", order=0))["step"]
    assert (zero["order"], await titles(client, member)) == (0, ["Zero", "One", "Two"])
    moved = (await change(client, admin, "updateStep", id=zero["id"], order=2))["step"]
    assert (moved["title"], moved["order"]) == ("Zero", 2)
    renamed = (await change(client, admin, "updateStep", id=added["id"], title=" Uno "))["step"]
    assert (renamed["title"], renamed["order"]) == ("Uno", 0)
    assert await titles(client, member) == ["Uno", "Two", "Zero"]
    gone = await change(client, admin, "deleteStep", id=added["id"])
    assert gone == {"__typename": "DeleteStepSuccess", "deletedId": added["id"]}
    assert await titles(client, member) == ["Two", "Zero"]
    query = "query ($id: ID!) { step(id: $id) { title } }"
    assert await client.data(query, {"id": zero["id"]}, member) == {"step": {"title": "Zero"}}
    assert await client.data(query, {"id": added["id"]}, member) == {"step": None}


async def test_a_background_is_seen_by_all(client: Client, world: World, home: list[Viewer]) -> None:
    """The admin's own private image is shown through the step, and taken away again."""
    admin, member = home
    wizard, image = a_wizard(admin.user.community_id), an_image(admin.user)
    step = a_step(wizard)
    await world.add(wizard, step, image)
    shown = await change(client, admin, "setStepBackground", stepId=gid(step), imageId=gid(image))
    assert shown["step"]["background"] == {"id": gid(image)}
    query = "{ wizards { steps { background { filename } } } }"
    seen = await client.data(query, viewer=member)
    assert seen == {"wizards": [{"steps": [{"background": {"filename": "ada.png"}}]}]}
    kept = await change(client, admin, "updateStep", id=gid(step), title="Hello")
    assert kept["step"]["background"] == {"id": gid(image)}
    bare = await change(client, admin, "setStepBackground", stepId=gid(step))
    assert bare["step"]["background"] is None


async def test_only_what_may_be_shown_becomes_a_background(client: Client, world: World, home: list[Viewer]) -> None:
    """A member's image only once it is public: the admin sees it, but the whole community would."""
    admin, member = home
    wizard, image = a_wizard(admin.user.community_id), an_image(member.user)
    step, public = a_step(wizard), an_image(member.user, is_public=True)
    await world.add(wizard, step, image, public)
    refused = await change(client, admin, "setStepBackground", stepId=gid(step), imageId=gid(image))
    assert refused["fields"] == [
        {"path": ["imageId"], "message": "A background is an image of your own, or one that is public"}
    ]
    taken = await change(client, admin, "setStepBackground", stepId=gid(step), imageId=gid(public))
    assert taken["step"]["background"] == {"id": gid(public)}


@pytest.mark.parametrize(
    ("name", "input", "message"),
    [
        ("createWizard", {"name": " "}, "Name must be 1 to 255 characters"),
        ("updateWizard", {"id": "wizard", "name": "x" * 256}, "Name must be 1 to 255 characters"),
        ("addStep", {"wizardId": "wizard", "title": ""}, "Title must be 1 to 255 characters"),
        ("addStep", {"wizardId": "wizard", "title": "x", "order": 2}, "Order must be between 0 and 1"),
        ("updateStep", {"id": "step", "title": ""}, "Title must be 1 to 255 characters"),
        ("updateStep", {"id": "step", "order": -1}, "Order must be between 0 and 0"),
    ],
)
async def test_wrong_names_and_places(
    client: Client, world: World, home: list[Viewer], name: str, input: dict[str, object], message: str
) -> None:
    """The answer names the field, and nothing has changed."""
    wizard = a_wizard(home[0].user.community_id)
    step = a_step(wizard)
    await world.add(wizard, step)
    known = {"wizard": gid(wizard), "step": gid(step)}
    given = {key: known.get(str(value), value) for key, value in input.items()}
    answer = await change(client, home[0], name, **given)
    assert (answer["__typename"], answer["message"]) == ("InvalidInputError", message)
    assert await client.data(STEPS, viewer=home[1]) == {
        "wizards": [{"name": "Who I am", "steps": [{"title": "Welcome", "order": 0}]}]
    }


CHANGES = {
    "createWizard": {"name": "x"},
    "updateWizard": {"id": "Wizard", "name": "x"},
    "deleteWizard": {"id": "Wizard"},
    "addStep": {"wizardId": "Wizard", "title": "x"},
    "updateStep": {"id": "Step", "title": "x"},
    "deleteStep": {"id": "Step"},
    "setStepBackground": {"stepId": "Step"},
}


@pytest.mark.parametrize("name", CHANGES)
async def test_members_change_nothing(client: Client, world: World, home: list[Viewer], name: str) -> None:
    """Every change is forbidden to a member, also of what isn't there."""
    input = ", ".join(f'{key}: "{nobody(value)}"' for key, value in CHANGES[name].items())
    answer = await client.ask(f"mutation {{ {name}(input: {{ {input} }}) {{ __typename }} }}", viewer=home[1])
    assert [(error["message"], error["extensions"]) for error in answer["errors"]] == [
        ("Only an admin of the community may change wizards", {"code": "FORBIDDEN"})
    ]


@pytest.mark.parametrize("name", [name for name in CHANGES if name != "createWizard"])
async def test_what_is_not_there_is_not_found(client: Client, world: World, home: list[Viewer], name: str) -> None:
    """Another community's wizard, and one that never was."""
    stranger = a_wizard((await stored_community(world.unit_of_work)).id)
    step = a_step(stranger)
    await world.add(stranger, step)
    for known in ({"Wizard": gid(stranger), "Step": gid(step)}, {"Wizard": nobody("Wizard"), "Step": nobody("Step")}):
        input = {key: known.get(value, value) for key, value in CHANGES[name].items()}
        (noun,) = [value for value in CHANGES[name].values() if value in known]
        refusal = {"__typename": "NotFoundError", "message": f"{noun} not found", "id": known[noun]}
        assert await change(client, home[0], name, **input) == refusal


async def test_limits(client: Client, world: World, home: list[Viewer]) -> None:
    """A wizard has at most 100 steps, a community at most 200 wizards."""
    wizards = [a_wizard(home[0].user.community_id) for _ in range(200)]
    await world.add(*wizards, *(a_step(wizards[0], order) for order in range(100)))
    full = await change(client, home[0], "addStep", wizardId=gid(wizards[0]), title="x")
    assert full == {"__typename": "LimitReachedError", "message": "Maximum 100 steps allowed", "limit": 100}
    full = await change(client, home[0], "createWizard", name="x")
    assert full == {"__typename": "LimitReachedError", "message": "Maximum 200 wizards allowed", "limit": 200}
