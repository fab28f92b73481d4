"""Jobs as every process sees them: put in line with the transaction that asks for them, counted, cancelled, forgotten.

What runs them is in `workers`.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from anyio import to_thread
from dbos import DBOS, DBOSClient, DBOSPortableJSONSerializer, WorkflowStatus
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.generations import Generation
from domain.repositories import JobQueue
from engine.dbos_inside import own_token
from engine.liveness import SCHEMA
from engine.queues import UNFINISHED, WORKFLOW, options_of

Trace = Callable[[], Any]

APPLICATION = "atelier"
ASKED_AT_ONCE = 500
_JOB, _JOB_OF_SCHEMA = (
    sa.table("workflow_status", sa.column("workflow_uuid"), sa.column("owner_xid"), schema=schema)
    for schema in (None, SCHEMA)
)
_ENDED = ["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]


class DbosQueue:
    """Puts generations in line, on the connection of the unit of work that stores them."""

    def __init__(self, client: DBOSClient, connection: AsyncConnection, trace: Trace | None) -> None:
        self._client = client
        self._connection = connection
        self._trace = trace

    async def enqueue_generation(self, generation: Generation, priority: int) -> None:
        """Have a worker run the generation, once the connection's transaction is committed."""
        options = options_of(generation, priority)
        if self._trace:
            options["otel_context"] = self._trace()
        await self._connection.run_sync(
            lambda connection: self._client.enqueue_in_transaction(connection, options, str(generation.id))
        )

    async def is_ours(self, generation_id: UUID) -> bool:
        """Whether the workflow that asks still owns the job, by DBOS's own token; who asks outside of one may."""
        token = own_token(str(generation_id))
        if token is None:
            return True
        job = _JOB if self._connection.dialect.name == "sqlite" else _JOB_OF_SCHEMA
        owner = sa.select(job.c.owner_xid).where(job.c.workflow_uuid == str(generation_id))
        return await self._connection.scalar(owner) == token


class Jobs:
    """The jobs as every process sees them, also one that runs none.

    `trace` tells which OpenTelemetry context a job belongs to, when it is put in line.
    """

    def __init__(self, engine: sa.Engine, trace: Trace | None = None) -> None:
        self._trace = trace
        self._client = DBOSClient(
            system_database_engine=engine,
            serializer=DBOSPortableJSONSerializer(),
            application_name=APPLICATION,
            lazy=True,
            # Who asks is told that the database is away, and not kept waiting for it.
            retry_connection_errors=False,
        )

    def queue(self, connection: AsyncConnection) -> JobQueue:
        """What a unit of work puts jobs in line with."""
        return DbosQueue(self._client, connection, self._trace)

    async def unfinished(self, generation_ids: Sequence[UUID]) -> set[UUID]:
        """Those whose workflow waits or runs, or was cut off and will be taken up again."""
        found: set[UUID] = set()
        for start in range(0, len(generation_ids), ASKED_AT_ONCE):
            ids = [str(id) for id in generation_ids[start : start + ASKED_AT_ONCE]]
            ask = partial(self._client.list_workflows, workflow_ids=ids, status=UNFINISHED)
            found |= set(map(UUID, await self._listed(ask)))
        return found

    async def cancel(self, generation_id: UUID) -> None:
        """Take the job out of the line, or stop it within a second or so, wherever it runs; ended ones stay so."""
        await to_thread.run_sync(self._client.cancel_workflow, str(generation_id))

    async def forget(self, ended_before: datetime) -> int:
        """Drop what DBOS keeps of jobs that ended before the moment. Returns how many there were."""
        ask = partial(
            self._client.list_workflows,
            name=WORKFLOW,
            status=_ENDED,
            completed_before=ended_before.isoformat(),
            limit=ASKED_AT_ONCE,
        )
        forgotten = 0
        while ids := await self._listed(ask):
            await to_thread.run_sync(self._client.delete_workflows, ids)
            forgotten += len(ids)
        return forgotten

    async def _listed(self, ask: Callable[..., list[WorkflowStatus]]) -> list[str]:
        found = await to_thread.run_sync(partial(ask, load_input=False, load_output=False))
        return [job.workflow_id for job in found]


def migrate(engine: sa.Engine) -> None:
    """Create or upgrade DBOS's own tables beside ours."""
    DBOS.migrate(engine.url.render_as_string(hide_password=False), schema=SCHEMA)
