"""Limits as forms ask for them, and amounts as tables tell them: pictures, and dollars instead of millionths."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette_admin.fields import BaseField, StringField

from domain.errors import InvalidInput
from domain.quotas import MAX_AMOUNT, Feature, Limit, QuotaUnit

_PER_DOLLAR = 1_000_000
_UNITS = {"images": QuotaUnit.IMAGES, "dollars": QuotaUnit.MICRO_USD}
_AMOUNTS = {QuotaUnit.IMAGES: r"\d{1,10}", QuotaUnit.MICRO_USD: r"\d{1,10}(\.\d{1,6})?"}

LIMIT_FIELDS = tuple(f"limits_{name}" for name in _UNITS)


def dollars(micro_usd: int) -> str:
    """Micro-USD as dollars: at least cents, and as many places as are needed."""
    whole, places = f"{Decimal(micro_usd) / _PER_DOLLAR:,.6f}".split(".")
    return f"${whole}.{places.rstrip('0').ljust(2, '0')}"


def amount(unit: str, number: int) -> str:
    """A number of the unit, for people."""
    return dollars(number) if unit == QuotaUnit.MICRO_USD else f"{number:,}"


def limit_fields(**options: Any) -> list[BaseField]:
    """What a record's `limits` are, a field for each unit."""
    return [
        StringField(
            f"limits_{name}",
            f"{name.capitalize()} a month at most",
            help_text="Leave empty for no limit.",
            getter=_Limited(unit),
            **options,
        )
        for name, unit in _UNITS.items()
    ]


def asked_limits(data: Mapping[str, Any]) -> tuple[Limit, ...]:
    """The limits that a form has filled in. Raises InvalidInput."""
    given = {name: data[f"limits_{name}"] for name in _UNITS}
    return tuple(_limit(_UNITS[name], text, name) for name, text in given.items() if text)


def _limit(unit: QuotaUnit, text: str, name: str) -> Limit:
    if not re.fullmatch(_AMOUNTS[unit], text, re.ASCII):
        raise InvalidInput(f"Give a number of {name}, such as 50", f"limits_{name}")
    number = int(Decimal(text) * (_PER_DOLLAR if unit is QuotaUnit.MICRO_USD else 1))
    if number > MAX_AMOUNT:
        raise InvalidInput(f"Give at most {amount(unit, MAX_AMOUNT)}", f"limits_{name}")
    return Limit(Feature.IMAGE_GENERATION, unit, number)


class _Limited:
    """Reads the limit in one unit from a record, the way it is typed in."""

    def __init__(self, unit: QuotaUnit) -> None:
        self._unit = unit

    def __call__(self, request: Request, record: Any) -> str | None:
        number = next((limit.amount for limit in record.limits if limit.unit == self._unit), None)
        return None if number is None else amount(self._unit, number).translate({ord("$"): None, ord(","): None})
