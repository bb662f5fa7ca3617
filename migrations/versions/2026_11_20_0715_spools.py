"""spools of ingest processes, and segments that do not continue the one before

A migration must work with the release before it: expand, backfill in batches, contract later.
"""

from typing import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = '5b1d0c9e7a42'
down_revision: str | None = '315fcdf5a03f'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table('stream_spools',
    sa.Column('stream_id', sa.String(), nullable=False),
    sa.Column('spool', sa.String(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.ForeignKeyConstraint(['stream_id'], ['streams.id'], name=op.f('fk_stream_spools_stream_id_streams'), ondelete='cascade'),
    sa.PrimaryKeyConstraint('stream_id', 'spool', name=op.f('pk_stream_spools'))
    )
    op.add_column('segments', sa.Column('discontinuity', sa.Boolean(), server_default=sa.text('false'), nullable=False))


def downgrade() -> None:
    op.drop_column('segments', 'discontinuity')
    op.drop_table('stream_spools')
