"""Many machines: workers that show signs of life, what was asked for again, and who goes first."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_24"
down_revision = "2026_11_22"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True).with_variant(sa.String(32), "sqlite")


def upgrade() -> None:
    op.create_table(
        "worker",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("seen_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_worker")),
    )
    with op.batch_alter_table("generation") as batch:
        batch.add_column(sa.Column("retry_of_id", sa.Uuid()))
        batch.create_foreign_key(
            op.f("fk_generation_retry_of_id"), "generation", ["retry_of_id"], ["id"], ondelete="SET NULL"
        )
    with op.batch_alter_table("plan") as batch:
        # With a default for the processes of the version before, which make plans until they are stopped.
        batch.add_column(sa.Column("priority", sa.Integer(), nullable=False, server_default="1"))
        batch.create_check_constraint(op.f("ck_plan_priority"), "priority BETWEEN 1 AND 10")


def downgrade() -> None:
    with op.batch_alter_table("plan") as batch:
        batch.drop_constraint(op.f("ck_plan_priority"), type_="check")
        batch.drop_column("priority")
    with op.batch_alter_table("generation") as batch:
        batch.drop_constraint(op.f("fk_generation_retry_of_id"), type_="foreignkey")
        batch.drop_column("retry_of_id")
    op.drop_table("worker")
