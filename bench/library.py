"""Pages, searches and counts of a big library, asked of the repository.

1,000,000 images on PostgreSQL, a tenth of them one owner's, and 100,000 on SQLite; `LIBRARY_IMAGES` makes both smaller.
There is no floor: what is compared is page 1,000 with page 1, and everything with 50 ms.
"""

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import UUID, uuid4

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.ext.asyncio import AsyncConnection

from bench.library_rows import (
    BIG,
    MEMBER,
    OWNER,
    TAGS,
    VOCABULARY,
    Plan,
    add_people,
    fill_postgres,
    fill_sqlite,
    tag_at,
    word_at,
)
from bench.list_page import administer
from bench.measuring import percentile
from domain.generations import Generation
from domain.images import ImageFilter, ImageList, ImageSource
from domain.pages import Cursor, PageRequest
from domain.prompts import PromptType
from domain.repositories import UnitOfWork, UnitOfWorkFactory
from domain.users import Scope
from storage.database.databases import open_database
from storage.database.migrate import upgrade

IMAGES = int(os.environ.get("LIBRARY_IMAGES", "1000000"))
SQLITE_IMAGES = min(IMAGES, 100_000)
ROUNDS, ENOUGH_S = 40, 2.0
CHOICES = 8
FAR_PAGE = 1_000
PAGE = PageRequest(20)
MINE, THEIRS = ImageList(BIG.id, OWNER.id), ImageList(BIG.id, MEMBER.id)
PUBLIC = ImageList(BIG.id, is_public=True)
WORDS = {
    "common": [word_at(rank) for rank in range(CHOICES)],
    "middling": [word_at(rank) for rank in range(200, 200 + CHOICES)],
    "rare": [word_at(rank) for rank in range(VOCABULARY - CHOICES, VOCABULARY)],
}

Question = Callable[[UnitOfWork, int], Awaitable[object]]


class NoJobs:
    """The queue of units of work that enqueue nothing."""

    def __call__(self, connection: AsyncConnection) -> "NoJobs":
        """The queue of any unit of work."""
        return self

    async def enqueue_generation(self, generation: Generation, priority: int) -> None:
        """Nothing does."""

    async def is_ours(self, generation_id: UUID) -> bool:
        """Nothing is in line."""
        return True


@dataclass
class Measure:
    """Asks questions and says how long the answers take."""

    unit_of_work: UnitOfWorkFactory
    statements: list[str] = field(default_factory=list)

    async def __call__(self, name: str, question: Question) -> None:
        """Ask often, about something else each time."""
        await self.in_turn({name: question})

    async def in_turn(self, questions: dict[str, Question]) -> list[float]:
        """Ask each of the questions before any is asked again; the medians."""
        waits_s: dict[str, list[float]] = {name: [] for name in questions}
        async with self.unit_of_work(read_only=True) as work:
            for question in questions.values():
                await question(work, 0)
            self.statements.clear()
            rounds, ends = 0, time.perf_counter() + ENOUGH_S
            while rounds < CHOICES or (rounds < ROUNDS and time.perf_counter() < ends):
                for name, question in questions.items():
                    begun = time.perf_counter()
                    await question(work, rounds % CHOICES)
                    waits_s[name].append(time.perf_counter() - begun)
                rounds += 1
        each = len(self.statements) / rounds / len(questions)
        return [self._report(name, waits, each) for name, waits in waits_s.items()]

    def _report(self, name: str, waits_s: list[float], statements: float) -> float:
        median, p95 = statistics.median(waits_s) * 1000, percentile(waits_s, 95) * 1000
        print(f"  {name:50}: median {median:6.1f} ms, p95 {p95:6.1f} ms, {statements:.0f} statement", flush=True)
        return median

    def note(self, *arguments: object) -> None:
        """Remember a statement that is sent."""
        self.statements.append(str(arguments[2]))


async def run() -> None:
    """Measure on SQLite, and on PostgreSQL when TEST_POSTGRES_URL says where."""
    with tempfile.TemporaryDirectory() as folder:
        await _measure("SQLite", f"sqlite:///{Path(folder) / 'library.db'}", SQLITE_IMAGES, fill_sqlite)
    if address := os.environ.get("TEST_POSTGRES_URL"):
        name = f"bench_{uuid4().hex[:8]}"
        await administer(address, f"CREATE DATABASE {name}")
        try:
            await _measure("PostgreSQL", address.rpartition("/")[0] + f"/{name}", IMAGES, fill_postgres)
        finally:
            await administer(address, f"DROP DATABASE {name} WITH (FORCE)")
    else:
        print("PostgreSQL not measured: TEST_POSTGRES_URL is not set")


async def _measure(name: str, url: str, images: int, fill: Callable[[str, Plan], None]) -> None:
    await asyncio.to_thread(upgrade, url)
    database = open_database(url, pool_size=2)
    unit_of_work = database.unit_of_work(NoJobs())
    await add_people(unit_of_work)
    async with unit_of_work(read_only=True) as work:
        plan = Plan(images, (await work.prompts.active(BIG.id, PromptType.IMAGE_GENERATION)).id)
    begun = time.perf_counter()
    await asyncio.to_thread(fill, url, plan)
    print(f"{name}: {images:,} images, written in {time.perf_counter() - begun:.0f} s", flush=True)
    await ask_everything(unit_of_work, plan)
    await database.aclose()


async def ask_everything(unit_of_work: UnitOfWorkFactory, plan: Plan) -> None:
    """Every question there is."""
    measure = Measure(unit_of_work)
    event.listen(Engine, "before_cursor_execute", measure.note)
    await _pages(measure)
    for list_name, wanted in (("own", MINE), ("a member's", THEIRS), ("public", PUBLIC)):
        await _searches(measure, list_name, wanted)
    await _other_filters(measure, plan)
    event.remove(Engine, "before_cursor_execute", measure.note)


async def _pages(measure: Measure) -> None:
    for name, wanted in (("own", MINE), ("public", PUBLIC)):
        far_page = await _far(measure.unit_of_work, wanted)
        questions = {f"{name}: page 1": _page(wanted), f"{name}: page {FAR_PAGE:,}": _page(wanted, far_page)}
        near, far = await measure.in_turn(questions)
        print(f"    page {FAR_PAGE:,} / page 1: {far / near:.2f}", flush=True)
        await measure(f"{name}: how many", _count(wanted))


async def _far(unit_of_work: UnitOfWorkFactory, wanted: ImageList) -> PageRequest:
    """The last page of the many, or of all there are."""
    page = PAGE
    async with unit_of_work(read_only=True) as work:
        for _ in range(FAR_PAGE - 1):
            found = await work.images.page(wanted, page)
            if not found.has_next:
                break
            page = replace(PAGE, after=Cursor(found.rows[-1].created_at, found.rows[-1].id))
    return page


def _page(wanted: ImageList, page: PageRequest = PAGE) -> Question:
    return lambda work, _: work.images.page(wanted, page)


def _count(wanted: ImageList) -> Question:
    return lambda work, _: work.images.count(wanted)


async def _searches(measure: Measure, list_name: str, wanted: ImageList) -> None:
    tags = ImageFilter(tags=(tag_at(1),))
    searches = {f"{name} word": [ImageFilter((word,)) for word in chosen] for name, chosen in WORDS.items()}
    searches["two common words"] = [
        ImageFilter(pair) for pair in zip(WORDS["common"], WORDS["common"][::-1], strict=True)
    ]
    searches["common word with tag"] = [replace(tags, words=(word,)) for word in WORDS["common"]]
    searches["common tag"] = [tags] * CHOICES
    searches["rare tag"] = [ImageFilter(tags=(tag_at(TAGS - 1),))] * CHOICES
    for name, filters in searches.items():
        lists = [replace(wanted, filter=one) for one in filters]
        async with measure.unit_of_work(read_only=True) as work:
            matches = await work.images.count(lists[CHOICES // 2])
        await measure(f"{list_name}: {name} (of {matches:,})", _page_of(lists))
        await measure(f"{list_name}: {name}, how many", _count_of(lists))


def _page_of(lists: Sequence[ImageList]) -> Question:
    return lambda work, number: work.images.page(lists[number], PAGE)


def _count_of(lists: Sequence[ImageList]) -> Question:
    return lambda work, number: work.images.count(lists[number])


async def _other_filters(measure: Measure, plan: Plan) -> None:
    for source in (ImageSource.IMPORTED, ImageSource.UPLOADED):
        wanted = replace(MINE, filter=ImageFilter(source=source))
        await measure(f"own: {source.lower()}", _page(wanted))
        await measure(f"own: {source.lower()}, how many", _count(wanted))
    await measure("own: of a prompt version", _page(replace(MINE, prompt_id=plan.prompt_id)))
    await measure("a member's: of a prompt version", _page(replace(THEIRS, prompt_id=plan.prompt_id)))
    everybodys = ImageList(BIG.id, prompt_id=plan.prompt_id)
    await measure("the community's: of a prompt version", _page(everybodys))
    for name, scope in (("own", Scope(BIG.id, OWNER.id)), ("the community's", Scope(BIG.id, None))):
        await measure(f"{name}: what became of a version's", _acceptance(scope, plan))


def _acceptance(scope: Scope, plan: Plan) -> Question:
    return lambda work, _: work.images.acceptance(scope, [plan.prompt_id])
