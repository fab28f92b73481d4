"""Questions about library images. A page of them is the most asked of all: see `bench/`."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, bindparam, or_, select
from sqlalchemy.dialects.postgresql import insert as insert_or_ignore
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import NotFound
from domain.images import Image, ImageScope, ImageSource, Recipe
from domain.pages import Page, PageRequest
from domain.prompts import StructuredPrompt
from domain.providers import ProviderKind
from domain.users import Scope, Viewer
from storage.database.keysets import Keyset
from storage.database.pictures import picture_columns, picture_of_row, picture_values
from storage.database.reaches import reached
from storage.database.tables import image

_c = image.c
_COLUMNS = (
    _c.id,
    _c.community_id,
    _c.owner_id,
    _c.source,
    _c.filename,
    _c.is_public,
    _c.recipe,
    _c.generation_id,
    _c.generation_index,
    _c.created_at,
    *picture_columns(image),
)
_IMAGE = select(*_COLUMNS)
_SOURCES = {source.value: source for source in ImageSource}


def _image(row: Sequence[Any]) -> Image:
    row_id, community_id, owner_id, source, filename, is_public, recipe, made_by, index, created_at, *picture = row
    return Image(
        row_id,
        community_id,
        owner_id,
        _SOURCES[source],
        picture_of_row(picture),
        filename,
        is_public,
        None if recipe is None else _recipe(**recipe),
        made_by,
        index,
        created_at,
    )


def _recipe(
    *,
    structured_prompt: dict[str, str] | None,
    reference_hashes: list[str],
    provider: str,
    parent_image_id: str | None,
    **others: Any,
) -> Recipe:
    return Recipe(
        structured_prompt=StructuredPrompt(**structured_prompt) if structured_prompt else None,
        reference_hashes=tuple(reference_hashes),
        provider=ProviderKind(provider),
        parent_image_id=UUID(parent_image_id) if parent_image_id else None,
        **others,
    )


_PAGES = {
    ImageScope.MINE: Keyset(image, _COLUMNS, lambda rows: rows.c.owner_id == bindparam("owner_id"), _image),
    ImageScope.PUBLIC: Keyset(
        image, _COLUMNS, lambda rows: and_(rows.c.community_id == bindparam("community_id"), rows.c.is_public), _image
    ),
}


def _visible(scope: Scope) -> ColumnElement[bool]:
    public = and_(_c.community_id == scope.community_id, _c.is_public)
    return or_(reached(scope, _c.community_id, _c.owner_id), public)


def _whose(viewer: Viewer, scope: ImageScope) -> dict[str, UUID]:
    if scope is ImageScope.MINE:
        return {"owner_id": viewer.id}
    return {"community_id": viewer.user.community_id}


class Images:
    """Implements the port of the same noun."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, new: Image) -> None:
        """Store an image, unless its generation's picture is there."""
        values = {
            "id": new.id,
            "community_id": new.community_id,
            "owner_id": new.owner_id,
            "source": new.source,
            "filename": new.filename,
            "is_public": new.is_public,
            "recipe": new.recipe,
            "generation_id": new.generation_id,
            "generation_index": new.generation_index,
            "created_at": new.created_at,
            **picture_values(new.picture),
        }
        statement = insert_or_ignore(image)
        if new.generation_id:
            statement = statement.on_conflict_do_nothing()
        await self._connection.execute(statement, values)

    async def get_visible(self, scope: Scope, id: UUID) -> Image:
        """One image that may be seen."""
        found = await self.visible_by_ids(scope, [id])
        if not found:
            raise NotFound("Image", id)
        return found[0]

    async def visible_by_ids(self, scope: Scope, ids: Sequence[UUID]) -> Sequence[Image]:
        """Images that may be seen."""
        return await self._all(_IMAGE.where(_c.id.in_(ids), _visible(scope)))

    async def by_ids(self, community_id: UUID, ids: Sequence[UUID]) -> Sequence[Image]:
        """Images of the community."""
        return await self._all(_IMAGE.where(_c.id.in_(ids), _c.community_id == community_id))

    async def of_generations(self, generation_ids: Sequence[UUID]) -> Sequence[Image]:
        """What generations made, by index."""
        made = _IMAGE.where(_c.generation_id.in_(generation_ids))
        return await self._all(made.order_by(_c.generation_id, _c.generation_index))

    async def _all(self, statement: Any) -> Sequence[Image]:
        return [_image(row) for row in await self._connection.execute(statement)]

    async def page(self, viewer: Viewer, scope: ImageScope, page: PageRequest) -> Page[Image]:
        """One page of a list."""
        return await _PAGES[scope].page(self._connection, page, **_whose(viewer, scope))

    async def count(self, viewer: Viewer, scope: ImageScope) -> int:
        """The length of a list."""
        return await _PAGES[scope].count(self._connection, **_whose(viewer, scope))
