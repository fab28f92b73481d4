"""Asking by connection profiles over GraphQL: which are taken, what they fall back to, and who sees that."""

from dataclasses import replace
from typing import Any

import pytest

from domain.connection_profiles import ConnectionProfile, ProfileChange
from domain.providers import ProviderKind
from domain.routes import Route
from domain.users import Role, Viewer
from tests.database import RecordedJobs
from tests.graphql import Client, World, gid, nobody
from tests.rows import NOW, a_generation, an_attempt, stored_community, stored_viewer


@pytest.fixture
async def ada(world: World) -> Viewer:
    """A member."""
    return await stored_viewer(world.unit_of_work)


async def a_profile(world: World, viewer: Viewer, provider: ProviderKind, **wanted: Any) -> ConnectionProfile:
    """A profile of the viewer's, made without a call."""
    wish = ProfileChange(**{"name": provider.title(), "api_key": "sk-0123456789-ends", **wanted})
    return await world.services.connection_profiles.create(viewer, provider, wish, tried=False)


async def test_a_profile_is_asked_by(client: Client, world: World, ada: Viewer, jobs: RecordedJobs) -> None:
    """It says whom to ask and for which model; what it falls back to comes in the order given."""
    gemini = await a_profile(world, ada, ProviderKind.GEMINI)
    openai = await a_profile(world, ada, ProviderKind.OPENAI, model="gpt-image-1-mini")
    offline = await a_profile(world, ada, ProviderKind.OFFLINE, api_key=None)
    selection = "... on GenerateImageSuccess { generation { profile { id keyHint } provider model } }"
    input = {"prompt": "A house", "profileId": gid(openai), "fallbackProfileIds": [gid(offline), gid(gemini)]}
    made = (await client.mutate("generateImage", input, selection, ada))["generation"]
    assert made == {
        "profile": {"id": gid(openai), "keyHint": "ends"},
        "provider": "OPENAI",
        "model": "gpt-image-1-mini",
    }
    assert [route.profile_id for route in jobs.enqueued[0].routes] == [openai.id, offline.id, gemini.id]


async def test_wrong_profiles_are_refused(client: Client, world: World, ada: Viewer, jobs: RecordedJobs) -> None:
    """One too many, one named twice, one of another provider, and ones that can't be asked."""
    profiles = [await a_profile(world, ada, ProviderKind.OFFLINE, api_key=None) for _ in range(6)]
    ids = [gid(profile) for profile in profiles]
    for wish, path in (
        ({"fallbackProfileIds": ids}, "fallbackProfileIds"),
        ({"profileId": ids[0], "fallbackProfileIds": [ids[1], ids[0]]}, "fallbackProfileIds"),
        ({"profileId": ids[0], "provider": "OPENAI"}, "provider"),
    ):
        answer = await client.mutate("generateImage", {"prompt": "A house", **wish}, "", ada)
        assert [field["path"] for field in answer["fields"]] == [[path]]
    bare = await a_profile(world, ada, ProviderKind.OPENAI, api_key=None)
    claude = await a_profile(world, ada, ProviderKind.ANTHROPIC)
    for profile in (bare, claude):
        answer = await client.mutate("generateImage", {"prompt": "A house", "profileId": gid(profile)}, "", ada)
        assert (answer["__typename"], answer["provider"]) == ("ProviderUnusableError", profile.provider.value)
    assert jobs.enqueued == []


async def test_an_estimate_tells_what_is_passed_over(client: Client, world: World, ada: Viewer) -> None:
    """A profile that can't do what is asked is no obstacle, but said; one that isn't there is one."""
    claude = await a_profile(world, ada, ProviderKind.ANTHROPIC, name="Claude")
    query = "query ($input: GenerateImageInput!) { estimateGeneration(input: $input) { costMicroUsd problems } }"

    async def estimate(**input: object) -> dict[str, Any]:
        told: dict[str, Any] = (await client.data(query, {"input": {"prompt": "A house", **input}}, ada))[
            "estimateGeneration"
        ]
        return told

    assert await estimate(fallbackProfileIds=[gid(claude)]) == {
        "costMicroUsd": 0,
        "problems": ["Claude is passed over: Anthropic's API has no image generation."],
    }
    for id in (nobody("ConnectionProfile"), "nonsense"):
        missing = {"costMicroUsd": None, "problems": ["Connection profile not found"]}
        assert await estimate(profileId=id) == missing
        assert await estimate(fallbackProfileIds=[id]) == missing


async def test_who_sees_by_which_profile(client: Client, world: World) -> None:
    """Its owner, as long as it is there. What a provider said is for admins, and no basis is told of no cost."""
    community = await stored_community(world.unit_of_work)
    ada = await stored_viewer(world.unit_of_work, community)
    admin = await stored_viewer(world.unit_of_work, community, role=Role.ADMIN)
    profile, spare = [await a_profile(world, ada, ProviderKind.OPENAI) for _ in range(2)]
    fallback = Route(ProviderKind.GEMINI, "gemini-3-pro-image", profile_id=spare.id)
    generation = a_generation(ada.user, provider=ProviderKind.OPENAI, profile_id=profile.id, fallbacks=(fallback,))
    await world.add(generation)
    said = an_attempt(generation, outcome="RATE_LIMITED", finished_at=NOW, detail="429: slow down")
    tried = [
        replace(said, profile_id=profile.id),
        an_attempt(generation, number=2, provider=fallback.provider, profile_id=spare.id, route=1),
    ]
    async with world.unit_of_work() as work:
        for attempt in tried:
            await work.generations.add_attempt(attempt)
        await work.generations.finish_attempt(tried[0])
        await work.commit()
    query = """query ($id: ID!) { generation(id: $id) {
        profile { id } costBasis actualCostMicroUsd
        attempts { provider profile { id } route providerMessage costMicroUsd costBasis }
    } }"""

    async def seen(viewer: Viewer) -> Any:
        told = (await client.data(query, {"id": gid(generation)}, viewer))["generation"]
        assert (told["costBasis"], told["actualCostMicroUsd"]) == (None, None)
        assert [(call["costMicroUsd"], call["costBasis"]) for call in told["attempts"]] == [(None, None)] * 2
        assert [(call["provider"], call["route"]) for call in told["attempts"]] == [("OPENAI", 0), ("GEMINI", 1)]
        profiles = [node and node["id"] for node in (told["profile"], *(call["profile"] for call in told["attempts"]))]
        return profiles, [call["providerMessage"] for call in told["attempts"]]

    assert await seen(ada) == ([gid(profile), gid(profile), gid(spare)], [None, None])
    assert await seen(admin) == ([None, None, None], ["429: slow down", None])
    await world.services.connection_profiles.delete(ada, profile.id)
    assert await seen(ada) == ([None, None, gid(spare)], [None, None])
