"""The first tables, and the built-in version of the prompt for pictures of identities."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "2026_11_20"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.Uuid()
TEXT = sa.String()
NUMBER = sa.Integer()
FLAG = sa.Boolean()
MOMENT = sa.DateTime(timezone=True).with_variant(sa.String(32), "sqlite")
DOCUMENT = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")

TABLES = ("community", "user_account", "image", "prompt", "reference_image", "identity", "generation")

PROMPT = """\
Make an identity image of the person in the reference images: a picture of them as the person they choose to be.

{identity_context}

Show this person living this identity to the full, on the best day it can have: at work in it, at ease in it, and
meant for it. They come across as professional and confident, and the picture inspires whoever looks at it.

Keep the face exactly as in the reference images. It must stay whole, unobscured and recognisable at first sight; the
setting, the clothes, the light and the pose may change around it, the face may not.

Compose and light it with the finish of a movie poster. Let everything in it be uplifting: nothing in the picture may
speak of failure, fear, shame or harm.

Additional instructions: {additional_prompt}
"""


def _needed(type: sa.types.TypeEngine[Any], *names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, type, nullable=False) for name in names]


def _optional(type: sa.types.TypeEngine[Any], *names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, type) for name in names]


def _key(
    table: str, column: str, target: str, ondelete: str = "RESTRICT", *, later: bool = False
) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_{column}")
    return sa.ForeignKeyConstraint([column], [f"{target}.id"], name=name, ondelete=ondelete, use_alter=later)


def _unique(table: str, *columns: str) -> sa.UniqueConstraint:
    return sa.UniqueConstraint(*columns, name=op.f(f"uq_{table}_{'_'.join(columns)}"))


def _check(table: str, name: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(f"ck_{table}_{name}"))


def _create(table: str, *items: sa.Column[Any] | sa.Constraint, key: tuple[str, ...] = ("id",)) -> None:
    op.create_table(table, *items, sa.PrimaryKeyConstraint(*key, name=op.f(f"pk_{table}")))


def _index(name: str, table: str, *columns: str, unique: bool = False, where: str | None = None) -> None:
    condition = sa.text(where) if where else None
    op.create_index(op.f(name), table, list(columns), unique=unique, sqlite_where=condition, postgresql_where=condition)


def upgrade() -> None:
    _people()
    _images()
    _prompts()
    _reference_images()
    _identities()
    _generations()
    _what_tells_of_generations()
    if op.get_context().dialect.name != "sqlite":  # there it stands in the table already
        op.create_foreign_key(
            op.f("fk_image_generation_id"), "image", "generation", ["generation_id"], ["id"], ondelete="SET NULL"
        )
    _built_in_prompt()


def _people() -> None:
    _create("community", *_needed(ID, "id"), *_needed(TEXT, "name"))
    _index("ix_community_name", "community", "name")
    table = "user_account"
    _create(
        table,
        *_needed(ID, "id", "community_id"),
        *_needed(TEXT, "email", "name", "role"),
        *_needed(FLAG, "is_test"),
        *_optional(TEXT, "password_hash", "external_id"),
        *_needed(MOMENT, "created_at", "tokens_valid_after"),
        _key(table, "community_id", "community"),
        _unique(table, "community_id", "email"),
        _unique(table, "community_id", "external_id"),
    )
    _index("ix_user_account_email", table, "email")
    _index("uq_user_account_email_password", table, "email", unique=True, where="password_hash IS NOT NULL")


def _images() -> None:
    table = "image"
    _create(
        table,
        *_needed(ID, "id", "community_id", "owner_id"),
        *_needed(TEXT, "source", "picture_key", "sha256", "media_type"),
        *_needed(NUMBER, "size_bytes", "width_px", "height_px"),
        *_needed(TEXT, "placeholder"),
        *_needed(DOCUMENT, "variant_keys"),
        *_needed(TEXT, "filename"),
        *_needed(FLAG, "is_public"),
        *_optional(DOCUMENT, "recipe"),
        *_optional(ID, "generation_id"),
        *_optional(NUMBER, "generation_index"),
        *_needed(MOMENT, "created_at"),
        _key(table, "community_id", "community"),
        _key(table, "owner_id", "user_account"),
        _key(table, "generation_id", "generation", "SET NULL", later=True),
        _unique(table, "generation_id", "generation_index"),
    )
    _index("ix_image_owner_id_created_at_id", table, "owner_id", "created_at", "id")
    _index("ix_image_public", table, "community_id", "created_at", "id", where="is_public")


def _prompts() -> None:
    table = "prompt"
    _create(
        table,
        *_needed(ID, "id"),
        *_optional(ID, "community_id"),
        *_needed(TEXT, "type"),
        *_needed(NUMBER, "version"),
        *_needed(TEXT, "name", "body"),
        *_needed(DOCUMENT, "required_context_keys"),
        *_needed(FLAG, "is_active"),
        *_optional(ID, "author_id"),
        *_needed(MOMENT, "created_at"),
        _key(table, "community_id", "community"),
        _key(table, "author_id", "user_account", "SET NULL"),
        _check(table, "version", "version > 0"),
    )
    key = ("type", "version")
    _index("uq_prompt_community_id_type_version", table, "community_id", *key, unique=True)
    _index("uq_prompt_built_in", table, *key, unique=True, where="community_id IS NULL")


def _reference_images() -> None:
    table = "reference_image"
    _create(
        table,
        *_needed(ID, "id", "community_id", "user_id"),
        *_needed(TEXT, "name"),
        *_needed(NUMBER, "order"),
        *_needed(TEXT, "role"),
        *_optional(TEXT, "picture_key", "sha256", "media_type"),
        *_optional(NUMBER, "size_bytes", "width_px", "height_px"),
        *_optional(TEXT, "placeholder"),
        *_optional(DOCUMENT, "variant_keys"),
        *_needed(MOMENT, "created_at", "updated_at"),
        _key(table, "community_id", "community"),
        _key(table, "user_id", "user_account"),
        _unique(table, "user_id", "order"),
        _check(table, "order", '"order" BETWEEN 0 AND 4'),
        _check(table, "picture", "(picture_key IS NULL) = (variant_keys IS NULL)"),
    )


def _identities() -> None:
    table = "identity"
    _create(
        table,
        *_needed(ID, "id", "community_id", "user_id"),
        *_needed(TEXT, "name", "category", "i_am_statement", "visualization"),
        *_needed(DOCUMENT, "notes"),
        *_optional(ID, "image_id"),
        *_needed(MOMENT, "created_at", "updated_at"),
        _key(table, "community_id", "community"),
        _key(table, "user_id", "user_account"),
        _key(table, "image_id", "image", "SET NULL"),
    )
    _index("ix_identity_user_id_created_at", table, "user_id", "created_at")
    _index("ix_identity_image_id", table, "image_id")


def _generations() -> None:
    table = "generation"
    _create(
        table,
        *_needed(ID, "id", "community_id", "owner_id", "requested_by_id"),
        *_optional(ID, "identity_id"),
        *_needed(TEXT, "provider", "model", "prompt"),
        *_optional(DOCUMENT, "structured_prompt"),
        *_optional(NUMBER, "prompt_version"),
        *_optional(DOCUMENT, "identity"),
        *_needed(DOCUMENT, "options"),
        *_optional(ID, "parent_image_id"),
        *_needed(FLAG, "save_to_identity"),
        *_optional(TEXT, "idempotency_key"),
        *_needed(TEXT, "input_hash", "state"),
        *_needed(NUMBER, "event_seq"),
        *_needed(DOCUMENT, "references", "failures"),
        *_optional(sa.Float(), "expected_s"),
        *_optional(NUMBER, "actual_cost_micro_usd"),
        *_needed(MOMENT, "created_at"),
        *_optional(MOMENT, "finished_at"),
        _key(table, "community_id", "community"),
        _key(table, "owner_id", "user_account"),
        _key(table, "requested_by_id", "user_account"),
        _key(table, "identity_id", "identity", "SET NULL"),
        _key(table, "parent_image_id", "image", "SET NULL"),
        _unique(table, "requested_by_id", "idempotency_key"),
        _check(table, "counter", "event_seq >= 0"),
    )
    _index("ix_generation_owner_id_created_at_id", table, "owner_id", "created_at", "id")
    _index("ix_generation_identity_id", table, "identity_id")
    _index("ix_generation_parent_image_id", table, "parent_image_id")


def _what_tells_of_generations() -> None:
    table = "generation_event"
    _create(
        table,
        *_needed(ID, "generation_id"),
        sa.Column("seq", NUMBER, nullable=False, autoincrement=False),
        *_needed(MOMENT, "at"),
        *_needed(TEXT, "state", "stage"),
        *_optional(NUMBER, "index"),
        *_optional(DOCUMENT, "preview"),
        *_optional(ID, "image_id"),
        *_optional(DOCUMENT, "failure"),
        _key(table, "generation_id", "generation", "CASCADE"),
        _check(table, "seq", "seq > 0"),
        key=("generation_id", "seq"),
    )
    table = "provider_attempt"
    _create(
        table,
        *_needed(ID, "id", "generation_id"),
        *_needed(NUMBER, "index", "number"),
        *_needed(TEXT, "provider", "model"),
        *_needed(MOMENT, "started_at"),
        *_optional(MOMENT, "finished_at"),
        *_needed(TEXT, "outcome"),
        *_optional(TEXT, "provider_request_id"),
        *_optional(NUMBER, "cost_micro_usd"),
        *_needed(FLAG, "is_charged"),
        _key(table, "generation_id", "generation", "CASCADE"),
        _unique(table, "generation_id", "index", "number"),
    )
    columns = ("provider", "model", "finished_at")
    _index("ix_provider_attempt_succeeded", table, *columns, where="outcome = 'SUCCEEDED'")


def _built_in_prompt() -> None:
    statement = sa.text(
        "INSERT INTO prompt (id, type, version, name, body, required_context_keys, is_active, created_at) "
        "VALUES (:id, 'IMAGE_GENERATION', 1, 'Identity image', :body, :required, true, "
        "'2026-11-20T00:00:00.000000+00:00')"
    ).bindparams(
        sa.bindparam("id", UUID("5b0f7a52-6a0e-4d6c-9a3c-3f4b8f1d2a01"), type_=ID),
        sa.bindparam("body", PROMPT),
        sa.bindparam("required", ["IDENTITY_CONTEXT"], type_=DOCUMENT),
    )
    op.execute(statement)


def downgrade() -> None:
    op.drop_table("provider_attempt")
    op.drop_table("generation_event")
    if op.get_context().dialect.name != "sqlite":
        op.drop_constraint(op.f("fk_image_generation_id"), "image", type_="foreignkey")
    for table in reversed(TABLES):
        op.drop_table(table)
