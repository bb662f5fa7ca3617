"""Scenes of recordings, in collections."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
revision: str = 'ef44f6f81165'
down_revision: str | None = 'b7d2f40c9e13'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table('scene_collections',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('asset_id', sa.String(), nullable=False),
    sa.Column('extraction', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('digest', sa.String(), nullable=False),
    sa.Column('status', sa.String(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.CheckConstraint("status in ('building', 'ready', 'failed')", name=op.f('ck_scene_collections_status')),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_scene_collections_account_id'), ondelete='cascade'),
    sa.ForeignKeyConstraint(['asset_id'], ['assets.id'], name=op.f('fk_scene_collections_asset_id'), ondelete='cascade'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_scene_collections'))
    )
    op.create_index(op.f('ix_scene_collections_account_id'), 'scene_collections', ['account_id'], unique=False)
    op.create_index('uq_scene_collections_asset_id_digest', 'scene_collections', ['asset_id', 'digest'], unique=True)
    op.create_table('scenes',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('scene_collection_id', sa.String(), nullable=False),
    sa.Column('start_us', sa.BigInteger(), nullable=False),
    sa.Column('end_us', sa.BigInteger(), nullable=False),
    sa.Column('frames', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('description', sa.String(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.ForeignKeyConstraint(['scene_collection_id'], ['scene_collections.id'], name=op.f('fk_scenes_scene_collection_id'), ondelete='cascade'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_scenes'))
    )
    op.create_index('uq_scenes_scene_collection_id_start_us', 'scenes', ['scene_collection_id', 'start_us'], unique=True)
    op.add_column('screen_frames', sa.Column('description', sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column('screen_frames', 'description')
    op.drop_index('uq_scenes_scene_collection_id_start_us', table_name='scenes')
    op.drop_table('scenes')
    op.drop_index('uq_scene_collections_asset_id_digest', table_name='scene_collections')
    op.drop_index(op.f('ix_scene_collections_account_id'), table_name='scene_collections')
    op.drop_table('scene_collections')
