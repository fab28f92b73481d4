"""The small version that always runs: one process with SQLite, killed and started again in the middle of its work."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from tests.chaos.fleet import NOBODY, SECRET
from tests.chaos.load import Load, people
from tests.chaos.provider import CountingProvider
from tests.chaos.verdict import called_once, files_below, judge
from tests.e2e.harness import Server

GENERATIONS = 20
KILLED_AFTER_CALLS = 11


async def test_a_process_that_is_killed_finishes_everything_once(
    tmp_path: Path, tell: Callable[[object], None]
) -> None:
    """20 generations, and kill -9 among them: every picture is there once, every event told once, all counted."""
    async with CountingProvider() as provider:
        server = Server(
            tmp_path,
            SECRET_KEY=SECRET,
            REPEAT_UNKNOWN_CALLS="true",
            WORKER_SLOTS="8",
            **provider.settings,
        )
        server.token = NOBODY
        url = f"sqlite:///{tmp_path / 'data' / 'atelier.db'}"
        async with server:
            await server.start()
            load = Load("embedded", [server], provider, await people(url, SECRET, "Embedded"))
            async with load:
                load.ask(GENERATIONS)
                await load.until_calls(KILLED_AFTER_CALLS)
                server.kill()
                await server.start()
            # What has ended may yet have to be cleared away.
            await asyncio.to_thread(server.stop)
        verdict = await judge(load, url, files_below(tmp_path / "data" / "objects"))
        tell(verdict)
        assert verdict.states == {"SUCCEEDED": GENERATIONS}
        called_once(load, but={asked.id for asked in load.asked})
        assert verdict.repeated > 0
