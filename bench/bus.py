"""How soon another process's subscriber sees an event after its commit, and what telling it costs the commits.

Over PostgreSQL's NOTIFY, over Redis, and by the poll alone. Needs TEST_POSTGRES_URL, and `redis-server` for Redis.
"""

import asyncio
import multiprocessing
import os
import shutil
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast
from uuid import UUID

import sqlalchemy as sa

from bench.measuring import percentile
from domain.generations import EventDraft, Generation, GenerationEvent, GenerationState
from domain.repositories import UnitOfWork, UnitOfWorkFactory
from engine.hints import CHANNEL, Hint, Hints, NoHints, packed
from engine.hints_postgres import PostgresHints
from engine.hints_redis import RedisHints
from engine.hub import Hub, stop
from storage.database.databases import open_database
from storage.database.migrate import upgrade
from tests.database import RecordedJobs, drop_postgres, new_postgres
from tests.fakes.clock import FakeClock
from tests.following import begun
from tests.rows import NOW, stored_viewer
from tests.services import private_redis

EVENTS = 600
EVERY_S = 0.05
POLL_S = 5.0
WRITERS = 20
ROUNDS = 7
ROUND_S = 2.0

Stamps = dict[int, float]
InTransaction = Callable[[UnitOfWork, GenerationEvent], Awaitable[None]]


async def run() -> None:
    """Print both measurements."""
    url = os.environ.get("TEST_POSTGRES_URL")
    if url is None:
        print("TEST_POSTGRES_URL is not set: nothing to measure")
        return
    database = new_postgres(url)
    try:
        await asyncio.to_thread(upgrade, database)
        async with _redis() as redis:
            ways = {"NOTIFY": database, "Redis": redis, "poll alone": None}
            await _latencies(database, {name: way for name, way in ways.items() if name != "Redis" or redis})
            await _commits(database, redis)
    finally:
        drop_postgres(url, database)


@asynccontextmanager
async def _redis() -> AsyncIterator[str | None]:
    if shutil.which("redis-server") is None:
        print("redis-server is not there: Redis is not measured")
        yield None
        return
    async with private_redis() as server:
        yield server.url


def _hints(address: str | None) -> Hints:
    if address is None:
        return NoHints()
    return RedisHints(address) if address.startswith("redis:") else PostgresHints(address)


@asynccontextmanager
async def _hub(database: str, address: str | None) -> AsyncIterator[tuple[Hub, UnitOfWorkFactory]]:
    opened = open_database(database, pool_size=WRITERS)
    unit_of_work = opened.unit_of_work(RecordedJobs())
    hub = Hub(unit_of_work, _hints(address), FakeClock(NOW), POLL_S)
    running = asyncio.create_task(hub.run())
    try:
        while not hub.is_connected:  # noqa: ASYNC110 - a script
            await asyncio.sleep(0.01)
        yield hub, unit_of_work
    finally:
        await stop(running)
        await opened.aclose()


async def _begun(unit_of_work: UnitOfWorkFactory) -> Generation:
    return await begun(unit_of_work, (await stored_viewer(unit_of_work)).user)


async def _write(
    unit_of_work: UnitOfWorkFactory, generation: Generation, draft: EventDraft, within: InTransaction | None = None
) -> GenerationEvent:
    async with unit_of_work() as work:
        event = await work.generations.append(generation.id, NOW, draft)
        if event is None:
            raise RuntimeError("the generation has ended")
        if within:
            await within(work, event)
        await work.commit()
    return event


async def _latencies(database: str, ways: dict[str, str | None]) -> None:
    print(f"commit to the subscriber of another process: {EVENTS} events, one every {EVERY_S * 1000:.0f} ms")
    for name, address in ways.items():
        waits = await _latency(database, address)
        p50, p99 = (percentile(waits, percent) * 1000 for percent in (50, 99))
        print(f"  {name:10}: p50 {p50:7.1f} ms, p99 {p99:7.1f} ms, max {max(waits) * 1000:7.1f} ms")


async def _latency(database: str, address: str | None) -> list[float]:
    context = multiprocessing.get_context("spawn")
    told: multiprocessing.Queue[Stamps] = context.Queue()
    async with _hub(database, address) as (hub, unit_of_work):
        generation = await _begun(unit_of_work)
        elsewhere = context.Process(target=_elsewhere, args=(database, address, generation.id, told))
        elsewhere.start()
        seen: Stamps = {}
        async for event in hub.follow(generation.id, 0):
            seen[event.seq] = time.perf_counter()
        stamps = await asyncio.to_thread(told.get)
        elsewhere.join()
    return [seen[seq] - at for seq, at in stamps.items()]


def _elsewhere(database: str, address: str | None, id: UUID, told: "multiprocessing.Queue[Stamps]") -> None:
    """Another process: it tells the events, and when each was committed by the machine's steady clock."""
    told.put(asyncio.run(_tell(database, address, id)))


async def _tell(database: str, address: str | None, id: UUID) -> Stamps:
    stamps: Stamps = {}
    async with _hub(database, address) as (hub, unit_of_work):
        async with unit_of_work(read_only=True) as work:
            generation = await work.generations.load(id)
        if generation is None:
            raise RuntimeError("there is nothing to tell of")
        for number in range(EVENTS):
            await asyncio.sleep(EVERY_S)
            draft = EventDraft(GenerationState.FAILED if number == EVENTS - 1 else None, "telling")
            event = await _write(unit_of_work, generation, draft)
            stamps[event.seq] = time.perf_counter()
            hub.publish(event, generation.owner_id)
        await asyncio.sleep(1)  # what was told last goes out
    return stamps


async def _commits(database: str, redis: str | None) -> None:
    ways: dict[str, tuple[str | None, InTransaction | None]] = {
        "nothing told": (None, None),
        "NOTIFY after the commit": (database, None),
        "NOTIFY in the transaction": (database, _notify),
    }
    if redis:
        ways["Redis after the commit"] = (redis, None)
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, (address, within) in ways.items():
            rates[name].append(await _rate(database, address, within))
    print(f"events committed by {WRITERS} writers of one process, {ROUNDS} rounds of {ROUND_S:.0f} s in turns")
    plain = rates["nothing told"]
    for name, measured in rates.items():
        ratio = statistics.median(rate / other for rate, other in zip(measured, plain, strict=True))
        print(f"  {name:25}: {statistics.median(measured):6.0f} commits/s, {ratio:.2f} of those with nothing told")


async def _notify(work: UnitOfWork, event: GenerationEvent) -> None:
    connection = cast("Any", work.generations)._connection  # noqa: SLF001 - what no code of the server does
    message = packed([Hint(event.generation_id, event.generation_id, event.seq)])
    await connection.execute(sa.select(sa.func.pg_notify(CHANNEL, message)))


async def _rate(database: str, address: str | None, within: InTransaction | None) -> float:
    async with _hub(database, address) as (hub, unit_of_work):
        generations = [await _begun(unit_of_work) for _ in range(WRITERS)]
        count, begun_at = 0, time.perf_counter()

        async def write(generation: Generation) -> None:
            nonlocal count
            while time.perf_counter() - begun_at < ROUND_S:
                event = await _write(unit_of_work, generation, EventDraft(stage="telling"), within)
                if within is None:
                    hub.publish(event, generation.owner_id)
                count += 1

        await asyncio.gather(*map(write, generations))
        return count / (time.perf_counter() - begun_at)
