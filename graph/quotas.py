"""Quotas: how much of a month's allowance is left."""

from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import Parent

from domain import quotas as models
from domain.quotas import Feature, QuotaUnit
from graph.fields import resolved
from graph.scalars import clamped

OfFeature = Annotated[Feature, strawberry.argument(description="What is counted.")]
InUnit = Annotated[QuotaUnit, strawberry.argument(description="In what it is counted.")]

_LARGEST = "2147483647 stands for all that is more than an Int holds."


def _used(quota: Parent[models.Quota]) -> int:
    return clamped(quota.used)


def _reserved(quota: Parent[models.Quota]) -> int:
    return clamped(quota.reserved)


@strawberry.type(description="What may be used in a calendar month, and what is left of it.")
class Quota:
    """The source is a domain Quota."""

    feature: Feature = strawberry.field(description="What is counted.")
    unit: QuotaUnit = strawberry.field(description="In what it is counted.")
    limit: int | None = strawberry.field(description="What may be used in a month; null when there is no limit.")
    used: int = resolved(_used, f"What is used since the month began; {_LARGEST}")
    reserved: int = resolved(_reserved, f"What generations that run may use yet; {_LARGEST}")
    remaining: int | None = strawberry.field(description="What may still be asked for; null when there is no limit.")
    resets_at: datetime = strawberry.field(description="When the next month begins, by the community's time zone.")
