"""Usage: the ledger, line by line, and the counters it adds up to."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette_admin.fields import StringField

from app.admin.fields import Choice, Link, Moment, Rows
from app.admin.limits import amount
from app.admin.records import UsageRecord
from app.admin.views import RecordsView
from app.wiring import Atelier
from domain.quotas import QuotaUnit, UsageKind
from storage.database.tables import usage_counter, usage_event

COUNTERS_SHOWN = 24
"""A year of both units."""
_UNITS = {QuotaUnit.IMAGES: "images", QuotaUnit.MICRO_USD: "dollars"}


class UsageView(RecordsView):
    """Lines of the ledger."""

    key = "usage"
    menu_label = "Usage"
    display_name = "line"
    icon = "fa-solid fa-receipt"
    ids = (usage_event.c.user_id, usage_event.c.community_id)
    owner = usage_event.c.user_id
    sortable_fields = ("at",)
    searchable_fields = ("kind", "unit", "at")
    fields_default_sort = (("at", True),)

    def __init__(self, atelier: Atelier) -> None:
        self.fields = [
            Moment("at", "At (UTC)"),
            Choice("kind", enum=UsageKind),
            Choice("unit", enum=QuotaUnit),
            StringField("reserved_delta", "Reserved", getter=lambda _, line: _change(line.unit, line.reserved_delta)),
            StringField("used_delta", "Used", getter=lambda _, line: _change(line.unit, line.used_delta)),
            StringField("period", "Month"),
            Link("user", key="users"),
            Link("community", key="communities"),
            Link("generation", key="generations"),
        ]
        super().__init__(UsageRecord, atelier)

    def can_view_detail(self, request: Request) -> bool:
        """Never: a line in the list is all there is."""
        return False


def _change(unit: str, number: int) -> str:
    if not number:
        return ""
    return f"{'-' if number < 0 else '+'} {amount(unit, abs(number))}"


async def lines_of(session: AsyncSession, generation_id: UUID) -> Rows:
    """What a generation reserved, and what became of it."""
    c = usage_event.c
    # There is an index of reservations and another one of all else.
    reserved, ended = (
        select(usage_event).where(c.generation_id == generation_id, is_of)
        for is_of in (c.kind == UsageKind.RESERVE, c.kind != UsageKind.RESERVE)
    )
    return [
        {
            "at (UTC)": f"{line.at:%Y-%m-%d %H:%M:%S}",
            "kind": line.kind,
            "counted in": _UNITS[line.unit],
            "reserved": _change(line.unit, line.reserved_delta),
            "used": _change(line.unit, line.used_delta),
        }
        for line in await session.execute(reserved.union_all(ended).order_by("at", "unit"))
    ]


async def counted(session: AsyncSession, subject_id: UUID) -> Rows:
    """What a community or a user used, the latest month first."""
    c = usage_counter.c
    counters = select(usage_counter).where(c.subject_id == subject_id).order_by(c.period.desc(), c.feature, c.unit)
    return [
        {
            "month": counter.period,
            "counted in": _UNITS[counter.unit],
            "used": amount(counter.unit, counter.used),
            "reserved": amount(counter.unit, counter.reserved),
        }
        for counter in await session.execute(counters.limit(COUNTERS_SHOWN))
    ]
