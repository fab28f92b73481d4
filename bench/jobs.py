"""The job engine on PostgreSQL: jobs per second and how soon they begin, a long queue, and fairness among communities.

Workers are processes of their own; the provider, in this process, answers at once with a tiny picture. No floor: the
figures compare with each other.
"""

import asyncio
import os
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import cast
from uuid import UUID

import sqlalchemy as sa

from app.settings import load_settings
from app.wiring import Atelier, compose
from bench.measuring import percentile, spread
from domain.generations import GenerationState
from domain.providers import ImageOptions
from domain.users import Role, Viewer
from domain.wishes import GenerateImage
from storage.database.tables import generation, generation_event
from tests.chaos.fleet import Fleet
from tests.chaos.provider import CountingProvider
from tests.database import drop_postgres, new_postgres

WORKERS = (1, 2, 4)
COMMUNITIES = 5
JOBS = 400
IDLE_JOBS = 30
IDLE_PAUSE_S = (0.3, 1.3)
QUEUED = int(os.environ.get("JOBS_QUEUED", "10000"))
BLOCK = 1_000
CROWD = 500
CALL_S = 1.0
CROWDED_SLOTS = 20
LOOK_EVERY_S = 0.2

_BEGUN = (
    sa.select(generation_event.c.generation_id, sa.func.min(generation_event.c.at))
    .where(
        generation_event.c.state == GenerationState.PREPARING,
        generation_event.c.generation_id.in_(sa.bindparam("ids", expanding=True)),
    )
    .group_by(generation_event.c.generation_id)
)
_ENDED = sa.select(sa.func.count(), sa.func.max(generation.c.finished_at)).where(
    generation.c.finished_at.is_not(None), generation.c.id.in_(sa.bindparam("ids", expanding=True))
)


async def run() -> None:
    """Print every table."""
    address = os.environ.get("TEST_POSTGRES_URL")
    if not address:
        print("not measured: TEST_POSTGRES_URL is not set")
        return
    for workers in WORKERS:
        async with _fleet(address, (0, 0)) as (fleet, atelier):
            await _throughput(fleet, atelier, workers)
            await _latency(atelier)
    async with _fleet(address, (0, 0)) as (_, atelier):
        await _long_queue(atelier)
    async with _fleet(address, (CALL_S, CALL_S), WORKER_SLOTS=str(CROWDED_SLOTS)) as (fleet, atelier):
        await _fairness(fleet, atelier)


@asynccontextmanager
async def _fleet(address: str, call_s: tuple[float, float], **settings: str) -> AsyncIterator[tuple[Fleet, Atelier]]:
    """No process yet, and the parts of an API in this one, over an empty database."""
    url = new_postgres(address)
    try:
        with tempfile.TemporaryDirectory() as folder:
            own = {"WORKER_DEAD_SECONDS": "30", **settings}
            async with CountingProvider(call_s) as provider, Fleet(Path(folder), url, provider, own, 0) as fleet:
                given = {**fleet.environ, "ATELIER_DATA_DIR": str(Path(folder) / "data")}
                atelier = compose(load_settings(given, Path(folder) / "no.env"))
                try:
                    yield fleet, atelier
                finally:
                    await atelier.aclose()
    finally:
        drop_postgres(address, url)


async def _member(atelier: Atelier, community: str) -> Viewer:
    name = f"{community}@example.org".replace(" ", "-")
    return Viewer(
        await atelier.accounts.create(email=name, name="Ada", community=community, password=None, role=Role.MEMBER)
    )


async def _ask(atelier: Atelier, viewer: Viewer) -> UUID:
    wish = GenerateImage(prompt="A picture that is there at once", options=ImageOptions(n=1))
    return (await atelier.requests.ask(viewer, wish)).id


async def _begun(atelier: Atelier, ids: Sequence[UUID]) -> dict[UUID, datetime]:
    async with atelier.database.read() as connection:
        return {row[0]: row[1] for row in await connection.execute(_BEGUN, {"ids": ids})}


async def _all_ended(atelier: Atelier, ids: Sequence[UUID]) -> datetime:
    while True:
        async with atelier.database.read() as connection:
            ended, last = (await connection.execute(_ENDED, {"ids": ids})).one()
        if ended == len(ids):
            return cast("datetime", last)
        await asyncio.sleep(LOOK_EVERY_S)


async def _throughput(fleet: Fleet, atelier: Atelier, workers: int) -> None:
    viewers = [await _member(atelier, f"community {number}") for number in range(COMMUNITIES)]
    ids = [await _ask(atelier, viewers[number % COMMUNITIES]) for number in range(JOBS)]
    # They wait in line already: what is measured is the work alone.
    await fleet.staffed(workers)
    ended = await _all_ended(atelier, ids)
    took_s = (ended - min((await _begun(atelier, ids)).values())).total_seconds()
    print(
        f"{workers} worker{'s' * (workers > 1)}: {JOBS / took_s:5.1f} jobs/s ({JOBS} in line, {took_s:.1f} s)",
        flush=True,
    )


async def _latency(atelier: Atelier) -> None:
    viewer = await _member(atelier, "patient")
    committed: dict[UUID, float] = {}
    for _ in range(IDLE_JOBS):
        id = await _ask(atelier, viewer)
        committed[id] = time.time()
        # At no fixed beat: the queue is looked at in one.
        await asyncio.sleep(random.uniform(*IDLE_PAUSE_S))
    await _all_ended(atelier, list(committed))
    begun = await _begun(atelier, list(committed))
    waits = [begun[id].timestamp() - at for id, at in committed.items()]
    print(f"  from commit to PREPARING, one at a time: {spread(waits)}", flush=True)


async def _long_queue(atelier: Atelier) -> None:
    viewers = [await _member(atelier, f"community {number}") for number in range(COMMUNITIES)]
    print(f"{QUEUED:,} generations put in line, one after the other, nobody working")
    for first in range(0, QUEUED, BLOCK):
        waits = []
        for number in range(first, first + BLOCK):
            begun = time.perf_counter()
            await _ask(atelier, viewers[number % COMMUNITIES])
            waits.append(time.perf_counter() - begun)
        median_ms, p99_ms = statistics.median(waits) * 1000, percentile(waits, 99) * 1000
        print(f"  {first + 1:6,} to {first + BLOCK:6,}: p50 {median_ms:5.1f} ms, p99 {p99_ms:5.1f} ms", flush=True)


async def _fairness(fleet: Fleet, atelier: Atelier) -> None:
    crowd, other = await _member(atelier, "a crowd"), await _member(atelier, "somebody else")
    crowded = [await _ask(atelier, crowd) for _ in range(CROWD)]
    await fleet.staffed(2)
    print(f"{CROWD} jobs of one community in line, 2 workers with {CROWDED_SLOTS} slots, provider {CALL_S:.0f} s")
    waits = []
    while len(await _begun(atelier, crowded)) < CROWD * 3 // 4:
        asked = await _ask(atelier, other)
        committed = time.time()
        await _all_ended(atelier, [asked])
        waits.append((await _begun(atelier, [asked]))[asked].timestamp() - committed)
    print(f"  another's first job begins after: {spread(waits)} ({len(waits)} times)", flush=True)
