"""Prompts and providers over GraphQL."""

from typing import Any

import pytest

from domain.users import Role, Viewer
from tests.graphql import Client, World, gid, nobody
from tests.rows import a_prompt, a_step, a_wizard, after, an_identity, an_image, stored_community, stored_viewer

PROMPT = "prompt { id type version name body requiredContextKeys isActive author { id } }"
BODY = "Picture {identity_context} as {user_name}."
FORBIDDEN = {
    "message": "Only an admin of the community may change prompts",
    "extensions": {"code": "FORBIDDEN"},
}


@pytest.fixture
async def admin(world: World) -> Viewer:
    """An admin."""
    return await stored_viewer(world.unit_of_work, role=Role.ADMIN)


async def create(client: Client, viewer: Viewer, **input: object) -> dict[str, Any]:
    """Save a version."""
    given = {"type": "IMAGE_GENERATION", "name": "Ours", "body": BODY, **input}
    return await client.mutate("createPrompt", given, f"... on CreatePromptSuccess {{ {PROMPT} }}", viewer)


async def set_active(client: Client, viewer: Viewer, id: str, *, is_active: bool) -> dict[str, Any]:
    """Use a version, or stop using it."""
    selection = f"... on SetPromptActiveSuccess {{ {PROMPT} }}"
    return await client.mutate("setPromptActive", {"id": id, "isActive": is_active}, selection, viewer)


async def test_versions_count_up(client: Client, admin: Viewer) -> None:
    """A new version follows the built-in one, and can be set aside."""
    made = (await create(client, admin, requiredContextKeys=["USER_NAME"]))["prompt"]
    assert made == {
        "id": made["id"],
        "type": "IMAGE_GENERATION",
        "version": 2,
        "name": "Ours",
        "body": BODY,
        "requiredContextKeys": ["USER_NAME"],
        "isActive": True,
        "author": {"id": gid(admin.user)},
    }
    aside = await set_active(client, admin, made["id"], is_active=False)
    assert aside["prompt"] == {**made, "isActive": False}
    listed = await client.data("{ prompts(type: IMAGE_GENERATION) { version isActive author { id } } }", viewer=admin)
    assert listed["prompts"] == [
        {"version": 2, "isActive": False, "author": {"id": gid(admin.user)}},
        {"version": 1, "isActive": True, "author": None},
    ]
    assert await client.data("{ prompts(type: COACH) { id } }", viewer=admin) == {"prompts": []}


@pytest.mark.parametrize(
    ("input", "path"),
    [
        ({"body": "{"}, "body"),
        ({"body": "{weather}"}, "body"),
        ({"body": "{user_name.__class__}"}, "body"),
        ({"name": " "}, "name"),
        ({"body": "x", "requiredContextKeys": ["USER_NAME"]}, "body"),
    ],
)
async def test_a_body_that_would_break_is_refused(
    client: Client, admin: Viewer, input: dict[str, object], path: str
) -> None:
    """What is wrong with a version is said when it is saved, and it is not saved."""
    answer = await create(client, admin, **input)
    assert answer["__typename"] == "InvalidInputError"
    assert [field["path"] for field in answer["fields"]] == [[path]]
    assert len((await client.data("{ prompts { id } }", viewer=admin))["prompts"]) == 1


async def test_the_built_in_version_stays_active(client: Client, admin: Viewer) -> None:
    """Setting it aside is a conflict; an unknown version is not found."""
    (built_in,) = (await client.data("{ prompts { id } }", viewer=admin))["prompts"]
    refused = await set_active(client, admin, built_in["id"], is_active=False)
    assert refused["__typename"] == "ConflictError"
    unknown = await set_active(client, admin, nobody("Prompt"), is_active=True)
    assert unknown == {"__typename": "NotFoundError", "message": "Prompt not found", "id": nobody("Prompt")}


async def test_members_read_only(client: Client, world: World, admin: Viewer) -> None:
    """A member may neither save nor activate a version."""
    member = await stored_viewer(world.unit_of_work, await stored_community(world.unit_of_work))
    prompt = a_prompt(member.user.community_id, 2)
    await world.add(prompt)
    for mutation in (
        'createPrompt(input: {type: COACH, name: "x", body: "x"})',
        f'setPromptActive(input: {{id: "{gid(prompt)}", isActive: false}})',
    ):
        answer = await client.ask(f"mutation {{ {mutation} {{ __typename }} }}", viewer=member)
        assert answer["data"] is None
        assert [{key: error[key] for key in FORBIDDEN} for error in answer["errors"]] == [FORBIDDEN]


async def test_a_preview(client: Client, world: World, admin: Viewer) -> None:
    """A body is filled in for a real identity and its user, and braces that are doubled stay."""
    identity = an_identity(admin.user, category="", i_am_statement="", visualization="", notes=())
    await world.add(identity)
    query = "query ($body: String!, $id: ID) { previewPrompt(body: $body, type: COACH, identityId: $id) }"
    body = "{user_name}: {identity_context} {{x}}"
    data = await client.data(query, {"body": body, "id": gid(identity)}, admin)
    assert data == {"previewPrompt": 'Ada: Identity Name: "The Analyst" {x}'}


async def test_a_preview_with_all_texts(client: Client, admin: Viewer) -> None:
    """A prompt in parts and an additional one fill their placeholders."""
    query = """query ($body: String!) { previewPrompt(body: $body, type: IMAGE_GENERATION,
        structuredPrompt: {style: "oil", mood: "calm"}, additionalPrompt: " by night ") }"""
    body = "[{identity_context}] [{structured_prompt}] [{additional_prompt}]"
    data = await client.data(query, {"body": body}, admin)
    assert data == {"previewPrompt": "[None provided] [Style: oil\nMood: calm] [by night]"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("structuredPrompt: {}", "Fill in at least one part of the structured prompt"),
        ('additionalPrompt: "' + "x" * 4_001 + '"', "Additional prompt must be at most 4,000 characters"),
    ],
)
async def test_a_preview_with_wrong_texts(client: Client, admin: Viewer, arguments: str, message: str) -> None:
    """What could not be asked for can't be previewed."""
    answer = await client.ask(f'{{ previewPrompt(body: "x", type: COACH, {arguments}) }}', viewer=admin)
    assert [(error["message"], error["extensions"]) for error in answer["errors"]] == [
        (message, {"code": "INVALID_INPUT"})
    ]


async def test_what_became_of_a_versions_images(client: Client, world: World) -> None:
    """How many were made, how many of them are in use or public, and the images; a member's own, an admin's all."""
    community = await stored_community(world.unit_of_work)
    admin = await stored_viewer(world.unit_of_work, community, role=Role.ADMIN)
    ada = await stored_viewer(world.unit_of_work, community)
    prompt, wizard = a_prompt(community.id, 2), a_wizard(community.id)
    public, portrait, plain = (
        an_image(ada.user, prompt_id=prompt.id, created_at=after(-n), is_public=n == 0) for n in range(3)
    )
    background = an_image(admin.user, prompt_id=prompt.id, created_at=after(-4))
    await world.add(prompt, public, portrait, plain, background, an_image(ada.user))
    await world.add(an_identity(ada.user, image_id=portrait.id), wizard, a_step(wizard, background_id=background.id))
    query = """query ($id: ID!) { node(id: $id) { ... on Prompt { acceptance { made accepted rate }
        images(first: 2) { nodes { id } totalCount pageInfo { hasNextPage endCursor } } } } }"""
    seen = (await client.data(query, {"id": gid(prompt)}, ada))["node"]
    assert seen["acceptance"] == {"made": 3, "accepted": 2, "rate": 2 / 3}
    assert [node["id"] for node in seen["images"]["nodes"]] == [gid(public), gid(portrait)]
    assert (seen["images"]["totalCount"], seen["images"]["pageInfo"]["hasNextPage"]) == (3, True)
    seen = (await client.data(query, {"id": gid(prompt)}, admin))["node"]
    assert seen["acceptance"] == {"made": 4, "accepted": 3, "rate": 0.75}
    assert seen["images"]["totalCount"] == 4
    rest = """query ($id: ID!, $after: String) { node(id: $id) { ... on Prompt {
        images(after: $after) { nodes { id } } last: images(last: 1) { nodes { id } } } } }"""
    seen = (await client.data(rest, {"id": gid(prompt), "after": seen["images"]["pageInfo"]["endCursor"]}, admin))[
        "node"
    ]
    assert [node["id"] for node in seen["images"]["nodes"]] == [gid(plain), gid(background)]
    assert seen["last"] == {"nodes": [{"id": gid(background)}]}


async def test_a_version_that_made_nothing(client: Client, admin: Viewer) -> None:
    """Has no rate."""
    data = await client.data("{ prompts { acceptance { made accepted rate } images { totalCount } } }", viewer=admin)
    nothing = {"made": 0, "accepted": 0, "rate": None}
    assert data == {"prompts": [{"acceptance": nothing, "images": {"totalCount": 0}}]}


@pytest.mark.parametrize(
    ("variables", "code"),
    [
        ({"body": "{structured_prompt}"}, "INVALID_INPUT"),
        ({"body": "x", "id": nobody("Identity")}, "NOT_FOUND"),
        ({"body": "x", "id": "nonsense"}, "NOT_FOUND"),
    ],
)
async def test_a_preview_that_fails(client: Client, admin: Viewer, variables: dict[str, object], code: str) -> None:
    """A body of the wrong type's placeholders, and an identity that isn't there."""
    query = "query ($body: String!, $id: ID) { previewPrompt(body: $body, type: COACH, identityId: $id) }"
    answer = await client.ask(query, variables, admin)
    assert answer["data"] is None
    assert [error["extensions"] for error in answer["errors"]] == [{"code": code}]


async def test_providers(client: Client, admin: Viewer) -> None:
    """Every known provider says whether it can be used, and why not; capabilities are data."""
    query = """{ providers {
        kind makesImages canGenerateImages problem needsKey needsBaseUrl
        models { id sizes qualities qualityWords { word quality resolution } maxReferences streamsPreviews }
    } }"""
    providers = {provider.pop("kind"): provider for provider in (await client.data(query, viewer=admin))["providers"]}
    assert len(providers) == 10
    offline = providers["OFFLINE"]
    assert (offline["canGenerateImages"], offline["problem"], offline["needsKey"]) == (True, None, False)
    assert offline["models"][0]["maxReferences"] > 0
    assert providers["ANTHROPIC"] == {
        "makesImages": False,
        "canGenerateImages": False,
        "needsKey": True,
        "needsBaseUrl": False,
        "problem": "Anthropic's API has no image generation.",
        "models": [],
    }
    gemini, openai = providers["GEMINI"], providers["OPENAI"]
    assert (gemini["makesImages"], gemini["canGenerateImages"], gemini["needsKey"]) == (True, False, True)
    assert (openai["makesImages"], openai["canGenerateImages"], openai["needsKey"]) == (True, True, True)
    for model in openai["models"]:
        assert {known["quality"] for known in model["qualityWords"]} <= {*model["qualities"], None}
    assert providers["OPENAI_COMPATIBLE"]["needsBaseUrl"] is True
