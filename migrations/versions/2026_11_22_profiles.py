"""Connection profiles, fallbacks, and on what ground each amount of money stands."""

import sqlalchemy as sa
from alembic import op
from alembic.operations import BatchOperations
from sqlalchemy.dialects.postgresql import JSONB

revision = "2026_11_22"
down_revision = "2026_11_21_2"
branch_labels = None
depends_on = None

ID = sa.Uuid()
TEXT = sa.String()
NUMBER = sa.Integer()
AMOUNT = sa.BigInteger()
FLAG = sa.Boolean()
MOMENT = sa.DateTime(timezone=True).with_variant(sa.String(32), "sqlite")
DOCUMENT = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")

COSTS = {"generation": ("estimated_cost", "actual_cost"), "provider_attempt": ("cost",)}


def upgrade() -> None:
    _profiles()
    _generations()
    _attempts()
    # Neither by copying the table nor by filling it in: the ledger's triggers stay, and refuse to change its lines.
    op.add_column("usage_event", sa.Column("basis", TEXT))


def _profiles() -> None:
    op.create_table(
        "connection_profile",
        sa.Column("id", ID, nullable=False),
        sa.Column("community_id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("provider", TEXT, nullable=False),
        sa.Column("base_url", TEXT),
        sa.Column("model", TEXT),
        sa.Column("sealed_key", TEXT),
        sa.Column("key_hint", TEXT),
        sa.Column("is_default", FLAG, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("last_used_at", MOMENT),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_connection_profile")),
        sa.ForeignKeyConstraint(
            ["community_id"], ["community.id"], name=op.f("fk_connection_profile_community_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user_account.id"], name=op.f("fk_connection_profile_user_id"), ondelete="RESTRICT"
        ),
        sa.CheckConstraint("sealed_key IS NOT NULL OR key_hint IS NULL", name=op.f("ck_connection_profile_key_hint")),
    )
    op.create_index("ix_connection_profile_user_id_created_at", "connection_profile", ["user_id", "created_at"])
    is_default = sa.text("is_default")
    op.create_index(
        "uq_connection_profile_default",
        "connection_profile",
        ["user_id"],
        unique=True,
        sqlite_where=is_default,
        postgresql_where=is_default,
    )


def _generations() -> None:
    op.drop_index("ix_generation_cost", "generation")
    with op.batch_alter_table("generation") as batch:
        batch.add_column(sa.Column("profile_id", ID))
        batch.add_column(sa.Column("fallbacks", DOCUMENT))
        batch.add_column(sa.Column("estimated_cost_basis", TEXT))
        batch.add_column(sa.Column("actual_cost_basis", TEXT))
        batch.alter_column("actual_cost_micro_usd", type_=AMOUNT)
    op.execute("UPDATE generation SET fallbacks = '[]'")
    _fill_in_bases("generation")
    with op.batch_alter_table("generation") as batch:
        batch.alter_column("fallbacks", nullable=False)
        _check_bases(batch, "generation")


def _attempts() -> None:
    with op.batch_alter_table("provider_attempt") as batch:
        batch.add_column(sa.Column("community_id", ID))
        batch.add_column(sa.Column("route", NUMBER))
        batch.add_column(sa.Column("profile_id", ID))
        batch.add_column(sa.Column("detail", TEXT))
        batch.add_column(sa.Column("cost_basis", TEXT))
        batch.alter_column("cost_micro_usd", type_=AMOUNT)
    op.execute(
        "UPDATE provider_attempt SET route = 0, "
        "community_id = (SELECT community_id FROM generation WHERE generation.id = generation_id)"
    )
    _fill_in_bases("provider_attempt")
    with op.batch_alter_table("provider_attempt") as batch:
        batch.alter_column("community_id", nullable=False)
        batch.alter_column("route", nullable=False)
        batch.create_foreign_key(
            op.f("fk_provider_attempt_community_id"), "community", ["community_id"], ["id"], ondelete="RESTRICT"
        )
        _check_bases(batch, "provider_attempt")
    is_known = sa.text("outcome = 'SUCCEEDED' AND cost_basis IN ('REPORTED', 'USAGE', 'LISTED')")
    op.create_index(
        "ix_provider_attempt_cost",
        "provider_attempt",
        ["community_id", "provider", "model", "finished_at"],
        sqlite_where=is_known,
        postgresql_where=is_known,
    )


def _fill_in_bases(table: str) -> None:
    """Until now every price was a listed one, or went by listed ones."""
    for cost in COSTS[table]:
        op.execute(f"UPDATE {table} SET {cost}_basis = 'LISTED' WHERE {cost}_micro_usd IS NOT NULL")  # noqa: S608 - names of our own


def _check_bases(batch: BatchOperations, table: str) -> None:
    for cost in COSTS[table]:
        name = op.f(f"ck_{table}_{cost}")
        batch.create_check_constraint(name, f"({cost}_micro_usd IS NULL) = ({cost}_basis IS NULL)")


def downgrade() -> None:
    op.drop_column("usage_event", "basis")
    op.drop_index("ix_provider_attempt_cost", "provider_attempt")
    with op.batch_alter_table("provider_attempt") as batch:
        batch.drop_constraint(op.f("ck_provider_attempt_cost"), type_="check")
        batch.drop_constraint("fk_provider_attempt_community_id", type_="foreignkey")
        batch.alter_column("cost_micro_usd", type_=NUMBER)
        for column in ("community_id", "route", "profile_id", "detail", "cost_basis"):
            batch.drop_column(column)
    with op.batch_alter_table("generation") as batch:
        for cost in COSTS["generation"]:
            batch.drop_constraint(op.f(f"ck_generation_{cost}"), type_="check")
        batch.alter_column("actual_cost_micro_usd", type_=NUMBER)
        for column in ("profile_id", "fallbacks", "estimated_cost_basis", "actual_cost_basis"):
            batch.drop_column(column)
    is_known = sa.text("actual_cost_micro_usd IS NOT NULL")
    op.create_index(
        "ix_generation_cost",
        "generation",
        ["community_id", "provider", "model", "finished_at"],
        sqlite_where=is_known,
        postgresql_where=is_known,
    )
    op.drop_table("connection_profile")
