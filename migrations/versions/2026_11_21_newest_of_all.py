"""The newest of all communities, for the operators' page."""

from alembic import op

revision = "2026_11_21_2"
down_revision = "2026_11_21"
branch_labels = None
depends_on = None

NEWEST = {"image": "created_at", "generation": "created_at", "usage_event": "at"}


def upgrade() -> None:
    for table, moment in NEWEST.items():
        op.create_index(f"ix_{table}_{moment}_id", table, [moment, "id"])


def downgrade() -> None:
    for table, moment in NEWEST.items():
        op.drop_index(f"ix_{table}_{moment}_id", table)
