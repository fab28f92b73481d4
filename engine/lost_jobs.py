"""Jobs that are this worker's by the database alone: nobody runs them, and nobody would ever take them.

When the connection breaks just as DBOS claims a job, or DBOS fails before its first step, the row says that a worker
that lives is at it.
"""

import asyncio
import logging
from functools import partial

import sqlalchemy as sa
from anyio import to_thread

from engine.dbos_inside import give_back, running
from engine.liveness import SCHEMA
from engine.queues import WORKFLOW

_log = logging.getLogger(__name__)

# Longer than DBOS needs from a claim to the first step, and than it pauses between two attempts. Should it need longer,
# the job is made twice for a moment, and only one of them counts.
PAUSE_IN_DEATHS = 2


class LostJobs:
    """Looks for them every `2 * dead_s` seconds, and gives back what was lost at two looks, under the same claim."""

    def __init__(self, engine: sa.Engine, worker_id: str, dead_s: float) -> None:
        self._engine = engine
        self._worker_id = worker_id
        self._pause_s = PAUSE_IN_DEATHS * dead_s
        schema = None if engine.dialect.name == "sqlite" else SCHEMA
        names = ("workflow_uuid", "owner_xid", "status", "name", "executor_id")
        job = sa.table("workflow_status", *map(sa.column, names), schema=schema)
        self._claimed = sa.select(job.c.workflow_uuid, job.c.owner_xid).where(
            job.c.status == "PENDING", job.c.name == WORKFLOW, job.c.executor_id == worker_id
        )

    async def run(self) -> None:
        """Look until cancelled."""
        before: set[tuple[str, str]] = set()
        while True:
            await asyncio.sleep(self._pause_s)
            try:
                # What waits for a database that is away isn't waited for at the end.
                look = partial(self._look, before)
                before = await to_thread.run_sync(look, abandon_on_cancel=True)
            except Exception as problem:  # noqa: BLE001 - whatever it was, a later look tries again
                before = set()
                _log.warning("lost jobs not looked for", extra={"problem": type(problem).__name__})

    def _look(self, before: set[tuple[str, str]]) -> set[tuple[str, str]]:
        """Give back what is lost as it was before. Returns what is lost now: ids, and the claims' tokens."""
        with self._engine.connect() as connection:
            claimed = [(str(id), str(token)) for id, token in connection.execute(self._claimed)]
        # In this order: what ends in between is no longer running, and DBOS gives no ended job back.
        at_work = running()
        lost = {(id, token) for id, token in claimed if id not in at_work}
        given = [id for id, _ in sorted(lost & before) if give_back(id, self._worker_id)]
        if given:
            _log.warning("gave back jobs that nobody was at", extra={"jobs": len(given)})
        return lost - before
