"""How values are shown and, where a form has them, asked for."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette_admin.fields import BaseField, DateTimeField, EnumField, HasOne, StringField

from app.admin.limits import dollars

Rows = list[dict[str, Any]]


@dataclass
class Moment(DateTimeField):
    """A moment in UTC, to the second."""

    async def serialize_value(self, request: Request, value: datetime) -> str:
        """ISO 8601 without the T."""
        return f"{value:%Y-%m-%d %H:%M:%S}"


@dataclass
class Money(StringField):
    """Micro-USD, shown as dollars."""

    async def serialize_value(self, request: Request, value: int) -> str:
        """The dollars."""
        return dollars(value)


@dataclass
class Link(HasOne):
    """Another record; `key` is its view's."""

    list_template: str = "shown/link.html"
    detail_template: str = "shown/link.html"

    async def serialize_value(self, request: Request, value: Any) -> Any:
        """Its id for a form; else also what it is called."""
        id = str(value.id)
        return id if request.state.action.is_form() else {"id": id, "text": str(value)}


@dataclass
class Choice(EnumField):
    """One of the values of an enum, or several."""

    async def validate(self, request: Request, value: Any, form_values: dict[str, Any]) -> None:
        """Raises ValueError for what is none of the values, which the library takes."""
        chosen = value if self.multiple else [value]
        if not {choice for choice, _ in self._get_choices(request)}.issuperset(chosen):
            raise ValueError("Choose one of the values offered")


@dataclass
class Pictures(BaseField):
    """Pictures beside each other: `url`, `caption`, and the `id` of a library image, each where there is one."""

    list_template: str = "shown/thumbnails.html"
    detail_template: str = "shown/pictures.html"


@dataclass
class Document(BaseField):
    """JSON, laid out for people."""

    list_template: str = "shown/document.html"
    detail_template: str = "shown/document.html"


@dataclass
class Table(BaseField):
    """Rows with the same keys each, which are the headings."""

    list_template: str = "shown/table.html"
    detail_template: str = "shown/table.html"
