"""access: scoped and rotating keys, bound tokens, audit, retention, deletion

A migration must work with the release before it: expand, backfill in batches, contract later.
"""

from typing import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
revision: str = '5b1c0f7a92de'
down_revision: str | None = 'c41d0b7e92aa'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    # Keys of the release before may do everything, and so may those that it still makes.
    everything = sa.text("""'["read", "write", "admin"]'::jsonb""")
    jsonb = postgresql.JSONB(astext_type=sa.Text())
    at = sa.DateTime(timezone=True)
    op.add_column('api_keys', sa.Column('hint', sa.String(), nullable=True))
    op.add_column('api_keys', sa.Column('scopes', jsonb, server_default=everything, nullable=False))
    op.add_column('api_keys', sa.Column('expires_at', at, nullable=True))
    op.add_column('api_keys', sa.Column('last_used_at', at, nullable=True))
    op.add_column('client_tokens', sa.Column('revoked_at', at, nullable=True))
    op.add_column('client_tokens', sa.Column('capture_session_id', sa.String(), nullable=True))
    op.add_column('client_tokens', sa.Column('channels', jsonb, nullable=True))
    op.create_foreign_key(op.f('fk_client_tokens_capture_session_id'), 'client_tokens', 'capture_sessions', ['capture_session_id'], ['id'], ondelete='cascade')
    op.create_index(op.f('ix_client_tokens_capture_session_id'), 'client_tokens', ['capture_session_id'], unique=False)
    op.create_table('audit_entries',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('actor_kind', sa.String(), nullable=False),
    sa.Column('actor_id', sa.String(), nullable=True),
    sa.Column('action', sa.String(), nullable=False),
    sa.Column('subject_id', sa.String(), nullable=True),
    sa.Column('address', sa.String(), nullable=True),
    sa.Column('outcome', sa.String(), nullable=False),
    sa.Column('once', sa.String(), nullable=True),
    sa.Column('created_at', at, server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_audit_entries_account_id'), ondelete='cascade'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_audit_entries')),
    sa.UniqueConstraint('once', name=op.f('uq_audit_entries_once'))
    )
    op.create_index('ix_audit_entries_account_id_id', 'audit_entries', ['account_id', 'id'], unique=False)
    op.execute("""
        create function refuse_update() returns trigger language plpgsql as
        $$ begin raise exception '% is append-only', tg_table_name; end $$
    """)
    op.execute("""
        create trigger audit_entries_are_append_only before update on audit_entries
        for each row execute function refuse_update()
    """)
    op.add_column('collections', sa.Column('retention_days', sa.BigInteger(), nullable=True))
    op.add_column('capture_sessions', sa.Column('deleted_at', at, nullable=True))
    op.add_column('streams', sa.Column('deleted_at', at, nullable=True))
    op.add_column('assets', sa.Column('deleted_at', at, nullable=True))


def downgrade() -> None:
    op.drop_column('assets', 'deleted_at')
    op.drop_column('streams', 'deleted_at')
    op.drop_column('capture_sessions', 'deleted_at')
    op.drop_column('collections', 'retention_days')
    op.drop_table('audit_entries')
    op.execute('drop function refuse_update()')
    op.drop_constraint(op.f('fk_client_tokens_capture_session_id'), 'client_tokens', type_='foreignkey')
    op.drop_index(op.f('ix_client_tokens_capture_session_id'), table_name='client_tokens')
    op.drop_column('client_tokens', 'channels')
    op.drop_column('client_tokens', 'capture_session_id')
    op.drop_column('client_tokens', 'revoked_at')
    op.drop_column('api_keys', 'last_used_at')
    op.drop_column('api_keys', 'expires_at')
    op.drop_column('api_keys', 'scopes')
    op.drop_column('api_keys', 'hint')
