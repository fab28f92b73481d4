"""A database with so many rows that its planner uses indexes where there are any: one owner's and many others'."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from domain.generations import EventDraft, GenerationState
from domain.images import Image, ImageSource
from domain.prompts import PromptType
from domain.providers import ProviderKind
from domain.quotas import Account, Feature, QuotaUnit
from domain.repositories import UnitOfWork
from domain.tags import Tag, TagKind
from domain.users import Community, User
from storage.database.databases import open_database
from storage.database.engine import is_sqlite, sync_engine
from storage.database.search import table_tokens, tokens_of
from storage.database.tables import METADATA
from tests.database import RecordedJobs
from tests.rows import (
    NOW,
    PICTURE,
    a_generation,
    a_profile,
    a_recipe,
    a_reservation,
    a_slot,
    a_step,
    a_user,
    a_wizard,
    after,
    an_attempt,
    an_identity,
    an_image,
)

IMAGES, GENERATIONS, PEOPLE = 10_000, 5_000, 2_000
COMMUNITIES = 30
OWNERS_SHARE = 10  # one in so many
PROVIDERS = tuple(ProviderKind)
HOME = Community(uuid4(), "Lovelace")
OWNER = a_user(HOME, email="owner@example.org")
GENERATION = a_generation(OWNER, idempotency_key="first", state=GenerationState.SUCCEEDED, finished_at=NOW)
RUNNING = a_generation(OWNER, idempotency_key="second")
IDENTITY = an_identity(OWNER)
SLOT = a_slot(OWNER)
PROFILE = a_profile(OWNER, is_default=True)
WIZARD = a_wizard(HOME.id)
STEP = a_step(WIZARD)
ATTEMPT = an_attempt(RUNNING)
ACCOUNT = Account(HOME.id, Feature.IMAGE_GENERATION, QuotaUnit.IMAGES, "2026-11")
TAG = Tag(TagKind.THEME, "sea")


@dataclass(frozen=True)
class Filled:
    """A database with rows, and the template that its generated images were made with."""

    url: str
    prompt_id: UUID


def copies(connection: sa.Connection, table: str, count: int, change: Callable[[int], dict[str, Any]]) -> None:
    """Multiply the first row of a table."""
    rows = METADATA.tables[table]
    first = dict(connection.execute(sa.select(rows).limit(1)).mappings().one())
    connection.execute(rows.insert(), [{**first, **change(number)} for number in range(count)])


def image_at(number: int, prompt_id: UUID, people: list[User]) -> Image:
    """One in ten is the owner's; some are public, and some words and tags are rare."""
    owner = people[0] if number % OWNERS_SHARE == 0 else people[number % len(people)]
    return an_image(
        owner,
        filename=f"house w{number % 700}.png",
        source=ImageSource.IMPORTED if number % 1000 == 0 else ImageSource.GENERATED,
        is_public=number % 30 < 10,
        tags=(replace(TAG, value=f"sea {number % 400}"),),
        recipe=None if number % 1000 == 0 else a_recipe(provider=PROVIDERS[number % 7 % len(PROVIDERS)]),
        prompt_id=None if number % 50 else prompt_id,
        created_at=after(-number),
    )


def add_images(connection: sa.Connection, prompt_id: UUID, people: list[User]) -> None:
    """A library, with what its images are found by."""
    images = [image_at(number, prompt_id, people) for number in range(IMAGES)]
    on_sqlite = connection.dialect.name == "sqlite"

    def values(number: int) -> dict[str, Any]:
        image = images[number]
        plain = {name: getattr(image, name) for name in ("id", "owner_id", "community_id", "is_public", "prompt_id")}
        lexemes = " ".join(f"'{token}'" for token in tokens_of(image))
        return {
            **plain,
            "filename": image.filename,
            "created_at": image.created_at,
            "source": image.source.value,
            "provider": image.recipe and image.recipe.provider.value,
            "search": None if on_sqlite else lexemes,
        }

    copies(connection, "image", IMAGES, values)
    if on_sqlite:
        tokens = [{"id": image.id.hex, "tokens": table_tokens(image)} for image in images]
        connection.execute(sa.text("INSERT INTO image_search (image_id, tokens) VALUES (:id, :tokens)"), tokens)


async def add_templates(work: UnitOfWork) -> UUID:
    """One row of each kind, as the repositories write them; the id of the built-in prompt."""
    await work.users.add_community(HOME)
    await work.users.add(OWNER, "a hash")
    prompt = await work.prompts.active(HOME.id, PromptType.IMAGE_GENERATION)
    await work.images.add(an_image(OWNER, recipe=a_recipe()))
    await work.identities.add(IDENTITY)
    await work.reference_images.add(SLOT)
    await work.connection_profiles.add(PROFILE)
    await work.wizards.add(WIZARD)
    await work.wizards.add_step(STEP)
    await work.generations.add(GENERATION)
    await work.generations.add(RUNNING)
    await work.generations.append(RUNNING.id, NOW, EventDraft(GenerationState.QUEUED))
    await work.generations.add_attempt(ATTEMPT)
    await work.usage.reserve(ACCOUNT, 2, None)
    await work.usage.record(a_reservation(RUNNING))
    await work.pictures.doom(PICTURE.keys, NOW)
    await work.pictures.keep(OWNER.id, PICTURE)
    await work.pictures.doom(["doomed"], NOW)
    await work.commit()
    return prompt.id


def multiply(url: str, prompt_id: UUID) -> None:
    """Many rows, most of them of others, and statistics as PostgreSQL keeps them by itself; SQLite has none."""
    engine = sync_engine(url, 1)
    homes = [HOME, *(Community(uuid4(), f"c{number}") for number in range(1, COMMUNITIES))]
    people = [OWNER, *(a_user(homes[number % COMMUNITIES]) for number in range(PEOPLE))]
    made = [uuid4() for _ in range(GENERATIONS)]

    def person(number: int) -> User:
        return people[number % len(people)]

    def of_person(number: int, *names: str) -> dict[str, Any]:
        owner = person(number)
        return {"id": uuid4(), "community_id": owner.community_id, **dict.fromkeys(names, owner.id)}

    def generation(number: int) -> dict[str, Any]:
        whose = of_person(number, "owner_id", "requested_by_id")
        state = {"state": "SUCCEEDED", "finished_at": NOW}
        at = NOW - timedelta(minutes=number)
        return {**whose, **state, "id": made[number], "created_at": at, "idempotency_key": str(number)}

    def attempt(number: int) -> dict[str, Any]:
        ended = {"outcome": "SUCCEEDED", "cost_micro_usd": 1000, "cost_basis": "LISTED", "finished_at": after(number)}
        model = {"provider": ProviderKind.OPENAI.value, "model": f"m{number % 40}"}
        return {**of_person(number), **ended, **model, "generation_id": made[number], "started_at": NOW}

    def line(number: int) -> dict[str, Any]:
        return {**of_person(number, "user_id"), "generation_id": made[number], "at": after(-number)}

    with engine.begin() as connection:
        copies(connection, "community", COMMUNITIES - 1, lambda n: {"id": homes[n + 1].id, "name": homes[n + 1].name})
        users = [
            {"id": one.id, "community_id": one.community_id, "email": one.email, "external_id": f"x{one.email}"}
            for one in people[1:]
        ]
        copies(connection, "user_account", PEOPLE, lambda n: users[n])
        add_images(connection, prompt_id, people)
        copies(connection, "identity", PEOPLE, lambda n: of_person(n + 1, "user_id"))
        copies(connection, "reference_image", PEOPLE, lambda n: of_person(n + 1, "user_id"))
        copies(connection, "connection_profile", PEOPLE, lambda n: of_person(n + 1, "user_id"))
        copies(connection, "generation", GENERATIONS, generation)
        copies(connection, "generation_event", GENERATIONS, lambda n: {"generation_id": made[n]})
        copies(connection, "generation_event", GENERATIONS, lambda n: {"generation_id": made[n], "seq": 2})
        copies(connection, "provider_attempt", GENERATIONS, attempt)
        copies(connection, "usage_event", GENERATIONS, line)
        copies(connection, "usage_counter", PEOPLE, lambda n: {"subject_id": person(n + 1).id})
        copies(connection, "stored_picture", GENERATIONS, lambda n: {"picture_key": f"k{n}", "sha256": f"s{n}"})
        copies(connection, "doomed_object", GENERATIONS, lambda n: {"object_key": f"k{n}", "doomed_at": after(n)})
    if not is_sqlite(url):
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")
    engine.dispose()


async def fill(url: str) -> Filled:
    """Write all rows."""
    database = open_database(url, pool_size=1)
    async with database.unit_of_work(RecordedJobs())() as work:
        prompt_id = await add_templates(work)
    await database.aclose()
    multiply(url, prompt_id)
    return Filled(url, prompt_id)
