"""asyncpg and psycopg 3 under the same statements of SQLAlchemy Core, on PostgreSQL; raw asyncpg is the floor.

`page` is the library's list page, 21 rows of 20,000 images, `read` one image by its key, and `write` what an event's
append does: in one transaction a row is counted up and another one inserted. All in this process, rounds in turn.
"""

import asyncio
import os
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import sqlalchemy as sa
import uvloop
from sqlalchemy.ext.asyncio import create_async_engine

from bench.library_rows import BIG, OWNER, Plan, add_people, fill_postgres
from bench.list_page import administer
from domain.generations import EventDraft
from domain.images import ImageList
from domain.pages import PageRequest
from domain.prompts import PromptType
from domain.users import Scope
from storage.database.columns import from_json, to_json
from storage.database.databases import open_database
from storage.database.engine import Connections, connections
from storage.database.migrate import upgrade
from storage.database.unit_of_work import SqlUnitOfWorkFactory
from tests.database import RecordedJobs
from tests.rows import a_generation

IMAGES = 20_000
POOL = 10
CONCURRENCIES = (1, 32)
ROUNDS = 7
SECONDS = 1.0
PAGE = PageRequest(20)
MINE = ImageList(BIG.id, OWNER.id)
SCOPE = Scope(BIG.id, OWNER.id)
DRAFT = EventDraft(stage="measured")
COUNT_UP = "UPDATE generation SET event_seq = event_seq + 1 WHERE id = $1 RETURNING event_seq, state"
ADD_EVENT = "INSERT INTO generation_event (generation_id, seq, at, state, stage) VALUES ($1, $2, $3, $4, $5)"

Operation = Callable[[int], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the operations find what they ask for: an image, and for each of those at work a generation."""

    url: str
    image_id: UUID
    generation_ids: list[UUID]


async def run() -> None:
    """Measure on PostgreSQL, when TEST_POSTGRES_URL says where."""
    address = os.environ.get("TEST_POSTGRES_URL")
    if not address:
        print("Not measured: TEST_POSTGRES_URL is not set")
        return
    name = f"bench_{uuid4().hex[:8]}"
    await administer(address, f"CREATE DATABASE {name}")
    try:
        await _measure(await _fill(address.rpartition("/")[0] + f"/{name}"))
    finally:
        await administer(address, f"DROP DATABASE {name} WITH (FORCE)")


async def _fill(url: str) -> Place:
    await asyncio.to_thread(upgrade, url)
    database = open_database(url, pool_size=2)
    unit_of_work = database.unit_of_work(RecordedJobs())
    await add_people(unit_of_work)
    generations = [a_generation(OWNER) for _ in range(max(CONCURRENCIES))]
    async with unit_of_work() as work:
        prompt = await work.prompts.active(BIG.id, PromptType.IMAGE_GENERATION)
        for generation in generations:
            await work.generations.add(generation)
        await work.commit()
    await asyncio.to_thread(fill_postgres, url, Plan(IMAGES, prompt.id))
    async with unit_of_work(read_only=True) as work:
        newest = (await work.images.page(MINE, PAGE)).rows[0]
    await database.aclose()
    return Place(url, newest.id, [generation.id for generation in generations])


async def _measure(place: Place) -> None:
    # On the server's event loop, not on the benchmarks'.
    await asyncio.to_thread(uvloop.run, _compare(place))


async def _compare(place: Place) -> None:
    async with (
        _through_sqlalchemy("asyncpg", place) as ours,
        _through_sqlalchemy("psycopg", place) as other,
        _raw(place) as floor,
    ):
        drivers = {"asyncpg": ours, "psycopg": other, "raw asyncpg": floor}
        for operation in ("page", "read", "write"):
            for concurrency in CONCURRENCIES:
                await _in_turn(operation, concurrency, {name: by[operation] for name, by in drivers.items()})


async def _in_turn(operation: str, concurrency: int, drivers: Mapping[str, Operation]) -> None:
    """Rounds of each in turn, the first one to warm up; ratios are taken inside a round."""
    rounds = [{name: await _round(work, concurrency) for name, work in drivers.items()} for _ in range(ROUNDS + 1)][1:]
    print(f"{operation}, {concurrency} at once")
    for name in drivers:
        per_second, cpu_us = (
            statistics.median(figures) for figures in zip(*(one[name] for one in rounds), strict=True)
        )
        print(f"  {name:11}: {per_second:6.0f}/s, {cpu_us:5.0f} us CPU each")
    speed, cpu = (statistics.median(one["psycopg"][at] / one["asyncpg"][at] for one in rounds) for at in (0, 1))
    print(f"  psycopg / asyncpg: {speed:.2f} of its throughput, {cpu:.2f} x its CPU", flush=True)


async def _round(operation: Operation, concurrency: int) -> tuple[float, float]:
    """Operations per second, and this process's processor time for each in microseconds."""
    begun, cpu = time.perf_counter(), time.process_time()

    async def one(number: int) -> int:
        done = 0
        while time.perf_counter() < begun + SECONDS:
            await operation(number)
            done += 1
        return done

    done = sum(await asyncio.gather(*map(one, range(concurrency))))
    return done / (time.perf_counter() - begun), (time.process_time() - cpu) / done * 1e6


@asynccontextmanager
async def _through_sqlalchemy(driver: str, place: Place) -> AsyncIterator[dict[str, Operation]]:
    """The repositories' own statements, on connections as the server has them."""
    lender = connections(place.url, POOL) if driver == "asyncpg" else _psycopg(place.url)
    unit_of_work = SqlUnitOfWorkFactory(lender, RecordedJobs())

    async def page(_: int) -> None:
        async with unit_of_work(read_only=True) as work:
            await work.images.page(MINE, PAGE)

    async def read(_: int) -> None:
        async with unit_of_work(read_only=True) as work:
            await work.images.get(SCOPE, place.image_id)

    async def write(number: int) -> None:
        async with unit_of_work() as work:
            await work.generations.append(place.generation_ids[number], datetime.now(UTC), DRAFT)
            await work.commit()

    yield {"page": page, "read": read, "write": write}
    await lender.aclose()


def _psycopg(url: str) -> Connections:
    """Connections like those of asyncpg, but by psycopg."""
    engine = create_async_engine(
        sa.make_url(url).set(drivername="postgresql+psycopg"),
        pool_size=POOL,
        max_overflow=0,
        pool_use_lifo=True,
        json_serializer=to_json,
        json_deserializer=from_json,
    )
    return Connections(engine, engine.execution_options(isolation_level="AUTOCOMMIT"), writers=POOL, readers=0)


@asynccontextmanager
async def _raw(place: Place) -> AsyncIterator[dict[str, Operation]]:
    """What the driver alone takes for the same SQL, its rows left as they come."""
    statements = await _sent_for(place)
    pool = await asyncpg.create_pool(place.url, min_size=POOL, max_size=POOL, reset=_nothing)

    async def page(_: int) -> None:
        statement, parameters = statements["page"]
        await pool.fetch(statement, *parameters)

    async def read(_: int) -> None:
        statement, parameters = statements["read"]
        await pool.fetch(statement, *parameters)

    async def write(number: int) -> None:
        id = place.generation_ids[number]
        async with pool.acquire() as connection, connection.transaction():
            drawn = await connection.fetchrow(COUNT_UP, id)
            await connection.execute(ADD_EVENT, id, drawn["event_seq"], datetime.now(UTC), drawn["state"], DRAFT.stage)

    yield {"page": page, "read": read, "write": write}
    await pool.close()


async def _sent_for(place: Place) -> dict[str, tuple[str, tuple[Any, ...]]]:
    """The statements that the repositories send for a page and for an image."""
    sent: dict[str, tuple[str, tuple[Any, ...]]] = {}
    async with _through_sqlalchemy("asyncpg", place) as operations:
        for name in ("page", "read"):

            def note(*event: Any, name: str = name) -> None:
                sent[name] = event[2], event[3]

            sa.event.listen(sa.Engine, "before_cursor_execute", note)
            await operations[name](0)
            sa.event.remove(sa.Engine, "before_cursor_execute", note)
    return sent


async def _nothing(_connection: Any) -> None:
    """What was read leaves nothing behind to reset."""
