"""Long lists by keyset, each page in one statement that is built once per shape and only filled in afterwards."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    FromClause,
    Integer,
    Select,
    Table,
    and_,
    bindparam,
    case,
    exists,
    false,
    func,
    literal_column,
    or_,
    select,
    true,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.pages import Page, PageRequest

Item = TypeVar("Item")
Condition = Callable[[FromClause], ColumnElement[bool]]

# How far a list is walked before what is sought in it is looked up.
NEAR = literal_column("1000", Integer)
_LIMIT = bindparam("limit", type_=Integer)


@dataclass(frozen=True, slots=True)
class Sought:
    """What rows of a list must meet besides; no planner can tell whether many do or few.

    Where many do, a page of them is near: the list is walked and each row `checked`. Where few do, they are
    `looked_up` in an index that knows the list too, which would take long for what most rows have.
    """

    checked: Condition
    looked_up: Condition


class Keyset(Generic[Item]):
    """The rows of a table that a condition lets in, the newest first."""

    def __init__(
        self,
        table: Table,
        columns: Sequence[ColumnElement[Any]],
        condition: Condition,
        item: Callable[[Sequence[Any]], Item],
        sought: Sought | None = None,
    ) -> None:
        self._table = table
        self._columns = columns
        self._condition = condition
        self._item = item
        self._sought = sought
        self._count = self._count_sought(sought) if sought else _count(table, condition)
        self._statements: dict[tuple[bool, bool, bool], Select[Any]] = {}

    async def page(self, connection: AsyncConnection, page: PageRequest, **parameters: object) -> Page[Item]:
        """One page; `parameters` fill the condition."""
        for name, cursor in (("after", page.after), ("before", page.before)):
            if cursor:
                parameters |= {f"{name}_at": cursor.created_at, f"{name}_id": cursor.id}
        statement = self._statement(page)
        rows = (await connection.execute(statement, {**parameters, "limit": page.size + 1})).all()
        if rows:
            is_newer, is_older = rows[0][:2]
        elif page.after or page.before:
            edges = await connection.execute(select(*statement.selected_columns[:2]), parameters)
            is_newer, is_older = edges.one()
        else:
            is_newer = is_older = False
        has_more = len(rows) > page.size
        items = [self._item(row[2:]) for row in rows[: page.size]]
        if page.backwards:
            items.reverse()
        return Page(
            items,
            has_next=bool(is_older or (has_more and not page.backwards)),
            has_previous=bool(is_newer or (has_more and page.backwards)),
        )

    async def count(self, connection: AsyncConnection, **parameters: object) -> int:
        """How many rows there are on all pages."""
        return int((await connection.execute(self._count, parameters)).scalar_one())

    def _statement(self, page: PageRequest) -> Select[Any]:
        shape = (page.after is not None, page.before is not None, page.backwards)
        if shape not in self._statements:
            self._statements[shape] = self._build(*shape)
        return self._statements[shape]

    def _build(self, has_after: bool, has_before: bool, backwards: bool) -> Select[Any]:
        def between(rows: FromClause) -> ColumnElement[bool]:
            older = tuple_(*_key(rows)) < self._cursor("after") if has_after else true()
            return and_(older, tuple_(*_key(rows)) > self._cursor("before") if has_before else true())

        edges = (self._edge("after") if has_after else false(), self._edge("before") if has_before else false())
        statement = select(*edges, *self._columns).order_by(*_order(self._table, backwards)).limit(_LIMIT)
        if self._sought:
            return statement.where(self._table.c.id.in_(self._sought_ids(self._sought, between, backwards)))
        return statement.where(self._condition(self._table), between(self._table))

    def _edge(self, name: str) -> ColumnElement[bool]:
        """Whether there are rows at the cursor or beyond it."""

        def beyond(rows: FromClause) -> ColumnElement[bool]:
            key, cursor = tuple_(*_key(rows)), self._cursor(name)
            return key >= cursor if name == "after" else key <= cursor

        if self._sought:
            near = self._near(self._sought, beyond, backwards=name == "after")
            far = self._far(self._sought, beyond).limit(1).subquery()
            return or_(exists(near), exists(select(far)))
        rows = self._table.alias()
        return exists().where(self._condition(rows), beyond(rows))

    def _sought_ids(self, sought: Sought, between: Condition, backwards: bool) -> CompoundSelect[Any]:
        """Of the rows of a page, and perhaps of some older ones."""
        near = self._near(sought, between, backwards).limit(_LIMIT).cte()
        is_short = select(func.count()).select_from(near).scalar_subquery() < _LIMIT
        far = self._far(sought, between, backwards).where(is_short).limit(_LIMIT).subquery()
        return select(near.c.id).union_all(select(far.c.id))

    def _near(self, sought: Sought, between: Condition, backwards: bool) -> Select[Any]:
        """What is sought among the first rows."""
        rows = self._table.alias()
        first = select(rows).where(self._condition(rows), between(rows)).order_by(*_order(rows, backwards))
        walked = first.limit(NEAR).subquery()
        return select(walked.c.id).where(sought.checked(walked)).order_by(*_order(walked, backwards))

    def _far(self, sought: Sought, between: Condition, backwards: bool = False) -> Select[Any]:
        """What is sought among all rows; nothing when the first ones are all."""
        rows = self._table.alias()
        found = select(*_key(rows)).where(sought.looked_up(rows), between(rows), self._goes_on(between))
        # The offset is a fence: beyond it nobody knows of an index that has the rows in this order.
        looked_up = found.offset(literal_column("0", Integer)).subquery()
        return select(looked_up.c.id).order_by(*_order(looked_up, backwards))

    def _goes_on(self, between: Condition) -> ColumnElement[bool]:
        rows = self._table.alias()
        all_rows = select(rows.c.id).where(self._condition(rows), between(rows))
        return exists(all_rows.order_by(*_order(rows, backwards=False)).offset(NEAR).limit(1))

    def _count_sought(self, sought: Sought) -> Select[Any]:
        def anywhere(_rows: FromClause) -> ColumnElement[bool]:
            return true()

        near = _count(self._near(sought, anywhere, backwards=False).subquery())
        return select(
            case(
                (self._goes_on(anywhere), _count(self._table, sought.looked_up).scalar_subquery()),
                else_=near.scalar_subquery(),
            )
        )

    def _cursor(self, name: str) -> ColumnElement[Any]:
        at, id = _key(self._table)
        return tuple_(bindparam(f"{name}_at", type_=at.type), bindparam(f"{name}_id", type_=id.type))


def _key(rows: FromClause) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    return rows.c.created_at, rows.c.id


def _order(rows: FromClause, backwards: bool) -> list[ColumnElement[Any]]:
    return [column if backwards else column.desc() for column in _key(rows)]


def _count(rows: FromClause, condition: Condition = lambda _: true()) -> Select[Any]:
    return select(func.count()).select_from(rows).where(condition(rows))
