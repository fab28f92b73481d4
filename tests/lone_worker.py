"""A worker as a process of its own, whose jobs do nothing but wait: `python -m tests.lone_worker URL DEAD_S DRAIN_S`.

It tells on its output what it does, and is told on its input how the picture that it waits for ends: `made` or `broken`;
then it tells, too, whether the job is still its own. SIGTERM stops it.
"""

import asyncio
import signal
import sys
from uuid import UUID

from domain.repositories import UnitOfWorkFactory
from engine.jobs import Jobs
from storage.database.databases import open_database
from tests.engines import Steps, working


def tell(*words: object) -> None:
    """One line to whoever started this process."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


class ToldSteps(Steps):
    """Generations of one picture that somebody else decides about."""

    def __init__(self, unit_of_work: UnitOfWorkFactory) -> None:
        self.orders: asyncio.Queue[str] = asyncio.Queue()
        self._unit_of_work = unit_of_work

    async def prepare(self, _id: UUID) -> int:
        """One picture."""
        return 1

    async def make(self, id: UUID, _index: int) -> None:
        """As told."""
        tell("begun", id)
        order = await self.orders.get()
        async with self._unit_of_work(read_only=True) as work:
            tell("owns" if await work.jobs.is_ours(id) else "lost", id)
        # The next attempt is told the same.
        self.orders.put_nowait(order)
        if order == "broken":
            raise RuntimeError

    async def finish(self, id: UUID) -> None:
        """The end."""
        tell("finished", id)

    async def break_off(self, id: UUID) -> None:
        """The bad end."""
        tell("broken off", id)

    async def clean_up(self, id: UUID) -> None:
        """It is not this process's any more."""
        tell("cleaned", id)


async def main(url: str, dead_s: float, drain_s: float) -> None:
    """Work until told to stop."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    database = open_database(url, pool_size=4)
    steps = ToldSteps(database.unit_of_work(Jobs(database.sync_engine()).queue))
    loop.add_reader(sys.stdin, lambda: steps.orders.put_nowait(sys.stdin.readline().strip()))
    async with working(database, steps, drain_s=drain_s, dead_s=dead_s) as engine:
        tell("ready", engine.worker_id)
        await stopped.wait()
    loop.remove_reader(sys.stdin)
    await database.aclose()
    tell("stopped")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3])))
