"""A fleet as it runs in production: API processes that only answer, and workers, over one PostgreSQL database."""

import asyncio
import time
from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from uuid import UUID

import psycopg

from tests.chaos.load import Load, people
from tests.chaos.provider import CountingProvider
from tests.chaos.verdict import Verdict, files_below, judge
from tests.e2e.harness import Client, Server

DEAD_S = 5
"""How soon a worker without a sign of life is given up. Short, and still long for one that lives on a busy machine."""
IN_LINE_WITHIN_S = DEAD_S + 10
"""A beat more, and what two busy cores make of some seconds. When there is a free place to run in is another matter."""
SECRET = "a secret of the fleet's, the same for every process"
SETTINGS = {
    "SECRET_KEY": SECRET,
    "REPEAT_UNKNOWN_CALLS": "true",
    "WORKER_DEAD_SECONDS": str(DEAD_S),
    "WORKER_SLOTS": "50",
    "DATABASE_POOL_SIZE": "5",
}
LOOK_EVERY_S = 0.1
NOBODY = "the fleet has no admin"

_HELD = "SELECT workflow_uuid FROM dbos.workflow_status WHERE status = 'PENDING' AND executor_id LIKE %s"
_LEFT = """
SELECT count(*) FILTER (WHERE status = 'PENDING' AND executor_id LIKE %s), count(*) FILTER (WHERE status = 'ENQUEUED')
FROM dbos.workflow_status WHERE workflow_uuid = ANY(%s)
"""


@dataclass(frozen=True, slots=True)
class Recovery:
    """After how many seconds a lost worker's generations were all back in line, and all running elsewhere or ended."""

    generations: int
    in_line_s: float
    running_s: float

    def __str__(self) -> str:
        return f"{self.generations} lost, in line after {self.in_line_s:.1f} s, running after {self.running_s:.1f} s"


@dataclass(slots=True)
class Fleet:
    """Processes that share a database, an object store and a provider; each may be killed and started again.

    `answering` APIs are there from the beginning, over a database that is brought to its newest version.
    """

    folder: Path
    database_url: str
    provider: CountingProvider
    settings: dict[str, str] = field(default_factory=dict)
    answering: int = 2
    apis: list[Server] = field(default_factory=list)
    workers: list[Server] = field(default_factory=list)
    _processes: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def __aenter__(self) -> Self:
        try:
            migrated = await asyncio.to_thread((await self._process("migrate")).command, "migrate")
            assert migrated.returncode == 0, migrated.stderr
            self.apis = [await self._process(f"api-{number}") for number in range(self.answering)]
            await asyncio.gather(*(api.start("serve", "--no-worker") for api in self.apis))
        except BaseException:
            await self._processes.aclose()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._processes.aclose()

    @property
    def environ(self) -> dict[str, str]:
        """The settings of every process."""
        return {**SETTINGS, "DATABASE_URL": self.database_url, **self.provider.settings, **self.settings}

    async def _process(self, name: str, **settings: str) -> Server:
        server = Server(self.folder, name=name, **{**self.environ, **settings})
        server.token = NOBODY
        return await self._processes.enter_async_context(server)

    async def staffed(self, count: int = 2, **settings: str) -> Sequence[Server]:
        """So many workers with these settings: those that are there already, and new ones for the others."""
        wanted = {**self.environ, **settings}
        for worker in self.workers:
            if worker.is_up and not wanted.items() <= worker.environ.items():
                await asyncio.to_thread(worker.stop)
        self.workers = [worker for worker in self.workers if worker.is_up]
        new = [await self._process(f"worker-{number}", **settings) for number in range(len(self.workers), count)]
        await asyncio.gather(*(worker.start_worker() for worker in new))
        self.workers += new
        return self.workers

    async def load(self, name: str, *, apis: Sequence[Client] = (), followed_on: Sequence[Client] = ()) -> Load:
        """Generations of two new people in a community of this name."""
        members = await people(self.database_url, SECRET, name)
        return Load(name, apis or self.apis, self.provider, members, followed_on)

    async def judge(self, load: Load, stored: Collection[str] | None = None) -> Verdict:
        """What became of the load; without the keys of another store those in the folder."""
        kept = files_below(self.folder / "data" / "objects") if stored is None else stored
        return await judge(load, self.database_url, kept)

    async def held_by(self, worker: Server) -> set[UUID]:
        """The generations that the worker has taken and that have not ended."""
        async with await psycopg.AsyncConnection.connect(self.database_url) as connection:
            rows = await (await connection.execute(_HELD, [_executor(worker)])).fetchall()
        return {UUID(id) for (id,) in rows}

    async def recovered(self, held: set[UUID], worker: Server) -> Recovery:
        """Wait until others work on all that the worker held when it was lost, or have ended it."""
        begun, in_line_s, still_its, waiting = time.monotonic(), 0.0, 1, 1
        asked = [_executor(worker), [str(id) for id in held]]
        async with await psycopg.AsyncConnection.connect(self.database_url, autocommit=True) as connection:
            while still_its or waiting:
                still_its, waiting = await (await connection.execute(_LEFT, asked)).fetchone() or (0, 0)
                if still_its:
                    in_line_s = time.monotonic() - begun
                await asyncio.sleep(LOOK_EVERY_S)
        return Recovery(len(held), in_line_s, time.monotonic() - begun)


def _executor(worker: Server) -> str:
    assert worker.process
    return f"%-{worker.process.pid}-________"
