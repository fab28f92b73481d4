"""What became of a picture is told once, whoever tells it; and the index of what was asked for again."""

import sqlalchemy as sa
from alembic import op

from migrations.online import create_index, drop_index

revision = "2026_11_24_2"
down_revision = "2026_11_24"
branch_labels = None
depends_on = None

IS_OUTCOME = 'image_id IS NOT NULL OR (failure IS NOT NULL AND "index" IS NOT NULL)'


def upgrade() -> None:
    # Of two workers that told of one picture the first had the last word. Numbers have no gaps, so events stay.
    op.execute(
        f"""
        UPDATE generation_event SET image_id = NULL, failure = NULL
        WHERE ({IS_OUTCOME}) AND EXISTS (
            SELECT 1 FROM generation_event AS earlier
            WHERE earlier.generation_id = generation_event.generation_id
                AND earlier."index" = generation_event."index" AND earlier.seq < generation_event.seq
                AND (earlier.image_id IS NOT NULL OR earlier.failure IS NOT NULL)
        )
        """  # noqa: S608 - a condition of our own
    )
    create_index(
        "uq_generation_event_outcome",
        "generation_event",
        ["generation_id", "index"],
        unique=True,
        sqlite_where=sa.text(IS_OUTCOME),
        postgresql_where=sa.text(IS_OUTCOME),
    )
    create_index("ix_generation_retry_of_id", "generation", ["retry_of_id"])


def downgrade() -> None:
    drop_index("ix_generation_retry_of_id", "generation")
    drop_index("uq_generation_event_outcome", "generation_event")
