"""Services that go away and come back while 100 generations run: PostgreSQL, Redis, the object store."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from storage.objects.s3 import S3ObjectStore, S3Settings
from tests.chaos.fleet import Fleet
from tests.chaos.gate import Gate
from tests.chaos.load import Load
from tests.chaos.provider import CountingProvider
from tests.chaos.verdict import called_once
from tests.fakes.clock import FakeClock
from tests.s3_server import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, moto
from tests.services import private_postgres, private_redis

GENERATIONS = 100
AWAY_S = 10

Tell = Callable[[object], None]


@pytest.fixture
async def provider() -> AsyncIterator[CountingProvider]:
    """Whom the test's processes ask for pictures."""
    async with CountingProvider() as provider:
        yield provider


@pytest.mark.usefixtures("postgres_url")
async def test_postgresql_is_restarted_under_the_work(provider: CountingProvider, tmp_path: Path, tell: Tell) -> None:
    """In good order and then by a crash: running calls go on, nothing is called for twice, no event is lost."""
    async with private_postgres() as postgres, Fleet(tmp_path, postgres.url, provider) as fleet:
        await fleet.staffed()
        async with await fleet.load("Restarted") as load:
            load.ask(GENERATIONS)
            await load.until_calls(30)
            await postgres.restart()
            await load.until_calls(80)
            await postgres.restart(crash=True)
        verdict = await fleet.judge(load)
    tell(f"{verdict}; {load.refused} requests asked again")
    assert verdict.states == {"SUCCEEDED": GENERATIONS}
    called_once(load)


async def test_redis_goes_away_and_comes_back(
    empty_postgres_url: str, provider: CountingProvider, tmp_path: Path, tell: Tell
) -> None:
    """Restarted, and then away for a while: what Redis would have told is read from the rows, every event once."""
    async with (
        private_redis() as redis,
        Fleet(tmp_path, empty_postgres_url, provider, {"REDIS_URL": redis.url}) as fleet,
    ):
        await fleet.staffed()
        async with await fleet.load("Unheard") as load:
            load.ask(GENERATIONS)
            await load.until_calls(20)
            await redis.restart(crash=True)
            await load.until_calls(40)
            await redis.stop(crash=True)
            await load.until_calls(90)
            await redis.start()
        verdict = await fleet.judge(load)
    tell(verdict)
    assert verdict.states == {"SUCCEEDED": GENERATIONS}
    assert load.refused == load.resumed == 0
    called_once(load)


async def test_the_object_store_goes_away_and_comes_back(
    empty_postgres_url: str, provider: CountingProvider, tmp_path: Path, tell: Tell
) -> None:
    """For 10 seconds: what was paid for waits in memory for the store, and nothing is called for twice."""
    with moto("pictures") as s3:
        async with Gate(str(s3.endpoint_url)) as gate:
            settings = {
                "STORAGE_BUCKET_NAME": s3.bucket,
                "STORAGE_ENDPOINT_URL": gate.url,
                "STORAGE_REGION": REGION,
                "STORAGE_ACCESS_KEY_ID": ACCESS_KEY_ID,
                "STORAGE_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
            }
            async with Fleet(tmp_path, empty_postgres_url, provider, settings) as fleet:
                await fleet.staffed()
                async with await fleet.load("Unstored") as load:
                    load.ask(GENERATIONS)
                    await load.until_calls(30)
                    await gate.close()
                    await asyncio.sleep(AWAY_S)
                    await gate.open()
                verdict = await fleet.judge(load, await _keys(s3, load))
    tell(verdict)
    assert verdict.states == {"SUCCEEDED": GENERATIONS}
    assert load.refused == load.resumed == 0
    called_once(load)


async def _keys(s3: S3Settings, load: Load) -> set[str]:
    """What the store has of the load's community."""
    async with aclosing(S3ObjectStore(s3, FakeClock())) as store:
        return {key async for key in store.keys(f"{load.people[0].community_id}/")}
