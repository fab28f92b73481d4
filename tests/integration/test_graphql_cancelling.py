"""Cancelling and retrying over GraphQL: what is told and counted, each refusal, and who may."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from domain.costs import Cost, CostBasis
from domain.failures import FailureCode, failure
from domain.generations import SUCCEEDED, EventDraft, Generation, GenerationState
from domain.providers import ProviderKind
from domain.quotas import Feature, QuotaUnit
from domain.users import Role, Viewer
from graph.context import Context
from graph.ids import uuid_of
from tests.database import RecordedJobs
from tests.graphql import Client, World, gid, nobody
from tests.rows import a_generation, a_profile, after, an_attempt, an_image, limit_of, stored_community, stored_viewer

CANCELLED = """generation {
    id state eventSeq finishedAt actualCostMicroUsd images { id } failures { code isCharged index }
    attempts { outcome isCharged finishedAt costMicroUsd }
}"""
AGAIN = """generation {
    id state requestedImages provider model prompt owner { id } profile { id } tags { value }
    retryOf { id state retryOf { id } }
}"""


@pytest.fixture
async def ada(world: World) -> Viewer:
    """A member."""
    return await stored_viewer(world.unit_of_work)


async def cancel(client: Client, viewer: Viewer, id: str) -> dict[str, Any]:
    """End a generation."""
    return await client.mutate(
        "cancelGeneration", {"id": id}, f"... on CancelGenerationSuccess {{ {CANCELLED} }}", viewer
    )


async def retry(client: Client, viewer: Viewer, id: str, **input: object) -> dict[str, Any]:
    """Ask for a generation's missing images."""
    selection = f"... on RetryGenerationSuccess {{ {AGAIN} }}"
    return await client.mutate("retryGeneration", {"id": id, **input}, selection, viewer)


async def asked(client: Client, world: World, viewer: Viewer, **input: object) -> Generation:
    """A generation that was asked for, as the database has it."""
    selection = "... on GenerateImageSuccess { generation { id } }"
    made = await client.mutate("generateImage", {"prompt": "A house", **input}, selection, viewer)
    async with world.unit_of_work(read_only=True) as work:
        found = await work.generations.load(uuid_of("Generation", made["generation"]["id"]))
    assert found
    return found


async def ended(world: World, generation: Generation, images: int = 0) -> Generation:
    """The generation's end, with so many images of all it was asked for; the others failed."""
    async with world.unit_of_work(read_only=True) as work:
        owner = await work.users.get(generation.owner_id)
    for index in range(generation.options.n):
        draft = EventDraft(index=index, stage="failed", failure=failure(FailureCode.PROVIDER_UNAVAILABLE).at(index))
        image = None
        if index < images:
            image = an_image(owner, generation_id=generation.id, generation_index=index)
            draft = EventDraft(index=index, stage="done", image_id=image.id)
        await world.tell(generation, draft, image)
    await world.services.events.end(generation)
    return generation


async def quotas(world: World, viewer: Viewer) -> list[tuple[int, int]]:
    """What the viewer has used and reserved, in images and in micro-USD."""
    measures = [(viewer.id, Feature.IMAGE_GENERATION, unit) for unit in (QuotaUnit.IMAGES, QuotaUnit.MICRO_USD)]
    found = await world.services.quotas.standing(viewer.user.community_id, measures)
    return [(found[measure].used, found[measure].reserved) for measure in measures]


async def followed(world: World, viewer: Viewer, id: str, started: asyncio.Event) -> list[dict[str, Any]]:
    """What a subscriber is told, to the end."""
    context = Context(world.services)
    context.answer_to(viewer)
    document = "subscription ($id: ID!) { generationProgress(id: $id) { seq state stage isTerminal } }"
    stream: Any = await world.schema.subscribe(document, variable_values={"id": id}, context_value=context)
    told = []
    async for answer in stream:
        told.append(answer.data["generationProgress"])
        started.set()
    return told


async def test_a_generation_is_cancelled(client: Client, world: World, ada: Viewer) -> None:
    """It ends, its job is taken out of the line, nothing stays reserved; who follows it is told at once."""
    id = gid(await asked(client, world, ada, options={"n": 2}))
    started = asyncio.Event()
    following = asyncio.create_task(followed(world, ada, id, started))
    await asyncio.wait_for(started.wait(), 30)
    assert await quotas(world, ada) == [(0, 2), (0, 0)]
    answer = await cancel(client, ada, id)
    assert answer["generation"] == {
        "id": id,
        "state": "CANCELLED",
        "eventSeq": 2,
        "finishedAt": world.clock.now().isoformat(),
        "actualCostMicroUsd": None,
        "images": [],
        "failures": [],
        "attempts": [],
    }
    assert await asyncio.wait_for(following, 30) == [
        {"seq": 1, "state": "QUEUED", "stage": "Waiting for a free place", "isTerminal": False},
        {"seq": 2, "state": "CANCELLED", "stage": "Cancelled", "isTerminal": True},
    ]
    assert world.line.cancelled == [uuid_of("Generation", id)]
    assert await quotas(world, ada) == [(0, 0), (0, 0)]


async def test_what_is_charged_all_the_same_is_told(client: Client, world: World, ada: Viewer) -> None:
    """An image that is there stays; a paid call that is under way counts as paid for; the third was never begun."""
    asked_for = {"provider": "OPENAI", "model": "gpt-image-2", "options": {"n": 3, "quality": "medium"}}
    generation = await asked(client, world, ada, **asked_for)
    assert generation.price
    image = an_image(ada.user, generation_id=generation.id, generation_index=0)
    done, begun = an_attempt(generation), an_attempt(generation, index=1)
    async with world.unit_of_work() as work:
        await work.generations.add_attempt(done)
        await work.generations.add_attempt(begun)
        paid = replace(done, outcome=SUCCEEDED, finished_at=after(1), cost=Cost(7, CostBasis.USAGE))
        await work.generations.finish_attempt(paid)
        await work.commit()
    await world.tell(generation, EventDraft(GenerationState.GENERATING, "working"))
    await world.tell(generation, EventDraft(index=0, stage="done", image_id=image.id), image)
    now = world.clock.now().isoformat()
    cost = 7 + generation.price.micro_usd
    answer = await cancel(client, ada, gid(generation))
    assert answer["generation"] == {
        "id": gid(generation),
        "state": "CANCELLED",
        "eventSeq": 4,
        "finishedAt": now,
        "actualCostMicroUsd": cost,
        "images": [{"id": gid(image)}],
        "failures": [{"code": "UNKNOWN_CHARGED", "isCharged": True, "index": 1}],
        "attempts": [
            {"outcome": "SUCCEEDED", "isCharged": False, "finishedAt": after(1).isoformat(), "costMicroUsd": 7},
            {"outcome": "CANCELLED", "isCharged": True, "finishedAt": now, "costMicroUsd": None},
        ],
    }
    assert await quotas(world, ada) == [(1, 0), (cost, 0)]
    assert await cancel(client, ada, gid(generation)) == answer
    assert await quotas(world, ada) == [(1, 0), (cost, 0)]


async def test_what_has_ended_stays_as_it_is(client: Client, world: World, ada: Viewer) -> None:
    """Cancelling comes too late: that is no error, and changes nothing."""
    generation = await ended(world, await asked(client, world, ada), images=1)
    answer = await cancel(client, ada, gid(generation))
    assert (answer["__typename"], answer["generation"]["state"]) == ("CancelGenerationSuccess", "SUCCEEDED")
    assert len(answer["generation"]["images"]) == 1
    assert await quotas(world, ada) == [(1, 0), (0, 0)]


async def test_the_missing_images_are_asked_for_again(
    client: Client, world: World, ada: Viewer, jobs: RecordedJobs
) -> None:
    """In a new generation that is linked to the old one, and no more of them than are missing."""
    tag = {"kind": "THEME", "value": "Night"}
    first = await asked(client, world, ada, additionalPrompt="by night", options={"n": 3}, tags=[tag])
    await ended(world, first, images=2)
    again = (await retry(client, ada, gid(first)))["generation"]
    assert again == {
        "id": again["id"],
        "state": "QUEUED",
        "requestedImages": 1,
        "provider": "OFFLINE",
        "model": first.model,
        "prompt": "A house\nby night",
        "owner": {"id": gid(ada.user)},
        "profile": None,
        "tags": [{"value": "Night"}],
        "retryOf": {"id": gid(first), "state": "SUCCEEDED", "retryOf": None},
    }
    assert [gid(job) for job in jobs.enqueued] == [gid(first), again["id"]]
    assert await quotas(world, ada) == [(2, 1), (0, 0)]
    await cancel(client, ada, again["id"])
    third = (await retry(client, ada, again["id"]))["generation"]
    assert third["requestedImages"] == 1
    assert third["retryOf"] == {"id": again["id"], "state": "CANCELLED", "retryOf": {"id": gid(first)}}


async def test_the_same_key_answers_with_the_first(
    client: Client, world: World, ada: Viewer, jobs: RecordedJobs
) -> None:
    """A repeated call makes nothing new; the key of another generation's retry, or of a first request, is a conflict."""
    one, other = [await ended(world, await asked(client, world, ada, idempotencyKey=key)) for key in ("a", "b")]
    taken = {
        "__typename": "ConflictError",
        "message": "This idempotency key was used before with another input",
    }
    first = await retry(client, ada, gid(one), idempotencyKey="again")
    assert first["__typename"] == "RetryGenerationSuccess"
    assert await retry(client, ada, gid(one), idempotencyKey="again") == first
    assert await retry(client, ada, gid(other), idempotencyKey="again") == taken
    assert await retry(client, ada, gid(other), idempotencyKey="a") == taken
    generate = await client.mutate("generateImage", {"prompt": "A house", "idempotencyKey": "again"}, "", ada)
    assert generate == taken
    for key in ("", "x" * 256):
        refused = await retry(client, ada, gid(one), idempotencyKey=key)
        assert [field["path"] for field in refused["fields"]] == [["idempotencyKey"]]
    # Without a key each call is one of its own.
    assert (await retry(client, ada, gid(one)))["generation"]["id"] != first["generation"]["id"]
    assert len(jobs.enqueued) == 4


async def test_what_can_t_be_retried(client: Client, world: World, ada: Viewer, jobs: RecordedJobs) -> None:
    """What still runs, what is complete, what the month doesn't allow, and what nobody can ask any more."""
    running = await asked(client, world, ada)
    assert await retry(client, ada, gid(running)) == {
        "__typename": "ConflictError",
        "message": "That generation is still running: cancel it, or wait for its end",
    }
    complete = await ended(world, await asked(client, world, ada), images=1)
    assert await retry(client, ada, gid(complete)) == {
        "__typename": "ConflictError",
        "message": "Every picture of that generation was made: ask for others with parentImageId",
    }
    profile = a_profile(ada.user)
    gone = a_generation(ada.user, provider=ProviderKind.OPENAI, model="gpt-image-2", profile_id=profile.id)
    retired = a_generation(ada.user, model="sketch-0")
    await world.add(gone, retired)
    for generation in (gone, retired):
        await ended(world, generation)
    refused = await retry(client, ada, gid(gone))
    assert (refused["__typename"], refused["provider"]) == ("ProviderUnusableError", "OPENAI")
    refused = await retry(client, ada, gid(retired))
    assert (refused["__typename"], refused["option"]) == ("UnsupportedByModelError", "model")
    async with world.unit_of_work() as work:
        limit = limit_of(1)
        await work.plans.set_user_limit(ada.id, limit.feature, limit.unit, limit.amount)
        await work.commit()
    await cancel(client, ada, gid(running))
    refused = await retry(client, ada, gid(running))
    assert (refused["__typename"], refused["limit"], refused["used"]) == ("QuotaExceededError", 1, 1)
    assert len(jobs.enqueued) == 2 + 1  # the last was put in line by a transaction that was then rolled back


async def test_who_may(client: Client, world: World) -> None:
    """The owner and the community's admins; to everybody else there is no such generation."""
    community = await stored_community(world.unit_of_work)
    ada = await stored_viewer(world.unit_of_work, community)
    admin = await stored_viewer(world.unit_of_work, community, role=Role.ADMIN)
    strangers = [
        await stored_viewer(world.unit_of_work, community),
        await stored_viewer(world.unit_of_work, role=Role.ADMIN),
    ]
    running, failed = await asked(client, world, ada), await ended(world, await asked(client, world, ada))
    await _not_found(client, strangers, gid(running), gid(failed))
    await _not_found(client, [ada, admin], nobody("Generation"), "nonsense", gid(ada.user))
    assert world.line.cancelled == []
    async with world.unit_of_work(read_only=True) as work:
        found = await work.generations.load(running.id)
    assert found
    assert found.state is GenerationState.QUEUED
    assert (await cancel(client, admin, gid(running)))["generation"]["state"] == "CANCELLED"
    again = (await retry(client, admin, gid(failed)))["generation"]
    assert again["owner"] == {"id": gid(ada.user)}
    # It counts for whoever asked.
    assert await quotas(world, admin) == [(0, 1), (0, 0)]
    assert await quotas(world, ada) == [(0, 0), (0, 0)]


async def _not_found(client: Client, viewers: Sequence[Viewer], *ids: str) -> None:
    for viewer in viewers:
        for id in ids:
            refusal = {"__typename": "NotFoundError", "message": "Generation not found", "id": id}
            assert await cancel(client, viewer, id) == refusal
            assert await retry(client, viewer, id) == refusal
