"""transcribed pieces

A migration must work with the release before it: expand, backfill in batches, contract later.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "8c6d2efcf958"
down_revision: str | None = "0815cbf327d9"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "transcribed_pieces",
        sa.Column("operation_id", sa.String(), nullable=False),
        sa.Column("end_us", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("spoken", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["operation_id"],
            ["operations.id"],
            name=op.f("fk_transcribed_pieces_operation_id"),
            ondelete="cascade",
        ),
        sa.PrimaryKeyConstraint("operation_id", "end_us", name=op.f("pk_transcribed_pieces")),
    )


def downgrade() -> None:
    op.drop_table("transcribed_pieces")
