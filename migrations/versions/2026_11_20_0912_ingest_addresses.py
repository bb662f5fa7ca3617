"""ingest addresses

A migration must work with the release before it: expand, backfill in batches, contract later.
"""

from typing import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = 'c41f09b7d2aa'
down_revision: str | None = '9830c4bed682'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column('ingest_nodes', sa.Column('whip_url', sa.String(), nullable=True))
    op.add_column('ingest_nodes', sa.Column('publishers', sa.BigInteger(), server_default='0', nullable=False))
    op.add_column('ingest_nodes', sa.Column('max_publishers', sa.BigInteger(), server_default='0', nullable=False))
    op.add_column('capture_sessions', sa.Column('ingest_node', sa.String(), nullable=True))
    op.create_index(op.f('ix_capture_sessions_ingest_node'), 'capture_sessions', ['ingest_node'], unique=False)
    op.add_column('streams', sa.Column('publication', sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column('streams', 'publication')
    op.drop_index(op.f('ix_capture_sessions_ingest_node'), table_name='capture_sessions')
    op.drop_column('capture_sessions', 'ingest_node')
    op.drop_column('ingest_nodes', 'max_publishers')
    op.drop_column('ingest_nodes', 'publishers')
    op.drop_column('ingest_nodes', 'whip_url')
