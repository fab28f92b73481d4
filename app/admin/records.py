"""The tables as the operators' page reads them: rows with what they point at, never written to.

What is secret isn't mapped at all, so that no page can show it.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import Table
from sqlalchemy.orm import RelationshipProperty, column_property, registry, relationship

from storage.database.tables import community, generation, image, plan, plan_limit, prompt, usage_event, user_account

_UNSEEN = ("password_hash", "external_id", "search", "input_hash", "idempotency_key")
_records = registry()


class CommunityRecord:
    """A tenant."""

    id: UUID
    name: str

    def __str__(self) -> str:
        return self.name


class UserRecord:
    """A person."""

    email: str

    def __str__(self) -> str:
        return self.email


class PlanLimitRecord:
    """What a plan limits, in one unit."""


class PlanRecord:
    """A set of limits."""

    name: str

    def __str__(self) -> str:
        return self.name


class PromptRecord:
    """A version of a template."""

    type: str
    version: int

    def __str__(self) -> str:
        return f"{self.type} {self.version}"


class ImageRecord:
    """A picture of the library."""

    filename: str
    width_px: int
    height_px: int
    size_bytes: int

    def __str__(self) -> str:
        return self.filename


class GenerationRecord:
    """A request for pictures."""

    prompt: str

    def __str__(self) -> str:
        return " ".join(self.prompt.split())[:60]


class UsageRecord:
    """A line of the ledger."""


def _map(record: type, table: Table, **properties: Any) -> None:
    unseen = [name for name in _UNSEEN if name in table.c]
    _records.map_imperatively(record, table, properties=properties, exclude_properties=unseen)


def _one(record: type, column: Any) -> RelationshipProperty[Any]:
    """What the column points at."""
    return relationship(record, foreign_keys=[column], viewonly=True, lazy="raise")


_map(
    CommunityRecord,
    community,
    plan=_one(PlanRecord, community.c.plan_id),
)
_map(
    UserRecord,
    user_account,
    community=_one(CommunityRecord, user_account.c.community_id),
    has_password=column_property(user_account.c.password_hash.is_not(None)),
)
_map(PlanLimitRecord, plan_limit)
_map(
    PlanRecord,
    plan,
    community=_one(CommunityRecord, plan.c.community_id),
    limits=relationship(PlanLimitRecord, viewonly=True, lazy="selectin"),
)
_map(
    PromptRecord,
    prompt,
    community=_one(CommunityRecord, prompt.c.community_id),
    author=_one(UserRecord, prompt.c.author_id),
)
_map(
    ImageRecord,
    image,
    community=_one(CommunityRecord, image.c.community_id),
    owner=_one(UserRecord, image.c.owner_id),
    template=_one(PromptRecord, image.c.prompt_id),
    generation=_one(GenerationRecord, image.c.generation_id),
)
_map(
    GenerationRecord,
    generation,
    community=_one(CommunityRecord, generation.c.community_id),
    owner=_one(UserRecord, generation.c.owner_id),
    requested_by=_one(UserRecord, generation.c.requested_by_id),
    template=_one(PromptRecord, generation.c.prompt_id),
    parent_image=_one(ImageRecord, generation.c.parent_image_id),
)
_map(
    UsageRecord,
    usage_event,
    community=_one(CommunityRecord, usage_event.c.community_id),
    user=_one(UserRecord, usage_event.c.user_id),
    generation=_one(GenerationRecord, usage_event.c.generation_id),
)
