"""Long lists by keyset, each page in one statement that is built once per shape and only filled in afterwards."""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Integer,
    Select,
    Table,
    bindparam,
    exists,
    false,
    func,
    select,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.pages import Page, PageRequest

Item = TypeVar("Item")


class Keyset(Generic[Item]):
    """The rows of a table that a condition lets in, the newest first."""

    def __init__(
        self,
        table: Table,
        columns: Sequence[ColumnElement[Any]],
        condition: Callable[[FromClause], ColumnElement[bool]],
        item: Callable[[Sequence[Any]], Item],
    ) -> None:
        self._table = table
        self._columns = columns
        self._condition = condition
        self._item = item
        self._count = select(func.count()).select_from(table).where(condition(table))
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
        key = _key(self._table)
        newest_first = [column.desc() for column in key]
        statement = (
            select(self._edge("after") if has_after else false(), self._edge("before") if has_before else false())
            .add_columns(*self._columns)
            .where(self._condition(self._table))
            .order_by(*(key if backwards else newest_first))
            .limit(bindparam("limit", type_=Integer))
        )
        if has_after:
            statement = statement.where(tuple_(*key) < _cursor("after", self._table))
        if has_before:
            statement = statement.where(tuple_(*key) > _cursor("before", self._table))
        return statement

    def _edge(self, name: str) -> ColumnElement[bool]:
        """Whether there are rows at the cursor or beyond it."""
        rows = self._table.alias()
        key, cursor = tuple_(*_key(rows)), _cursor(name, self._table)
        return exists().where(self._condition(rows), key >= cursor if name == "after" else key <= cursor)


def _key(rows: FromClause) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    return rows.c.created_at, rows.c.id


def _cursor(name: str, table: Table) -> ColumnElement[Any]:
    return tuple_(
        bindparam(f"{name}_at", type_=table.c.created_at.type), bindparam(f"{name}_id", type_=table.c.id.type)
    )
