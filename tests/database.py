"""Databases for tests: migrated, empty but for what the migration brings, a fresh one for each test in milliseconds.

`unit_of_work` is on SQLite; the contract tests replace `database_url`, and so run on PostgreSQL too.
"""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.generations import Generation
from domain.repositories import UnitOfWorkFactory
from storage.database.databases import Database, open_database
from storage.database.migrate import upgrade


class RecordedJobs:
    """A job queue that remembers what was put in line and how urgently, whether it was committed or not."""

    def __init__(self) -> None:
        self.enqueued: list[Generation] = []
        self.priorities: list[int] = []

    def __call__(self, connection: AsyncConnection) -> "RecordedJobs":
        """The queue of a unit of work: always this one."""
        return self

    async def enqueue_generation(self, generation: Generation, priority: int) -> None:
        """Remember the generation."""
        self.enqueued.append(generation)
        self.priorities.append(priority)

    async def is_ours(self, generation_id: UUID) -> bool:
        """Nobody takes anything over."""
        return True


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


def new_postgres(postgres_url: str, template: str = "template1") -> str:
    """Make a database beside the one at the address, and return the new one's address."""
    name = f"atelier_{uuid4().hex}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'.encode())
    return make_url(postgres_url).set(database=name).render_as_string(hide_password=False)


def drop_postgres(postgres_url: str, url: str) -> None:
    """Remove the database at `url`."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{make_url(url).database}" WITH (FORCE)'.encode())


@pytest.fixture(scope="session")
def postgres_template(postgres_url: str) -> Iterator[str]:
    """The name of a migrated PostgreSQL database, to be copied."""
    url = new_postgres(postgres_url)
    upgrade(url)
    yield str(make_url(url).database)
    drop_postgres(postgres_url, url)


@pytest.fixture
def postgresql_url(postgres_url: str, postgres_template: str) -> Iterator[str]:
    """The address of a migrated PostgreSQL database of the test's own."""
    url = new_postgres(postgres_url, postgres_template)
    yield url
    drop_postgres(postgres_url, url)


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """The address of the test's migrated database."""
    return sqlite_url


@pytest.fixture
def jobs() -> RecordedJobs:
    """The job queue of the test's units of work."""
    return RecordedJobs()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The test's database, open."""
    database = open_database(database_url, pool_size=4)
    yield database
    await database.aclose()


@pytest.fixture
def unit_of_work(database: Database, jobs: RecordedJobs) -> UnitOfWorkFactory:
    """Units of work on the test's database; `jobs` is their queue."""
    return database.unit_of_work(jobs)
