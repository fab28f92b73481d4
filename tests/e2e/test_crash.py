"""kill -9 in every stage, then a restart: the generation goes on and ends, and no stored picture is paid for again."""

import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import websockets

from tests.e2e.harness import GENERATION, Server

Event = dict[str, Any]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """A server that is up, in a folder of its own."""
    server = Server(tmp_path, OFFLINE_CRASH="true")
    async with server:
        await server.start()
        yield server


async def killed_at(server: Server, id: str, is_moment: Callable[[Event], bool]) -> list[Event]:
    """Follow until the moment, then kill the process. Returns the events seen."""
    seen = []
    async for event in server.follow(id):
        seen.append(event)
        if is_moment(event):
            server.kill()
            break
    return seen


async def rest(server: Server, id: str, seen: list[Event]) -> list[Event]:
    """All events, the missed ones asked for by number."""
    return [*seen, *[event async for event in server.follow(id, after=seen[-1]["seq"])]]


@pytest.mark.parametrize(
    ("name", "is_moment"),
    [
        ("queued", lambda event: event["state"] == "QUEUED"),
        ("preparing", lambda event: event["state"] == "PREPARING"),
        ("generating", lambda event: event["state"] == "GENERATING"),
        ("first preview", lambda event: event["preview"] is not None),
        ("last preview", lambda event: event["stage"] == "Preview 3"),
        ("storing", lambda event: event["state"] == "STORING"),
        ("first picture", lambda event: event["image"] is not None),
    ],
)
async def test_a_killed_generation_goes_on_after_the_restart(
    server: Server, name: str, is_moment: Callable[[Event], bool]
) -> None:
    """Whatever the stage, the restarted process finishes every picture, and no event is lost or repeated."""
    id = await server.generate(prompt=f"killed while {name}", options={"n": 2})
    seen = await killed_at(server, id, is_moment)
    await server.start()
    events = await rest(server, id, seen)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["state"] == "SUCCEEDED"
    generation = (await server.send(GENERATION, id=id))["generation"]
    assert len(generation["images"]) == 2
    assert generation["failures"] == []
    # One paid picture for each index, however often the call had to be made.
    paid = Counter(attempt["index"] for attempt in generation["attempts"] if attempt["outcome"] == "SUCCEEDED")
    assert paid == {0: 1, 1: 1}
    assert all(attempt["finishedAt"] for attempt in generation["attempts"])


async def test_a_call_that_keeps_killing_the_process_is_given_up(server: Server) -> None:
    """The first lost call, which costs nothing here, is made again once; the second ends the picture, and says so."""
    id = await server.generate(prompt="[crash] a picture that never comes")
    await server.wait_for_death()
    await server.start()
    await server.wait_for_death()
    await server.start()
    events = [event async for event in server.follow(id)]
    assert events[-1]["state"] == "FAILED"
    generation = (await server.send(GENERATION, id=id))["generation"]
    assert generation["failures"] == [{"code": "UNKNOWN_CHARGED", "index": 0, "isCharged": False}]
    assert [attempt["outcome"] for attempt in generation["attempts"]] == ["UNKNOWN_CHARGED", "UNKNOWN_CHARGED"]


async def test_a_polite_stop_leaves_running_work_to_the_next_start(tmp_path: Path) -> None:
    """SIGTERM with no time to drain ends the process cleanly; the next one finishes what was running."""
    async with Server(tmp_path, WORKER_DRAIN_SECONDS="0") as server:
        await server.start()
        id = await server.generate(prompt="[slow:3] a patient picture")
        seen = []
        with suppress(websockets.ConnectionClosed):
            async for event in server.follow(id):
                seen.append(event)
                if event["state"] == "GENERATING" and server.is_up:
                    # uvicorn ends by the signal it was sent, once it has shut down.
                    assert server.stop() == -signal.SIGTERM
        await server.start()
        events = await rest(server, id, seen)
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
        assert events[-1]["state"] == "SUCCEEDED"


async def test_a_second_process_on_the_same_data_is_refused_in_words(server: Server) -> None:
    """Two workers on one folder would do the same work twice."""
    result = server.command("worker")
    assert result.returncode == 1
    assert "Another process is running jobs on" in result.stderr
