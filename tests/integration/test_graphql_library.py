"""The library over GraphQL: pages, filters, recipes, pictures, uses, and how many statements a list costs."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from domain.connection_profiles import ProfileChange
from domain.images import Image, ImageSource
from domain.pictures import VariantSize
from domain.prompts import PromptType, StructuredPrompt
from domain.providers import ProviderKind
from domain.tags import Tag, TagKind
from domain.users import Community, Role, Viewer
from tests.graphql import Client, Statements, World, gid
from tests.rows import (
    NOW,
    PICTURE,
    a_generation,
    a_plan,
    a_prompt,
    a_recipe,
    a_slot,
    a_step,
    a_wizard,
    after,
    an_attempt,
    an_identity,
    an_image,
    limit_of,
    stored_community,
    stored_viewer,
)

PAGE = """query ($first: Int, $after: String, $last: Int, $before: String) {
    images(first: $first, after: $after, last: $last, before: $before) {
        nodes { filename } edges { cursor node { filename } }
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    }
}"""


@pytest.fixture
async def ada(world: World) -> Viewer:
    """A member."""
    return await stored_viewer(world.unit_of_work)


async def stored_images(world: World, owner: Viewer, count: int, **changes: Any) -> list[Image]:
    """Images a second apart, the newest first."""
    images = [
        an_image(owner.user, filename=f"{number}.png", created_at=after(-number), **changes) for number in range(count)
    ]
    await world.add(*images)
    return images


async def test_pages_go_on_and_back(client: Client, world: World, ada: Viewer) -> None:
    """Five images in pages of two, from the newest on by cursors, and backwards from the last."""
    await stored_images(world, ada, 5)
    seen: list[str] = []
    cursor = None
    for has_next in (True, True, False):
        page = (await client.data(PAGE, {"first": 2, "after": cursor}, ada))["images"]
        names = [node["filename"] for node in page["nodes"]]
        assert [edge["node"]["filename"] for edge in page["edges"]] == names
        assert page["pageInfo"] == {
            "hasNextPage": has_next,
            "hasPreviousPage": cursor is not None,
            "startCursor": page["edges"][0]["cursor"],
            "endCursor": page["edges"][-1]["cursor"],
        }
        cursor = page["pageInfo"]["endCursor"]
        seen += names
    assert seen == [f"{number}.png" for number in range(5)]
    back = (await client.data(PAGE, {"last": 2, "before": cursor}, ada))["images"]
    assert [node["filename"] for node in back["nodes"]] == ["2.png", "3.png"]
    assert (back["pageInfo"]["hasPreviousPage"], back["pageInfo"]["hasNextPage"]) == (True, True)


async def test_an_empty_page_has_no_cursors(client: Client, ada: Viewer) -> None:
    """Without images there is no place to go on from."""
    page = (await client.data(PAGE, {}, ada))["images"]
    assert page["pageInfo"] == {
        "hasNextPage": False,
        "hasPreviousPage": False,
        "startCursor": None,
        "endCursor": None,
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"first": 0}, "first must be between 1 and 100"),
        ({"first": 101}, "first must be between 1 and 100"),
        ({"last": -5}, "last must be between 1 and 100"),
        ({"first": 1, "last": 1}, "Give first or last, not both"),
        ({"after": "-5"}, "after is not a cursor of this list"),
        ({"after": "YXJyYXljb25uZWN0aW9uOjU="}, "after is not a cursor of this list"),
        ({"before": "ä"}, "before is not a cursor of this list"),
    ],
)
async def test_wrong_page_arguments(client: Client, ada: Viewer, arguments: dict[str, object], message: str) -> None:
    """Sizes out of range and cursors of another make are the caller's mistake, said in words of ours."""
    answer = await client.ask(PAGE, arguments, ada)
    assert answer["data"] is None
    (error,) = answer["errors"]
    assert (error["message"], error["extensions"], error["path"]) == (message, {"code": "INVALID_INPUT"}, ["images"])


async def test_mine_and_public(client: Client, world: World) -> None:
    """MINE shows the viewer's own; PUBLIC what anybody of the community shares."""
    community = await stored_community(world.unit_of_work)
    ada = await stored_viewer(world.unit_of_work, community)
    bob = await stored_viewer(world.unit_of_work, community)
    await stored_images(world, ada, 1)
    await stored_images(world, bob, 2, is_public=True)
    query = """{ images { nodes { isPublic owner { id } } totalCount }
        public: images(scope: PUBLIC) { nodes { owner { id } } totalCount } }"""
    assert await client.data(query, viewer=ada) == {
        "images": {"nodes": [{"isPublic": False, "owner": {"id": gid(ada.user)}}], "totalCount": 1},
        "public": {"nodes": [{"owner": {"id": gid(bob.user)}}] * 2, "totalCount": 2},
    }


async def test_a_recipe(client: Client, world: World, ada: Viewer) -> None:
    """A generated image tells how it was made, with its options named as in the input."""
    parent, generation = an_image(ada.user), a_generation(ada.user)
    recipe = a_recipe(
        prompt="Ada at the engine",
        structured_prompt=StructuredPrompt(style="oil"),
        prompt_version=3,
        revised_prompt="Ada, at her engine",
        identity={"name": "The Analyst"},
        reference_hashes=("ab" * 32,),
        provider=ProviderKind.OPENAI,
        model="gpt-image-2",
        options={"n": 1, "aspect_ratio": "16:9"},
        cost_micro_usd=40_000,
        parent_image_id=parent.id,
    )
    made = an_image(
        ada.user,
        source=ImageSource.GENERATED,
        recipe=recipe,
        generation_id=generation.id,
        generation_index=0,
        created_at=after(1),
    )
    await world.add(parent, generation, made)
    query = """{ images(first: 1) { nodes { source createdAt generation { id } recipe {
        prompt structuredPrompt { style subject } promptVersion revisedPrompt identityName referenceHashes
        provider model options costMicroUsd parent { id }
    } } } }"""
    (node,) = (await client.data(query, viewer=ada))["images"]["nodes"]
    assert node == {
        "source": "GENERATED",
        "createdAt": (NOW + timedelta(seconds=1)).isoformat(),
        "generation": {"id": gid(generation)},
        "recipe": {
            "prompt": "Ada at the engine",
            "structuredPrompt": {"style": "oil", "subject": None},
            "promptVersion": 3,
            "revisedPrompt": "Ada, at her engine",
            "identityName": "The Analyst",
            "referenceHashes": ["ab" * 32],
            "provider": "OPENAI",
            "model": "gpt-image-2",
            "options": {"n": 1, "aspectRatio": "16:9"},
            "costMicroUsd": 40_000,
            "parent": {"id": gid(parent)},
        },
    }


async def test_a_picture(client: Client, world: World, ada: Viewer) -> None:
    """A size that has no variant shows the original; every URL is good until the time that is told."""
    picture = replace(PICTURE, variant_keys={VariantSize.THUMBNAIL: "community/images/1_100.png"})
    await world.add(an_image(ada.user, picture=picture))
    query = """{ images { nodes { picture {
        url small: url(size: THUMBNAIL) original thumbnail medium large urlExpiresAt width height sizeBytes mediaType
    } } } }"""
    (node,) = (await client.data(query, viewer=ada))["images"]["nodes"]
    signed = world.services.objects.url(PICTURE.key)
    small = world.services.objects.url("community/images/1_100.png").url
    assert signed.expires_at
    assert node["picture"] == {
        "url": signed.url,
        "small": small,
        "original": signed.url,
        "thumbnail": small,
        "medium": signed.url,
        "large": signed.url,
        "urlExpiresAt": signed.expires_at.isoformat(),
        "width": 640,
        "height": 480,
        "sizeBytes": 1234,
        "mediaType": "image/png",
    }


@pytest.fixture
async def home(world: World) -> list[Viewer]:
    """An admin, a member and another one of the same community."""
    community = await stored_community(world.unit_of_work)
    return [await stored_viewer(world.unit_of_work, community, role=role) for role in (Role.ADMIN, *[Role.MEMBER] * 2)]


async def test_an_admin_sees_the_images_of_whom_they_act_for(client: Client, world: World, home: list[Viewer]) -> None:
    """MINE are the named user's; a member can name themself alone, and PUBLIC is the same whoever is named."""
    admin, ada, bob = home
    stranger = await stored_viewer(world.unit_of_work)
    images = [an_image(viewer.user) for viewer in (admin, ada, bob, stranger)]
    public = an_image(bob.user, is_public=True, created_at=after(-1))
    await world.add(*images, public)
    query = """query ($id: ID, $scope: ImageScope!) {
        images(userId: $id, scope: $scope) { nodes { id } totalCount } }"""
    for viewer, user, scope, expected in (
        (admin, ada, "MINE", [images[1]]),
        (admin, bob, "MINE", [images[2], public]),
        (ada, ada, "MINE", [images[1]]),
        (admin, ada, "PUBLIC", [public]),
    ):
        data = await client.data(query, {"id": gid(user.user), "scope": scope}, viewer)
        assert [node["id"] for node in data["images"]["nodes"]] == [gid(image) for image in expected]
        assert data["images"]["totalCount"] == len(expected)
    for viewer, id in ((ada, gid(bob.user)), (admin, gid(stranger.user)), (admin, gid(images[1])), (admin, "")):
        answer = await client.ask(query, {"id": id, "scope": "MINE"}, viewer)
        assert [error["extensions"] for error in answer["errors"]] == [{"code": "NOT_FOUND"}]


FILTERED = """query ($filter: ImageFilter, $first: Int, $scope: ImageScope! = MINE) {
    images(filter: $filter, first: $first, scope: $scope) { nodes { filename } totalCount pageInfo { hasNextPage } }
}"""


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ({}, ["night.png", "boat.png", "cat.png"]),
        ({"search": "NIGHT"}, ["night.png", "boat.png"]),
        ({"search": "nig"}, ["night.png", "boat.png"]),
        ({"search": "lighthouse boat"}, ["boat.png"]),
        ({"search": "dog"}, []),
        ({"tags": [{"kind": "THEME", "value": "night"}]}, ["boat.png"]),
        ({"tags": [{"kind": "CHAT", "value": "night"}]}, []),
        ({"source": "UPLOADED"}, ["night.png", "cat.png"]),
        ({"provider": "OFFLINE"}, ["boat.png"]),
        ({"createdAfter": after(-3).isoformat()}, ["night.png", "boat.png"]),
        ({"createdBefore": "2026-11-20T13:30:14+01:00"}, ["boat.png", "cat.png"]),
        ({"search": "night", "source": "UPLOADED"}, ["night.png"]),
        ({"search": " ", "tags": []}, ["night.png", "boat.png", "cat.png"]),
        ({"search": None, "tags": None, "source": None, "createdAfter": None}, ["night.png", "boat.png", "cat.png"]),
    ],
)
async def test_filters(
    client: Client, world: World, ada: Viewer, filter: dict[str, object], expected: list[str]
) -> None:
    """Every part of a filter, and two together; the count is that of the filtered list, whatever the page."""
    await world.add(
        an_image(ada.user, filename="night.png"),
        an_image(
            ada.user,
            filename="boat.png",
            source=ImageSource.GENERATED,
            recipe=a_recipe(prompt="A lighthouse"),
            tags=(Tag(TagKind.THEME, "Night"),),
            created_at=after(-2),
        ),
        an_image(ada.user, filename="cat.png", created_at=after(-4)),
    )
    images = (await client.data(FILTERED, {"filter": filter}, ada))["images"]
    assert [node["filename"] for node in images["nodes"]] == expected
    assert images["totalCount"] == len(expected)
    page = (await client.data(FILTERED, {"filter": filter, "first": 1}, ada))["images"]
    assert (page["totalCount"], page["pageInfo"]) == (len(expected), {"hasNextPage": len(expected) > 1})


@pytest.mark.parametrize(
    ("filter", "message", "code"),
    [
        ({"search": "!?"}, "Search for at least one letter or digit", "INVALID_INPUT"),
        ({"search": "x" * 201}, "Search for at most 200 characters", "INVALID_INPUT"),
        ({"tags": [{"kind": "CHAT", "value": " "}]}, "A tag's value must be 1 to 100 characters", "INVALID_INPUT"),
        (
            {"createdAfter": "2026-11-21"},
            "createdAfter needs a time zone, such as 2026-11-21T09:00:00Z",
            "INVALID_INPUT",
        ),
        ({"createdBefore": "soon"}, "Give a moment such as 2026-11-20T12:00:00Z.", "GRAPHQL_VALIDATION_FAILED"),
        (
            {"createdBefore": "0001-01-01T00:00:00+14:00"},
            "Give a moment such as 2026-11-20T12:00:00Z.",
            "GRAPHQL_VALIDATION_FAILED",
        ),
        ({"createdBefore": 5}, "Give a moment such as 2026-11-20T12:00:00Z.", "GRAPHQL_VALIDATION_FAILED"),
    ],
)
async def test_wrong_filters(client: Client, ada: Viewer, filter: dict[str, object], message: str, code: str) -> None:
    """A filter that can't be meant is refused with what to mend."""
    (error,) = (await client.ask(FILTERED, {"filter": filter}, ada))["errors"]
    assert error["message"].endswith(message)
    assert error["extensions"] == {"code": code}


async def test_the_words_of_an_identitys_image_find_it_for_its_owner_alone(
    client: Client, world: World, home: list[Viewer]
) -> None:
    """Its prompt tells of a person: shared, it is found by its name and tags alone, and shows no recipe."""
    _, ada, bob = home
    await world.add(
        an_image(
            ada.user,
            filename="portrait.png",
            is_public=True,
            recipe=a_recipe(prompt="A melancholic poet", identity={"name": "The Poet"}),
            tags=(Tag(TagKind.THEME, "Autumn"),),
        )
    )
    for scope, search, viewer, is_found in (
        ("MINE", "melancholic", ada, True),
        ("PUBLIC", "melancholic", ada, False),
        ("PUBLIC", "melancholic", bob, False),
        ("PUBLIC", "autumn portrait", bob, True),
    ):
        data = await client.data(FILTERED, {"scope": scope, "filter": {"search": search}}, viewer)
        assert (data["images"]["totalCount"] == 1) is is_found, (scope, search)


async def test_who_sees_a_recipe(client: Client, world: World, home: list[Viewer]) -> None:
    """Sharing an image shares its recipe, but an identity's only with its owner and admins."""
    admin, ada, bob = home
    await world.add(
        an_image(ada.user, is_public=True, recipe=a_recipe()),
        an_image(ada.user, is_public=True, recipe=a_recipe(identity={"name": "The Poet"}), created_at=after(-1)),
    )
    query = "{ images(scope: PUBLIC) { nodes { recipe { prompt identityName } } } }"
    plain, personal = {"prompt": "A house", "identityName": None}, {"prompt": "A house", "identityName": "The Poet"}
    for viewer, expected in ((ada, [plain, personal]), (admin, [plain, personal]), (bob, [plain, None])):
        nodes = (await client.data(query, viewer=viewer))["images"]["nodes"]
        assert [node["recipe"] for node in nodes] == expected


async def test_what_shows_an_image(client: Client, world: World, home: list[Viewer]) -> None:
    """Identities and steps; of another's identities nothing is told."""
    admin, ada, bob = home
    image, wizard = an_image(ada.user, is_public=True), a_wizard(ada.user.community_id)
    step = a_step(wizard, background_id=image.id)
    identities = [an_identity(viewer.user, image_id=image.id) for viewer in (ada, bob)]
    await world.add(image, wizard, step, *identities)
    query = """query ($id: ID!) { node(id: $id) { ... on Image {
        usedBy { __typename ... on Identity { name user { name } } ... on Step { title wizard { name } } ... on Node { id } }
    } } }"""
    for viewer, seen in ((ada, [identities[0], step]), (bob, [identities[1], step]), (admin, [*identities, step])):
        uses = (await client.data(query, {"id": gid(image)}, viewer))["node"]["usedBy"]
        assert sorted(use["id"] for use in uses) == sorted(gid(row) for row in seen)
        assert uses[-1] == {"__typename": "Step", "title": "Welcome", "wizard": {"name": "Who I am"}, "id": gid(step)}


LISTS = {
    "the viewer's images": ("{ images { nodes { id picture { original } recipe { prompt } owner { name } } } }", 1),
    "others' images": ("{ images(scope: PUBLIC) { nodes { id owner { name } recipe { parent { id } } } } }", 2),
    "images with all that hangs on them": (
        """{ images { totalCount nodes {
            owner { community { name plan { name } } quota(feature: IMAGE_GENERATION) { used } }
            generation { state step { title } tags { value } } tags { value }
            usedBy { ... on Identity { name } ... on Step { wizard { name } } }
        } } }""",
        10,
    ),
    "images found by words": ('{ images(filter: {search: "ada"}) { nodes { id tags { value } } } }', 1),
    "wizards": (
        "{ wizards { name steps { title background { id usedBy { __typename } owner { name } } } } }",
        5,
    ),
    "plans": ("{ plans { name limits { amount } } }", 1),
    "generations": (
        """{ generations { nodes { owner { name } identity { name } profile { name } attempts { outcome profile { name } }
            images { picture { original } } failures { code } } pageInfo { endCursor } } }""",
        7,
    ),
    "identities": (
        "{ viewer { identities { image { id } readiness { isReady } user { name referenceImages { name } } } } }",
        5,
    ),
    "prompts": ("{ prompts { name author { name } acceptance { made accepted rate } } }", 3),
    "providers": ("{ providers { name models { id } } }", 0),
    "connection profiles": ("{ connectionProfiles { name needsKey problem } }", 1),
}


@pytest.mark.parametrize("name", LISTS)
async def test_a_list_costs_the_same_at_any_length(
    client: Client, world: World, ada: Viewer, statements: Statements, name: str
) -> None:
    """Two objects and twelve cost the same number of statements: finding the viewer, and those named here."""
    query, expected = LISTS[name]
    await world.add(a_slot(ada.user, picture=PICTURE))
    for count in (2, 10):
        for _ in range(count):
            await add_one_of_each(world, ada)
        statements.sent.clear()
        await client.data(query, viewer=ada)
        assert len(statements.sent) == 1 + expected, statements.sent


async def add_one_of_each(world: World, owner: Viewer) -> None:
    """One of each noun, that refer to each other, and another's public image."""
    community_id = owner.user.community_id
    portrait = an_image(owner.user, is_public=True, tags=(Tag(TagKind.THEME, "Night"),))
    wizard = a_wizard(community_id)
    step = a_step(wizard, background_id=portrait.id)
    identity = an_identity(owner.user, image_id=portrait.id)
    profile = await world.services.connection_profiles.create(
        owner, ProviderKind.OPENAI, ProfileChange("Mine", api_key="sk-0123456789"), tried=False
    )
    generation = a_generation(
        owner.user, identity_id=identity.id, step_id=step.id, tags=portrait.tags, profile_id=profile.id
    )
    made = an_image(owner.user, generation_id=generation.id, generation_index=0, source=ImageSource.GENERATED)
    other = await stored_viewer(world.unit_of_work, Community(community_id, ""))
    await world.add(portrait, identity, wizard, step, generation, made, an_image(other.user, is_public=True))
    await world.add(a_plan(community_id, limit_of(5)))
    async with world.unit_of_work() as work:
        await work.generations.add_attempt(an_attempt(generation, profile_id=profile.id))
        version = await work.prompts.latest_version(community_id, PromptType.IMAGE_GENERATION) + 1
        await work.prompts.add(a_prompt(community_id, version, author_id=owner.id))
        await work.commit()
