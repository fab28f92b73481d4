"""One worker per executor id: DBOS would otherwise run the same work twice (see `docs/decisions`)."""

import fcntl
from pathlib import Path
from typing import IO

from sqlalchemy import Connection, Engine, text


class AnotherWorker(Exception):
    """A worker with this executor id is running already."""


class WorkerLock:
    """Held by the process that runs jobs; the operating system or the database frees it when the process dies."""

    def __init__(self, engine: Engine, executor_id: str) -> None:
        self._engine = engine
        self._executor_id = executor_id
        self._file: IO[str] | None = None
        self._connection: Connection | None = None

    def acquire(self) -> None:
        """Take the lock. Raises AnotherWorker, in words, when it is taken."""
        if self._engine.dialect.name == "sqlite":
            self._lock_file(Path(f"{self._engine.url.database}.worker.lock"))
        else:
            self._lock_session()

    def _lock_file(self, path: Path) -> None:
        self._file = path.open("w")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise AnotherWorker(
                f"Another process is running jobs on {path.parent}. Stop it, or use another ATELIER_DATA_DIR."
            ) from None

    def _lock_session(self) -> None:
        self._connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        statement = text("SELECT pg_try_advisory_lock(hashtext('atelier worker'), hashtext(:id))")
        if not self._connection.scalar(statement, {"id": self._executor_id}):
            self.release()
            raise AnotherWorker(
                f"Another worker runs as {self._executor_id!r}. Give this one a name of its own in ATELIER_WORKER_ID."
            )

    def release(self) -> None:
        """Let the lock go."""
        if self._file:
            self._file.close()
        if self._connection:
            self._connection.close()
        self._file = self._connection = None
