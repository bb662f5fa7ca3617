"""passages to search, and records to match

A migration must work with the release before it: expand, backfill in batches, contract later.
"""

from typing import Sequence

import pgvector.sqlalchemy
import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
revision: str = 'b7d2f40c9e13'
down_revision: str | None = '7e23b1d0c9f4'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Their vectors are made by housekeeping afterwards, in batches.
FROM_UTTERANCES = """
    insert into passages
        (id, account_id, stream_id, asset_id, utterance_id, kind, start_us, end_us, text, attempts, due_at)
    select 'psg-' || substr(u.id, 5), coalesce(s.account_id, a.account_id), u.stream_id, u.asset_id, u.id,
        'spoken', u.start_us, u.end_us, u.text, 0, clock_timestamp()
    from utterances u left join streams s on s.id = u.stream_id left join assets a on a.id = u.asset_id
"""
FROM_RECORDS = """
    insert into passages (id, account_id, stream_id, asset_id, record_id, index_id, kind, start_us, end_us,
        text, attempts, due_at)
    select 'psg-' || substr(r.id, 5), i.account_id, i.stream_id, i.asset_id, r.id, i.id, i.kind, r.start_us,
        r.end_us, r.text, 0, clock_timestamp()
    from index_records r join scene_indexes i on i.id = r.index_id
"""


def upgrade() -> None:
    # Where it is not a trusted extension and the user no superuser, an operator has made it before.
    op.execute("create extension if not exists vector")
    op.create_table('passages',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('stream_id', sa.String(), nullable=True),
    sa.Column('asset_id', sa.String(), nullable=True),
    sa.Column('utterance_id', sa.String(), nullable=True),
    sa.Column('record_id', sa.String(), nullable=True),
    sa.Column('index_id', sa.String(), nullable=True),
    sa.Column('kind', sa.String(), nullable=False),
    sa.Column('start_us', sa.BigInteger(), nullable=False),
    sa.Column('end_us', sa.BigInteger(), nullable=False),
    sa.Column('text', sa.String(), nullable=False),
    sa.Column('search_vector', postgresql.TSVECTOR(), sa.Computed("to_tsvector('english', text)", persisted=True), nullable=False),
    sa.Column('vector', pgvector.sqlalchemy.HALFVEC(384), nullable=True),
    sa.Column('attempts', sa.BigInteger(), nullable=False),
    sa.Column('due_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.CheckConstraint("kind in ('spoken', 'visual', 'audio')", name=op.f('ck_passages_kind')),
    sa.CheckConstraint('num_nonnulls(stream_id, asset_id) = 1', name=op.f('ck_passages_one_owner')),
    sa.CheckConstraint('num_nonnulls(utterance_id, record_id) = 1', name=op.f('ck_passages_one_source')),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_passages_account_id'), ondelete='cascade'),
    sa.ForeignKeyConstraint(['stream_id'], ['streams.id'], name=op.f('fk_passages_stream_id'), ondelete='cascade'),
    sa.ForeignKeyConstraint(['asset_id'], ['assets.id'], name=op.f('fk_passages_asset_id'), ondelete='cascade'),
    sa.ForeignKeyConstraint(['utterance_id'], ['utterances.id'], name=op.f('fk_passages_utterance_id'), ondelete='cascade'),
    sa.ForeignKeyConstraint(['record_id'], ['index_records.id'], name=op.f('fk_passages_record_id'), ondelete='cascade'),
    sa.ForeignKeyConstraint(['index_id'], ['scene_indexes.id'], name=op.f('fk_passages_index_id'), ondelete='cascade'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_passages'))
    )
    op.execute("set local statement_timeout = '30min'")
    op.execute(FROM_UTTERANCES)
    op.execute(FROM_RECORDS)
    op.create_index('ix_passages_search_vector', 'passages', ['search_vector'], postgresql_using='gin')
    op.create_index('ix_passages_vector', 'passages', ['vector'], postgresql_using='hnsw', postgresql_ops={'vector': 'halfvec_ip_ops'})
    op.create_index('ix_passages_account_id_start_us', 'passages', ['account_id', 'start_us'], postgresql_include=["end_us", "kind", "stream_id", "asset_id", "index_id", "id", "vector"])
    op.create_index('ix_passages_stream_id_start_us', 'passages', ['stream_id', 'start_us'])
    op.create_index('ix_passages_asset_id_start_us', 'passages', ['asset_id', 'start_us'])
    op.create_index('ix_passages_due_at', 'passages', ['due_at'], postgresql_where=sa.text('due_at is not null'))
    for column in ('utterance_id', 'record_id', 'index_id'):
        op.create_index(op.f(f'ix_passages_{column}'), 'passages', [column])
    op.execute("set local statement_timeout = '5s'")
    op.create_table('records_to_match',
    sa.Column('record_id', sa.String(), nullable=False),
    sa.Column('attempts', sa.BigInteger(), nullable=False),
    sa.Column('due_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['record_id'], ['index_records.id'], name=op.f('fk_records_to_match_record_id'), ondelete='cascade'),
    sa.PrimaryKeyConstraint('record_id', name=op.f('pk_records_to_match'))
    )
    op.create_index(op.f('ix_records_to_match_due_at'), 'records_to_match', ['due_at'])
    op.create_table('alert_matches',
    sa.Column('alert_id', sa.String(), nullable=False),
    sa.Column('record_id', sa.String(), nullable=False),
    sa.Column('confidence', sa.Float(), nullable=False),
    sa.ForeignKeyConstraint(['alert_id'], ['alerts.id'], name=op.f('fk_alert_matches_alert_id'), ondelete='cascade'),
    sa.ForeignKeyConstraint(['record_id'], ['index_records.id'], name=op.f('fk_alert_matches_record_id'), ondelete='cascade'),
    sa.PrimaryKeyConstraint('alert_id', 'record_id', name=op.f('pk_alert_matches'))
    )
    op.create_index(op.f('ix_alert_matches_record_id'), 'alert_matches', ['record_id'])


def downgrade() -> None:
    op.drop_table('alert_matches')
    op.drop_table('records_to_match')
    op.drop_table('passages')
