"""pictures by what they show

A migration must work with the release before it: expand, backfill in batches, contract later.
"""

from typing import Sequence

import pgvector.sqlalchemy
import sqlalchemy as sa
from alembic import op

revision: str = 'b2b5c7ebe1b2'
down_revision: str | None = '8c6d2efcf958'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column('passages', sa.Column('picture_vector', pgvector.sqlalchemy.HALFVEC(), nullable=True))
    op.add_column('passages', sa.Column('picture_space', sa.String(), nullable=True))
    op.create_index('ix_passages_account_id_picture_space', 'passages', ['account_id', 'picture_space'], unique=False, postgresql_where=sa.text('picture_space is not null'))
    for dimensions in (384, 512):
        op.create_index(
            f'ix_passages_picture_vector_{dimensions}',
            'passages',
            [sa.text(f'(picture_vector::halfvec({dimensions})) halfvec_ip_ops')],
            postgresql_using='hnsw',
            postgresql_where=sa.text(f'vector_dims(picture_vector) = {dimensions}'),
        )
    op.add_column('screen_frames', sa.Column('picture_vector', pgvector.sqlalchemy.HALFVEC(), nullable=True))
    op.add_column('screen_frames', sa.Column('picture_space', sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column('screen_frames', 'picture_space')
    op.drop_column('screen_frames', 'picture_vector')
    for dimensions in (384, 512):
        op.drop_index(f'ix_passages_picture_vector_{dimensions}', table_name='passages')
    op.drop_index('ix_passages_account_id_picture_space', table_name='passages', postgresql_where=sa.text('picture_space is not null'))
    op.drop_column('passages', 'picture_space')
    op.drop_column('passages', 'picture_vector')
