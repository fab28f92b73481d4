"""What every table's view has in common: pages that stay quick however long the table is, and no way to write to it.

A view that lets an operator change something overrides `make` or `change`, or has actions, and calls a service there.
"""

import logging
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any, ClassVar, cast
from uuid import UUID

from markupsafe import escape
from sqlalchemy import ColumnElement, Select, func, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette_admin.contrib.sqla import ModelView
from starlette_admin.contrib.sqla.filters import EqualFilter, IsFalseFilter, IsTrueFilter
from starlette_admin.exceptions import ActionFailed, FormValidationError
from starlette_admin.fields import BaseField, BooleanField, EnumField
from starlette_admin.filters import FilterApplyContext, FilterGroup, FilterRegistry
from starlette_admin.filters.base import BaseFilter, FilterDataType, FilterValidationError
from starlette_admin.types import RequestAction
from strawberry.utils.str_converters import to_camel_case

from app.admin.fields import Link, Moment
from app.admin.sign_in import signed_in
from app.wiring import Atelier
from domain.errors import DomainError, NotFound
from storage.database.tables import user_account

MOST_COUNTED = 1_000
MOST_OWNERS = 50
REMOVE = "remove"

_log = logging.getLogger(__name__)


class RecordsView(ModelView):
    """Rows to look at, the newest first unless said otherwise."""

    page_size = 25
    page_size_options = (25,)
    most_counted = MOST_COUNTED
    column_visibility = False
    exporters = ()
    importers = ()

    made_of: ClassVar[Sequence[str]] = ()
    """The fields of the form for a new record; without any there is no form."""
    changeable: ClassVar[Sequence[str]] = ()
    """The fields of the form that changes a record; the same."""
    ids: ClassVar[Sequence[ColumnElement[Any]]] = ()
    """Columns that are searched for a UUID: each has an index."""
    texts: ClassVar[Sequence[ColumnElement[Any]]] = ()
    """Columns of short tables that are searched for a text."""
    owner: ClassVar[ColumnElement[Any] | None] = None
    """The column that names a person, in long tables: their name and address are searched for a text instead."""

    def __init__(self, record: type, atelier: Atelier) -> None:
        self.atelier = atelier
        super().__init__(record)

    async def complete(self, session: AsyncSession, record: Any) -> None:
        """Read what only the page of a single record shows, into attributes of its own."""

    @asynccontextmanager
    async def _reading(self, request: Request) -> AsyncIterator[AsyncSession]:
        # Lent for the question alone: a service that the same request calls must not wait for it.
        async with self.atelier.database.read() as connection, AsyncSession(connection) as session:
            request.state.session = session
            yield session

    async def find_all(
        self,
        request: Request,
        skip: int = 0,
        limit: int = 100,
        q: str | None = None,
        sorts: Sequence[tuple[str, str]] | None = None,
        filters: FilterGroup | None = None,
    ) -> Sequence[Any]:
        """One page; none beyond what is counted, since the database would walk over every row before it."""
        if skip >= MOST_COUNTED:
            return []
        async with self._reading(request):
            return await super().find_all(request, skip, limit, q, sorts, filters)

    async def count(self, request: Request, q: str | None = None, filters: FilterGroup | None = None) -> int:
        """How many rows there are, of which no more are counted than can be paged through."""
        async with self._reading(request) as session:
            rows = select(literal(1)).select_from(self.model)
            rows = await self._apply_search_and_filters(request, rows, q, filters)
            counted = select(func.count()).select_from(rows.limit(MOST_COUNTED).subquery())
            return (await session.execute(counted)).scalar_one()

    async def find_by_pk(self, request: Request, pk: Any) -> Any:
        """One record, complete; None for what is no id at all."""
        if _uuid(pk) is None:
            return None
        async with self._reading(request) as session:
            record = await super().find_by_pk(request, pk)
            if record is not None:
                await self.complete(session, record)
        return record

    async def find_by_pks(self, request: Request, pks: list[Any]) -> Sequence[Any]:
        """What a form's choice of another record has chosen already."""
        async with self._reading(request):
            return await super().find_by_pks(request, [pk for pk in pks if _uuid(pk)])

    async def build_full_text_search_query(self, request: Request, term: str, model: Any) -> ColumnElement[bool]:
        """By id, by the view's texts, or by who owns it."""
        term = term.replace("\0", "").strip()
        id = _uuid(term)
        if id is not None:
            return or_(*(column == id for column in self.ids))
        if self.owner is None:
            return _contain(self.texts, term)
        owners = select(user_account.c.id).where(_contain((user_account.c.name, user_account.c.email), term))
        found = await request.state.session.execute(owners.limit(MOST_OWNERS))
        theirs: ColumnElement[bool] = self.owner.in_(found.scalars().all())
        return theirs

    def build_order_clauses(self, request: Request, sorts: Sequence[tuple[str, str]], stmt: Select[Any]) -> Select[Any]:
        """In the order asked for; rows that are equal in it by their id, so that no page repeats another's."""
        stmt = super().build_order_clauses(request, sorts, stmt)
        id = self.model.__table__.c.id
        return stmt.order_by(id.desc() if sorts and sorts[-1][1] == "desc" else id)

    def get_filter_registry(self) -> FilterRegistry:
        """What rows can be filtered by, and no more: every one of these is quick, or short of rows."""
        return _FILTERS

    async def repr(self, obj: Any, request: Request) -> str:
        """What the record is called."""
        return str(obj)

    async def select2_result(self, obj: Any, request: Request) -> str:
        """The same in a form's choice, as HTML."""
        return f"<span>{escape(str(obj))}</span>"

    async def make(self, request: Request, data: dict[str, Any]) -> UUID:
        """Have a service make what the form describes. Returns its id; raises DomainError."""
        raise HTTPException(403)

    async def change(self, request: Request, record: Any, data: dict[str, Any]) -> None:
        """Have a service change the record to what the form says. Raises DomainError."""
        raise HTTPException(403)

    def can_create(self, request: Request) -> bool:
        """Whether there is a form for a new one."""
        return bool(self.made_of)

    def can_edit(self, request: Request) -> bool:
        """Whether there is a form to change one."""
        return bool(self.changeable)

    def can_delete(self, request: Request) -> bool:
        """Never: removing is an action where the rules have a word for it."""
        return False

    def can_export(self, request: Request) -> bool:
        """Never: the tables are longer than a download should be."""
        return False

    def can_import(self, request: Request) -> bool:
        """Never: what comes in comes through the rules."""
        return False

    def can_access_field(self, request: Request, field: BaseField, action: RequestAction | None = None) -> bool:
        """Whether a page has the field; a form has those alone that it is made of."""
        action = action or request.state.action
        if action.is_form():
            return field.name in (self.made_of if action is RequestAction.CREATE else self.changeable)
        return super().can_access_field(request, field, action)

    async def is_action_allowed(self, request: Request, name: str) -> bool:
        """Never: what is changed is changed one by one."""
        return False

    async def validate_fields(self, request: Request, data: dict[str, Any], exclude: Collection[str] = ()) -> None:
        """Raises FormValidationError, also for what the library takes and the database wouldn't."""
        await super().validate_fields(request, data, exclude)
        for field in self.get_fields_list(request):
            value = data[field.name]
            if isinstance(value, str) and "\0" in value:
                raise FormValidationError({field.name: "There is a character that is none"})
            if isinstance(field, Link) and value:
                others = self._find_foreign_view(str(field.key))
                if await others.find_by_pk(request, value) is None:
                    raise FormValidationError({field.name: "Choose one of those there are"})

    async def create(self, request: Request, data: dict[str, Any]) -> Any:
        """The new record."""
        with self._refusals_in_the_form(request):
            id = await self.make(request, data)
        self._note(request, "create", id)
        return await self.find_by_pk(request, str(id))

    async def edit(self, request: Request, pk: Any, data: dict[str, Any]) -> Any:
        """The record as it is now."""
        with self._refusals_in_the_form(request):
            await self.change(request, await self.find_by_pk(request, pk), data)
        self._note(request, "edit", pk)
        return await self.find_by_pk(request, pk)

    async def delete(self, request: Request, pks: list[Any]) -> int | None:
        """Nothing but an action of the view's own removes anything."""
        raise HTTPException(403)

    async def handle_row_action(self, request: Request, pk: Any, name: str) -> Response | None:
        """Take an action. Raises ActionFailed with the words of the rules."""
        try:
            response = await super().handle_row_action(request, pk, name)
        except DomainError as refusal:
            raise ActionFailed(refusal.message) from None
        self._note(request, name, pk)
        if name == REMOVE:  # the page it was taken on is gone
            return JSONResponse({"redirect": str(request.url_for("admin:list", key=self.key))})
        return response

    async def found(self, request: Request, pk: Any) -> Any:
        """The record an action is for. Raises NotFound."""
        record = await self.find_by_pk(request, pk)
        if record is None:
            raise NotFound(str(self.display_name).capitalize(), pk)
        return record

    @contextmanager
    def _refusals_in_the_form(self, request: Request) -> Iterator[None]:
        """Show what the rules refuse beside the field that it is about; beside the first one when it is about none."""
        try:
            yield
        except DomainError as refusal:
            fields = [field.name for field in self.get_fields_list(request)]
            wrong = {problem.path[0] for problem in getattr(refusal, "problems", ())}
            about = [name for name in fields if {name, to_camel_case(name)} & wrong]
            raise FormValidationError({(about or fields)[0]: refusal.message}) from None

    def _note(self, request: Request, action: str, id: object) -> None:
        facts = {"view": self.key, "action": action, "id": str(id), "user_id": str(signed_in(request).id)}
        _log.info("operator's change", extra=facts)


def _uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text or "")
    except ValueError:
        return None


def _contain(columns: Sequence[ColumnElement[Any]], term: str) -> ColumnElement[bool]:
    return or_(*(column.icontains(term, autoescape=True) for column in columns))


class _Before(BaseFilter):
    """Rows from before a moment in UTC."""

    name = "before"
    label = "is before (UTC)"
    data_type = FilterDataType.DATETIME

    def parse_value(self, raw: str) -> datetime:
        """The moment."""
        try:
            moment = datetime.fromisoformat(raw)
        except (TypeError, ValueError):
            raise FilterValidationError(f"{raw!r} is no moment such as 2026-11-21T09:00") from None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    def apply(self, ctx: FilterApplyContext) -> ColumnElement[bool]:
        """The condition."""
        view = cast("RecordsView", ctx.view)
        is_before: ColumnElement[bool] = getattr(view.model, ctx.field_name) < ctx.value
        return is_before


_FILTERS = FilterRegistry({BooleanField: [IsTrueFilter, IsFalseFilter], EnumField: [EqualFilter], Moment: [_Before]})
