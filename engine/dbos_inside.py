"""What DBOS keeps to itself, in one place: an upgrade of it is checked against this.

Its own service gives the jobs of the dead to others by these; it offers nothing public for that.
"""

import logging
import re
from collections.abc import Sequence

from dbos import DBOS, error
from dbos._context import current_owner_xid
from dbos._dbos import _get_dbos_instance
from dbos._utils import INTERNAL_QUEUE_NAME

# What DBOS warns of at every generation that somebody cancels, or that our own stop cuts off.
_STOPPED = re.compile(r"Asyncio task cancelled for workflow or step|Workflow \S+ was cancelled during execution")


def own_token(workflow_id: str) -> str | None:
    """What DBOS checks by that the workflow that asks still owns its job; None outside of one."""
    return current_owner_xid(workflow_id)


def running() -> set[str]:
    """The ids of the workflows that this process is at, from before their first step until their end is on record."""
    return set(_get_dbos_instance()._active_workflows_set.activeList())  # noqa: SLF001 - see above


def take_over(workers: Sequence[str]) -> int:
    """Put what the workers were working on back in line. Returns how many jobs that were."""
    return len(DBOS._recover_pending_workflows(list(workers)))  # noqa: SLF001 - see above


def give_back(workflow_id: str, worker: str) -> bool:
    """Put one job back in line, if it is this worker's and hasn't ended. Returns whether it was."""
    database = _get_dbos_instance()._sys_db  # noqa: SLF001 - see above
    return database.reenqueue_for_recovery(workflow_id, [worker], INTERNAL_QUEUE_NAME)


def is_trouble(record: logging.LogRecord) -> bool:
    """Whether what DBOS logs is worth telling. That a workflow or a step was stopped isn't."""
    problem = record.exc_info[1] if record.exc_info else None
    is_end = isinstance(problem, error.DBOSAwaitedWorkflowCancelledError)
    return not (is_end or _STOPPED.match(record.getMessage()))
