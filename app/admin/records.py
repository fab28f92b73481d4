"""The tables as the operators' page reads them: rows with what they point at, never written to.

What is secret isn't mapped at all, so that no page can show it.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import Table
from sqlalchemy.orm import column_property, registry, relationship

from storage.database.tables import (
    community,
    generation,
    image,
    plan,
    plan_limit,
    prompt,
    usage_event,
    user_account,
    worker,
)

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


class WorkerRecord:
    """A process that makes generations."""


_POINTERS = {
    "community_id": ("community", CommunityRecord),
    "plan_id": ("plan", PlanRecord),
    "user_id": ("user", UserRecord),
    "owner_id": ("owner", UserRecord),
    "author_id": ("author", UserRecord),
    "requested_by_id": ("requested_by", UserRecord),
    "prompt_id": ("template", PromptRecord),
    "generation_id": ("generation", GenerationRecord),
    "retry_of_id": ("retry_of", GenerationRecord),
    "parent_image_id": ("parent_image", ImageRecord),
}
"""What a column points at, and what a record calls that."""


def _map(record: type, table: Table, **properties: Any) -> None:
    pointers = {
        called: relationship(
            pointed_at,
            foreign_keys=[table.c[column]],
            # Within one table it must be said which end is the one that is pointed at.
            remote_side=[table.c.id] if pointed_at is record else None,
            viewonly=True,
            lazy="raise",
        )
        for column, (called, pointed_at) in _POINTERS.items()
        if column in table.c
    }
    unseen = [name for name in _UNSEEN if name in table.c]
    _records.map_imperatively(record, table, properties={**pointers, **properties}, exclude_properties=unseen)


_map(CommunityRecord, community)
_map(UserRecord, user_account, has_password=column_property(user_account.c.password_hash.is_not(None)))
_map(PlanLimitRecord, plan_limit)
_map(PlanRecord, plan, limits=relationship(PlanLimitRecord, viewonly=True, lazy="selectin"))
_map(PromptRecord, prompt)
_map(ImageRecord, image)
_map(GenerationRecord, generation)
_map(UsageRecord, usage_event)
_map(WorkerRecord, worker)
