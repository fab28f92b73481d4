"""The contract of units of work: all or nothing, readers that don't wait, writers that come in turn."""

import asyncio
import contextlib
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.generations import Generation
from domain.repositories import UnitOfWorkFactory
from domain.users import Community
from storage.database.databases import Database, open_database
from tests.database import RecordedJobs
from tests.rows import a_generation, a_slot, stored_community, stored_viewer


async def exists(unit_of_work: UnitOfWorkFactory, community: Community) -> bool:
    """Whether the community was kept."""
    async with unit_of_work(read_only=True) as work:
        return await work.users.communities([community.id]) == [community]


async def test_what_is_not_committed_is_gone(unit_of_work: UnitOfWorkFactory) -> None:
    """Also when the block ends well, or fails."""
    forgotten, failed, kept = (Community(uuid4(), name) for name in ("forgotten", "failed", "kept"))
    async with unit_of_work() as work:
        await work.users.add_community(forgotten)
    with contextlib.suppress(ZeroDivisionError):
        async with unit_of_work() as work:
            await work.users.add_community(failed)
            raise ZeroDivisionError
    async with unit_of_work() as work:
        await work.users.add_community(kept)
        await work.commit()
    answers = [await exists(unit_of_work, community) for community in (forgotten, failed, kept)]
    assert answers == [False, False, True]


async def test_a_read_only_unit_of_work_commits_nothing(unit_of_work: UnitOfWorkFactory) -> None:
    """Asking it to is a mistake in the program."""
    async with unit_of_work(read_only=True) as work:
        with pytest.raises(RuntimeError, match="nothing to commit"):
            await work.commit()


async def test_sqlite_refuses_to_write_in_a_read_only_unit_of_work(sqlite_url: str) -> None:
    """So every test on SQLite tells of rules that write where they said they would only read."""
    database = open_database(sqlite_url, pool_size=1)
    unit_of_work = database.unit_of_work(RecordedJobs())
    async with unit_of_work(read_only=True) as work:
        with pytest.raises(DBAPIError, match="readonly"):
            await work.users.add_community(Community(uuid4(), "written"))
    await database.aclose()


async def test_readers_don_t_wait_for_a_writer_and_see_only_what_is_committed(
    unit_of_work: UnitOfWorkFactory,
) -> None:
    """A reader in the middle of a write sees the state before it."""
    community = Community(uuid4(), "new")
    async with unit_of_work() as work:
        await work.users.add_community(community)
        async with asyncio.timeout(20):
            assert not await exists(unit_of_work, community)
        await work.commit()
    assert await exists(unit_of_work, community)


@pytest.mark.parametrize("read_only", [False, True])
async def test_nobody_overtakes_those_who_wait(database_url: str, read_only: bool) -> None:
    """Through one connection everybody gets a turn before anybody gets a second one."""
    database = open_database(database_url, pool_size=1)
    unit_of_work = database.unit_of_work(RecordedJobs())
    turns: list[int] = []

    async def come_again(number: int) -> None:
        for _ in range(5):
            async with unit_of_work(read_only=read_only) as work:
                turns.append(number)
                await work.users.count()

    async with asyncio.timeout(30):
        await asyncio.gather(*(come_again(number) for number in range(10)))
    await database.aclose()
    assert turns == [*range(10)] * 5


async def test_many_writers_at_once_all_get_their_turn(unit_of_work: UnitOfWorkFactory) -> None:
    """Two hundred at once, and none fails for having waited."""
    async with asyncio.timeout(30):
        await asyncio.gather(*(stored_community(unit_of_work) for _ in range(200)))


async def test_more_readers_than_connections_all_get_their_turn(unit_of_work: UnitOfWorkFactory) -> None:
    """A hundred readers over four connections."""
    community = await stored_community(unit_of_work)
    async with asyncio.timeout(30):
        assert all(await asyncio.gather(*(exists(unit_of_work, community) for _ in range(100))))


async def test_a_cancelled_unit_of_work_leaves_no_trace(unit_of_work: UnitOfWorkFactory) -> None:
    """Cancelled at any moment it keeps nothing, and the next writers and readers find their connections."""
    communities = [Community(uuid4(), str(number)) for number in range(40)]

    async def write(community: Community) -> None:
        async with unit_of_work() as work:
            await work.users.add_community(community)
            await work.users.community_named("somebody")
            await asyncio.sleep(3600)

    for number, community in enumerate(communities):
        writer = asyncio.create_task(write(community))
        await asyncio.sleep(number / 10_000)
        writer.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await writer
    async with asyncio.timeout(10):
        assert not any([await exists(unit_of_work, community) for community in communities])
        assert await exists(unit_of_work, await stored_community(unit_of_work))


class CommunityQueue:
    """Writes a community where a real queue writes a job: by a synchronous library, on the connection it is given."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def enqueue_generation(self, generation: Generation, priority: int) -> None:
        """Write it under the generation's id."""
        statement = text(f"INSERT INTO community (id, name, time_zone) VALUES ('{generation.id.hex}', 'job', 'UTC')")  # noqa: S608 - an id of our own
        await self._connection.run_sync(lambda connection: connection.execute(statement))

    async def is_ours(self, generation_id: UUID) -> bool:
        """Nobody takes anything over."""
        return True


async def test_a_job_is_put_in_line_on_the_connection_of_its_rows(database: Database) -> None:
    """What the queue writes is kept or forgotten together with everything else."""
    unit_of_work = database.unit_of_work(CommunityQueue)
    viewer = await stored_viewer(unit_of_work)
    for is_kept in (False, True):
        async with unit_of_work() as work:
            await work.jobs.enqueue_generation(a_generation(viewer.user), 1)
            if is_kept:
                await work.commit()
        async with unit_of_work(read_only=True) as work:
            assert (await work.users.community_named("job") is not None) is is_kept


async def test_foreign_keys_hold(unit_of_work: UnitOfWorkFactory) -> None:
    """On SQLite too, where each connection has to ask for it."""
    viewer = await stored_viewer(unit_of_work)
    async with unit_of_work() as work:
        with pytest.raises(DBAPIError, match=r"(?i)foreign key"):
            await work.reference_images.add(a_slot(viewer.user, user_id=uuid4()))


async def test_errors_of_the_database_tell_no_values(unit_of_work: UnitOfWorkFactory) -> None:
    """They reach the log, where prompts and hashes of passwords have no place."""
    viewer = await stored_viewer(unit_of_work)
    async with unit_of_work() as work:
        with pytest.raises(DBAPIError) as refused:
            await work.reference_images.add(a_slot(viewer.user, 7, name="a secret name"))
    assert "a secret name" not in str(refused.value)


async def test_the_job_engine_writes_beside_the_units_of_work(
    database: Database, unit_of_work: UnitOfWorkFactory
) -> None:
    """Threads over the synchronous engine and units of work write at once, and wait for each other."""
    engine = database.sync_engine()
    assert database.sync_engine() is engine

    def write_synchronously() -> None:
        for _ in range(20):
            with engine.begin() as connection:
                connection.execute(text("UPDATE community SET name = name || '.' WHERE name LIKE 'shared%'"))

    community = await stored_community(unit_of_work, "shared")
    threads = [asyncio.to_thread(write_synchronously) for _ in range(3)]
    await asyncio.gather(*threads, *(stored_community(unit_of_work) for _ in range(40)))
    async with unit_of_work(read_only=True) as work:
        assert [found.name for found in await work.users.communities([community.id])] == ["shared" + "." * 60]
