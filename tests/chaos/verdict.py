"""What the database and the provider say once everything has ended, held against what clients saw and asked for."""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from storage.database import tables
from storage.database.databases import open_database
from tests.chaos.load import Asked, Load

IMAGES = "IMAGES"
Row = Any


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a load: its generations by their state, its images, and the calls that were made for them."""

    states: Counter[str]
    images: int
    pictures: int
    calls: int
    repeated: int
    attempts: Counter[str]
    failures: Counter[str]
    resumed: int
    staged: int

    def __str__(self) -> str:
        states = ", ".join(f"{count} {state}" for state, count in self.states.items())
        attempts = ", ".join(f"{count} {outcome}" for outcome, count in self.attempts.items())
        return (
            f"{states}; {self.images} of {self.pictures} pictures by {self.calls} calls "
            f"({self.repeated} of them repeated); attempts: {attempts}; {self.resumed} followers resumed; "
            f"{self.staged} objects still staged"
        )


async def judge(load: Load, database_url: str, stored: Collection[str]) -> Verdict:
    """Assert all that must hold whatever happened: nothing lost, nothing twice, everything counted.

    `stored` has the keys of the object store.
    """
    rows = await _rows(load, database_url)
    images, events, attempts = (
        _by_generation(rows[name]) for name in ("image", "generation_event", "provider_attempt")
    )
    for generation, asked in zip(rows["generation"], load.asked, strict=True):
        assert generation.id == asked.id
        assert generation.finished_at is not None, asked.prompt
        _same_events(asked, events[asked.id], generation)
        _images_of_their_own(load, asked, images[asked.id], events[asked.id])
        _every_call_is_told(load, asked, attempts[asked.id], images[asked.id])
    _no_picture_twice(rows["image"])
    assert all({image.picture_key, *image.variant_keys.values()} <= set(stored) for image in rows["image"])
    _counted(load, rows)
    return Verdict(
        Counter(generation.state for generation in rows["generation"]),
        len(rows["image"]),
        load.pictures,
        load.calls,
        sum(max(0, load.provider.calls[asked.prompt] - asked.pictures) for asked in load.asked),
        Counter(attempt.outcome for attempt in rows["provider_attempt"]),
        Counter(failure["code"] for generation in rows["generation"] for failure in generation.failures),
        load.resumed,
        sum(any(f"/staging/{asked.id}/" in key for asked in load.asked) for key in stored),
    )


def files_below(folder: Path) -> set[str]:
    """The keys of a local object store."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def called_once(load: Load, but: Collection[UUID] = ()) -> None:
    """Assert that no picture was asked for again, and those of some generations once more at most."""
    for asked in load.asked:
        allowed = asked.pictures * (2 if asked.id in but else 1)
        assert load.provider.calls[asked.prompt] <= allowed, (asked.prompt, load.provider.calls[asked.prompt])


async def _rows(load: Load, database_url: str) -> dict[str, Sequence[Row]]:
    """The rows of the load's community, by table; generations in the order in which they were asked for."""
    community_id = load.people[0].community_id
    of_community = tables.generation.c.community_id == community_id
    ids = sa.select(tables.generation.c.id).where(of_community)
    asked = {
        tables.generation: of_community,
        tables.image: tables.image.c.community_id == community_id,
        tables.generation_event: tables.generation_event.c.generation_id.in_(ids),
        tables.provider_attempt: tables.provider_attempt.c.generation_id.in_(ids),
        tables.usage_event: tables.usage_event.c.community_id == community_id,
        tables.usage_counter: tables.usage_counter.c.subject_id.in_(
            [community_id, *(person.id for person in load.people)]
        ),
    }
    database = open_database(database_url, pool_size=1)
    async with database.read() as connection:
        found = {
            table.name: (await connection.execute(sa.select(table).where(which))).all()
            for table, which in asked.items()
        }
    await database.aclose()
    order = {asked.id: number for number, asked in enumerate(load.asked)}
    # Asked for twice with one idempotency key is one generation: any other would have no number here.
    found["generation"] = sorted(found["generation"], key=lambda row: order[row.id])
    return found


def _by_generation(rows: Sequence[Row]) -> dict[UUID, list[Row]]:
    grouped: dict[UUID, list[Row]] = defaultdict(list)
    for row in rows:
        grouped[row.generation_id].append(row)
    return grouped


def _same_events(asked: Asked, rows: Sequence[Row], generation: Row) -> None:
    """The follower got every event of the database once, in order, and nothing after the last."""
    stored = sorted((row.seq, row.state, row.stage) for row in rows)
    told = [(event["seq"], event["state"], event["stage"]) for event in asked.events]
    assert told == stored, asked.prompt
    assert [seq for seq, _, _ in stored] == list(range(1, generation.event_seq + 1))
    assert [event["isTerminal"] for event in asked.events].count(True) == 1
    assert told[-1][1] == generation.state


def _images_of_their_own(load: Load, asked: Asked, images: Sequence[Row], events: Sequence[Row]) -> None:
    """No index twice, each told of once, each the bytes that the provider sent for this prompt."""
    told = Counter(event.image_id for event in events if event.image_id)
    assert told == Counter(image.id for image in images), asked.prompt
    indexes = sorted(image.generation_index for image in images)
    assert indexes == sorted(set(indexes) & set(range(asked.pictures))), asked.prompt
    assert all(load.provider.sent[image.sha256] == asked.prompt for image in images)


def _every_call_is_told(load: Load, asked: Asked, attempts: Sequence[Row], images: Sequence[Row]) -> None:
    """No call without its record, each with an outcome, and one that succeeded for each image."""
    assert len(attempts) >= load.provider.calls[asked.prompt], asked.prompt
    assert all(attempt.finished_at for attempt in attempts), asked.prompt
    succeeded = sorted(attempt.index for attempt in attempts if attempt.outcome == "SUCCEEDED")
    assert succeeded == sorted(image.generation_index for image in images), asked.prompt


def _no_picture_twice(images: Sequence[Row]) -> None:
    assert len({image.sha256 for image in images}) == len(images)
    assert len({image.picture_key for image in images}) == len(images)


def _counted(load: Load, rows: dict[str, Sequence[Row]]) -> None:
    """The quota of the community and of each person: what was made, nothing still held, the sums of the ledger."""
    ledger: dict[tuple[UUID, str], list[int]] = defaultdict(lambda: [0, 0])
    for line in rows["usage_event"]:
        for subject in (line.community_id, line.user_id):
            sums = ledger[subject, line.unit]
            sums[0] += line.used_delta
            sums[1] += line.reserved_delta
    counters: dict[tuple[UUID, str], list[int]] = defaultdict(lambda: [0, 0])
    for counter in rows["usage_counter"]:
        # A run may go over the end of a month.
        counters[counter.subject_id, counter.unit][0] += counter.used
        counters[counter.subject_id, counter.unit][1] += counter.reserved
    assert counters == ledger
    assert all(reserved == 0 for _, reserved in counters.values())
    made = Counter(image.owner_id for image in rows["image"])
    for person in load.people:
        assert counters[person.id, IMAGES] == [made[person.id], 0]
    assert counters[load.people[0].community_id, IMAGES] == [made.total(), 0]
    lines = Counter((line.generation_id, line.unit, line.kind == "RESERVE") for line in rows["usage_event"])
    assert set(lines.values()) <= {1}
    assert len(lines) == len(rows["generation"]) * 4
