"""One process for each data folder: embedded, the process that runs the jobs takes every job for its own."""

import fcntl
from pathlib import Path
from typing import IO

from sqlalchemy import Engine


class AnotherWorker(Exception):
    """A process runs jobs on this data folder already."""


class WorkerLock:
    """Held by the process that runs jobs on a SQLite file; the operating system frees it when the process dies.

    On PostgreSQL any number of workers run beside each other, each under a name of its own.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lock. Raises AnotherWorker, in words, when it is taken."""
        if self._engine.dialect.name != "sqlite":
            return
        path = Path(f"{self._engine.url.database}.worker.lock")
        self._file = path.open("w")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise AnotherWorker(
                f"Another process is running jobs on {path.parent}. Stop it, or use another ATELIER_DATA_DIR."
            ) from None

    def release(self) -> None:
        """Let the lock go."""
        if self._file:
            self._file.close()
        self._file = None
