"""Signs of life of workers on PostgreSQL, and what becomes of a worker's jobs when it shows none.

Each worker has a thread that writes down that it lives, by the database's clock: a thread, for a loop that stands
still is not dead, and with a connection of its own, for the pool may be exhausted. It gives the jobs of whoever shows
no sign back to the line. DBOS sees to it that what a worker thought dead writes afterwards counts no more.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from uuid import uuid4

import sqlalchemy as sa

from engine.queues import VERSION, WORKFLOW

_log = logging.getLogger(__name__)

SCHEMA = "dbos"
BEATS_PER_DEATH = 6
# A pause this long between two beats, in beats: the database was away, or this process stood still. Others had the
# same trouble then: with half of the time gone nobody is judged before they have had all of it again.
MAX_PAUSE = 3
FORGOTTEN_AFTER = timedelta(days=1)
MIN_CONNECT_S = 2

_BEAT = sa.text(
    "INSERT INTO worker (id, started_at, seen_at) VALUES (:id, now(), now())"
    " ON CONFLICT (id) DO UPDATE SET seen_at = now() RETURNING seen_at"
)
# Workers of the version before show no sign of life, but hold a lock for as long as they live.
_DEAD = sa.text(
    "SELECT DISTINCT job.executor_id"  # noqa: S608 - a constant's name
    f" FROM {SCHEMA}.workflow_status job"
    " WHERE job.status = 'PENDING' AND job.name = :workflow AND job.application_version = :version"
    " AND NOT EXISTS (SELECT FROM worker WHERE worker.id = job.executor_id AND worker.seen_at >= now() - :dead_after)"
    " AND NOT EXISTS (SELECT FROM pg_locks held WHERE held.locktype = 'advisory'"
    " AND held.classid::bigint = hashtext('atelier worker')::bigint & 4294967295"
    " AND held.objid::bigint = hashtext(job.executor_id)::bigint & 4294967295)"
)
_FORGET = sa.text("DELETE FROM worker WHERE seen_at < now() - :forgotten_after")
_LEAVE = sa.text("DELETE FROM worker WHERE id = :id")
_TIMEOUT = sa.text("SELECT set_config('statement_timeout', :milliseconds, true)")


def new_worker_id() -> str:
    """A name that no other worker has, had, or will have."""
    return f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"


class Liveness:
    """One worker's signs of life, and its judgement on the others.

    A worker is dead when `dead_s` seconds have passed since its last sign. `take_over` gives the jobs of the workers it
    is called with back to the line; that it is called twice, or by several workers at once, must do no harm.
    """

    def __init__(
        self, engine: sa.Engine, worker_id: str, dead_s: float, take_over: Callable[[Sequence[str]], int]
    ) -> None:
        self._worker_id = worker_id
        self._dead_after = timedelta(seconds=dead_s)
        self._beat_s = dead_s / BEATS_PER_DEATH
        self._take_over = take_over
        self._engine = sa.create_engine(
            engine.url,
            pool_size=1,
            max_overflow=0,
            hide_parameters=True,
            connect_args={
                "connect_timeout": max(MIN_CONNECT_S, round(self._beat_s)),
                # A server that is gone without a word is noticed within a beat or two.
                "tcp_user_timeout": round(self._beat_s * 1000),
            },
        )
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="liveness", daemon=True)
        self._taking: threading.Thread | None = None
        self._judges = True
        self._is_away = False
        self._last: datetime | None = None
        self._unbroken_since: datetime | None = None
        self._seen_s = 0.0

    @property
    def is_seen(self) -> bool:
        """Whether the others have a sign of life that they go by."""
        return time.monotonic() - self._seen_s < self._dead_after.total_seconds()

    def start(self) -> None:
        """Show the first sign of life, before any job is claimed, and go on with it. Blocks on the database."""
        self._beat()
        self._thread.start()

    def retire(self) -> None:
        """Judge nobody any more: this worker takes nothing over."""
        self._judges = False

    def stop(self) -> None:
        """The last act: the others take what is left at their next beat. Blocks on the database."""
        self._stopped.set()
        self._thread.join(timeout=self._dead_after.total_seconds())
        try:
            with self._transaction() as connection:
                connection.execute(_LEAVE, {"id": self._worker_id})
        except Exception as problem:  # noqa: BLE001 - whatever it is: without the farewell it only takes longer
            _log.warning("no farewell from this worker", extra={"problem": type(problem).__name__})
        self._engine.dispose()

    def _run(self) -> None:
        while not self._stopped.wait(self._beat_s):
            try:
                self._beat()
            except Exception as problem:  # noqa: BLE001 - a thread that ends looks like death
                self._last = None
                if not self._is_away:
                    _log.warning("no sign of life from this worker", extra={"problem": type(problem).__name__})
                self._is_away = True
            else:
                self._is_away = False

    def _beat(self) -> None:
        # In one transaction, whose time holds for both: a pause in between leaves the judgement as of the beat.
        with self._transaction() as connection:
            now: datetime = connection.execute(_BEAT, {"id": self._worker_id}).scalar_one()
            dead = self._dead(connection) if self._may_judge(now) else []
        self._seen_s = time.monotonic()
        if dead and not (self._taking and self._taking.is_alive()):
            # Beside the beats: DBOS waits for a database that is slow or away.
            self._taking = threading.Thread(target=self._take, args=(dead,), name="takeover", daemon=True)
            self._taking.start()

    def _may_judge(self, now: datetime) -> bool:
        """Whether this worker was there itself, without a pause, for as long as others may be away."""
        pause = timedelta(seconds=MAX_PAUSE * self._beat_s)
        if self._last is None or self._unbroken_since is None or not timedelta() <= now - self._last <= pause:
            self._unbroken_since = now
        self._last = now
        return self._judges and now - self._unbroken_since >= self._dead_after

    def _dead(self, connection: sa.Connection) -> list[str]:
        connection.execute(_FORGET, {"forgotten_after": FORGOTTEN_AFTER + self._dead_after})
        asked = {"workflow": WORKFLOW, "version": VERSION, "dead_after": self._dead_after}
        return list(connection.execute(_DEAD, asked).scalars())

    def _take(self, dead: list[str]) -> None:
        try:
            jobs = self._take_over(dead)
        except Exception as problem:  # noqa: BLE001 - whatever it was, the next beat tries again
            _log.warning("jobs not taken over", extra={"problem": type(problem).__name__})
        else:
            _log.warning("took over the jobs of dead workers", extra={"workers": dead, "jobs": jobs})

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        with self._engine.begin() as connection:
            connection.execute(_TIMEOUT, {"milliseconds": str(round(self._beat_s * 1000))})
            yield connection
