"""Migrations: what they make is what the tables say, on SQLite and PostgreSQL, however processes start."""

import asyncio
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command

from domain.prompts import ContextKey, PromptType, check_body
from storage.database.databases import open_database
from storage.database.engine import DatabaseUnavailable, sync_engine
from storage.database.migrate import is_at_head, run, upgrade
from storage.database.tables import METADATA
from tests.database import RecordedJobs, drop_postgres, new_postgres
from tests.rows import stored_community


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database without any table, of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/new/atelier.db"
        return
    postgres_url = request.getfixturevalue("postgres_url")
    url = new_postgres(postgres_url)
    yield url
    drop_postgres(postgres_url, url)


def schema_of(url: str) -> set[str]:
    """Every table, index and constraint of ours as the database itself writes them down."""
    engine = sync_engine(url, 1)
    if url.startswith("sqlite"):
        statement = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND tbl_name != 'alembic_version'"
    else:
        statement = """
            SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename != 'alembic_version'
            UNION SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
                FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND conname !~ '^alembic'
            UNION SELECT table_name || ' ' || column_name || ' ' || data_type || ' ' || is_nullable
                FROM information_schema.columns WHERE table_schema = 'public' AND table_name != 'alembic_version'
        """
    with engine.connect() as connection:
        written = connection.execute(sa.text(statement)).scalars().all()
    engine.dispose()
    # The order of a SQLite table's constraints has no meaning, nor have quotes around its names.
    return {" ".join(sorted(re.split(r",?\s+", text.replace('"', "")))) for text in written}


def test_the_migrated_schema_is_that_of_the_tables(empty_url: str) -> None:
    """Tables, columns, checks, partial indexes and foreign keys are what `tables.py` says, to the letter."""
    upgrade(empty_url)
    migrated = schema_of(empty_url)
    run(empty_url, lambda config: command.downgrade(config, "base"))
    engine = sync_engine(empty_url, 1)
    METADATA.create_all(engine)
    engine.dispose()
    assert schema_of(empty_url) == migrated
    assert len(migrated) > 20


def test_alembic_finds_nothing_to_change(empty_url: str) -> None:
    """`alembic check` is content, also when the job engine keeps tables of its own beside ours."""
    upgrade(empty_url)
    engine = sync_engine(empty_url, 1)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE workflow_status (id INTEGER)"))
    engine.dispose()
    run(empty_url, command.check)


def test_up_down_up(empty_url: str) -> None:
    """The migrations can be taken back to nothing, and made again to the same."""
    assert not is_at_head_of_new(empty_url)
    upgrade(empty_url)
    first = schema_of(empty_url)
    assert is_at_head(empty_url)
    run(empty_url, lambda config: command.downgrade(config, "base"))
    assert schema_of(empty_url) == set()
    assert not is_at_head(empty_url)
    upgrade(empty_url)
    assert schema_of(empty_url) == first


def is_at_head_of_new(url: str) -> bool:
    """Whether a database is at the head; one whose folder doesn't exist yet isn't."""
    try:
        return is_at_head(url)
    except DatabaseUnavailable:
        return False


async def test_processes_that_start_together_take_turns(empty_url: str) -> None:
    """Of several upgrades at once one makes the tables, and none fails."""
    await asyncio.gather(*(asyncio.to_thread(upgrade, empty_url) for _ in range(6)))
    assert is_at_head(empty_url)


async def test_the_built_in_prompt_is_there_and_right(empty_url: str) -> None:
    """Version 1 for pictures of identities is active, belongs to no community, and keeps its own rules."""
    upgrade(empty_url)
    database = open_database(empty_url, 1)
    unit_of_work = database.unit_of_work(RecordedJobs())
    community = await stored_community(unit_of_work)
    async with unit_of_work(read_only=True) as work:
        prompt = await work.prompts.active(community.id, PromptType.IMAGE_GENERATION)
    await database.aclose()
    assert (prompt.community_id, prompt.version, prompt.author_id) == (None, 1, None)
    assert prompt.required_context_keys == (ContextKey.IDENTITY_CONTEXT,)
    assert ContextKey.ADDITIONAL_PROMPT.placeholder in prompt.body
    assert prompt.created_at.utcoffset() is not None
    check_body(prompt.body, prompt.type, prompt.required_context_keys)


async def test_a_database_that_was_not_migrated_says_so(empty_url: str) -> None:
    """The check names the remedy, and is content once it was applied."""
    upgrade(empty_url)
    run(empty_url, lambda config: command.downgrade(config, "base"))
    database = open_database(empty_url, 1)
    with pytest.raises(DatabaseUnavailable, match=r"run `python main\.py migrate`"):
        await database.check()
    upgrade(empty_url)
    await database.check()
    await database.aclose()


async def test_a_database_without_any_table_says_so(tmp_path: Path) -> None:
    """A file that nothing was ever written to is not migrated."""
    database = open_database(f"sqlite:///{tmp_path}/empty.db", 1)
    with pytest.raises(DatabaseUnavailable, match=r"run `python main\.py migrate`"):
        await database.check()
    await database.aclose()


@pytest.mark.parametrize("url", ["sqlite:////proc/none/atelier.db", "postgresql://ada:secret@127.0.0.1:9/none"])
async def test_a_database_out_of_reach_is_told_in_words(url: str) -> None:
    """Neither the check nor an upgrade lets a driver's error or the password through."""
    database = open_database(url, 1)
    with pytest.raises(DatabaseUnavailable, match="can't be reached") as told:
        await database.check()
    await database.aclose()
    with pytest.raises(DatabaseUnavailable, match="can't be") as told_too:
        await asyncio.to_thread(upgrade, url)
    assert "secret" not in f"{told.value} {told_too.value}"


async def test_a_locked_sqlite_file_is_waited_for(tmp_path: Path) -> None:
    """A migration that meets a writer waits until it is done instead of failing."""
    path = tmp_path / "atelier.db"
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("BEGIN IMMEDIATE")
    migration = asyncio.create_task(asyncio.to_thread(upgrade, f"sqlite:///{path}"))
    done, _ = await asyncio.wait([migration], timeout=0.3)
    assert not done
    writer.execute("COMMIT")
    writer.close()
    await migration
    assert is_at_head(f"sqlite:///{path}")
