"""The contract of the pictures' repository: who needs which objects, and which are to be removed."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.errors import StoreUnavailable
from domain.pictures import Picture, VariantSize
from domain.repositories import UnitOfWorkFactory
from tests.rows import NOW, PICTURE, after, stored_community


def a_picture(**changes: Any) -> Picture:
    """A picture of the same bytes as any other of them, with objects of its own."""
    key = f"community/images/{uuid4()}"
    return replace(PICTURE, key=f"{key}.png", variant_keys={VariantSize.MEDIUM: f"{key}_300.png"}, **changes)


class Books:
    """The counts and the doomed keys of one community."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, community_id: UUID) -> None:
        self._unit_of_work = unit_of_work
        self.community_id = community_id

    async def doom(self, *pictures: Picture, seconds: float = 0) -> None:
        """Note that the pictures' objects are about to be written."""
        async with self._unit_of_work() as work:
            await work.pictures.doom([key for picture in pictures for key in picture.keys], after(seconds))
            await work.commit()

    async def keep(self, picture: Picture, community_id: UUID | None = None) -> Picture:
        """Count one more user."""
        async with self._unit_of_work() as work:
            kept = await work.pictures.keep(community_id or self.community_id, picture)
            await work.commit()
        return kept

    async def stored(self, **changes: Any) -> Picture:
        """A picture that is kept."""
        picture = a_picture(**changes)
        await self.doom(picture)
        return await self.keep(picture)

    async def release(self, picture: Picture) -> None:
        """Count one user less."""
        async with self._unit_of_work() as work:
            await work.pictures.release(picture, after(100))
            await work.commit()

    async def doomed(self, *pictures: Picture) -> set[str]:
        """Which of the pictures' objects are doomed."""
        async with self._unit_of_work(read_only=True) as work:
            return set(await work.pictures.doomed([key for picture in pictures for key in picture.keys]))

    async def doomed_before(self, seconds: float, limit: int = 10) -> Sequence[str]:
        """What was doomed so long ago."""
        async with self._unit_of_work() as work:
            return await work.pictures.doomed_before(after(seconds), limit)


@pytest.fixture
async def books(unit_of_work: UnitOfWorkFactory) -> Books:
    """Empty books."""
    return Books(unit_of_work, (await stored_community(unit_of_work)).id)


async def test_objects_are_doomed_until_a_picture_takes_them_into_use(books: Books) -> None:
    """All of the picture's objects, and nothing of others."""
    picture, other = a_picture(), a_picture()
    assert await books.doomed(picture, other) == set()
    await books.doom(picture, other)
    assert await books.doomed(picture, other) == {*picture.keys, *other.keys}
    assert await books.keep(picture) == picture
    assert await books.doomed(picture, other) == set(other.keys)


async def test_the_same_bytes_are_kept_once(books: Books) -> None:
    """Who brings them again gets the objects that are there, and the new ones stay doomed."""
    first = await books.stored()
    second = a_picture()
    await books.doom(second)
    assert await books.keep(second) == first
    assert await books.doomed(first, second) == set(second.keys)


async def test_other_bytes_and_other_communities_share_nothing(books: Books, unit_of_work: UnitOfWorkFactory) -> None:
    """Each has objects of its own."""
    await books.stored()
    elsewhere = await stored_community(unit_of_work)
    for picture, community_id in ((a_picture(sha256="cd" * 32), books.community_id), (a_picture(), elsewhere.id)):
        await books.doom(picture)
        assert await books.keep(picture, community_id) == picture
        assert await books.doomed(picture) == set()


async def test_a_pictures_objects_are_doomed_with_its_last_user(books: Books) -> None:
    """However many there were, and from the moment of the release on; then the same bytes are stored anew."""
    picture = await books.stored()
    assert await books.keep(a_picture()) == await books.keep(picture) == picture
    for _ in range(2):
        await books.release(picture)
        assert await books.doomed(picture) == set()
    await books.release(picture)
    assert await books.doomed(picture) == set(picture.keys)
    assert await books.doomed_before(100) == []
    assert set(await books.doomed_before(100.001)) == set(picture.keys)
    again = a_picture()
    await books.doom(again)
    assert await books.keep(again) == again


async def test_a_picture_that_nobody_counted_had_one_user(books: Books) -> None:
    """As those stored before pictures were counted, when the same bytes were there twice."""
    counted, uncounted = await books.stored(), a_picture()
    await books.release(uncounted)
    assert await books.doomed(counted, uncounted) == set(uncounted.keys)
    assert await books.keep(a_picture()) == counted


@pytest.mark.parametrize("gone", ["all", "one"])
async def test_a_picture_whose_objects_were_swept_is_refused(
    books: Books, unit_of_work: UnitOfWorkFactory, gone: str
) -> None:
    """Storing took so long that the sweep took them for left over; nothing is counted."""
    picture = a_picture()
    await books.doom(picture)
    async with unit_of_work() as work:
        await work.pictures.forget(picture.keys if gone == "all" else picture.keys[1:])
        await work.commit()
    with pytest.raises(StoreUnavailable):
        await books.keep(picture)
    await books.doom(picture)
    assert await books.keep(picture) == picture
    await books.release(picture)
    assert await books.doomed(picture) == set(picture.keys)


async def test_what_was_doomed_first_is_removed_first(books: Books, unit_of_work: UnitOfWorkFactory) -> None:
    """At most so many at once; what is gone is forgotten."""
    early, late, later, soon = (replace(a_picture(), variant_keys={}) for _ in range(4))
    for picture, second in ((late, 20), (early, 10), (soon, 40), (later, 30)):
        await books.doom(picture, seconds=second)
    assert await books.doomed_before(40) == [early.key, late.key, later.key]
    assert await books.doomed_before(40, limit=2) == [early.key, late.key]
    assert await books.doomed_before(10) == []
    async with unit_of_work() as work:
        await work.pictures.forget([early.key, later.key])
        await work.commit()
    assert await books.doomed_before(60) == [late.key, soon.key]


async def test_what_is_doomed_again_is_removed_later(books: Books) -> None:
    """Its object may have been written again since."""
    picture = a_picture()
    await books.doom(picture)
    await books.doom(picture, seconds=50)
    assert await books.doomed_before(50) == []
    assert set(await books.doomed_before(51)) == set(picture.keys)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite lets one write at a time
async def test_two_sweeps_take_different_keys(books: Books, unit_of_work: UnitOfWorkFactory) -> None:
    """What one has locked the other leaves out."""
    first, second = a_picture(), a_picture()
    await books.doom(first)
    await books.doom(second, seconds=1)
    async with unit_of_work() as work:
        assert set(await work.pictures.doomed_before(after(5), 2)) == set(first.keys)
        assert set(await books.doomed_before(5, 10)) == set(second.keys)


async def test_what_is_being_removed_is_not_taken_into_use(books: Books, unit_of_work: UnitOfWorkFactory) -> None:
    """Who stored it too slowly waits for the sweep, and then is told."""
    picture = a_picture()
    await books.doom(picture)
    async with unit_of_work() as work:
        keys = await work.pictures.doomed_before(after(5), 10)
        keeping = asyncio.create_task(books.keep(picture))
        await asyncio.sleep(0.2)
        await work.pictures.forget(keys)
        await work.commit()
    with pytest.raises(StoreUnavailable):
        await keeping


async def test_counts_are_right_when_many_come_and_go_at_once(books: Books) -> None:
    """Whoever keeps and releases the same bytes at the same time: the objects live until the last one is gone."""

    async def come_and_go() -> None:
        picture = a_picture()
        await books.doom(picture)
        kept = await books.keep(picture)
        assert await books.doomed(kept) == set()
        await asyncio.sleep(0)
        await books.release(kept)

    first = await books.stored()
    await asyncio.gather(*(come_and_go() for _ in range(12)))
    assert await books.doomed(first) == set()
    await books.release(first)
    assert await books.doomed(first) == set(first.keys)
    await asyncio.gather(*(come_and_go() for _ in range(12)))
    last = a_picture()
    await books.doom(last)
    assert await books.keep(last) == last


async def test_nothing_is_doomed_or_forgotten_by_empty_lists(books: Books, unit_of_work: UnitOfWorkFactory) -> None:
    """A sweep that finds nothing asks all the same."""
    picture = a_picture()
    await books.doom(picture)
    async with unit_of_work() as work:
        await work.pictures.doom([], NOW)
        await work.pictures.forget([])
        assert await work.pictures.doomed([]) == []
        await work.commit()
    assert await books.doomed(picture) == set(picture.keys)
