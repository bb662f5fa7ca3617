"""pulls

A migration must work with the release before it: expand, backfill in batches, contract later.
"""

from typing import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = '5c0d1f6a8e27'
down_revision: str | None = 'c41f09b7d2aa'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        'pulls',
        sa.Column('stream_id', sa.String(), nullable=False),
        sa.Column('url', sa.String(), nullable=False),
        sa.Column('sample_rate', sa.BigInteger(), nullable=True),
        sa.Column('is_wanted', sa.Boolean(), server_default=sa.text('true'), nullable=False),
        sa.Column('wanted_changed_at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
        sa.Column('has_begun', sa.Boolean(), server_default=sa.text('false'), nullable=False),
        sa.Column('attempts', sa.BigInteger(), server_default='0', nullable=False),
        sa.Column('next_attempt_at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
        sa.Column('error', sa.String(), nullable=True),
        sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
        sa.ForeignKeyConstraint(['stream_id'], ['streams.id'], name=op.f('fk_pulls_stream_id'), ondelete='cascade'),
        sa.PrimaryKeyConstraint('stream_id', name=op.f('pk_pulls')),
    )
    op.create_index('ix_pulls_due', 'pulls', ['next_attempt_at'], unique=False, postgresql_where=sa.text('is_wanted'))
    op.alter_column('streams', 'capture_session_id', existing_type=sa.String(), nullable=True)
    op.alter_column('streams', 'channel_id', existing_type=sa.String(), nullable=True)
    op.alter_column('streams', 'category', existing_type=sa.String(), nullable=True)
    op.drop_constraint(op.f('ck_streams_media_type'), 'streams', type_='check')
    op.create_check_constraint(op.f('ck_streams_media_type'), 'streams', "media_type in ('audio', 'video', 'audiovisual')")
    op.create_check_constraint(op.f('ck_streams_origin'), 'streams', 'num_nonnulls(capture_session_id, channel_id, category) in (0, 3)')


def downgrade() -> None:
    op.execute('delete from streams where capture_session_id is null')
    op.drop_constraint(op.f('ck_streams_origin'), 'streams', type_='check')
    op.drop_constraint(op.f('ck_streams_media_type'), 'streams', type_='check')
    op.create_check_constraint(op.f('ck_streams_media_type'), 'streams', "media_type in ('audio', 'video')")
    op.alter_column('streams', 'category', existing_type=sa.String(), nullable=False)
    op.alter_column('streams', 'channel_id', existing_type=sa.String(), nullable=False)
    op.alter_column('streams', 'capture_session_id', existing_type=sa.String(), nullable=False)
    op.drop_index('ix_pulls_due', table_name='pulls')
    op.drop_table('pulls')
