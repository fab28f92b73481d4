"""The tables, and nothing that works on them. Names of constraints are spelled out: errors are told by them.

People and communities are never removed as a side effect (RESTRICT): their pictures are objects outside the database.
What tells of a generation goes with it; what merely points at something forgets it; what shows an image holds it.
"""

from datetime import datetime
from typing import Any, ClassVar, cast
from uuid import UUID

from sqlalchemy import (
    DDL,
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    MetaData,
    Table,
    UniqueConstraint,
    Uuid,
    event,
    text,
)
from sqlmodel import Field, SQLModel

from storage.database.columns import DOCUMENT, LEXEMES, MOMENT

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


_POSTGRES_ALONE = {"dialect": "postgresql"}
TELLS_A_COST = "outcome = 'SUCCEEDED' AND cost_basis IN ('REPORTED', 'USAGE', 'LISTED')"
"""What a picture costs is learned from such calls; in the question as in the index, or it isn't used."""
IS_OUTCOME = 'image_id IS NOT NULL OR (failure IS NOT NULL AND "index" IS NOT NULL)'
"""Such events tell what became of a picture; each is told of once."""


class _Tables(SQLModel):
    metadata: ClassVar[MetaData] = MetaData(naming_convention=NAMES)


def _moment(*, nullable: bool = False) -> Any:
    return Field(sa_type=cast("Any", MOMENT), nullable=nullable)


def _document(*, nullable: bool = False) -> Any:
    return Field(sa_type=cast("Any", DOCUMENT), nullable=nullable)


def _amount(*, nullable: bool = False) -> Any:
    return Field(sa_type=BigInteger, nullable=nullable)


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


class CommunityRow(_Tables, table=True):
    """Tenants. A name is not unique: a community of an external issuer may be called as one of ours."""

    __tablename__ = "community"

    id: UUID = Field(primary_key=True)
    name: str = Field(index=True)
    time_zone: str
    # Communities and plans point at each other: this key is added when both tables are there.
    plan_id: UUID | None = Field(sa_column=Column(Uuid, ForeignKey("plan.id", ondelete="RESTRICT", use_alter=True)))


class UserRow(_Tables, table=True):
    """Users; `external_id` is what an external issuer calls them."""

    __tablename__ = "user_account"
    __table_args__ = (
        UniqueConstraint("community_id", "email"),
        UniqueConstraint("community_id", "external_id"),
        # Signing in by password names no community, so there the address alone must say who it is.
        Index("uq_user_account_email_password", "email", unique=True, **_where("password_hash IS NOT NULL")),
        Index("ix_user_account_email", "email"),
    )

    id: UUID = Field(primary_key=True)
    community_id: UUID = Field(foreign_key="community.id", ondelete="RESTRICT")
    email: str
    name: str
    role: str
    is_test: bool
    is_operator: bool
    password_hash: str | None
    external_id: str | None
    created_at: datetime = _moment()
    tokens_valid_after: datetime = _moment()


class ReferenceImageRow(_Tables, table=True):
    """Slots. The picture's columns are filled in or empty together."""

    __tablename__ = "reference_image"
    __table_args__ = (
        UniqueConstraint("user_id", "order"),
        CheckConstraint('"order" BETWEEN 0 AND 4', name="order"),
        CheckConstraint("(picture_key IS NULL) = (variant_keys IS NULL)", name="picture"),
    )

    id: UUID = Field(primary_key=True)
    community_id: UUID = Field(foreign_key="community.id", ondelete="RESTRICT")
    user_id: UUID = Field(foreign_key="user_account.id", ondelete="RESTRICT")
    name: str
    order: int
    role: str
    picture_key: str | None
    sha256: str | None
    media_type: str | None
    size_bytes: int | None
    width_px: int | None
    height_px: int | None
    placeholder: str | None
    variant_keys: dict[str, str] | None = _document(nullable=True)
    created_at: datetime = _moment()
    updated_at: datetime = _moment()


class IdentityRow(_Tables, table=True):
    """Identities."""

    __tablename__ = "identity"
    __table_args__ = (
        Index("ix_identity_user_id_created_at", "user_id", "created_at"),
        Index("ix_identity_image_id", "image_id"),
    )

    id: UUID = Field(primary_key=True)
    community_id: UUID = Field(foreign_key="community.id", ondelete="RESTRICT")
    user_id: UUID = Field(foreign_key="user_account.id", ondelete="RESTRICT")
    name: str
    category: str
    i_am_statement: str
    visualization: str
    notes: list[str] = _document()
    image_id: UUID | None = Field(foreign_key="image.id", ondelete="RESTRICT")
    created_at: datetime = _moment()
    updated_at: datetime = _moment()


class PromptRow(_Tables, table=True):
    """Prompt versions; those without a community are built in."""

    __tablename__ = "prompt"
    __table_args__ = (
        Index("uq_prompt_community_id_type_version", "community_id", "type", "version", unique=True),
        # NULLs are distinct, so the built-in versions need a key of their own.
        Index("uq_prompt_built_in", "type", "version", unique=True, **_where("community_id IS NULL")),
        CheckConstraint("version > 0", name="version"),
    )

    id: UUID = Field(primary_key=True)
    community_id: UUID | None = Field(foreign_key="community.id", ondelete="RESTRICT")
    type: str
    version: int
    name: str
    body: str
    required_context_keys: list[str] = _document()
    is_active: bool
    author_id: UUID | None = Field(foreign_key="user_account.id", ondelete="SET NULL")
    created_at: datetime = _moment()


class ImageRow(_Tables, table=True):
    """Images of the library. What `search` holds is said by `search.py`; SQLite has a table of its own for it."""

    __tablename__ = "image"
    __table_args__ = (
        UniqueConstraint("generation_id", "generation_index"),
        Index("ix_image_owner_id_created_at_id", "owner_id", "created_at", "id"),
        Index("ix_image_created_at_id", "created_at", "id"),  # operators look at all communities' at once
        Index("ix_image_public", "community_id", "created_at", "id", **_where("is_public")),
        # With what says what became of a version's images, so that none of them has to be read for that.
        Index(
            "ix_image_community_id_prompt_id_created_at_id",
            *("community_id", "prompt_id", "created_at", "id"),
            postgresql_include=["owner_id", "is_public"],
        ),
        Index("ix_image_search", "search", postgresql_using="gin", info=_POSTGRES_ALONE).ddl_if(dialect="postgresql"),
    )

    id: UUID = Field(primary_key=True)
    community_id: UUID = Field(foreign_key="community.id", ondelete="RESTRICT")
    owner_id: UUID = Field(foreign_key="user_account.id", ondelete="RESTRICT")
    source: str
    picture_key: str
    sha256: str
    media_type: str
    size_bytes: int
    width_px: int
    height_px: int
    placeholder: str
    variant_keys: dict[str, str] = _document()
    filename: str
    is_public: bool
    tags: list[dict[str, str]] = _document()
    recipe: dict[str, Any] | None = _document(nullable=True)
    provider: str | None
    prompt_id: UUID | None = Field(foreign_key="prompt.id", ondelete="RESTRICT")
    search: str | None = Field(sa_type=cast("Any", LEXEMES), nullable=True)
    # Images and generations point at each other: this key is added when both tables are there.
    generation_id: UUID | None = Field(
        sa_column=Column(Uuid, ForeignKey("generation.id", ondelete="SET NULL", use_alter=True))
    )
    generation_index: int | None
    created_at: datetime = _moment()


class GenerationRow(_Tables, table=True):
    """Generations. The row is the counter of its events: who draws a number holds the row until they commit."""

    __tablename__ = "generation"
    __table_args__ = (
        UniqueConstraint("requested_by_id", "idempotency_key"),
        CheckConstraint("event_seq >= 0", name="counter"),
        Index("ix_generation_owner_id_created_at_id", "owner_id", "created_at", "id"),
        Index("ix_generation_created_at_id", "created_at", "id"),
        Index("ix_generation_identity_id", "identity_id"),
        Index("ix_generation_parent_image_id", "parent_image_id"),
        Index("ix_generation_step_id", "step_id"),
        Index("ix_generation_retry_of_id", "retry_of_id"),
        Index("ix_generation_running", "created_at", **_where("finished_at IS NULL")),
        CheckConstraint("(estimated_cost_micro_usd IS NULL) = (estimated_cost_basis IS NULL)", name="estimated_cost"),
        CheckConstraint("(actual_cost_micro_usd IS NULL) = (actual_cost_basis IS NULL)", name="actual_cost"),
    )

    id: UUID = Field(primary_key=True)
    community_id: UUID = Field(foreign_key="community.id", ondelete="RESTRICT")
    owner_id: UUID = Field(foreign_key="user_account.id", ondelete="RESTRICT")
    requested_by_id: UUID = Field(foreign_key="user_account.id", ondelete="RESTRICT")
    identity_id: UUID | None = Field(foreign_key="identity.id", ondelete="SET NULL")
    provider: str
    model: str
    prompt: str
    structured_prompt: dict[str, Any] | None = _document(nullable=True)
    prompt_version: int | None
    identity: dict[str, Any] | None = _document(nullable=True)
    options: dict[str, Any] = _document()
    prompt_id: UUID | None = Field(foreign_key="prompt.id", ondelete="RESTRICT")
    parent_image_id: UUID | None = Field(foreign_key="image.id", ondelete="SET NULL")
    step_id: UUID | None = Field(foreign_key="step.id", ondelete="SET NULL")
    tags: list[dict[str, str]] = _document()
    save_to_identity: bool
    idempotency_key: str | None
    input_hash: str
    state: str
    event_seq: int
    references: list[dict[str, Any]] = _document()
    failures: list[dict[str, Any]] = _document()
    expected_s: float | None
    # No foreign key: a profile that is gone must never look like the server's own access.
    profile_id: UUID | None
    fallbacks: list[dict[str, Any]] = _document()
    estimated_cost_micro_usd: int | None = _amount(nullable=True)
    estimated_cost_basis: str | None
    actual_cost_micro_usd: int | None = _amount(nullable=True)
    actual_cost_basis: str | None
    created_at: datetime = _moment()
    finished_at: datetime | None = _moment(nullable=True)
    retry_of_id: UUID | None = Field(foreign_key="generation.id", ondelete="SET NULL")


class GenerationEventRow(_Tables, table=True):
    """Events: what was told, never changed, but for previews, which go when they are of no use any more.

    An image told of may be gone since, so `image_id` is no foreign key.
    """

    __tablename__ = "generation_event"
    __table_args__ = (
        CheckConstraint("seq > 0", name="seq"),
        Index("uq_generation_event_outcome", "generation_id", "index", unique=True, **_where(IS_OUTCOME)),
    )

    generation_id: UUID = Field(primary_key=True, foreign_key="generation.id", ondelete="CASCADE")
    seq: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    at: datetime = _moment()
    state: str
    stage: str
    index: int | None
    preview: dict[str, Any] | None = _document(nullable=True)
    image_id: UUID | None
    failure: dict[str, Any] | None = _document(nullable=True)


class ProviderAttemptRow(_Tables, table=True):
    """Calls to providers. A profile may be gone since, so `profile_id` is no foreign key."""

    __tablename__ = "provider_attempt"
    __table_args__ = (
        UniqueConstraint("generation_id", "index", "number"),
        Index("ix_provider_attempt_succeeded", "provider", "model", "finished_at", **_where("outcome = 'SUCCEEDED'")),
        Index(
            "ix_provider_attempt_cost",
            *("community_id", "provider", "model", "finished_at"),
            **_where(TELLS_A_COST),
        ),
        CheckConstraint("(cost_micro_usd IS NULL) = (cost_basis IS NULL)", name="cost"),
    )

    id: UUID = Field(primary_key=True)
    # That of the generation, for the index of costs.
    community_id: UUID = Field(foreign_key="community.id", ondelete="RESTRICT")
    generation_id: UUID = Field(foreign_key="generation.id", ondelete="CASCADE")
    index: int
    number: int
    route: int
    profile_id: UUID | None
    provider: str
    model: str
    started_at: datetime = _moment()
    finished_at: datetime | None = _moment(nullable=True)
    outcome: str
    provider_request_id: str | None
    detail: str | None
    cost_micro_usd: int | None = _amount(nullable=True)
    cost_basis: str | None
    is_charged: bool


class ConnectionProfileRow(_Tables, table=True):
    """Connection profiles. The key is sealed: see `storage/vault.py`."""

    __tablename__ = "connection_profile"
    __table_args__ = (
        Index("ix_connection_profile_user_id_created_at", "user_id", "created_at"),
        Index("uq_connection_profile_default", "user_id", unique=True, **_where("is_default")),
        CheckConstraint("sealed_key IS NOT NULL OR key_hint IS NULL", name="key_hint"),
    )

    id: UUID = Field(primary_key=True)
    community_id: UUID = Field(foreign_key="community.id", ondelete="RESTRICT")
    user_id: UUID = Field(foreign_key="user_account.id", ondelete="RESTRICT")
    name: str
    provider: str
    base_url: str | None
    model: str | None
    sealed_key: str | None
    key_hint: str | None
    is_default: bool
    created_at: datetime = _moment()
    last_used_at: datetime | None = _moment(nullable=True)


class StoredPictureRow(_Tables, table=True):
    """Pictures in the object store, by whose they are and their bytes, with how many rows need them."""

    __tablename__ = "stored_picture"
    __table_args__ = (UniqueConstraint("owner_id", "sha256"), CheckConstraint("users > 0", name="users"))

    picture_key: str = Field(primary_key=True)
    owner_id: UUID = Field(foreign_key="user_account.id", ondelete="RESTRICT")
    sha256: str
    variant_keys: dict[str, str] = _document()
    users: int


class DoomedObjectRow(_Tables, table=True):
    """Objects to be removed from the store; those that are claimed may be gone already."""

    __tablename__ = "doomed_object"

    object_key: str = Field(primary_key=True)
    doomed_at: datetime = Field(sa_type=cast("Any", MOMENT), nullable=False, index=True)
    is_claimed: bool


class WizardRow(_Tables, table=True):
    """Wizards."""

    __tablename__ = "wizard"
    __table_args__ = (Index("ix_wizard_community_id_created_at", "community_id", "created_at"),)

    id: UUID = Field(primary_key=True)
    community_id: UUID = Field(foreign_key="community.id", ondelete="RESTRICT")
    name: str
    created_at: datetime = _moment()


class StepRow(_Tables, table=True):
    """Steps of wizards."""

    __tablename__ = "step"
    __table_args__ = (
        UniqueConstraint("wizard_id", "order"),
        CheckConstraint('"order" >= 0', name="order"),
        Index("ix_step_background_id", "background_id"),
    )

    id: UUID = Field(primary_key=True)
    community_id: UUID = Field(foreign_key="community.id", ondelete="RESTRICT")
    wizard_id: UUID = Field(foreign_key="wizard.id", ondelete="CASCADE")
    title: str
    order: int
    background_id: UUID | None = Field(foreign_key="image.id", ondelete="RESTRICT")


class PlanRow(_Tables, table=True):
    """Plans; those without a community are the operator's."""

    __tablename__ = "plan"
    __table_args__ = (
        Index("ix_plan_community_id", "community_id"),
        CheckConstraint("priority BETWEEN 1 AND 10", name="priority"),
    )

    id: UUID = Field(primary_key=True)
    community_id: UUID | None = Field(foreign_key="community.id", ondelete="RESTRICT")
    name: str
    created_at: datetime = _moment()
    priority: int = Field(sa_column_kwargs={"server_default": "1"})


class PlanLimitRow(_Tables, table=True):
    """What plans limit."""

    __tablename__ = "plan_limit"
    __table_args__ = (CheckConstraint("amount >= 0", name="amount"),)

    plan_id: UUID = Field(primary_key=True, foreign_key="plan.id", ondelete="CASCADE")
    feature: str = Field(primary_key=True)
    unit: str = Field(primary_key=True)
    amount: int = _amount()


class UserLimitRow(_Tables, table=True):
    """What single users are limited to, beside their community's plan."""

    __tablename__ = "user_limit"
    __table_args__ = (CheckConstraint("amount >= 0", name="amount"),)

    user_id: UUID = Field(primary_key=True, foreign_key="user_account.id", ondelete="CASCADE")
    feature: str = Field(primary_key=True)
    unit: str = Field(primary_key=True)
    amount: int = _amount()


class UsageCounterRow(_Tables, table=True):
    """What a community or a user used and has reserved in a month: the sums of the ledger."""

    __tablename__ = "usage_counter"
    __table_args__ = (CheckConstraint("used >= 0 AND reserved >= 0", name="amounts"),)

    subject_id: UUID = Field(primary_key=True)
    feature: str = Field(primary_key=True)
    unit: str = Field(primary_key=True)
    period: str = Field(primary_key=True)
    used: int = _amount()
    reserved: int = _amount()


class UsageEventRow(_Tables, table=True):
    """The ledger. Triggers refuse to change or remove a line; each reservation ends once."""

    __tablename__ = "usage_event"
    __table_args__ = (
        Index("uq_usage_event_reserved", "generation_id", "feature", "unit", unique=True, **_where("kind = 'RESERVE'")),
        Index("uq_usage_event_ended", "generation_id", "feature", "unit", unique=True, **_where("kind <> 'RESERVE'")),
        Index("ix_usage_event_community_id_at", "community_id", "at"),
        Index("ix_usage_event_user_id_at", "user_id", "at"),
        Index("ix_usage_event_at_id", "at", "id"),
    )

    id: UUID = Field(primary_key=True)
    community_id: UUID = Field(foreign_key="community.id", ondelete="RESTRICT")
    user_id: UUID = Field(foreign_key="user_account.id", ondelete="RESTRICT")
    generation_id: UUID = Field(foreign_key="generation.id", ondelete="RESTRICT")
    feature: str
    unit: str
    period: str
    kind: str
    reserved_delta: int = _amount()
    used_delta: int = _amount()
    at: datetime = _moment()
    basis: str | None


class WorkerRow(_Tables, table=True):
    """Workers, with their last signs of life; kept by the job engine."""

    __tablename__ = "worker"

    id: str = Field(primary_key=True)
    started_at: datetime = _moment()
    seen_at: datetime = _moment()


METADATA = _Tables.metadata


def _table(name: str) -> Table:
    return METADATA.tables[name]


community = _table("community")
user_account = _table("user_account")
reference_image = _table("reference_image")
identity = _table("identity")
prompt = _table("prompt")
image = _table("image")
generation = _table("generation")
generation_event = _table("generation_event")
provider_attempt = _table("provider_attempt")
connection_profile = _table("connection_profile")
stored_picture = _table("stored_picture")
doomed_object = _table("doomed_object")
wizard = _table("wizard")
step = _table("step")
plan = _table("plan")
plan_limit = _table("plan_limit")
user_limit = _table("user_limit")
usage_counter = _table("usage_counter")
usage_event = _table("usage_event")
worker = _table("worker")

# What SQLAlchemy has no words for; the migrations have the same.
_BESIDE = {
    (image, "sqlite"): (
        "CREATE VIRTUAL TABLE image_search USING fts5(image_id UNINDEXED, tokens, tokenize='ascii', detail=none)",
        (
            "CREATE TRIGGER image_search_gone AFTER DELETE ON image BEGIN DELETE FROM image_search WHERE rowid IN "
            "(SELECT rowid FROM image_search WHERE image_search MATCH '\"¶i' || old.id || '\"'); END"
        ),
    ),
    (usage_event, "sqlite"): (
        (
            "CREATE TRIGGER usage_event_not_changed BEFORE UPDATE ON usage_event "
            "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
        ),
        (
            "CREATE TRIGGER usage_event_not_removed BEFORE DELETE ON usage_event "
            "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
        ),
    ),
    (usage_event, "postgresql"): (
        (
            "CREATE FUNCTION refuse_ledger_change() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$"
        ),
        (
            "CREATE TRIGGER usage_event_append_only BEFORE UPDATE OR DELETE ON usage_event "
            "FOR EACH ROW EXECUTE FUNCTION refuse_ledger_change()"
        ),
    ),
}
for (_owner, _dialect), _statements in _BESIDE.items():
    for _statement in _statements:
        event.listen(_owner, "after_create", cast("Any", DDL)(_statement).execute_if(dialect=_dialect))
