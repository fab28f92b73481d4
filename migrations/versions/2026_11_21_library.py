"""The library: tags, search, counted pictures, wizards, plans and the ledger of usage."""

from collections import Counter
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR

from domain.search import words

revision = "2026_11_21"
down_revision = "2026_11_20"
branch_labels = None
depends_on = None

ID = sa.Uuid()
TEXT = sa.String()
NUMBER = sa.Integer()
AMOUNT = sa.BigInteger()
FLAG = sa.Boolean()
MOMENT = sa.DateTime(timezone=True).with_variant(sa.String(32), "sqlite")
DOCUMENT = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
MAX_TOKEN_CHARS = 500
AT_ONCE = 500
LEXEMES = sa.String().with_variant(TSVECTOR(), "postgresql")

SEARCH_SQLITE = (
    "CREATE VIRTUAL TABLE image_search USING fts5(image_id UNINDEXED, tokens, tokenize='ascii', detail=none)",
    (
        "CREATE TRIGGER image_search_gone AFTER DELETE ON image BEGIN DELETE FROM image_search WHERE rowid IN "
        "(SELECT rowid FROM image_search WHERE image_search MATCH '\"¶i' || old.id || '\"'); END"
    ),
)
LEDGER_SQLITE = (
    (
        "CREATE TRIGGER usage_event_not_changed BEFORE UPDATE ON usage_event "
        "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
    ),
    (
        "CREATE TRIGGER usage_event_not_removed BEFORE DELETE ON usage_event "
        "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
    ),
)
LEDGER_POSTGRES = (
    (
        "CREATE FUNCTION refuse_ledger_change() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$"
    ),
    (
        "CREATE TRIGGER usage_event_append_only BEFORE UPDATE OR DELETE ON usage_event "
        "FOR EACH ROW EXECUTE FUNCTION refuse_ledger_change()"
    ),
)


def _needed(type: sa.types.TypeEngine[Any], *names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, type, nullable=False) for name in names]


def _optional(type: sa.types.TypeEngine[Any], *names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, type) for name in names]


def _key(table: str, column: str, target: str, ondelete: str = "RESTRICT") -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_{column}")
    return sa.ForeignKeyConstraint([column], [f"{target}.id"], name=name, ondelete=ondelete)


def _check(table: str, name: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(f"ck_{table}_{name}"))


def _unique(table: str, *columns: str) -> sa.UniqueConstraint:
    return sa.UniqueConstraint(*columns, name=op.f(f"uq_{table}_{'_'.join(columns)}"))


def _create(table: str, *items: sa.Column[Any] | sa.Constraint, key: tuple[str, ...] = ("id",)) -> None:
    op.create_table(table, *items, sa.PrimaryKeyConstraint(*key, name=op.f(f"pk_{table}")))


def _index(name: str, table: str, *columns: str, unique: bool = False, where: str | None = None) -> None:
    condition = sa.text(where) if where else None
    op.create_index(op.f(name), table, list(columns), unique=unique, sqlite_where=condition, postgresql_where=condition)


def _is_sqlite() -> bool:
    return op.get_context().dialect.name == "sqlite"


def upgrade() -> None:
    _wizards()
    _plans()
    _people()
    _portraits()
    _images()
    _generations()
    _usage()
    _pictures()
    _fill_images()
    if not _is_sqlite():  # once filled: much quicker than row by row
        op.create_index(op.f("ix_image_search"), "image", ["search"], postgresql_using="gin")
    _fill_pictures()


def _wizards() -> None:
    table = "wizard"
    _create(
        table,
        *_needed(ID, "id", "community_id"),
        *_needed(TEXT, "name"),
        *_needed(MOMENT, "created_at"),
        _key(table, "community_id", "community"),
    )
    _index("ix_wizard_community_id_created_at", table, "community_id", "created_at")
    table = "step"
    _create(
        table,
        *_needed(ID, "id", "community_id", "wizard_id"),
        *_needed(TEXT, "title"),
        *_needed(NUMBER, "order"),
        *_optional(ID, "background_id"),
        _key(table, "community_id", "community"),
        _key(table, "wizard_id", "wizard", "CASCADE"),
        _key(table, "background_id", "image"),
        _unique(table, "wizard_id", "order"),
        _check(table, "order", '"order" >= 0'),
    )
    _index("ix_step_background_id", table, "background_id")


def _plans() -> None:
    table = "plan"
    _create(
        table,
        *_needed(ID, "id"),
        *_optional(ID, "community_id"),
        *_needed(TEXT, "name"),
        *_needed(MOMENT, "created_at"),
        _key(table, "community_id", "community"),
    )
    _index("ix_plan_community_id", table, "community_id")
    for table, subject, target in (
        ("plan_limit", "plan_id", "plan"),
        ("user_limit", "user_id", "user_account"),
    ):
        _create(
            table,
            *_needed(ID, subject),
            *_needed(TEXT, "feature", "unit"),
            *_needed(AMOUNT, "amount"),
            _key(table, subject, target, "CASCADE"),
            _check(table, "amount", "amount >= 0"),
            key=(subject, "feature", "unit"),
        )


def _people() -> None:
    with op.batch_alter_table("community") as batch:
        batch.add_column(sa.Column("time_zone", TEXT))
        batch.add_column(sa.Column("plan_id", ID))
    op.execute("UPDATE community SET time_zone = 'UTC'")
    with op.batch_alter_table("community") as batch:
        batch.alter_column("time_zone", nullable=False)
        batch.create_foreign_key(op.f("fk_community_plan_id"), "plan", ["plan_id"], ["id"], ondelete="RESTRICT")
    with op.batch_alter_table("user_account") as batch:
        batch.add_column(sa.Column("is_operator", FLAG))
    op.execute("UPDATE user_account SET is_operator = false")
    with op.batch_alter_table("user_account") as batch:
        batch.alter_column("is_operator", nullable=False)


def _portraits() -> None:
    """An image that is shown is no longer removed from under who shows it."""
    with op.batch_alter_table("identity") as batch:
        batch.drop_constraint("fk_identity_image_id", type_="foreignkey")
        batch.create_foreign_key(op.f("fk_identity_image_id"), "image", ["image_id"], ["id"], ondelete="RESTRICT")


def _images() -> None:
    with op.batch_alter_table("image") as batch:
        batch.add_column(sa.Column("tags", DOCUMENT))
        batch.add_column(sa.Column("provider", TEXT))
        batch.add_column(sa.Column("prompt_id", ID))
        batch.add_column(sa.Column("search", LEXEMES))
    op.execute("UPDATE image SET tags = '[]'")
    with op.batch_alter_table("image") as batch:
        batch.alter_column("tags", nullable=False)
        batch.create_foreign_key(op.f("fk_image_prompt_id"), "prompt", ["prompt_id"], ["id"], ondelete="RESTRICT")
    op.create_index(
        op.f("ix_image_community_id_prompt_id_created_at_id"),
        "image",
        ["community_id", "prompt_id", "created_at", "id"],
        postgresql_include=["owner_id", "is_public"],
    )
    if _is_sqlite():
        _run(SEARCH_SQLITE)


def _generations() -> None:
    table = "generation"
    with op.batch_alter_table(table) as batch:
        batch.add_column(sa.Column("prompt_id", ID))
        batch.add_column(sa.Column("step_id", ID))
        batch.add_column(sa.Column("tags", DOCUMENT))
        batch.add_column(sa.Column("estimated_cost_micro_usd", AMOUNT))
    op.execute("UPDATE generation SET tags = '[]'")
    with op.batch_alter_table(table) as batch:
        batch.alter_column("tags", nullable=False)
        batch.create_foreign_key(op.f("fk_generation_prompt_id"), "prompt", ["prompt_id"], ["id"], ondelete="RESTRICT")
        batch.create_foreign_key(op.f("fk_generation_step_id"), "step", ["step_id"], ["id"], ondelete="SET NULL")
    _index("ix_generation_step_id", table, "step_id")
    _index("ix_generation_running", table, "created_at", where="finished_at IS NULL")
    columns = ("community_id", "provider", "model", "finished_at")
    _index("ix_generation_cost", table, *columns, where="actual_cost_micro_usd IS NOT NULL")


def _usage() -> None:
    table = "usage_counter"
    _create(
        table,
        *_needed(ID, "subject_id"),
        *_needed(TEXT, "feature", "unit", "period"),
        *_needed(AMOUNT, "used", "reserved"),
        _check(table, "amounts", "used >= 0 AND reserved >= 0"),
        key=("subject_id", "feature", "unit", "period"),
    )
    table = "usage_event"
    _create(
        table,
        *_needed(ID, "id", "community_id", "user_id", "generation_id"),
        *_needed(TEXT, "feature", "unit", "period", "kind"),
        *_needed(AMOUNT, "reserved_delta", "used_delta"),
        *_needed(MOMENT, "at"),
        _key(table, "community_id", "community"),
        _key(table, "user_id", "user_account"),
        _key(table, "generation_id", "generation"),
    )
    each = ("generation_id", "feature", "unit")
    _index("uq_usage_event_reserved", table, *each, unique=True, where="kind = 'RESERVE'")
    _index("uq_usage_event_ended", table, *each, unique=True, where="kind <> 'RESERVE'")
    _index("ix_usage_event_community_id_at", table, "community_id", "at")
    _index("ix_usage_event_user_id_at", table, "user_id", "at")
    _run(LEDGER_SQLITE if _is_sqlite() else LEDGER_POSTGRES)


def _pictures() -> None:
    table = "stored_picture"
    _create(
        table,
        *_needed(TEXT, "picture_key"),
        *_needed(ID, "owner_id"),
        *_needed(TEXT, "sha256"),
        *_needed(DOCUMENT, "variant_keys"),
        *_needed(NUMBER, "users"),
        _key(table, "owner_id", "user_account"),
        _unique(table, "owner_id", "sha256"),
        _check(table, "users", "users > 0"),
        key=("picture_key",),
    )
    table = "doomed_object"
    _create(
        table,
        *_needed(TEXT, "object_key"),
        *_needed(MOMENT, "doomed_at"),
        *_needed(FLAG, "is_claimed"),
        key=("object_key",),
    )
    _index("ix_doomed_object_doomed_at", table, "doomed_at")


def _run(statements: tuple[str, ...]) -> None:
    for statement in statements:
        op.execute(statement)


def _rows(table: str, *columns: sa.Column[Any]) -> tuple[sa.TableClause, list[Any]]:
    rows = sa.table(table, *columns)
    return rows, list(op.get_bind().execute(sa.select(*rows.c)))


def _fill_images() -> None:
    """What images are found by, who made them, and with which version of the template."""
    _prompt, prompts = _rows(
        "prompt", *_needed(ID, "id", "community_id"), *_needed(TEXT, "type"), *_needed(NUMBER, "version")
    )
    version_ids = {(row.community_id, row.version): row.id for row in prompts if row.type == "IMAGE_GENERATION"}
    columns = (
        *_needed(ID, "id", "community_id", "owner_id", "prompt_id"),
        *_needed(FLAG, "is_public"),
        *_needed(TEXT, "filename", "provider"),
        *_needed(DOCUMENT, "recipe"),
        *_needed(LEXEMES, "search"),
        *_needed(NUMBER, "generation_index"),
    )
    image = sa.table("image", *columns)
    batch = sa.select(*image.c).order_by(image.c.id).limit(AT_ONCE)
    rows = list(op.get_bind().execute(batch))
    while rows:
        for row in rows:
            _fill_image(image, row, version_ids)
        rows = list(op.get_bind().execute(batch.where(image.c.id > rows[-1].id)))


def _fill_image(image: sa.TableClause, row: Any, version_ids: dict[tuple[Any, Any], UUID]) -> None:
    recipe = row.recipe or {}
    version = recipe.get("prompt_version")
    values: dict[str, Any] = {
        "provider": recipe.get("provider"),
        "prompt_id": version_ids.get((row.community_id, version)) or version_ids.get((None, version)),
    }
    filename = row.filename
    if recipe.get("identity"):
        # It was named after the identity, which is nobody else's business when the image is shared.
        filename = values["filename"] = f"picture {(row.generation_index or 0) + 1}{PurePosixPath(filename).suffix}"
    tokens = _tokens(row, filename, recipe)
    if _is_sqlite():
        op.get_bind().execute(
            sa.text("INSERT INTO image_search (image_id, tokens) VALUES (:id, :tokens)"),
            {"id": row.id.hex, "tokens": " ".join([f"¶i{row.id.hex}", *tokens])},
        )
    else:
        values["search"] = sa.func.array_to_tsvector(sa.cast(tokens, sa.ARRAY(sa.Text)))
    op.get_bind().execute(sa.update(image).where(image.c.id == row.id).values(values))


def _tokens(row: Any, filename: str, recipe: dict[str, Any]) -> list[str]:
    named = {word[:MAX_TOKEN_CHARS] for word in words(PurePosixPath(filename).stem)}
    mark = "§" if recipe.get("identity") else ""
    prompt = {mark + word[:MAX_TOKEN_CHARS] for word in words(recipe.get("prompt", ""))}
    keys = {f"¶o{row.owner_id.hex}", f"¶c{row.community_id.hex}"}
    if row.is_public:
        keys.add(f"¶p{row.community_id.hex}")
    return sorted(named | prompt | keys)


def _fill_pictures() -> None:
    """How many rows need each picture. Where two of a person's have the same bytes apart, the first is shared."""
    counted: Counter[str] = Counter()
    first: dict[tuple[UUID, str], Any] = {}
    for table, owner in (("image", "owner_id"), ("reference_image", "user_id")):
        columns = (
            *_needed(ID, owner),
            *_needed(TEXT, "picture_key", "sha256"),
            *_needed(DOCUMENT, "variant_keys"),
        )
        for row in _rows(table, *columns)[1]:
            if row.picture_key:
                counted[row.picture_key] += 1
                first.setdefault((getattr(row, owner), row.sha256), row)
    stored = sa.table(
        "stored_picture",
        *_needed(TEXT, "picture_key", "sha256"),
        *_needed(ID, "owner_id"),
        *_needed(DOCUMENT, "variant_keys"),
        *_needed(NUMBER, "users"),
    )
    for (owner_id, sha256), row in first.items():
        values = {
            "picture_key": row.picture_key,
            "owner_id": owner_id,
            "sha256": sha256,
            "variant_keys": row.variant_keys,
            "users": counted[row.picture_key],
        }
        op.get_bind().execute(sa.insert(stored).values(values))


def downgrade() -> None:
    for table in ("doomed_object", "stored_picture", "usage_event", "usage_counter"):
        op.drop_table(table)
    if _is_sqlite():
        _run(("DROP TRIGGER image_search_gone", "DROP TABLE image_search"))
    else:
        _run(("DROP FUNCTION refuse_ledger_change()",))
        op.drop_index("ix_image_search", "image")
    op.drop_index("ix_generation_cost", "generation")
    op.drop_index("ix_generation_running", "generation")
    op.drop_index("ix_generation_step_id", "generation")
    with op.batch_alter_table("generation") as batch:
        batch.drop_constraint("fk_generation_step_id", type_="foreignkey")
        batch.drop_constraint("fk_generation_prompt_id", type_="foreignkey")
        for column in ("prompt_id", "step_id", "tags", "estimated_cost_micro_usd"):
            batch.drop_column(column)
    op.drop_index("ix_image_community_id_prompt_id_created_at_id", "image")
    with op.batch_alter_table("image") as batch:
        batch.drop_constraint("fk_image_prompt_id", type_="foreignkey")
        for column in ("tags", "provider", "prompt_id", "search"):
            batch.drop_column(column)
    with op.batch_alter_table("identity") as batch:
        batch.drop_constraint("fk_identity_image_id", type_="foreignkey")
        batch.create_foreign_key(op.f("fk_identity_image_id"), "image", ["image_id"], ["id"], ondelete="SET NULL")
    with op.batch_alter_table("user_account") as batch:
        batch.drop_column("is_operator")
    with op.batch_alter_table("community") as batch:
        batch.drop_constraint("fk_community_plan_id", type_="foreignkey")
        for column in ("time_zone", "plan_id"):
            batch.drop_column(column)
    for table in ("user_limit", "plan_limit", "plan", "step", "wizard"):
        op.drop_table(table)
