"""Questions about library images. A page of them is the most asked of all: see `bench/`."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, bindparam, delete, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as insert_or_ignore
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import Grouping

from domain.costs import CostBasis
from domain.errors import NotFound
from domain.images import Acceptance, Image, ImageList, ImageSource, ImageUses, Recipe
from domain.pages import Page, PageRequest
from domain.prompts import StructuredPrompt
from domain.providers import ProviderKind
from domain.tags import Tag, TagKind
from domain.users import Scope
from domain.wizards import Step
from storage.database.identities import IDENTITY, identity_of_row
from storage.database.keysets import Condition, Keyset, Sought
from storage.database.pictures import picture_columns, picture_of_row, picture_values
from storage.database.reaches import reached
from storage.database.search import found, put_into_table, query_for, search_column
from storage.database.tables import identity, image, step, user_account, wizard
from storage.database.wizards import STEP

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
    _c.tags,
    _c.prompt_id,
    *picture_columns(image),
)
_IMAGE = select(*_COLUMNS)
_SOURCES = {source.value: source for source in ImageSource}
_KINDS = {kind.value: kind for kind in TagKind}
_Use = TypeVar("_Use")


def _image(row: Sequence[Any]) -> Image:
    row_id, community_id, owner_id, source, filename, is_public, recipe, made_by, index, created_at, *rest = row
    tags, prompt_id, *picture = rest
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
        tuple(Tag(_KINDS[tag["kind"]], tag["value"]) for tag in tags),
        prompt_id,
    )


def _recipe(
    *,
    structured_prompt: dict[str, str] | None,
    reference_hashes: list[str],
    provider: str,
    parent_image_id: str | None,
    cost_basis: str | None = None,
    **others: Any,
) -> Recipe:
    return Recipe(
        structured_prompt=StructuredPrompt(**structured_prompt) if structured_prompt else None,
        reference_hashes=tuple(reference_hashes),
        provider=ProviderKind(provider),
        parent_image_id=UUID(parent_image_id) if parent_image_id else None,
        cost_basis=CostBasis(cost_basis) if cost_basis else None,
        **others,
    )


# What a list may ask for, by the name of its parameter.
_CONDITIONS: dict[str, Condition] = {
    "community_id": lambda rows: rows.c.community_id == bindparam("community_id"),
    "owner_id": lambda rows: rows.c.owner_id == bindparam("owner_id"),
    # Asked of the owner, who is of one community: so the index of their images answers without a look at each.
    "owners_community_id": lambda _: exists().where(
        user_account.c.id == bindparam("owner_id"), user_account.c.community_id == bindparam("owners_community_id")
    ),
    # In brackets: of `is_public = 1`, which is sent without them, SQLite can't tell that the index is for it.
    "is_public": lambda rows: Grouping(rows.c.is_public),
    "prompt_id": lambda rows: rows.c.prompt_id == bindparam("prompt_id"),
    "source": lambda rows: rows.c.source == bindparam("source"),
    "provider": lambda rows: rows.c.provider == bindparam("provider"),
    "created_after": lambda rows: rows.c.created_at > bindparam("created_after"),
    "created_before": lambda rows: rows.c.created_at < bindparam("created_before"),
}


_WHOSE = frozenset({"community_id", "owner_id", "owners_community_id", "is_public"})
_DATES = frozenset({"created_after", "created_before"})


@cache
def _list(names: frozenset[str], is_sqlite: bool) -> Keyset[Image]:
    """The lists that ask for these things, whatever their values are: one for each combination."""
    conditions: dict[str, Condition] = {**_CONDITIONS, "query": lambda rows: found(rows, is_sqlite)}

    def all_of(some: frozenset[str]) -> Condition:
        return lambda rows: and_(*(conditions[name](rows) for name in sorted(some)))

    has_index = names & {"owner_id", "is_public"}
    if "query" not in names or is_sqlite or not has_index:
        return Keyset(image, _COLUMNS, all_of(names), _image)
    walked = names & (_WHOSE | _DATES)
    sought = Sought(checked=all_of(names - walked), looked_up=all_of(names - _WHOSE))
    return Keyset(image, _COLUMNS, all_of(walked), _image, sought)


def _asked(wanted: ImageList) -> dict[str, object]:
    community = "owners_community_id" if wanted.owner_id else "community_id"
    asked = wanted.filter
    values = {
        community: wanted.community_id,
        "owner_id": wanted.owner_id,
        "is_public": wanted.is_public or None,
        "query": query_for(wanted) if asked.words or asked.tags else None,
        "prompt_id": wanted.prompt_id,
        "source": asked.source,
        "provider": asked.provider,
        "created_after": asked.created_after,
        "created_before": asked.created_before,
    }
    return {name: value for name, value in values.items() if value is not None}


def _visible(scope: Scope) -> ColumnElement[bool]:
    public = and_(_c.community_id == scope.community_id, _c.is_public)
    return or_(reached(scope, _c.community_id, _c.owner_id), public)


def _by_image(uses: Sequence[_Use], image_of: Callable[[_Use], UUID | None]) -> defaultdict[UUID | None, list[_Use]]:
    found = defaultdict(list)
    for use in uses:
        found[image_of(use)].append(use)
    return found


class Images:
    """Implements the port of the same noun."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._is_sqlite = connection.dialect.name == "sqlite"

    async def add(self, new: Image) -> bool:
        """Store an image, unless its generation's picture is there."""
        values = {
            "id": new.id,
            "community_id": new.community_id,
            "owner_id": new.owner_id,
            "source": new.source,
            "filename": new.filename,
            "recipe": new.recipe,
            "provider": new.recipe.provider if new.recipe else None,
            "prompt_id": new.prompt_id,
            "generation_id": new.generation_id,
            "generation_index": new.generation_index,
            "created_at": new.created_at,
            **picture_values(new.picture),
            **self._changeable(new),
        }
        statement = insert_or_ignore(image).values(values)
        if new.generation_id:
            statement = statement.on_conflict_do_nothing()
        is_new = (await self._connection.execute(statement)).rowcount == 1
        if is_new and self._is_sqlite:
            await put_into_table(self._connection, new)
        return is_new

    def _changeable(self, changed: Image) -> dict[str, Any]:
        search = search_column(changed, self._is_sqlite)
        return {"tags": changed.tags, "is_public": changed.is_public, "search": search}

    async def get(self, scope: Scope, id: UUID, *, for_update: bool = False) -> Image:
        """One image in reach."""
        statement = _IMAGE.where(_c.id == id, reached(scope, _c.community_id, _c.owner_id))
        return await self._one(id, statement.with_for_update() if for_update else statement)

    async def get_visible(self, scope: Scope, id: UUID, *, for_update: bool = False, for_use: bool = False) -> Image:
        """One image that may be seen."""
        statement = _IMAGE.where(_c.id == id, _visible(scope))
        if for_update or for_use:
            statement = statement.with_for_update(read=not for_update)
        return await self._one(id, statement)

    async def _one(self, id: UUID, statement: Select[Any]) -> Image:
        row = (await self._connection.execute(statement)).first()
        if row is None:
            raise NotFound("Image", id)
        return _image(row)

    async def update(self, changed: Image) -> None:
        """Store the tags and whether it is public."""
        await self._connection.execute(update(image).where(_c.id == changed.id).values(self._changeable(changed)))
        if self._is_sqlite:
            await put_into_table(self._connection, changed)

    async def delete(self, id: UUID) -> None:
        """Remove an image."""
        await self._connection.execute(delete(image).where(_c.id == id))

    async def uses_of(self, ids: Sequence[UUID]) -> dict[UUID, ImageUses]:
        """Identities the oldest first; steps by wizard, the oldest first, and their order."""
        portraits = IDENTITY.where(identity.c.image_id.in_(ids)).order_by(identity.c.created_at, identity.c.id)
        identities = [identity_of_row(row) for row in await self._connection.execute(portraits)]
        backgrounds = STEP.where(step.c.background_id.in_(ids)).join(wizard, wizard.c.id == step.c.wizard_id)
        ordered = backgrounds.order_by(wizard.c.created_at, wizard.c.id, step.c.order)
        steps = [Step(*row) for row in await self._connection.execute(ordered)]
        portraits_of = _by_image(identities, lambda one: one.image_id)
        backgrounds_of = _by_image(steps, lambda one: one.background_id)
        uses = {id: ImageUses(tuple(portraits_of[id]), tuple(backgrounds_of[id])) for id in ids}
        return {id: used for id, used in uses.items() if used}

    async def end_uses(self, id: UUID, but_of: UUID | None, at: datetime) -> None:
        """Take the image from what shows it."""
        others = [] if but_of is None else [identity.c.user_id != but_of]
        portraits = update(identity).where(identity.c.image_id == id, *others)
        await self._connection.execute(portraits.values(image_id=None, updated_at=at))
        await self._connection.execute(update(step).where(step.c.background_id == id).values(background_id=None))

    async def visible_by_ids(self, scope: Scope, ids: Sequence[UUID]) -> Sequence[Image]:
        """Images that may be seen."""
        return await self._all(_IMAGE.where(_c.id.in_(ids), _visible(scope)))

    async def by_ids(self, community_id: UUID, ids: Sequence[UUID]) -> Sequence[Image]:
        """Images of the community."""
        return await self._all(_IMAGE.where(_c.id.in_(ids), _c.community_id == community_id))

    async def of_generations(self, generation_ids: Sequence[UUID], *, for_use: bool = False) -> Sequence[Image]:
        """What generations made, by index."""
        made = _IMAGE.where(_c.generation_id.in_(generation_ids)).order_by(_c.generation_id, _c.generation_index)
        return await self._all(made.with_for_update(read=True) if for_use else made)

    async def _all(self, statement: Select[Any]) -> Sequence[Image]:
        return [_image(row) for row in await self._connection.execute(statement)]

    async def page(self, wanted: ImageList, page: PageRequest) -> Page[Image]:
        """One page of a list."""
        asked = _asked(wanted)
        return await _list(frozenset(asked), self._is_sqlite).page(self._connection, page, **asked)

    async def count(self, wanted: ImageList) -> int:
        """The length of a list."""
        asked = _asked(wanted)
        return await _list(frozenset(asked), self._is_sqlite).count(self._connection, **asked)

    async def acceptance(self, scope: Scope, prompt_ids: Sequence[UUID]) -> dict[UUID, Acceptance]:
        """What was made with each version, and what of it is shown or shared."""
        is_portrait = exists().where(identity.c.image_id == _c.id)
        is_background = exists().where(step.c.background_id == _c.id)
        accepted = func.count().filter(or_(_c.is_public, is_portrait, is_background))
        statement = select(_c.prompt_id, func.count(), accepted).group_by(_c.prompt_id)
        reachable = statement.where(_c.prompt_id.in_(prompt_ids), reached(scope, _c.community_id, _c.owner_id))
        return {id: Acceptance(made, used) for id, made, used in await self._connection.execute(reachable)}
