"""The contract of the pictures' repository: who needs which objects, and which are to be removed."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from domain.errors import StoreUnavailable
from domain.pictures import Picture, VariantSize
from domain.repositories import UnitOfWorkFactory
from domain.users import Community, Viewer
from tests.rows import NOW, PICTURE, after, stored_viewer


def a_picture(**changes: Any) -> Picture:
    """A picture of the same bytes as any other of them, with objects of its own."""
    key = f"community/images/{uuid4()}"
    return replace(PICTURE, key=f"{key}.png", variant_keys={VariantSize.MEDIUM: f"{key}_300.png"}, **changes)


class Books:
    """The counts and the doomed keys of one person."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, owner: Viewer) -> None:
        self._unit_of_work = unit_of_work
        self.owner = owner

    async def doom(self, *pictures: Picture, seconds: float = 0) -> None:
        """Note that the pictures' objects are about to be written."""
        async with self._unit_of_work() as work:
            await work.pictures.doom([key for picture in pictures for key in picture.keys], after(seconds))
            await work.commit()

    async def keep(self, picture: Picture, owner: Viewer | None = None) -> Picture:
        """Count one more user."""
        async with self._unit_of_work() as work:
            kept = await work.pictures.keep((owner or self.owner).id, picture)
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

    async def exchange(self, picture: Picture, former: Picture) -> Picture:
        """Count one more user of one and one less of the other."""
        async with self._unit_of_work() as work:
            kept = await work.pictures.exchange(self.owner.id, picture, former, after(100))
            await work.commit()
        return kept

    async def doomed(self, *pictures: Picture) -> set[str]:
        """Which of the pictures' objects are doomed."""
        async with self._unit_of_work(read_only=True) as work:
            return set(await work.pictures.doomed([key for picture in pictures for key in picture.keys]))

    async def claim(self, doomed_before: float, limit: int = 10) -> set[str]:
        """What was doomed so long ago, to be removed."""
        async with self._unit_of_work() as work:
            keys = await work.pictures.claim(after(doomed_before), limit)
            await work.commit()
        assert len(set(keys)) == len(keys)
        return set(keys)


@pytest.fixture
async def books(unit_of_work: UnitOfWorkFactory) -> Books:
    """Empty books."""
    return Books(unit_of_work, await stored_viewer(unit_of_work))


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


async def test_other_bytes_and_other_people_share_nothing(books: Books, unit_of_work: UnitOfWorkFactory) -> None:
    """Each has objects of its own, which go with its own users."""
    first = await books.stored()
    neighbour = await stored_viewer(unit_of_work, Community(books.owner.user.community_id, ""))
    stranger = await stored_viewer(unit_of_work)
    others = [(a_picture(sha256="cd" * 32), books.owner), (a_picture(), neighbour), (a_picture(), stranger)]
    for picture, owner in others:
        await books.doom(picture)
        assert await books.keep(picture, owner) == picture
        assert await books.doomed(picture) == set()
    for picture, _ in others:
        await books.release(picture)
        assert await books.doomed(picture) == set(picture.keys)
    assert await books.doomed(first) == set()


async def test_a_pictures_objects_are_doomed_with_its_last_user(books: Books) -> None:
    """However many there were, and from the moment of the release on; then the same bytes are stored anew."""
    picture = await books.stored()
    assert await books.keep(a_picture()) == await books.keep(picture) == picture
    for _ in range(2):
        await books.release(picture)
        assert await books.doomed(picture) == set()
    await books.release(picture)
    assert await books.doomed(picture) == set(picture.keys)
    assert await books.claim(100) == set()
    assert await books.claim(100.001) == set(picture.keys)
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


@pytest.mark.parametrize("former_sha256", ["01" * 32, "ef" * 32, PICTURE.sha256])
async def test_a_picture_is_exchanged_for_another(books: Books, former_sha256: str) -> None:
    """One more user of the one and one less of the other, which may have the same bytes: then all stays as it was."""
    former, picture = await books.stored(sha256=former_sha256), a_picture()
    await books.doom(picture)
    kept = await books.exchange(picture, former)
    gone = picture if former_sha256 == PICTURE.sha256 else former
    assert kept == (former if gone is picture else picture)
    assert await books.doomed(former, picture) == set(gone.keys)
    await books.release(kept)
    assert await books.doomed(former, picture) == {*former.keys, *picture.keys}


async def test_two_who_exchange_the_same_pictures_do_not_block_each_other(
    books: Books, unit_of_work: UnitOfWorkFactory
) -> None:
    """Both begin while a third has counted both, and go on at the same moment, each to the other's picture."""
    one, other = await books.stored(), await books.stored(sha256="cd" * 32)
    async with unit_of_work() as work:
        for picture in (one, other):
            await work.pictures.keep(books.owner.id, picture)
        exchanging = [asyncio.create_task(books.exchange(*pair)) for pair in ((one, other), (other, one))]
        await asyncio.sleep(0.3)
        await work.commit()
    assert await asyncio.gather(*exchanging) == [one, other]
    for _ in range(2):
        assert await books.doomed(one, other) == set()
        await books.release(one)
        await books.release(other)
    assert await books.doomed(one, other) == {*one.keys, *other.keys}


async def test_what_was_doomed_first_is_claimed_first(books: Books, unit_of_work: UnitOfWorkFactory) -> None:
    """At most so many at once, and again until it is forgotten: the sweep that claimed it may have died."""
    early, late, later, soon = (replace(a_picture(), variant_keys={}) for _ in range(4))
    for picture, second in ((late, 20), (early, 10), (soon, 40), (later, 30)):
        await books.doom(picture, seconds=second)
    assert await books.claim(10) == set()
    for limit, claimed in ((2, {early.key, late.key}), (10, {early.key, late.key, later.key})):
        assert await books.claim(40, limit) == claimed
    async with unit_of_work() as work:
        await work.pictures.forget([early.key, later.key])
        await work.commit()
    assert await books.claim(60) == {late.key, soon.key}


async def test_what_is_doomed_again_is_removed_later(books: Books) -> None:
    """Its object may have been written again since."""
    picture = a_picture()
    await books.doom(picture)
    await books.doom(picture, seconds=50)
    assert await books.claim(50) == set()
    assert await books.claim(51) == set(picture.keys)


async def test_what_is_claimed_is_not_taken_into_use(books: Books) -> None:
    """Nor when it is doomed again; nothing is counted, and it stays doomed."""
    picture = a_picture()
    await books.doom(picture)
    await books.claim(5, limit=1)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match=r"^Storing the picture took too long\. Try again\.$"):
            await books.keep(picture)
        assert await books.doomed(picture) == set(picture.keys)
        await books.doom(picture)
    again = a_picture()
    await books.doom(again)
    assert await books.keep(again) == again


async def test_what_is_being_claimed_is_not_taken_into_use(books: Books, unit_of_work: UnitOfWorkFactory) -> None:
    """Who stored it too slowly waits for the claim, and then is told."""
    picture = a_picture()
    await books.doom(picture)
    async with unit_of_work() as work:
        await work.pictures.claim(after(5), 10)
        keeping = asyncio.create_task(books.keep(picture))
        await asyncio.sleep(0.2)
        await work.commit()
    with pytest.raises(StoreUnavailable):
        await keeping


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite lets one write at a time
async def test_a_claim_leaves_out_what_others_are_about_to_change(
    books: Books, unit_of_work: UnitOfWorkFactory
) -> None:
    """What is being taken into use, and what another sweep is claiming."""
    first, second, third = a_picture(), a_picture(), a_picture()
    for seconds, picture in enumerate((first, second, third)):
        await books.doom(picture, seconds=seconds)
    async with unit_of_work() as keeping, unit_of_work() as claiming, asyncio.timeout(5):
        await keeping.pictures.keep(books.owner.id, first)
        assert set(await claiming.pictures.claim(after(5), 2)) == set(second.keys)
        assert await books.claim(5) == set(third.keys)
        await keeping.commit()
    assert await books.claim(5) == {*second.keys, *third.keys}


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
