"""Migrations: what they make is what the tables say, on SQLite and PostgreSQL, however processes start."""

import asyncio
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from alembic import command
from sqlalchemy.exc import DBAPIError

from domain.costs import Cost, CostBasis
from domain.generations import SUCCEEDED
from domain.images import Acceptance, ImageList, image_filter
from domain.pages import PageRequest
from domain.prompts import ContextKey, PromptType, check_body
from domain.providers import ProviderKind
from domain.users import Viewer
from storage.database.databases import open_database
from storage.database.engine import DatabaseUnavailable, make_room, sync_engine
from storage.database.migrate import is_at_head, run, upgrade
from storage.database.tables import METADATA
from tests.database import RecordedJobs, drop_postgres, new_postgres
from tests.rows import NOW, stored_community


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
    # The order of a SQLite table's columns and constraints has no meaning, nor have quotes around its names.
    return {" ".join(sorted(filter(None, re.split(r",?\s+|(?=\)$)", text.replace('"', ""))))) for text in written}


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


RECIPE: dict[str, Any] = {
    "prompt": "I am secretly brave " + "a" * 3_000,
    "structured_prompt": None,
    "revised_prompt": None,
    "identity": {"id": "1", "name": "Ada"},
    "reference_hashes": [],
    "provider": "OFFLINE",
    "model": "placeholder-1",
    "options": {"n": 1},
    "cost_micro_usd": None,
    "parent_image_id": None,
}


def insert(url: str, *rows: tuple[str, dict[str, Any]]) -> None:
    """Put rows into tables as they are now, whatever `tables.py` says of them."""
    engine = sync_engine(url, 1)
    tables = sa.MetaData()
    tables.reflect(engine)
    with engine.begin() as connection:
        for table, row in rows:
            connection.execute(tables.tables[table].insert(), row)
    engine.dispose()


def moment_of(url: str) -> object:
    """NOW as the reflected column takes it."""
    return NOW.isoformat(timespec="microseconds") if url.startswith("sqlite") else NOW


def old_rows(url: str, owner: UUID, other: UUID, community: UUID, generation_prompt: int) -> None:
    """What a database of the first version may hold: an upload twice, once as a slot too, and an identity's image.

    Another person has uploaded the same file.
    """
    picture = {
        "media_type": "image/png",
        "size_bytes": 10,
        "width_px": 4,
        "height_px": 3,
        "placeholder": "",
        "variant_keys": {"MEDIUM": "m"},
    }
    moment = moment_of(url)
    home = id_of(url, community)
    own = {"community_id": home, "created_at": moment}
    recipe = {**RECIPE, "prompt_version": generation_prompt}

    def an_old_image(key: str, sha256: str, **values: object) -> dict[str, object]:
        return {
            **own,
            **picture,
            "id": id_of(url, uuid4()),
            "owner_id": id_of(url, owner),
            "picture_key": key,
            "sha256": sha256,
            "recipe": None,
            **values,
        }

    uploaded = {"source": "UPLOADED", "filename": "Harbour night.png"}
    made = {"source": "GENERATED", "filename": "Ada 1.png", "is_public": False}
    slot = {"user_id": id_of(url, owner), "name": "", "order": 0, "role": "FACE", "updated_at": moment}
    user = {"name": "Ada", "role": "ADMIN", "is_test": False, "tokens_valid_after": moment}
    theirs = {**uploaded, "owner_id": id_of(url, other)}
    insert(
        url,
        ("community", {"id": home, "name": "Lovelace"}),
        *(("user_account", {**own, **user, "email": f"{id}@b", "id": id_of(url, id)}) for id in (owner, other)),
        ("image", an_old_image("first", "aa", **uploaded, is_public=True)),
        ("image", an_old_image("second", "aa", **uploaded, is_public=False)),
        ("image", an_old_image("third", "bb", **{**made, "recipe": recipe})),
        ("image", an_old_image("other", "aa", **theirs, is_public=False)),
        (
            "reference_image",
            {**own, **picture, **slot, "id": id_of(url, uuid4()), "picture_key": "first", "sha256": "aa"},
        ),
    )


def id_of(url: str, id: UUID) -> object:
    """An id as the reflected column takes it."""
    return id.hex if url.startswith("sqlite") else id


async def test_what_the_first_version_held_is_found_and_counted(empty_url: str) -> None:
    """Images of before are searched, filtered, tied to their template, and share their objects, as new ones are."""
    community, owner, other = uuid4(), uuid4(), uuid4()
    make_room(empty_url)
    run(empty_url, lambda config: command.upgrade(config, "2026_11_20"))
    old_rows(empty_url, owner, other, community, generation_prompt=1)
    upgrade(empty_url)
    database = open_database(empty_url, 1)
    unit_of_work = database.unit_of_work(RecordedJobs())
    async with unit_of_work() as work:
        viewer = Viewer(await work.users.get(owner))
        home = await work.users.community(community)
        prompt = await work.prompts.active(community, PromptType.IMAGE_GENERATION)

        async def found(*, is_public: bool = False, **filters: Any) -> list[str]:
            owner_id = None if is_public else owner
            wanted = ImageList(community, owner_id, is_public, filter=image_filter(**filters))
            return sorted(image.picture.key for image in (await work.images.page(wanted, PageRequest())).rows)

        assert await found() == ["first", "second", "third"]
        assert await found(search="harbour") == ["first", "second"]
        assert await found(search="harbour", is_public=True) == ["first"]
        assert await found(search="secretly brave") == ["third"]
        # It was named after the identity; nor is a word too long for any index in the way.
        assert await found(search="ada") == []
        assert await found(search="picture") == ["third"]
        assert await found(provider=ProviderKind.OFFLINE) == ["third"]
        of_made = ImageList(community, owner, filter=image_filter(provider=ProviderKind.OFFLINE))
        (made,) = (await work.images.page(of_made, PageRequest())).rows
        acceptance = await work.images.acceptance(viewer.scope, [prompt.id])
        slots = await work.reference_images.of_users([owner])
        assert slots[0].picture
        for _ in range(2):
            await work.pictures.release(slots[0].picture, NOW)
        doomed = await work.pictures.doomed(["first", "second", "m"])
        again = await work.pictures.keep(other, slots[0].picture)
    await database.aclose()
    assert (home.time_zone, home.plan_id, viewer.user.is_operator) == ("UTC", None, False)
    assert made.recipe
    assert (made.recipe.cost_micro_usd, made.recipe.cost_basis) == (None, None)
    assert acceptance == {prompt.id: Acceptance(made=1, accepted=0)}
    # Two rows needed the first upload's objects; the second's are nobody else's, and another's are that person's.
    assert sorted(doomed) == ["first", "m"]
    assert again.key == "other"


BEFORE_PROFILES = "2026_11_21_2"
PRICED, UNPRICED = uuid4(), uuid4()


def priced_rows(url: str, owner: UUID, community: UUID) -> None:
    """What a database may hold from before profiles: a generation with a price and one without, calls, and a line."""
    moment, home, person = moment_of(url), id_of(url, community), id_of(url, owner)
    priced, unpriced = id_of(url, PRICED), id_of(url, UNPRICED)
    asked = {"provider": "OPENAI", "model": "gpt-image-2"}
    generation = {
        **asked,
        "community_id": home,
        "owner_id": person,
        "requested_by_id": person,
        "created_at": moment,
        "prompt": "A house",
        "options": {"n": 2},
        "state": "SUCCEEDED",
        "event_seq": 1,
        "save_to_identity": False,
        "input_hash": "",
        "tags": [],
        "references": [],
        "failures": [],
    }
    call = {**asked, "generation_id": priced, "index": 0, "started_at": moment, "is_charged": False}
    user = {"name": "Ada", "email": "a@b", "role": "ADMIN", **dict.fromkeys(("is_test", "is_operator"), False)}
    moments = dict.fromkeys(("created_at", "tokens_valid_after"), moment)
    line = {"feature": "IMAGE_GENERATION", "unit": "MICRO_USD", "period": "2026-11", "kind": "RESERVE", "at": moment}
    whose = {"community_id": home, "user_id": person, "generation_id": priced}
    costs = {"estimated_cost_micro_usd": 80_000, "actual_cost_micro_usd": 82_000}
    made = {"outcome": SUCCEEDED, "finished_at": moment, "cost_micro_usd": 41_000}
    insert(
        url,
        ("community", {"id": home, "name": "Lovelace", "time_zone": "UTC"}),
        ("user_account", {**user, **moments, "id": person, "community_id": home}),
        ("generation", {**generation, "id": unpriced}),
        ("generation", {**generation, "id": priced, **costs}),
        ("provider_attempt", {**call, "id": id_of(url, uuid4()), "number": 1, "outcome": "TIMEOUT"}),
        ("provider_attempt", {**call, "id": id_of(url, uuid4()), "number": 2, **made}),
        ("usage_event", {**line, **whose, "id": id_of(url, uuid4()), "reserved_delta": 80_000, "used_delta": 0}),
    )


async def test_prices_from_before_profiles_are_listed_ones(empty_url: str) -> None:
    """What generations and calls cost goes on being known, and taught; they were asked for by the server's own access."""
    community, owner = uuid4(), uuid4()
    make_room(empty_url)
    run(empty_url, lambda config: command.upgrade(config, BEFORE_PROFILES))
    priced_rows(empty_url, owner, community)
    upgrade(empty_url)
    database = open_database(empty_url, 1)
    async with database.unit_of_work(RecordedJobs())(read_only=True) as work:
        priced, unpriced = await work.generations.load(PRICED), await work.generations.load(UNPRICED)
        failed, succeeded = await work.generations.attempts_of([PRICED])
        typical = await work.generations.typical_cost(community, ProviderKind.OPENAI, "gpt-image-2")
    await database.aclose()
    assert priced
    assert unpriced
    assert (priced.price, priced.actual_cost) == (Cost(40_000, CostBasis.LISTED), Cost(82_000, CostBasis.LISTED))
    assert (unpriced.price, unpriced.actual_cost) == (None, None)
    for generation in (priced, unpriced):
        assert (generation.profile_id, generation.fallbacks) == (None, ())
    assert (failed.cost, succeeded.cost) == (None, Cost(41_000, CostBasis.LISTED))
    for call in (failed, succeeded):
        assert (call.route, call.profile_id, call.detail) == (0, None, None)
    assert typical == 41_000


def ledger(url: str) -> list[Any]:
    """The lines, after trying in vain to change and to remove them."""
    engine = sync_engine(url, 1)
    for forbidden in ("UPDATE usage_event SET used_delta = 9", "DELETE FROM usage_event"):
        with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
            connection.execute(sa.text(forbidden))
    with engine.connect() as connection:
        lines = connection.execute(sa.text("SELECT * FROM usage_event")).mappings().all()
    engine.dispose()
    return [{**line, "basis": line.get("basis")} for line in lines]


def test_the_ledger_stays_as_it_is_through_migrations(empty_url: str) -> None:
    """It gets a column and loses it again; its lines are the same, and nobody can alter them."""
    make_room(empty_url)
    run(empty_url, lambda config: command.upgrade(config, BEFORE_PROFILES))
    priced_rows(empty_url, uuid4(), uuid4())
    before = ledger(empty_url)
    upgrade(empty_url)
    since = ledger(empty_url)
    run(empty_url, lambda config: command.downgrade(config, BEFORE_PROFILES))
    assert before == since == ledger(empty_url)
    assert [line["basis"] for line in since] == [None]


def said(url: str, statement: str) -> None:
    """Have the database do something."""
    engine = sync_engine(url, 1)
    with engine.begin() as connection:
        connection.execute(sa.text(statement))
    engine.dispose()


async def refusal_of(url: str) -> str:
    """Why a database can't be used."""
    database = open_database(url, 1)
    with pytest.raises(DatabaseUnavailable) as told:
        await database.check()
    await database.aclose()
    return str(told.value)


async def test_a_newer_database_is_left_alone(database_url: str) -> None:
    """Neither is it upgraded, nor is an upgrade advised: what it needs is a newer server."""
    await asyncio.to_thread(said, database_url, "UPDATE alembic_version SET version_num = 'of_tomorrow'")
    assert "newer than this version" in await refusal_of(database_url)
    with pytest.raises(DatabaseUnavailable, match="newer than this version"):
        await asyncio.to_thread(upgrade, database_url)


async def test_what_is_wrong_is_called_by_its_name(postgresql_url: str) -> None:
    """A role without rights isn't told that there are no tables, and is told so when it migrates."""
    address, role = sa.make_url(postgresql_url), f"reader_{uuid4().hex[:8]}"
    await asyncio.to_thread(said, postgresql_url, f"CREATE ROLE {role} LOGIN")
    as_reader = address.set(username=role).render_as_string(hide_password=False)
    try:
        assert "InsufficientPrivilegeError" in await refusal_of(as_reader)
        with pytest.raises(DatabaseUnavailable, match="can't be migrated: permission denied"):
            await asyncio.to_thread(upgrade, as_reader)
    finally:
        await asyncio.to_thread(said, postgresql_url, f"DROP ROLE {role}")
    gone = address.set(database=f"{address.database}_gone").render_as_string(hide_password=False)
    assert "InvalidCatalogNameError" in await refusal_of(gone)
