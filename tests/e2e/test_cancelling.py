"""Cancelling and retrying through a running server: the work really stops, what is paid is told, and quotas stay exact.

The server has one place for each provider: what runs next shows that what was cancelled has let go of it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import Server
from tests.wire import openai
from tests.wire.server import Ending, WireServer

Event = dict[str, Any]

OUTCOME = """
query($id: ID!) {
  generation(id: $id) {
    state eventSeq requestedImages actualCostMicroUsd estimatedCostMicroUsd retryOf { id } images { id }
    failures { code isCharged index } attempts { index outcome isCharged finishedAt }
  }
}
"""
USED = """
{ viewer {
    images: quota(feature: IMAGE_GENERATION) { used reserved }
    money: quota(feature: IMAGE_GENERATION, unit: MICRO_USD) { used reserved }
    community {
      images: quota(feature: IMAGE_GENERATION) { used reserved }
      money: quota(feature: IMAGE_GENERATION, unit: MICRO_USD) { used reserved }
    }
} }
"""
FOR_EVER = "[slow:600]"
# Less than any call to a provider may take: who gets the only place before then has it from who was cancelled.
PATIENCE_S = 120


@pytest.fixture
async def vendor() -> AsyncIterator[WireServer]:
    """OpenAI, which costs money."""
    async with WireServer() as vendor:
        yield vendor


@pytest.fixture(params=["sqlite", "postgresql"])
async def server(request: pytest.FixtureRequest, tmp_path: Path, vendor: WireServer) -> AsyncIterator[Server]:
    """A server over each database, with one place for each provider."""
    settings = {"OPENAI_API_KEY": "sk-0123456789", "OPENAI_BASE_URL": f"{vendor.url}/v1", "WORKER_SLOTS": "1"}
    if request.param == "postgresql":
        settings |= {
            "DATABASE_URL": str(request.getfixturevalue("postgresql_url")),
            "SECRET_KEY": "s" * 40,
            "SEED_SAMPLES": "true",
        }
    async with Server(tmp_path, **settings) as server:
        if request.param == "postgresql":
            assert (await asyncio.to_thread(server.command, "migrate")).returncode == 0
        await server.start()
        yield server


async def outcome(server: Server, id: str) -> dict[str, Any]:
    """What became of a generation."""
    found: dict[str, Any] = (await server.send(OUTCOME, id=id))["generation"]
    return found


async def used(server: Server) -> dict[str, tuple[int, int]]:
    """What is used and reserved in each unit; the only user's are their community's too."""
    viewer = (await server.send(USED))["viewer"]
    community = viewer.pop("community")
    assert viewer == community
    return {unit: (quota["used"], quota["reserved"]) for unit, quota in viewer.items()}


async def cancelled(server: Server, id: str) -> None:
    """End the generation."""
    answer = await server.change("cancelGeneration", "generation { state }", id=id)
    assert answer["generation"] == {"state": "CANCELLED"}


async def followed_and_cancelled(
    server: Server, id: str, is_moment: Callable[[Event], bool], calls: int = 0
) -> list[Event]:
    """Every event, with the generation cancelled at the moment, or as soon as so many calls are under way then."""
    events: list[Event] = []
    async for event in server.follow(id):
        events.append(event)
        if is_moment(event):
            async with asyncio.timeout(PATIENCE_S):
                while len((await outcome(server, id))["attempts"]) < calls:  # noqa: ASYNC110 - another process is asked
                    await asyncio.sleep(0.05)
            await cancelled(server, id)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert [event["isTerminal"] for event in events] == [*[False] * (len(events) - 1), True]
    return events


async def succeeded(server: Server, id: str) -> dict[str, Any]:
    """What became of a generation that succeeds."""
    async with asyncio.timeout(PATIENCE_S):
        assert [event async for event in server.follow(id)][-1]["state"] == "SUCCEEDED"
    return await outcome(server, id)


MOMENTS: dict[str, tuple[str, Callable[[Event], bool], int, int]] = {
    "preparing": (FOR_EVER, lambda event: event["state"] == "PREPARING", 0, 0),
    "generating": (FOR_EVER, lambda event: event["state"] == "GENERATING", 0, 0),
    "the calls": (FOR_EVER, lambda event: event["state"] == "GENERATING", 2, 0),
    "a pause": ("[rate-limit:2]", lambda event: event["image"] is not None, 0, 1),
}
"""What is asked for, when it is cancelled, with how many calls begun and how many of the two images there by then."""


async def test_it_stops_at_every_stage(server: Server) -> None:
    """Followers are told at once, images that are there stay, nothing comes after, and the place is free again."""
    made, ends = 0, {}
    for name, (words, is_moment, calls, images) in MOMENTS.items():
        id = await server.generate(prompt=f"{words} cancelled at {name}", options={"n": 2})
        events = await followed_and_cancelled(server, id, is_moment, calls)
        there = f"Cancelled: {images} of 2 pictures" if images else "Cancelled"
        assert (events[-1]["state"], events[-1]["stage"]) == ("CANCELLED", there), name
        ends[id] = await outcome(server, id)
        assert (ends[id]["state"], ends[id]["eventSeq"]) == ("CANCELLED", len(events)), name
        assert (len(ends[id]["images"]), ends[id]["failures"]) == (images, []), name
        assert all(attempt["finishedAt"] and not attempt["isCharged"] for attempt in ends[id]["attempts"]), name
        made += images
        assert await used(server) == {"images": (made, 0), "money": (0, 0)}
        await succeeded(server, await server.generate(prompt=f"After {name}"))
        made += 1
    # What was going on has had its time since then: it left nothing behind.
    assert {id: await outcome(server, id) for id in ends} == ends
    assert await used(server) == {"images": (made, 0), "money": (0, 0)}


async def test_what_waits_is_never_begun(server: Server) -> None:
    """Cancelled in the line, it leaves it; what stood behind it comes next."""
    running, waiting, next_ = [
        await server.generate(prompt=prompt) for prompt in (f"{FOR_EVER} first", "second", "third")
    ]
    await followed_and_cancelled(server, waiting, lambda event: event["state"] == "QUEUED")
    assert await used(server) == {"images": (0, 2), "money": (0, 0)}
    await cancelled(server, running)
    await succeeded(server, next_)
    assert await used(server) == {"images": (1, 0), "money": (0, 0)}
    left = await outcome(server, waiting)
    assert (left["eventSeq"], left["attempts"], left["images"]) == (2, [], [])


async def test_a_paid_call_is_hung_up_on_and_counts(server: Server, vendor: WireServer) -> None:
    """The vendor's connection is closed; what it may charge is told and counted; the retry brings the image."""
    vendor.answer = openai.stream(*openai.PARTIALS, ending=Ending.HANG)
    asked = {"provider": "OPENAI", "model": "gpt-image-2", "options": {"quality": "medium", "size": "1024x1024"}}
    first = await server.generate(prompt="A fox", **asked)
    events = await followed_and_cancelled(server, first, lambda event: event["stage"] == "Preview 2")
    assert events[-1]["stage"] == "Cancelled; 1 may have been charged"
    await asyncio.wait_for(vendor.hung_up.wait(), PATIENCE_S)
    ended = await outcome(server, first)
    price = ended["estimatedCostMicroUsd"]
    assert price > 0
    # The vendor never said; what counts is what was expected.
    assert ended["actualCostMicroUsd"] == price
    assert ended["failures"] == [{"code": "UNKNOWN_CHARGED", "isCharged": True, "index": 0}]
    (attempt,) = ended["attempts"]
    assert (attempt["outcome"], attempt["isCharged"]) == ("CANCELLED", True)
    assert await used(server) == {"images": (0, 0), "money": (price, 0)}

    vendor.answer = openai.stream(openai.COMPLETED)
    again = await server.change("retryGeneration", "generation { id }", id=first, idempotencyKey="again")
    second = await succeeded(server, again["generation"]["id"])
    assert second["retryOf"] == {"id": first}
    assert len(second["images"]) == 1
    assert len(vendor.received) == 2
    assert vendor.received[1].json == vendor.received[0].json
    assert await used(server) == {"images": (1, 0), "money": (price + second["actualCostMicroUsd"], 0)}
    assert await outcome(server, first) == ended
    repeated = await server.change("retryGeneration", "generation { id }", id=first, idempotencyKey="again")
    assert repeated == again


async def test_what_failed_is_asked_for_again(server: Server) -> None:
    """A partial success brings its missing image by a retry, and no other one."""
    first = await server.generate(prompt="[refuse:2] three houses", options={"n": 3}, idempotencyKey="first")
    ended = await succeeded(server, first)
    assert [attempt["index"] for attempt in ended["attempts"] if attempt["outcome"] == "SUCCEEDED"] == [0, 2]
    assert ended["failures"] == [{"code": "REFUSED_INPUT", "isCharged": False, "index": 1}]
    assert await used(server) == {"images": (2, 0), "money": (0, 0)}
    taken = await server.change("retryGeneration", "generation { id }", id=first, idempotencyKey="first")
    assert taken["__typename"] == "ConflictError"
    again = await server.change("retryGeneration", "generation { id }", id=first)
    second = await succeeded(server, again["generation"]["id"])
    assert (second["requestedImages"], len(second["images"]), second["retryOf"]) == (1, 1, {"id": first})
    assert await used(server) == {"images": (3, 0), "money": (0, 0)}
    complete = await server.change("retryGeneration", "generation { id }", id=again["generation"]["id"])
    assert complete["__typename"] == "ConflictError"
