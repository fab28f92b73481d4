"""A library to measure in: a big community beside many small ones, prompts whose words come as often as in real ones.

One owner has a tenth of everything, another member of the same community a hundredth of that; the rest is spread over
other communities. Every row is written as the repository would write it, only faster.
"""

import itertools
import os
import random
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
from sqlalchemy import make_url

from domain.images import Image, ImageSource, Recipe
from domain.pictures import Picture, VariantSize
from domain.providers import ProviderKind
from domain.repositories import UnitOfWorkFactory
from domain.tags import Tag, TagKind
from domain.users import Community, Role, User
from storage.database.columns import to_json
from storage.database.search import table_tokens, tokens_of

NEWEST = datetime(2026, 11, 20, 12, tzinfo=UTC)
EVERY = timedelta(seconds=30)
OWNER_SHARE, MEMBER_SHARE = 0.1, 0.001
PUBLIC_SHARE, IDENTITY_SHARE, UPLOADED_SHARE, IMPORTED_SHARE = 0.3, 0.5, 0.1, 0.001
SMALL_COMMUNITIES = 200
VOCABULARY = 20_000
TAGS = 200
PROMPT_WORDS = (20, 70)
CHUNK = 10_000
SYLLABLES = [consonant + vowel for consonant in "bcdfghklmnprstvz" for vowel in "aeiou"]
COLUMNS = [
    "id",
    "community_id",
    "owner_id",
    "source",
    "picture_key",
    "sha256",
    "media_type",
    "size_bytes",
    "width_px",
    "height_px",
    "placeholder",
    "variant_keys",
    "filename",
    "is_public",
    "tags",
    "recipe",
    "provider",
    "prompt_id",
    "created_at",
]


def word_at(rank: int) -> str:
    """The word that is the so-manieth most common: syllables, so that some words begin others."""
    syllables = []
    rank += len(SYLLABLES)
    while rank:
        rank, place = divmod(rank, len(SYLLABLES))
        syllables.append(SYLLABLES[place])
    return "".join(syllables)


def tag_at(rank: int) -> Tag:
    """The tag that is the so-manieth most common."""
    return Tag(tuple(TagKind)[rank % len(TagKind)], f"{word_at(rank)} {rank}")


@dataclass(frozen=True, slots=True)
class Plan:
    """How many images are made, and with which version of the template."""

    images: int
    prompt_id: UUID


def _user(number: int, community: Community) -> User:
    return User(
        id=UUID(int=number),
        community_id=community.id,
        email=f"{number}@example.org",
        name="Ada",
        role=Role.MEMBER,
        is_test=False,
        created_at=NEWEST,
        tokens_valid_after=NEWEST,
    )


BIG = Community(UUID(int=1), "Big")
OWNER, MEMBER = _user(1, BIG), _user(2, BIG)
SMALL = [Community(UUID(int=number), "Small") for number in range(10, 10 + SMALL_COMMUNITIES)]
OTHERS = [_user(community.id.int, community) for community in SMALL]


async def add_people(unit_of_work: UnitOfWorkFactory) -> None:
    """Every community with its users: the small ones have one each."""
    async with unit_of_work() as work:
        for community in (BIG, *SMALL):
            await work.users.add_community(community)
        for user in (OWNER, MEMBER, *OTHERS):
            await work.users.add(user, None)
        await work.commit()


class Maker:
    """Makes the images of one chunk, always the same ones."""

    def __init__(self, plan: Plan, first: int) -> None:
        self._plan = plan
        self._first = first
        self._random = random.Random(first)
        self._words = [word_at(rank) for rank in range(VOCABULARY)]
        self._word_weights = _zipf(VOCABULARY)
        self._tags_there = [tag_at(rank) for rank in range(TAGS)]
        self._tag_weights = _zipf(TAGS)

    def images(self) -> Iterator[Image]:
        """One after the other, the newest first."""
        for number in range(self._first, min(self._first + CHUNK, self._plan.images)):
            yield self._image(number)

    def _image(self, number: int) -> Image:
        owner, id, source = self._owner(), UUID(int=self._random.getrandbits(128)), self._source()
        is_made = source is ImageSource.GENERATED
        return Image(
            id=id,
            community_id=owner.community_id,
            owner_id=owner.id,
            source=source,
            picture=self._picture(f"{owner.community_id}/images/{id}"),
            filename=f"{' '.join(self._some_words(2))}.png",
            is_public=self._random.random() < PUBLIC_SHARE,
            recipe=self._recipe() if is_made else None,
            generation_id=None,
            generation_index=None,
            created_at=NEWEST - number * EVERY,
            tags=self._tags(),
            prompt_id=self._plan.prompt_id if is_made else None,
        )

    def _owner(self) -> User:
        share = self._random.random()
        if share < OWNER_SHARE:
            return OWNER
        return MEMBER if share < OWNER_SHARE + MEMBER_SHARE else self._random.choice(OTHERS)

    def _source(self) -> ImageSource:
        share = self._random.random()
        if share < IMPORTED_SHARE:
            return ImageSource.IMPORTED
        return ImageSource.UPLOADED if share < UPLOADED_SHARE else ImageSource.GENERATED

    def _picture(self, key: str) -> Picture:
        return Picture(
            key=f"{key}.png",
            sha256=f"{self._random.getrandbits(256):064x}",
            media_type="image/png",
            size_bytes=1_500_000,
            width_px=1536,
            height_px=864,
            placeholder="3OcRJYB4d3h/iIeHeEh3eIhw+j2w",
            variant_keys={size: f"{key}_{size}.jpg" for size in tuple(VariantSize)[1:]},
        )

    def _some_words(self, count: int) -> list[str]:
        return self._random.choices(self._words, cum_weights=self._word_weights, k=count)

    def _tags(self) -> tuple[Tag, ...]:
        count = self._random.randrange(4)
        return tuple(dict.fromkeys(self._random.choices(self._tags_there, cum_weights=self._tag_weights, k=count)))

    def _recipe(self) -> Recipe:
        return Recipe(
            prompt=" ".join(self._some_words(self._random.randint(*PROMPT_WORDS))),
            structured_prompt=None,
            prompt_version=1,
            revised_prompt=None,
            identity={"name": "Mountain Runner"} if self._random.random() < IDENTITY_SHARE else None,
            reference_hashes=("0" * 64,),
            provider=self._random.choice((ProviderKind.OPENAI, ProviderKind.GEMINI)),
            model="gpt-image-2",
            options={"n": 1, "size": "1536x864"},
            cost_micro_usd=41_000,
            parent_image_id=None,
        )


def _zipf(count: int) -> list[float]:
    return list(itertools.accumulate(1 / (rank + 3) for rank in range(count)))


def _values(image: Image) -> list[object]:
    picture = image.picture
    return [
        image.id,
        image.community_id,
        image.owner_id,
        image.source.value,
        picture.key,
        picture.sha256,
        picture.media_type,
        picture.size_bytes,
        picture.width_px,
        picture.height_px,
        picture.placeholder,
        to_json(picture.variant_keys),
        image.filename,
        image.is_public,
        to_json(image.tags),
        to_json(image.recipe) if image.recipe else None,
        image.recipe.provider.value if image.recipe else None,
        image.prompt_id,
        image.created_at.isoformat(timespec="microseconds"),
    ]


def fill_sqlite(url: str, plan: Plan) -> None:
    """Write all images, with their tokens."""
    columns = ", ".join(COLUMNS)
    places = ", ".join("?" * len(COLUMNS))
    with sqlite3.connect(str(make_url(url).database)) as connection:
        for first in range(0, plan.images, CHUNK):
            images = list(Maker(plan, first).images())
            rows = ([one.hex if isinstance(one, UUID) else one for one in _values(image)] for image in images)
            connection.executemany(f"INSERT INTO image ({columns}) VALUES ({places})", rows)
            tokens = ((image.id.hex, table_tokens(image)) for image in images)
            connection.executemany("INSERT INTO image_search (image_id, tokens) VALUES (?, ?)", tokens)
        connection.commit()
        connection.execute("ANALYZE")


def fill_postgres(url: str, plan: Plan) -> None:
    """Write all images on both cores, and make the indexes afterwards."""
    with psycopg.connect(url, autocommit=True) as connection:
        indexes = connection.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'image' AND indexname LIKE 'ix_%'"
        ).fetchall()
        for name, _ in indexes:
            connection.execute(f'DROP INDEX "{name}"'.encode())
        with ProcessPoolExecutor(os.cpu_count()) as processes:
            list(processes.map(_copy, itertools.repeat(url), itertools.repeat(plan), range(0, plan.images, CHUNK)))
        connection.execute("SET maintenance_work_mem = '1GB'")
        for _, definition in indexes:
            connection.execute(definition)
        connection.execute("VACUUM ANALYZE")


def _copy(url: str, plan: Plan, first: int) -> None:
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")  # foreign keys are as they are made
        with cursor.copy(f"COPY image ({', '.join(COLUMNS)}, search) FROM STDIN") as copy:
            for image in Maker(plan, first).images():
                lexemes = " ".join(f"'{token}'" for token in tokens_of(image))
                copy.write("\t".join([*map(_copied, _values(image)), lexemes]) + "\n")


def _copied(value: object) -> str:
    return "\\N" if value is None else str(value).replace("\\", "\\\\")
