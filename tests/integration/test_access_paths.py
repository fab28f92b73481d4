"""Every question about what grows is answered by an index: no statement of a repository reads a big table whole.

The statements are those that are really sent, noted while the repositories are asked, and explained by the database.
"""

import json
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from domain.errors import NotFound
from domain.generations import EventDraft, GenerationState
from domain.images import ImageFilter, ImageList, ImageSource
from domain.pages import Cursor, PageRequest
from domain.prompts import PromptType
from domain.providers import ProviderKind
from domain.repositories import UnitOfWork
from domain.users import Scope, Viewer
from storage.database.databases import open_database
from storage.database.engine import connections
from storage.database.migrate import upgrade
from storage.database.tables import METADATA
from tests.database import RecordedJobs, drop_postgres, new_postgres
from tests.many_rows import (
    ACCOUNT,
    ATTEMPT,
    GENERATION,
    HOME,
    IDENTITY,
    OWNER,
    PROFILE,
    RUNNING,
    SLOT,
    STEP,
    TAG,
    WIZARD,
    Filled,
    fill,
)
from tests.rows import NOW, PICTURE, after

# What stays small, or is read as a whole by what reads it: a handful for each community, or a line for each worker.
SMALL = {"community", "plan", "plan_limit", "user_limit", "prompt", "wizard", "step", "worker"}
BIG = set(METADATA.tables) - SMALL

Statements = list[tuple[str, Any]]
Question = Callable[[UnitOfWork, Filled], Awaitable[object]]

VIEWER = Viewer(OWNER)
MINE, COMMUNITYS = Scope(HOME.id, OWNER.id), Scope(HOME.id, None)
IDS = [uuid4() for _ in range(5)]
FIRST, LATER = PageRequest(), PageRequest(after=Cursor(after(-500), uuid4()))
BACKWARDS = PageRequest(before=Cursor(after(-500), uuid4()), backwards=True)
FILTERS = {
    "all": ImageFilter(),
    "a rare word": ImageFilter(words=("w77",)),
    "a common word": ImageFilter(words=("house",)),
    "a rare tag": ImageFilter(tags=(replace(TAG, value="sea 7"),)),
    "a word and a tag": ImageFilter(words=("house",), tags=(replace(TAG, value="sea 7"),)),
    "a source": ImageFilter(source=ImageSource.IMPORTED),
    "a provider": ImageFilter(provider=ProviderKind.OFFLINE),
    "dates": ImageFilter(created_after=after(-900), created_before=after(-100)),
}
LISTS = {"own": ImageList(HOME.id, OWNER.id), "public": ImageList(HOME.id, is_public=True)}


def _page(wanted: ImageList, page: PageRequest) -> Question:
    return lambda work, _: work.images.page(wanted, page)


def _count(wanted: ImageList) -> Question:
    return lambda work, _: work.images.count(wanted)


def image_lists() -> dict[str, Question]:
    """Pages and totals of every list with every filter."""
    questions: dict[str, Question] = {}
    for list_name, wanted in LISTS.items():
        for filter_name, chosen in FILTERS.items():
            filtered = replace(wanted, filter=chosen)
            for page_name, page in (("first", FIRST), ("later", LATER), ("backwards", BACKWARDS)):
                questions[f"{list_name} images, {filter_name}, {page_name} page"] = _page(filtered, page)
            questions[f"{list_name} images, {filter_name}, how many"] = _count(filtered)
    return questions


OTHERS: dict[str, Question] = {
    "images of a version": lambda work, at: work.images.page(ImageList(HOME.id, prompt_id=at.prompt_id), FIRST),
    "what became of a version's": lambda work, at: work.images.acceptance(COMMUNITYS, [at.prompt_id]),
    "what became of a version's, own": lambda work, at: work.images.acceptance(MINE, [at.prompt_id]),
    "an image": lambda work, _: work.images.get_visible(MINE, IDS[0], for_use=True),
    "images by id": lambda work, _: work.images.visible_by_ids(MINE, IDS),
    "images of generations": lambda work, _: work.images.of_generations(IDS),
    "uses of images": lambda work, _: work.images.uses_of(IDS),
    "end of uses": lambda work, _: work.images.end_uses(IDS[0], OWNER.id, NOW),
    "removal of an image": lambda work, _: work.images.delete(IDS[0]),
    "generations": lambda work, _: work.generations.page(VIEWER, FIRST),
    "later generations": lambda work, _: work.generations.page(VIEWER, LATER),
    "generations backwards": lambda work, _: work.generations.page(VIEWER, BACKWARDS),
    "generations by id": lambda work, _: work.generations.by_ids(MINE, IDS),
    "a generation": lambda work, _: work.generations.load(GENERATION.id, for_update=True),
    "a generation of a key": lambda work, _: work.generations.of_key(OWNER.id, "first"),
    "a step of a generation": lambda work, _: work.generations.append(
        RUNNING.id, NOW, EventDraft(GenerationState.PREPARING)
    ),
    "events after": lambda work, _: work.generations.events(RUNNING.id, 0, 100),
    "outcomes": lambda work, _: work.generations.outcomes(RUNNING.id),
    "last numbers": lambda work, _: work.generations.last_seqs(IDS),
    "attempts": lambda work, _: work.generations.attempts_of(IDS),
    "end of an attempt": lambda work, _: work.generations.finish_attempt(ATTEMPT),
    "typical seconds": lambda work, _: work.generations.typical_seconds(ProviderKind.OPENAI, "m1"),
    "typical cost": lambda work, _: work.generations.typical_cost(HOME.id, ProviderKind.OPENAI, "m1"),
    "running generations": lambda work, _: work.generations.running(NOW),
    "running generations of owners": lambda work, _: work.generations.running_of([OWNER.id]),
    "ended generations": lambda work, _: work.generations.ended(IDS, NOW),
    "identities": lambda work, _: work.identities.of_users([OWNER.id]),
    "identities by id": lambda work, _: work.identities.by_ids(MINE, IDS),
    "an identity": lambda work, _: work.identities.get(MINE, IDENTITY.id, for_update=True),
    "removal of an identity": lambda work, _: work.identities.delete(IDENTITY.id),
    "slots": lambda work, _: work.reference_images.of_users([OWNER.id]),
    "slots by id": lambda work, _: work.reference_images.by_ids(MINE, IDS),
    "a slot": lambda work, _: work.reference_images.get(MINE, SLOT.id, for_update=True),
    "taken slots": lambda work, _: work.reference_images.taken_orders(OWNER.id),
    "steps of wizards": lambda work, _: work.wizards.steps_of([WIZARD.id]),
    "background of a step": lambda work, _: work.wizards.set_background(STEP.id, None),
    "profiles": lambda work, _: work.connection_profiles.of_user(OWNER.id, for_update=True),
    "profiles by id": lambda work, _: work.connection_profiles.of_user_by_ids(OWNER.id, IDS),
    "end of the default": lambda work, _: work.connection_profiles.end_default(OWNER.id),
    "use of a profile": lambda work, _: work.connection_profiles.used(PROFILE.id, NOW),
    "keys": lambda work, _: work.connection_profiles.keys(None, 100),
    "later keys": lambda work, _: work.connection_profiles.keys(PROFILE.id, 100),
    "a user": lambda work, _: work.users.get(OWNER.id),
    "users by id": lambda work, _: work.users.by_ids(HOME.id, IDS),
    "who signs in": lambda work, _: work.users.credentials(OWNER.email),
    "a user of an address": lambda work, _: work.users.of_email(OWNER.email),
    "a user of an issuer": lambda work, _: work.users.by_external_id(HOME.id, "x"),
    "test users": lambda work, _: work.users.test_users(HOME.id),
    "valid tokens": lambda work, _: work.users.tokens_valid_after(IDS),
    "the versions of a template": lambda work, _: work.prompts.list(HOME.id, PromptType.IMAGE_GENERATION),
    "counters": lambda work, _: work.usage.counters([ACCOUNT, replace(ACCOUNT, subject_id=OWNER.id)]),
    "a settlement": lambda work, _: work.usage.move(ACCOUNT, -1, 1),
    "what limits": lambda work, _: work.usage.allowance(HOME.id, [OWNER.id]),
    "unsettled reservations": lambda work, _: work.usage.unsettled(RUNNING.id),
    "doomed objects": lambda work, _: work.pictures.doomed(["k1", "k2"]),
    "a sweep's claim": lambda work, _: work.pictures.claim(NOW, 100),
    "objects that are gone": lambda work, _: work.pictures.forget(["k1", "k2"]),
    "a picture less": lambda work, _: work.pictures.release(PICTURE, NOW),
}
QUESTIONS = {**image_lists(), **OTHERS}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def filled_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a database for many rows."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('filled') / 'atelier.db'}"
        upgrade(url)
        yield url
        return
    postgres_url = request.getfixturevalue("postgres_url")
    url = new_postgres(postgres_url)
    upgrade(url)
    yield url
    drop_postgres(postgres_url, url)


@contextmanager
def noted() -> Iterator[Statements]:
    """The statements that are sent meanwhile, but for insertions, with their parameters."""
    statements: Statements = []

    def note(_connection: object, _cursor: object, statement: str, parameters: Any, *_others: object) -> None:
        if not statement.startswith(("INSERT", "BEGIN")):
            statements.append((statement, parameters))

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)


def read_whole(plan: dict[str, Any], *, asks_for_one: bool = False) -> Iterator[str]:
    """The tables that a plan of PostgreSQL reads from the first row to the last.

    What asks only whether there is such a row, beyond a cursor, ends with the first one: where PostgreSQL thinks that
    many rows are such, it looks for one anywhere.
    """
    asks_for_one |= plan.get("Parent Relationship") == "InitPlan"
    if plan["Node Type"] == "Seq Scan" and not asks_for_one:
        yield plan["Relation Name"]
    for part in plan.get("Plans", ()):
        yield from read_whole(part, asks_for_one=asks_for_one and plan["Node Type"] == "Result")


async def big_tables_read(connection: Any, statement: str, parameters: Any) -> set[str]:
    """Those of the tables that grow which a statement reads whole; one that is read in order up to a limit isn't."""
    if connection.dialect.name == "postgresql":
        explained = await connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters)
        plan = explained.scalar_one()
        return set(read_whole((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"])) & BIG
    steps = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
    scans = [re.match(r"SCAN (\w+?)(?:_\d+)?(?: USING (?:COVERING )?INDEX|$)", step.detail) for step in steps]
    return {scan[1] for scan in scans if scan and "USING" not in scan[0]} & BIG


async def test_every_question_has_its_index(filled_url: str) -> None:
    """With many rows and the planner's own choice; every repository's reads, and what changes rows found by a value."""
    filled = await fill(filled_url)
    found: dict[str, set[str]] = {}
    async with (
        aclosing(open_database(filled_url, pool_size=1)) as database,
        aclosing(connections(filled_url, 1)) as own,
    ):
        for name, question in QUESTIONS.items():
            async with database.unit_of_work(RecordedJobs())() as work:
                with noted() as statements, suppress(NotFound):
                    await question(work, filled)
            assert statements, f"{name}: asked nothing"
            async with own.write() as connection:
                for statement, parameters in statements:
                    if read := await big_tables_read(connection, statement, parameters):
                        found[f"{name}: {statement}"] = read
    assert not found
