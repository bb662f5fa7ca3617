"""uploads

A migration must work with the release before it: expand, backfill in batches, contract later.
"""

from typing import Sequence

import sqlalchemy as sa
from alembic import op
revision: str = '5d0c1f7a92be'
down_revision: str | None = '2e4ca500eb63'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table('uploads',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_uploads_account_id'), ondelete='cascade'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_uploads'))
    )
    op.create_index(op.f('ix_uploads_account_id'), 'uploads', ['account_id'], unique=False)
    op.create_index('ix_uploads_created_at', 'uploads', ['created_at'], unique=False)


def downgrade() -> None:
    op.drop_index('ix_uploads_created_at', table_name='uploads')
    op.drop_index(op.f('ix_uploads_account_id'), table_name='uploads')
    op.drop_table('uploads')
