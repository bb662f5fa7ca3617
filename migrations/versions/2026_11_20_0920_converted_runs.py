"""converted runs

A migration must work with the release before it: expand, backfill in batches, contract later.
"""

from typing import Sequence

import sqlalchemy as sa
from alembic import op
revision: str = 'c41f6a8de207'
down_revision: str | None = '5d0c1f7a92be'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table('converted_runs',
    sa.Column('segment_id', sa.String(), nullable=False),
    sa.Column('capture_session_id', sa.String(), nullable=False),
    sa.Column('leased_by', sa.String(), nullable=True),
    sa.Column('leased_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('made_of', sa.String(), nullable=True),
    sa.Column('storage_key', sa.String(), nullable=True),
    sa.Column('started_at_us', sa.BigInteger(), nullable=True),
    sa.Column('duration_us', sa.BigInteger(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.ForeignKeyConstraint(['capture_session_id'], ['capture_sessions.id'], name=op.f('fk_converted_runs_capture_session_id'), ondelete='cascade'),
    sa.ForeignKeyConstraint(['segment_id'], ['segments.id'], name=op.f('fk_converted_runs_segment_id'), ondelete='cascade'),
    sa.PrimaryKeyConstraint('segment_id', name=op.f('pk_converted_runs'))
    )
    op.create_index(op.f('ix_converted_runs_capture_session_id'), 'converted_runs', ['capture_session_id'], unique=False)


def downgrade() -> None:
    op.drop_index(op.f('ix_converted_runs_capture_session_id'), table_name='converted_runs')
    op.drop_table('converted_runs')
