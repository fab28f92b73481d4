"""Databases for tests: migrated, empty but for what the migration brings, a fresh one for each test in milliseconds."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.generations import Generation
from domain.repositories import UnitOfWorkFactory
from storage.database.databases import Database, open_database
from storage.database.migrate import upgrade


class RecordedJobs:
    """A job queue that remembers what was put in line, whether it was committed or not."""

    def __init__(self) -> None:
        self.enqueued: list[Generation] = []

    def __call__(self, connection: AsyncConnection) -> "RecordedJobs":
        """The queue of a unit of work: always this one."""
        return self

    async def enqueue_generation(self, generation: Generation) -> None:
        """Remember the generation."""
        self.enqueued.append(generation)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """The address of a migrated SQLite database of the test's own."""
    path = tmp_path / "atelier.db"
    shutil.copyfile(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def jobs() -> RecordedJobs:
    """The job queue of the test's units of work."""
    return RecordedJobs()


@pytest.fixture
async def database(sqlite_url: str) -> AsyncIterator[Database]:
    """A migrated SQLite database."""
    database = open_database(sqlite_url, pool_size=4)
    yield database
    await database.aclose()


@pytest.fixture
def unit_of_work(database: Database, jobs: RecordedJobs) -> UnitOfWorkFactory:
    """Units of work on a migrated SQLite database; `jobs` is their queue."""
    return database.unit_of_work(jobs)
