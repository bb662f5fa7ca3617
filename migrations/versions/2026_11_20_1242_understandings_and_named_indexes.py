"""understandings and named indexes

A migration must work with the release before it: expand, backfill in batches, contract later.
"""

from typing import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
revision: str = '0815cbf327d9'
down_revision: str | None = 'ef44f6f81165'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table('understandings',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('stream_id', sa.String(), nullable=True),
    sa.Column('asset_id', sa.String(), nullable=True),
    sa.Column('request', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.CheckConstraint('num_nonnulls(stream_id, asset_id) = 1', name=op.f('ck_understandings_one_owner')),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_understandings_account_id'), ondelete='cascade'),
    sa.ForeignKeyConstraint(['asset_id'], ['assets.id'], name=op.f('fk_understandings_asset_id'), ondelete='cascade'),
    sa.ForeignKeyConstraint(['stream_id'], ['streams.id'], name=op.f('fk_understandings_stream_id'), ondelete='cascade'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_understandings'))
    )
    op.create_index(op.f('ix_understandings_account_id'), 'understandings', ['account_id'], unique=False)
    op.create_index(op.f('ix_understandings_asset_id'), 'understandings', ['asset_id'], unique=False)
    op.create_index(op.f('ix_understandings_stream_id'), 'understandings', ['stream_id'], unique=False)
    op.create_table('analyzers',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('understanding_id', sa.String(), nullable=False),
    sa.Column('position', sa.BigInteger(), nullable=False),
    sa.Column('name', sa.String(), nullable=False),
    sa.Column('type', sa.String(), nullable=False),
    sa.Column('config', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('output_id', sa.String(), nullable=True),
    sa.Column('notice', sa.String(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.ForeignKeyConstraint(['output_id'], ['scene_indexes.id'], name=op.f('fk_analyzers_output_id'), ondelete='set null'),
    sa.ForeignKeyConstraint(['understanding_id'], ['understandings.id'], name=op.f('fk_analyzers_understanding_id'), ondelete='cascade'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_analyzers'))
    )
    op.create_index(op.f('ix_analyzers_output_id'), 'analyzers', ['output_id'], unique=False)
    op.create_index('uq_analyzers_understanding_id_name', 'analyzers', ['understanding_id', 'name'], unique=True)
    op.create_table('named_indexes',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('stream_id', sa.String(), nullable=True),
    sa.Column('asset_id', sa.String(), nullable=True),
    sa.Column('output_id', sa.String(), nullable=False),
    sa.Column('analyzer_type', sa.String(), nullable=False),
    sa.Column('source', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('name', sa.String(), nullable=False),
    sa.Column('use_for', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('field_schema', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('is_stopped', sa.Boolean(), nullable=False),
    sa.Column('spans', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.CheckConstraint('num_nonnulls(stream_id, asset_id) = 1', name=op.f('ck_named_indexes_one_owner')),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_named_indexes_account_id'), ondelete='cascade'),
    sa.ForeignKeyConstraint(['asset_id'], ['assets.id'], name=op.f('fk_named_indexes_asset_id'), ondelete='cascade'),
    sa.ForeignKeyConstraint(['output_id'], ['scene_indexes.id'], name=op.f('fk_named_indexes_output_id'), ondelete='cascade'),
    sa.ForeignKeyConstraint(['stream_id'], ['streams.id'], name=op.f('fk_named_indexes_stream_id'), ondelete='cascade'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_named_indexes'))
    )
    op.create_index(op.f('ix_named_indexes_account_id'), 'named_indexes', ['account_id'], unique=False)
    op.create_index(op.f('ix_named_indexes_output_id'), 'named_indexes', ['output_id'], unique=False)
    op.create_index('uq_named_indexes_asset_id_name', 'named_indexes', ['asset_id', 'name'], unique=True)
    op.create_index('uq_named_indexes_stream_id_name', 'named_indexes', ['stream_id', 'name'], unique=True)
    op.add_column('alerts', sa.Column('named_index_id', sa.String(), nullable=True))
    op.create_index(op.f('ix_alerts_named_index_id'), 'alerts', ['named_index_id'], unique=False)
    op.create_foreign_key(op.f('fk_alerts_named_index_id'), 'alerts', 'named_indexes', ['named_index_id'], ['id'], ondelete='cascade')


def downgrade() -> None:
    op.drop_constraint(op.f('fk_alerts_named_index_id'), 'alerts', type_='foreignkey')
    op.drop_index(op.f('ix_alerts_named_index_id'), table_name='alerts')
    op.drop_column('alerts', 'named_index_id')
    op.drop_index('uq_named_indexes_stream_id_name', table_name='named_indexes')
    op.drop_index('uq_named_indexes_asset_id_name', table_name='named_indexes')
    op.drop_index(op.f('ix_named_indexes_output_id'), table_name='named_indexes')
    op.drop_index(op.f('ix_named_indexes_account_id'), table_name='named_indexes')
    op.drop_table('named_indexes')
    op.drop_index('uq_analyzers_understanding_id_name', table_name='analyzers')
    op.drop_index(op.f('ix_analyzers_output_id'), table_name='analyzers')
    op.drop_table('analyzers')
    op.drop_index(op.f('ix_understandings_stream_id'), table_name='understandings')
    op.drop_index(op.f('ix_understandings_asset_id'), table_name='understandings')
    op.drop_index(op.f('ix_understandings_account_id'), table_name='understandings')
    op.drop_table('understandings')
