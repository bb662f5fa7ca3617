"""windows in turn and reasons

A migration must work with the release before it: expand, backfill in batches, contract later.
"""

from typing import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = 'd1a4c07be925'
down_revision: str | None = '3fd1c7a90b52'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column('index_windows', sa.Column('is_ready', sa.Boolean(), server_default=sa.text('true'), nullable=False))
    op.add_column('operations', sa.Column('error_code', sa.String(), nullable=True))
    op.add_column('operations', sa.Column('error_status', sa.BigInteger(), nullable=True))
    op.add_column('scene_indexes', sa.Column('engines_notice', sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column('scene_indexes', 'engines_notice')
    op.drop_column('operations', 'error_status')
    op.drop_column('operations', 'error_code')
    op.drop_column('index_windows', 'is_ready')
