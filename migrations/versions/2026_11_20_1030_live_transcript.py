"""live transcript

Speech is taken by turns instead of being rung for: `due_at` replaces `rung_at`, which no release has read.
"""

from typing import Sequence

import sqlalchemy as sa
from alembic import op
revision: str = '7e23b1d0c9f4'
down_revision: str | None = '5b0f9c2ad417'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column('transcriptions', sa.Column('language', sa.String(), nullable=True))
    op.add_column('transcriptions', sa.Column('stop_mode', sa.String(), nullable=True))
    op.add_column('transcriptions', sa.Column('reason', sa.String(), nullable=True))
    op.create_check_constraint(op.f('ck_transcriptions_stop_mode'), 'transcriptions',
                               "stop_mode in ('graceful', 'force')")
    op.drop_column('speech_chunks', 'rung_at')
    op.add_column('speech_chunks', sa.Column('due_at', sa.DateTime(timezone=True),
                                             server_default=sa.text('clock_timestamp()'), nullable=False))
    op.drop_index(op.f('ix_speech_chunks_stream_id'), table_name='speech_chunks')
    op.create_index('ix_speech_chunks_stream_id_started_at_us', 'speech_chunks',
                    ['stream_id', 'started_at_us'], unique=False)


def downgrade() -> None:
    op.drop_index('ix_speech_chunks_stream_id_started_at_us', table_name='speech_chunks')
    op.create_index(op.f('ix_speech_chunks_stream_id'), 'speech_chunks', ['stream_id'], unique=False)
    op.drop_column('speech_chunks', 'due_at')
    op.add_column('speech_chunks', sa.Column('rung_at', sa.DateTime(timezone=True),
                                             server_default=sa.text('clock_timestamp()'), nullable=False))
    op.drop_constraint(op.f('ck_transcriptions_stop_mode'), 'transcriptions', type_='check')
    op.drop_column('transcriptions', 'reason')
    op.drop_column('transcriptions', 'stop_mode')
    op.drop_column('transcriptions', 'language')
