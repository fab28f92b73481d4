"""The contract of pages, by the images' lists."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import pytest
from sqlalchemy import delete

from domain.images import Image, ImageList
from domain.pages import Cursor, Page, PageRequest
from domain.repositories import UnitOfWorkFactory
from domain.users import Viewer
from storage.database.databases import Database
from storage.database.tables import image as image_table
from tests.graphql import Statements
from tests.rows import after, an_image, stored_images, stored_viewer


class Library:
    """Ten images of one viewer, some of the same moment, and pages of them."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, viewer: Viewer) -> None:
        self._unit_of_work = unit_of_work
        self.viewer = viewer
        moments = [after(second) for second in (0, 1, 1, 1, 2, 3, 3, 4, 5, 6)]
        images = [an_image(viewer.user, created_at=moment) for moment in moments]
        self.newest_first = sorted(images, key=_place, reverse=True)

    async def page(
        self, size: int, after: Image | None = None, before: Image | None = None, *, backwards: bool = False
    ) -> Page[Image]:
        """A page between two images."""
        request = PageRequest(size, _cursor(after), _cursor(before), backwards)
        async with self._unit_of_work(read_only=True) as work:
            return await work.images.page(ImageList(self.viewer.user.community_id, self.viewer.id), request)

    async def walked(self, size: int, *, backwards: bool) -> list[Image]:
        """Every image, page by page, from one end to the other; the flags must be right on the way."""
        pages: list[Sequence[Image]] = []
        page = await self.page(size, backwards=backwards)
        while True:
            pages.append(page.rows)
            came_from, goes_on = (page.has_next, page.has_previous) if backwards else (page.has_previous, page.has_next)
            assert came_from is (len(pages) > 1)
            if not goes_on:
                break
            end = {"before": page.rows[0]} if backwards else {"after": page.rows[-1]}
            page = await self.page(size, **end, backwards=backwards)
        return [image for rows in (pages[::-1] if backwards else pages) for image in rows]


def _cursor(image: Image | None) -> Cursor | None:
    return Cursor(*_place(image)) if image else None


def _place(image: Image) -> tuple[datetime, UUID]:
    return image.created_at, image.id


@pytest.fixture
async def library(unit_of_work: UnitOfWorkFactory) -> Library:
    """A stored library."""
    library = Library(unit_of_work, await stored_viewer(unit_of_work))
    await stored_images(unit_of_work, *library.newest_first)
    return library


@pytest.mark.parametrize("size", [1, 3, 5, 10, 11])
@pytest.mark.parametrize("backwards", [False, True])
async def test_pages_in_both_directions_show_everything_once(library: Library, size: int, backwards: bool) -> None:
    """Whatever the size, in the same order, images of one moment included; the flags tell both ends."""
    assert await library.walked(size, backwards=backwards) == library.newest_first


async def test_a_page_between_two_cursors(library: Library) -> None:
    """Only what lies between them, from the end that was asked for, and what lies around is told."""
    images = library.newest_first
    assert await library.page(3, images[1], images[8]) == Page(images[2:5], has_next=True, has_previous=True)
    assert await library.page(9, images[1], images[8]) == Page(images[2:8], has_next=True, has_previous=True)
    assert await library.page(3, images[1], images[8], backwards=True) == Page(images[5:8], True, True)
    assert await library.page(3, before=images[5]) == Page(images[:3], has_next=True, has_previous=False)
    assert await library.page(3, images[5], backwards=True) == Page(images[7:], has_next=False, has_previous=True)


async def test_an_empty_page_tells_what_lies_around(library: Library, unit_of_work: UnitOfWorkFactory) -> None:
    """Past either end there is nothing but what one came from; in an empty list nothing at all."""
    newest, oldest = library.newest_first[0], library.newest_first[-1]
    assert await library.page(3, after=oldest) == Page([], has_next=False, has_previous=True)
    assert await library.page(3, before=newest, backwards=True) == Page([], has_next=True, has_previous=False)
    empty = Library(unit_of_work, await stored_viewer(unit_of_work))
    assert await empty.page(3) == Page([], False, False)
    assert await empty.page(3, after=newest) == Page([], False, False)


async def test_pages_are_stable_while_images_come_and_go(
    library: Library, unit_of_work: UnitOfWorkFactory, database: Database
) -> None:
    """New images shift nothing, and a cursor keeps its place after its own image was deleted."""
    images = library.newest_first
    first = await library.page(4)
    await stored_images(unit_of_work, *(an_image(library.viewer.user, created_at=after(100 + n)) for n in range(3)))
    with database.sync_engine().begin() as connection:
        connection.execute(delete(image_table).where(image_table.c.id == images[3].id))
    second = await library.page(4, after=first.rows[-1])
    assert second == Page(images[4:8], has_next=True, has_previous=True)
    back = await library.page(4, before=second.rows[0], backwards=True)
    assert [image.id for image in back.rows[1:]] == [image.id for image in images[:3]]
    assert (back.has_next, back.has_previous) == (True, True)


async def test_a_page_is_one_statement(library: Library, statements: Statements) -> None:
    """However many images it has, with cursors and without."""
    statements.sent.clear()
    await library.page(3)
    await library.page(3, after=library.newest_first[2])
    assert len(statements.sent) == 2
