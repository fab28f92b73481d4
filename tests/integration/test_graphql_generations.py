"""Asking for images over GraphQL: what is put in line, each refusal, and what became of it."""

from dataclasses import replace
from typing import Any

import pytest

from domain.costs import Cost, CostBasis
from domain.failures import FailureCode, failure
from domain.generations import EventDraft, GenerationState
from domain.providers import ProviderKind
from domain.users import Role, Viewer
from tests.database import RecordedJobs
from tests.graphql import Client, World, gid, nobody
from tests.pictures import jpeg
from tests.rows import (
    NOW,
    PICTURE,
    a_generation,
    a_recipe,
    a_slot,
    a_step,
    a_wizard,
    after,
    an_attempt,
    an_identity,
    an_image,
    stored_community,
    stored_viewer,
)

GENERATION = """generation {
    id state requestedImages provider model prompt eventSeq finishedAt owner { id } identity { id }
    images { id } failures { code } attempts { outcome } estimatedSecondsLeft actualCostMicroUsd
}"""


@pytest.fixture
async def ada(world: World) -> Viewer:
    """A member."""
    return await stored_viewer(world.unit_of_work)


async def generate(client: Client, viewer: Viewer, **input: object) -> dict[str, Any]:
    """Ask for images."""
    selection = f"... on GenerateImageSuccess {{ {GENERATION} }}"
    return await client.mutate("generateImage", input, selection, viewer)


async def test_a_generation_is_put_in_line(client: Client, ada: Viewer, jobs: RecordedJobs) -> None:
    """The answer comes at once, with the first event drawn and the job in line."""
    made = (await generate(client, ada, prompt="A house", additionalPrompt="by night", options={"n": 2}))["generation"]
    assert made == {
        "id": made["id"],
        "state": "QUEUED",
        "requestedImages": 2,
        "provider": "OFFLINE",
        "model": made["model"],
        "prompt": "A house\nby night",
        "eventSeq": 1,
        "finishedAt": None,
        "owner": {"id": gid(ada.user)},
        "identity": None,
        "images": [],
        "failures": [],
        "attempts": [],
        "estimatedSecondsLeft": None,
        "actualCostMicroUsd": None,
    }
    assert [gid(job) for job in jobs.enqueued] == [made["id"]]


async def test_an_identity_is_pictured(client: Client, world: World, ada: Viewer) -> None:
    """The prompt tells of the identity, and a structured prompt joins it."""
    identity = an_identity(ada.user)
    await world.add(identity)
    slot = await client.mutate("createReferenceImage", {}, "", ada, jpeg())
    assert slot == {"__typename": "CreateReferenceImageSuccess"}
    made = (
        await generate(client, ada, identityId=gid(identity), structuredPrompt={"style": "oil"}, saveToIdentity=True)
    )["generation"]
    assert made["identity"] == {"id": gid(identity)}
    assert "The Analyst" in made["prompt"]
    assert "Style: oil" in made["prompt"]


async def test_the_same_key_answers_with_the_first(client: Client, ada: Viewer, jobs: RecordedJobs) -> None:
    """A repeated call makes nothing new; another input under the key is a conflict."""
    first = await generate(client, ada, prompt="A house", idempotencyKey="once")
    assert await generate(client, ada, prompt="A house", idempotencyKey="once") == first
    assert await generate(client, ada, prompt="A barn", idempotencyKey="once") == {
        "__typename": "ConflictError",
        "message": "This idempotency key was used before with another input",
    }
    assert len(jobs.enqueued) == 1


@pytest.mark.parametrize(
    ("input", "paths"),
    [
        ({}, [["identityId"]]),
        ({"prompt": " "}, [["prompt"]]),
        ({"prompt": "x" * 4_001}, [["prompt"]]),
        ({"prompt": "x", "structuredPrompt": {"style": "oil"}}, [["prompt"]]),
        ({"structuredPrompt": {}}, [["structuredPrompt"]]),
        ({"structuredPrompt": {"mood": "x" * 501}}, [["structuredPrompt", "mood"]]),
        ({"prompt": "x", "saveToIdentity": True}, [["saveToIdentity"]]),
        ({"prompt": "", "idempotencyKey": ""}, [["prompt"], ["idempotencyKey"]]),
    ],
)
async def test_wrong_wishes_are_refused(
    client: Client, ada: Viewer, jobs: RecordedJobs, input: dict[str, object], paths: list[list[str]]
) -> None:
    """Every wrong field is named, and nothing is put in line."""
    answer = await generate(client, ada, **input)
    assert answer["__typename"] == "InvalidInputError"
    assert [field["path"] for field in answer["fields"]] == paths
    assert jobs.enqueued == []


async def test_an_identity_without_a_photo_is_refused(client: Client, world: World, ada: Viewer) -> None:
    """Without a reference image nothing is paid for."""
    identity = an_identity(ada.user)
    await world.add(identity)
    answer = await generate(client, ada, identityId=gid(identity))
    assert answer["message"] == "Upload at least one reference image"
    assert answer["fields"] == [{"path": ["identityId"], "message": "Upload at least one reference image"}]


@pytest.mark.parametrize(
    ("options", "option"),
    [({"n": 11}, "n"), ({"n": 0}, "n"), ({"size": "7x7x7"}, "size"), ({"style": "vivid"}, "style")],
)
async def test_what_the_model_cannot_do(client: Client, ada: Viewer, options: dict[str, object], option: str) -> None:
    """The answer says which option, and for which model."""
    answer = await generate(client, ada, prompt="A house", options=options)
    assert (answer["__typename"], answer["option"]) == ("UnsupportedByModelError", option)


@pytest.mark.parametrize("provider", ["ANTHROPIC", "GEMINI"])
async def test_a_provider_that_cannot_be_used(client: Client, ada: Viewer, provider: str) -> None:
    """One that makes no images, and one without a key."""
    answer = await generate(client, ada, prompt="A house", provider=provider)
    assert (answer["__typename"], answer["provider"]) == ("ProviderUnusableError", provider)


async def test_what_is_not_there_is_not_found(client: Client, world: World, ada: Viewer) -> None:
    """An identity and a parent image that don't exist, or are another's."""
    stranger = await stored_viewer(world.unit_of_work)
    identity = an_identity(stranger.user)
    await world.add(identity)
    for id in (gid(identity), nobody("Identity"), "nonsense"):
        refusal = {"__typename": "NotFoundError", "message": "Identity not found", "id": id}
        assert await generate(client, ada, identityId=id) == refusal
    parent = nobody("Image")
    refusal = {"__typename": "NotFoundError", "message": "Image not found", "id": parent}
    assert await generate(client, ada, prompt="A house", parentImageId=parent) == refusal


async def test_a_store_that_is_away_is_told(client: Client, world: World, ada: Viewer, jobs: RecordedJobs) -> None:
    """When the reference images can't be looked for, nothing is put in line."""
    identity = an_identity(ada.user)
    world.folder.mkdir()
    unreachable = replace(PICTURE, key="x" * 300)  # longer than any file system takes: looking for it fails
    await world.add(identity, a_slot(ada.user, picture=unreachable))
    answer = await generate(client, ada, identityId=gid(identity))
    assert answer["__typename"] == "StorageUnavailableError"
    assert jobs.enqueued == []


async def test_a_background_is_asked_for(client: Client, world: World, jobs: RecordedJobs) -> None:
    """By an admin, with tags for its images; a member may not, and another community's step is not found."""
    community = await stored_community(world.unit_of_work)
    admin = await stored_viewer(world.unit_of_work, community, role=Role.ADMIN)
    wizard, strange = a_wizard(community.id), a_wizard((await stored_community(world.unit_of_work)).id)
    step, strangers = a_step(wizard), a_step(strange)
    await world.add(wizard, step, strange, strangers)
    night = {"kind": "THEME", "value": "Night"}
    selection = "... on GenerateImageSuccess { generation { step { id title } tags { kind value } } }"
    input = {"prompt": "A house", "stepId": gid(step), "tags": [night, {**night, "value": "night "}]}
    made = await client.mutate("generateImage", input, selection, admin)
    assert made["generation"] == {"step": {"id": gid(step), "title": "Welcome"}, "tags": [night]}
    for id in (gid(strangers), nobody("Step"), "nonsense"):
        refusal = {"__typename": "NotFoundError", "message": "Step not found", "id": id}
        assert await generate(client, admin, prompt="A house", stepId=id) == refusal
    wrong = await generate(client, admin, prompt="A house", tags=[{**night, "value": ""}])
    assert [field["path"] for field in wrong["fields"]] == [["tags"]]
    member = await stored_viewer(world.unit_of_work, community)
    query = f'mutation {{ generateImage(input: {{prompt: "x", stepId: "{gid(step)}"}}) {{ __typename }} }}'
    assert (await client.ask(query, viewer=member))["errors"][0]["extensions"] == {"code": "FORBIDDEN"}
    assert len(jobs.enqueued) == 1


async def test_a_recipe_is_repeated(client: Client, world: World, ada: Viewer) -> None:
    """A parent alone says everything; one without a recipe says nothing."""
    model = world.services.access.own[ProviderKind.OFFLINE].models[0].id
    parent, upload = an_image(ada.user, recipe=a_recipe(prompt="A lighthouse", model=model)), an_image(ada.user)
    await world.add(parent, upload)
    made = (await generate(client, ada, parentImageId=gid(parent)))["generation"]
    assert (made["prompt"], made["model"]) == ("A lighthouse", model)
    refused = await generate(client, ada, parentImageId=gid(upload))
    assert [field["path"] for field in refused["fields"]] == [["parentImageId"]]


async def test_what_became_of_it(client: Client, world: World, ada: Viewer) -> None:
    """Images, failures, attempts and cost are told once the generation has ended."""
    generation = a_generation(ada.user)
    image = an_image(ada.user, generation_id=generation.id, generation_index=0)
    await world.add(generation)
    await world.tell(generation, EventDraft(GenerationState.GENERATING, "working"))
    await world.tell(generation, EventDraft(index=0, stage="done", image_id=image.id), image)
    attempt = an_attempt(generation)
    async with world.unit_of_work() as work:
        await work.generations.add_attempt(attempt)
        await work.generations.finish_attempt(
            replace(
                attempt,
                outcome="SUCCEEDED",
                finished_at=after(2),
                cost=Cost(7, CostBasis.USAGE),
                provider_request_id="r1",
            )
        )
        await work.commit()
    refusal = failure(FailureCode.REFUSED_OUTPUT, is_charged=True).at(1)
    await world.tell(generation, EventDraft(index=1, stage="refused", failure=refusal))
    await world.services.events.end(generation)
    query = """query ($id: ID!) { generation(id: $id) {
        state eventSeq actualCostMicroUsd costBasis finishedAt images { id generation { id } }
        failures { code message isRetryable isCharged retryAfterSeconds index }
        attempts {
            provider model route index number startedAt finishedAt outcome providerRequestId costMicroUsd costBasis
        }
    } }"""
    assert (await client.data(query, {"id": gid(generation)}, ada))["generation"] == {
        "state": "SUCCEEDED",
        "eventSeq": 4,
        "actualCostMicroUsd": 7,
        "costBasis": "USAGE",
        "finishedAt": world.clock.now().isoformat(),
        "images": [{"id": gid(image), "generation": {"id": gid(generation)}}],
        "failures": [
            {
                "code": "REFUSED_OUTPUT",
                "message": "The provider's content policy withheld the picture it made.",
                "isRetryable": False,
                "isCharged": True,
                "retryAfterSeconds": None,
                "index": 1,
            }
        ],
        "attempts": [
            {
                "provider": "OFFLINE",
                "model": "sketch-1",
                "route": 0,
                "index": 0,
                "number": 1,
                "startedAt": NOW.isoformat(),
                "finishedAt": after(2).isoformat(),
                "outcome": "SUCCEEDED",
                "providerRequestId": "r1",
                "costMicroUsd": 7,
                "costBasis": "USAGE",
            }
        ],
    }


async def test_an_estimate_of_what_is_left(client: Client, world: World, ada: Viewer) -> None:
    """By the measured time of the model, less what has passed: the server's clock stands a minute after NOW."""
    generation = a_generation(ada.user, expected_s=90.0, provider=ProviderKind.OPENAI)
    await world.add(generation)
    query = "query ($id: ID!) { generation(id: $id) { estimatedSecondsLeft } }"
    assert await client.data(query, {"id": gid(generation)}, ada) == {"generation": {"estimatedSecondsLeft": 30}}


async def test_generations_come_in_pages(client: Client, world: World, ada: Viewer) -> None:
    """The newest first, by cursors."""
    rows = [a_generation(ada.user, created_at=after(-number)) for number in range(3)]
    await world.add(*rows)
    query = """query ($after: String) { generations(first: 2, after: $after) {
        nodes { id } edges { cursor node { id } } pageInfo { hasNextPage endCursor }
    } }"""
    first = (await client.data(query, viewer=ada))["generations"]
    assert [node["id"] for node in first["nodes"]] == [gid(row) for row in rows[:2]]
    assert first["pageInfo"] == {"hasNextPage": True, "endCursor": first["edges"][1]["cursor"]}
    second = (await client.data(query, {"after": first["pageInfo"]["endCursor"]}, ada))["generations"]
    assert [node["id"] for node in second["nodes"]] == [gid(rows[2])]
    wrong = await client.ask(query, {"after": "nonsense"}, ada)
    assert wrong["errors"][0]["extensions"] == {"code": "INVALID_INPUT"}


async def test_who_sees_a_generation(client: Client, world: World) -> None:
    """Its owner and the community's admins; nobody else."""
    community = await stored_community(world.unit_of_work)
    ada = await stored_viewer(world.unit_of_work, community)
    generation = a_generation(ada.user)
    await world.add(generation)
    query = "query ($id: ID!) { generation(id: $id) { id } }"
    for viewer, sees in (
        (ada, True),
        (await stored_viewer(world.unit_of_work, community, role=Role.ADMIN), True),
        (await stored_viewer(world.unit_of_work, community), False),
        (await stored_viewer(world.unit_of_work, role=Role.ADMIN), False),
    ):
        data = await client.data(query, {"id": gid(generation)}, viewer)
        assert data == {"generation": {"id": gid(generation)} if sees else None}


async def test_a_price_beyond_all_measure_breaks_no_page(client: Client, world: World, ada: Viewer) -> None:
    """What a provider reports may be more than an Int holds: it is shown as the most that it does hold."""
    dear = Cost(10**12, CostBasis.REPORTED)
    generation = a_generation(ada.user, price=dear)
    recipe = a_recipe(cost_micro_usd=dear.micro_usd, cost_basis=dear.basis)
    await world.add(generation, an_image(ada.user, recipe=recipe))
    async with world.unit_of_work() as work:
        attempt = an_attempt(generation)
        await work.generations.add_attempt(attempt)
        await work.generations.finish_attempt(replace(attempt, outcome="SUCCEEDED", finished_at=NOW, cost=dear))
        await work.generations.finish(generation.id, NOW, EventDraft(GenerationState.FAILED, "Failed"), [], dear)
        await work.commit()
    query = """{
        generations { nodes {
            estimatedCostMicroUsd actualCostMicroUsd costBasis attempts { costMicroUsd costBasis }
        } }
        images { nodes { recipe { costMicroUsd costBasis } } }
    }"""
    told = await client.data(query, viewer=ada)
    most, basis = 2_147_483_647, "REPORTED"
    assert told["images"]["nodes"] == [{"recipe": {"costMicroUsd": most, "costBasis": basis}}]
    assert told["generations"]["nodes"] == [
        {
            "estimatedCostMicroUsd": most,
            "actualCostMicroUsd": most,
            "costBasis": basis,
            "attempts": [{"costMicroUsd": most, "costBasis": basis}],
        }
    ]
