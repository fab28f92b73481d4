"""Migrations of a database that is in use: what they wait for, what a failure leaves, and indexes that hold nobody up."""

import asyncio
import shutil
import sys
import textwrap
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from storage.database.engine import DatabaseUnavailable, make_room, sync_engine
from storage.database.migrate import _LOCK, MIGRATIONS, head, is_at_head, run, upgrade
from tests.database import drop_postgres, new_postgres

ROOT = Path(__file__).parents[2]
BEFORE_PROFILES = "2026_11_21_2"
WAIT_S = 60


@pytest.fixture
def empty_postgres(postgres_url: str) -> Iterator[str]:
    """The address of a PostgreSQL database without any table."""
    url = new_postgres(postgres_url)
    yield url
    drop_postgres(postgres_url, url)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """The address of a migrated database of each kind."""
    return str(request.getfixturevalue(f"{request.param}_url"))


class Drafts:
    """Our migrations with drafted ones behind them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._before: dict[str, str | None] = {}
        shutil.copytree(MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))

    def add(self, name: str, upgrades: str, downgrades: str = "pass") -> None:
        """Add a migration, or change the one of the name."""
        before = self._before.setdefault(name, next(reversed(self._before), head()))
        text = f"""
            import sqlalchemy as sa
            from alembic import op
            from migrations.online import create_index, drop_index

            revision, down_revision = {name!r}, {before!r}

            def upgrade():
                {upgrades}

            def downgrade():
                {downgrades}
        """
        (self._folder / "versions" / f"{name}.py").write_text(textwrap.dedent(text))

    def upgrade(self, url: str) -> None:
        """Go to the last draft."""
        run(url, lambda config: command.upgrade(self._ours(config), "head"))

    def downgrade(self, url: str) -> None:
        """Take the drafts back."""
        run(url, lambda config: command.downgrade(self._ours(config), str(head())))

    def _ours(self, config: Config) -> Config:
        config.set_main_option("script_location", str(self._folder))
        return config


@pytest.fixture
def drafts(tmp_path: Path) -> Drafts:
    """Our migrations in a folder of the test's own."""
    return Drafts(tmp_path / "migrations")


def indexes_of(url: str, table: str) -> set[str | None]:
    """The names of a table's indexes."""
    engine = sync_engine(url, 1)
    found = {index["name"] for index in sa.inspect(engine).get_indexes(table)}
    engine.dispose()
    return found


@asynccontextmanager
async def migrating(url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that upgrades the database and ends."""
    program = "import sys; from storage.database.migrate import upgrade; upgrade(sys.argv[1])"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, url), cwd=ROOT, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def until(url: str, question: str, answer: int) -> None:
    """Wait until the database says so."""
    async with asyncio.timeout(WAIT_S), await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        while await (await connection.execute(question.encode())).fetchone() != (answer,):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)


IDLE = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle'"


async def test_two_processes_take_turns(empty_postgres: str) -> None:
    """Both wait while a third one migrates, and then one of them makes the tables, and the other finds them made."""
    with psycopg.connect(empty_postgres, autocommit=True) as third:
        third.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        async with migrating(empty_postgres) as first, migrating(empty_postgres) as second:
            # Between two tries they are in no transaction, for which an index that is made online would wait.
            await until(empty_postgres, f"{IDLE} AND pid != {third.info.backend_pid}", 2)
            assert third.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,)
            third.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])
            async with asyncio.timeout(WAIT_S):
                told = [(await process.communicate())[1] for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], told
    assert is_at_head(empty_postgres)


def test_a_table_in_use_is_not_waited_for_long(empty_postgres: str) -> None:
    """Who waits for a table makes everybody else wait: the migration gives up in words, and can be run again."""
    run(empty_postgres, lambda config: command.upgrade(config, BEFORE_PROFILES))
    with psycopg.connect(empty_postgres) as user:
        user.execute("SELECT count(*) FROM provider_attempt")
        with pytest.raises(DatabaseUnavailable, match="can't be migrated: canceling statement due to lock timeout"):
            run(empty_postgres, lambda config: command.upgrade(config, "head"), lock_timeout_s=0.2)
        assert user.execute("SELECT count(*) FROM provider_attempt").fetchone() == (0,)
    upgrade(empty_postgres)
    assert is_at_head(empty_postgres)


def test_a_migration_that_fails_halfway_leaves_nothing_behind(url: str, drafts: Drafts) -> None:
    """What it had done is undone, and it is done when what was wrong with it isn't any more."""
    drafts.add("good", 'op.create_table("first_draft", sa.Column("id", sa.Integer))')
    drafts.add("bad", 'op.create_table("second_draft", sa.Column("id", sa.Integer)); raise ZeroDivisionError')
    engine = sync_engine(url, 1)
    with pytest.raises(ZeroDivisionError):
        drafts.upgrade(url)
    assert not sa.inspect(engine).has_table("second_draft")
    # Each is kept for itself where nobody is to be locked out for longer than need be.
    assert sa.inspect(engine).has_table("first_draft") is url.startswith("postgresql")
    drafts.add("bad", 'op.create_table("second_draft", sa.Column("id", sa.Integer))')
    drafts.upgrade(url)
    assert {"first_draft", "second_draft"} <= set(sa.inspect(engine).get_table_names())
    engine.dispose()


INDEX = 'create_index("ix_draft", "community", ["time_zone"])'


def test_an_index_is_made_and_removed_online(url: str, drafts: Drafts) -> None:
    """On both databases, to and fro."""
    drafts.add("index", INDEX, 'drop_index("ix_draft", "community")')
    drafts.upgrade(url)
    assert "ix_draft" in indexes_of(url, "community")
    drafts.downgrade(url)
    assert "ix_draft" not in indexes_of(url, "community")


async def test_others_write_while_an_index_is_made(postgresql_url: str, drafts: Drafts) -> None:
    """The index waits for those who began before it; those who come meanwhile wait for nobody."""
    drafts.add("index", INDEX)
    insert = "INSERT INTO community (id, name, time_zone) VALUES (gen_random_uuid(), 'Ada', 'UTC')"
    building = "SELECT count(*) FROM pg_stat_progress_create_index WHERE phase LIKE 'waiting for writers%'"
    with psycopg.connect(postgresql_url) as writer:
        writer.execute(insert.encode())
        migration = asyncio.create_task(asyncio.to_thread(drafts.upgrade, postgresql_url))
        await until(postgresql_url, building, 1)
        with psycopg.connect(postgresql_url, options="-c lock_timeout=5s") as other:
            other.execute(insert.encode())
        assert not migration.done()
    await migration
    assert "ix_draft" in indexes_of(postgresql_url, "community")


def test_an_index_that_failed_is_made_anew(postgresql_url: str, drafts: Drafts) -> None:
    """A failed one stays in the table, invalid: the next attempt begins with its removal."""
    drafts.add("index", 'create_index("ix_draft", "community", ["name"], unique=True)')
    insert = "INSERT INTO community (id, name, time_zone) VALUES (gen_random_uuid(), 'Ada', 'UTC')"
    is_valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_draft'::regclass"
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute(insert.encode())
        connection.execute(insert.encode())
        with pytest.raises(sa.exc.IntegrityError):
            drafts.upgrade(postgresql_url)
        assert connection.execute(is_valid.encode()).fetchone() == (False,)
        connection.execute("DELETE FROM community")
        drafts.upgrade(postgresql_url)
        assert connection.execute(is_valid.encode()).fetchone() == (True,)


def test_a_new_file_is_migrated_as_one(tmp_path: Path, drafts: Drafts) -> None:
    """On SQLite everything or nothing is done."""
    url = f"sqlite:///{tmp_path}/atelier.db"
    drafts.add("bad", "raise ZeroDivisionError")
    make_room(url)
    with pytest.raises(ZeroDivisionError):
        drafts.upgrade(url)
    engine = sync_engine(url, 1)
    assert sa.inspect(engine).get_table_names() == []
    engine.dispose()
