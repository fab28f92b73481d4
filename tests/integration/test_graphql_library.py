"""The library over GraphQL: pages in both directions, recipes, pictures, and how many statements a list costs."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from domain.images import Image, ImageSource, Recipe
from domain.pictures import VariantSize
from domain.prompts import PromptType, StructuredPrompt
from domain.providers import ProviderKind
from domain.users import Community, Viewer
from tests.graphql import Client, Statements, World, gid
from tests.rows import (
    NOW,
    PICTURE,
    a_generation,
    a_prompt,
    a_slot,
    after,
    an_attempt,
    an_identity,
    an_image,
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
    recipe = Recipe(
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


LISTS = {
    "the viewer's images": ("{ images { nodes { id picture { original } recipe { prompt } owner { name } } } }", 1),
    "others' images": ("{ images(scope: PUBLIC) { nodes { id owner { name } recipe { parent { id } } } } }", 2),
    "images with all that hangs on them": (
        "{ images { totalCount nodes { owner { community { name } } generation { state } } } }",
        4,
    ),
    "generations": (
        """{ generations { nodes { owner { name } identity { name } attempts { outcome }
            images { picture { original } } failures { code } } pageInfo { endCursor } } }""",
        5,
    ),
    "identities": (
        "{ viewer { identities { image { id } readiness { isReady } user { name referenceImages { name } } } } }",
        5,
    ),
    "prompts": ("{ prompts { name author { name } } }", 2),
    "providers": ("{ providers { name models { id } } }", 0),
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
    """An identity with a portrait, a generation with an image and an attempt, a prompt, and another's public image."""
    portrait = an_image(owner.user)
    identity = an_identity(owner.user, image_id=portrait.id)
    generation = a_generation(owner.user, identity_id=identity.id)
    made = an_image(owner.user, generation_id=generation.id, generation_index=0, source=ImageSource.GENERATED)
    other = await stored_viewer(world.unit_of_work, Community(owner.user.community_id, ""))
    await world.add(portrait, identity, generation, made, an_image(other.user, is_public=True))
    async with world.unit_of_work() as work:
        await work.generations.add_attempt(an_attempt(generation))
        version = await work.prompts.latest_version(owner.user.community_id, PromptType.IMAGE_GENERATION) + 1
        await work.prompts.add(a_prompt(owner.user.community_id, version, author_id=owner.id))
        await work.commit()
