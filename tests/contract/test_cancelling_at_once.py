"""A cancel and a call that begin together: on a database where transactions run side by side, one waits for the other."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import psycopg
import pytest

from domain.costs import UNKNOWN_PRICE_MICRO_USD
from domain.generations import EventDraft, Generation, GenerationState
from domain.quotas import QuotaUnit
from domain.repositories import UnitOfWorkFactory
from domain.users import Viewer
from domain.wishes import GenerateImage
from tests.fakes.clock import FakeClock
from tests.fakes.mishaps import UnluckyUnitOfWork
from tests.fakes.objects import FakeObjectStore
from tests.rows import NOW, an_attempt, stored_viewer
from tests.workshop import Workshop

WAIT_S = 60


@pytest.fixture
def database_url(postgresql_url: str) -> str:
    """SQLite has one writer at a time anyway."""
    return postgresql_url


@pytest.fixture
def shop(unit_of_work: UnitOfWorkFactory) -> Workshop:
    """Everything that makes pictures."""
    clock = FakeClock(NOW)
    return Workshop(UnluckyUnitOfWork(unit_of_work), FakeObjectStore(clock), clock)


@pytest.fixture
async def viewer(unit_of_work: UnitOfWorkFactory) -> Viewer:
    """A member."""
    return await stored_viewer(unit_of_work)


@pytest.fixture
async def house(shop: Workshop, viewer: Viewer) -> AsyncIterator[Generation]:
    """A prepared generation; whatever waits for ever is given up."""
    async with asyncio.timeout(WAIT_S):
        yield await shop.asked(viewer, GenerateImage(prompt="A house"))


async def until_somebody_waits(url: str) -> None:
    """For a lock that another transaction has."""
    question = b"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        while await (await connection.execute(question)).fetchone() == (0,):  # noqa: ASYNC110 - a database tells nobody
            await asyncio.sleep(0.02)


async def test_a_call_that_begins_first_is_counted(
    shop: Workshop, unit_of_work: UnitOfWorkFactory, database_url: str, viewer: Viewer, house: Generation
) -> None:
    """The cancel waits until it is on record."""
    async with unit_of_work() as work:
        await work.generations.load(house.id, for_update=True)
        await work.generations.add_attempt(an_attempt(house))
        cancelling = asyncio.create_task(shop.requests.cancel(viewer, house.id))
        await until_somebody_waits(database_url)
        await work.commit()
    await cancelling
    assert await shop.outcomes(house) == ["CANCELLED"]
    assert (await shop.used(viewer, QuotaUnit.MICRO_USD)).used == UNKNOWN_PRICE_MICRO_USD


async def test_a_call_that_ends_first_counts_as_it_ended(
    shop: Workshop, unit_of_work: UnitOfWorkFactory, database_url: str, viewer: Viewer, house: Generation
) -> None:
    """The cancel, which saw it under way, waits until its end is on record: nothing was charged."""
    attempt = an_attempt(house)
    async with unit_of_work() as work:
        await work.generations.add_attempt(attempt)
        await work.commit()
    async with unit_of_work() as work:
        await work.generations.finish_attempt(replace(attempt, outcome="RATE_LIMITED", finished_at=NOW))
        cancelling = asyncio.create_task(shop.requests.cancel(viewer, house.id))
        await until_somebody_waits(database_url)
        await work.commit()
    cancelled = await cancelling
    assert (cancelled.failures, cancelled.actual_cost) == ((), None)
    assert (await shop.stages(house))[-1] == "Cancelled"
    assert await shop.outcomes(house) == ["RATE_LIMITED"]
    assert (await shop.used(viewer, QuotaUnit.MICRO_USD)).used == 0


async def test_after_a_cancel_that_begins_first_no_call_is_made(
    shop: Workshop, unit_of_work: UnitOfWorkFactory, database_url: str, house: Generation
) -> None:
    """The worker waits until it knows."""
    async with unit_of_work() as work:
        await work.generations.finish(house.id, NOW, EventDraft(GenerationState.CANCELLED), [], None)
        making = asyncio.create_task(shop.jobs.make(house.id, 0))
        await until_somebody_waits(database_url)
        await work.commit()
    await making
    assert (shop.provider.requests, await shop.attempts(house)) == ([], [])
