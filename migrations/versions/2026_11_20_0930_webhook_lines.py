"""webhook lines

Senders of the release before this one stop where the columns that they lease by are gone; the rows stay, and
are sent by this one's.
"""

from typing import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = 'c41d0b7e92aa'
down_revision: str | None = '5c0d1f6a8e27'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    _positions()
    _endpoints()
    _lines()
    op.create_table('webhook_attempts',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('delivery_id', sa.String(), nullable=False),
    sa.Column('attempted_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('latency_ms', sa.BigInteger(), nullable=False),
    sa.Column('status_code', sa.BigInteger(), nullable=True),
    sa.Column('error', sa.String(), nullable=True),
    sa.Column('answer', sa.String(), nullable=False),
    sa.ForeignKeyConstraint(['delivery_id'], ['webhook_deliveries.id'], name=op.f('fk_webhook_attempts_delivery_id'), ondelete='cascade'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_webhook_attempts'))
    )
    op.create_index(op.f('ix_webhook_attempts_delivery_id'), 'webhook_attempts', ['delivery_id'])
    op.create_table('webhook_secrets',
    sa.Column('id', sa.String(), nullable=False),
    sa.Column('account_id', sa.String(), nullable=False),
    sa.Column('endpoint_id', sa.String(), nullable=True),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_webhook_secrets_account_id'), ondelete='cascade'),
    sa.ForeignKeyConstraint(['endpoint_id'], ['webhook_endpoints.id'], name=op.f('fk_webhook_secrets_endpoint_id'), ondelete='cascade'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_webhook_secrets'))
    )
    op.create_index(op.f('ix_webhook_secrets_account_id'), 'webhook_secrets', ['account_id'])
    op.create_index(op.f('ix_webhook_secrets_endpoint_id'), 'webhook_secrets', ['endpoint_id'])
    op.create_index('uq_webhook_secrets_current', 'webhook_secrets', ['account_id', sa.text("coalesce(endpoint_id, '')")], unique=True, postgresql_where=sa.text('expires_at is null'))


def _positions() -> None:
    op.create_table('outbox_head',
    sa.Column('id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('position', sa.BigInteger(), nullable=False),
    sa.CheckConstraint('id = 1', name=op.f('ck_outbox_head_single')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_outbox_head'))
    )
    op.add_column('outbox', sa.Column('position', sa.BigInteger(), nullable=True))
    # Events that were published before are read again in the order of their ids, the best that is known.
    op.execute("update outbox set position = id where kind = 'event' and published_at is not null")
    op.execute("insert into outbox_head select 1, coalesce(max(position), 0) from outbox")
    op.drop_index('ix_outbox_unpublished', 'outbox')
    op.create_index('ix_outbox_unpublished', 'outbox', ['kind', 'id'], postgresql_where=sa.text('published_at is null'))
    op.create_index('uq_outbox_message_id', 'outbox', ['message_id'], unique=True)
    op.create_index('uq_outbox_account_id_position', 'outbox', ['account_id', 'position'], unique=True)


def _endpoints() -> None:
    op.add_column('webhook_endpoints', sa.Column('kind', sa.String(), server_default='session', nullable=False))
    op.alter_column('webhook_endpoints', 'kind', server_default=None)
    op.alter_column('webhook_endpoints', 'capture_session_id', nullable=True)
    op.add_column('webhook_endpoints', sa.Column('description', sa.String(), server_default='', nullable=False))
    op.add_column('webhook_endpoints', sa.Column('events', postgresql.JSONB(astext_type=sa.Text(), none_as_null=True), nullable=True))
    op.add_column('webhook_endpoints', sa.Column('status', sa.String(), server_default='enabled', nullable=False))
    op.add_column('webhook_endpoints', sa.Column('disabled_reason', sa.String(), nullable=True))
    op.add_column('webhook_endpoints', sa.Column('failing_since', sa.DateTime(timezone=True), nullable=True))
    op.drop_column('webhook_endpoints', 'leased_until')
    op.drop_column('webhook_endpoints', 'rung_at')
    op.create_check_constraint(op.f('ck_webhook_endpoints_kind'), 'webhook_endpoints', "kind in ('session', 'callback', 'account')")
    op.create_check_constraint(op.f('ck_webhook_endpoints_status'), 'webhook_endpoints', "status in ('enabled', 'disabled')")
    op.create_check_constraint(op.f('ck_webhook_endpoints_session'), 'webhook_endpoints', "(kind = 'session') = (capture_session_id is not null)")
    op.drop_index('ix_webhook_endpoints_account_id', 'webhook_endpoints')
    op.create_index('ix_webhook_endpoints_account', 'webhook_endpoints', ['account_id'], postgresql_where=sa.text("kind = 'account'"))
    op.create_index('uq_webhook_endpoints_callback', 'webhook_endpoints', ['account_id', 'url'], unique=True, postgresql_where=sa.text("kind = 'callback'"))


def _lines() -> None:
    op.create_table('webhook_lines',
    sa.Column('endpoint_id', sa.String(), nullable=False),
    sa.Column('key', sa.String(), nullable=False),
    sa.Column('target', sa.String(), nullable=False),
    sa.Column('due_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('lease', sa.String(), nullable=True),
    sa.ForeignKeyConstraint(['endpoint_id'], ['webhook_endpoints.id'], name=op.f('fk_webhook_lines_endpoint_id'), ondelete='cascade'),
    sa.PrimaryKeyConstraint('endpoint_id', 'key', name=op.f('pk_webhook_lines'))
    )
    op.create_index('ix_webhook_lines_due_at', 'webhook_lines', ['due_at'], postgresql_where=sa.text('due_at is not null'))
    op.execute("""
        insert into webhook_lines (endpoint_id, key, target, due_at)
        select endpoint.id, endpoint.capture_session_id, endpoint.account_id || ' ' || split_part(endpoint.url, '?', 1),
            (select min(next_attempt_at) from webhook_deliveries delivery
             where delivery.endpoint_id = endpoint.id and delivery.status = 'pending')
        from webhook_endpoints endpoint
    """)
    op.add_column('webhook_deliveries', sa.Column('account_id', sa.String(), nullable=True))
    op.add_column('webhook_deliveries', sa.Column('line_key', sa.String(), nullable=True))
    op.add_column('webhook_deliveries', sa.Column('position', sa.BigInteger(), nullable=True))
    op.execute("""
        update webhook_deliveries delivery set account_id = endpoint.account_id,
            line_key = endpoint.capture_session_id, position = delivery.outbox_id
        from webhook_endpoints endpoint where endpoint.id = delivery.endpoint_id
    """)
    for name in ('account_id', 'line_key', 'position'):
        op.alter_column('webhook_deliveries', name, nullable=False)
    op.alter_column('webhook_deliveries', 'next_attempt_at', nullable=True)
    op.drop_index('ix_webhook_deliveries_due', 'webhook_deliveries')
    op.drop_index('uq_webhook_deliveries_endpoint_id_outbox_id', 'webhook_deliveries')
    op.drop_constraint('fk_webhook_deliveries_endpoint_id', 'webhook_deliveries', type_='foreignkey')
    op.create_foreign_key('fk_webhook_deliveries_line', 'webhook_deliveries', 'webhook_lines', ['endpoint_id', 'line_key'], ['endpoint_id', 'key'], ondelete='cascade')
    op.create_index('uq_webhook_deliveries_outbox_id_endpoint_id', 'webhook_deliveries', ['outbox_id', 'endpoint_id'], unique=True)
    op.create_index('ix_webhook_deliveries_waiting', 'webhook_deliveries', ['endpoint_id', 'line_key', 'position'], postgresql_where=sa.text("status = 'pending'"))
    op.create_index('ix_webhook_deliveries_account_id_id', 'webhook_deliveries', ['account_id', 'id'])


def downgrade() -> None:
    op.drop_table('webhook_attempts')
    op.drop_table('webhook_secrets')
    op.execute("delete from webhook_endpoints where kind <> 'session'")
    op.drop_index('ix_webhook_deliveries_account_id_id', 'webhook_deliveries')
    op.drop_index('ix_webhook_deliveries_waiting', 'webhook_deliveries')
    op.drop_index('uq_webhook_deliveries_outbox_id_endpoint_id', 'webhook_deliveries')
    op.drop_constraint('fk_webhook_deliveries_line', 'webhook_deliveries', type_='foreignkey')
    op.create_foreign_key('fk_webhook_deliveries_endpoint_id', 'webhook_deliveries', 'webhook_endpoints', ['endpoint_id'], ['id'], ondelete='cascade')
    op.execute('update webhook_deliveries set next_attempt_at = clock_timestamp() where next_attempt_at is null')
    op.alter_column('webhook_deliveries', 'next_attempt_at', nullable=False)
    for name in ('position', 'line_key', 'account_id'):
        op.drop_column('webhook_deliveries', name)
    op.create_index('uq_webhook_deliveries_endpoint_id_outbox_id', 'webhook_deliveries', ['endpoint_id', 'outbox_id'], unique=True)
    op.create_index('ix_webhook_deliveries_due', 'webhook_deliveries', ['next_attempt_at'], postgresql_where=sa.text("status = 'pending'"))
    op.drop_table('webhook_lines')
    op.drop_index('uq_webhook_endpoints_callback', 'webhook_endpoints')
    op.drop_index('ix_webhook_endpoints_account', 'webhook_endpoints')
    op.create_index('ix_webhook_endpoints_account_id', 'webhook_endpoints', ['account_id'])
    for name in ('session', 'status', 'kind'):
        op.drop_constraint(op.f(f'ck_webhook_endpoints_{name}'), 'webhook_endpoints')
    op.add_column('webhook_endpoints', sa.Column('rung_at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False))
    op.add_column('webhook_endpoints', sa.Column('leased_until', sa.DateTime(timezone=True), nullable=True))
    for name in ('failing_since', 'disabled_reason', 'status', 'events', 'description', 'kind'):
        op.drop_column('webhook_endpoints', name)
    op.alter_column('webhook_endpoints', 'capture_session_id', nullable=False)
    op.drop_index('uq_outbox_account_id_position', 'outbox')
    op.drop_index('uq_outbox_message_id', 'outbox')
    op.drop_index('ix_outbox_unpublished', 'outbox')
    op.create_index('ix_outbox_unpublished', 'outbox', ['id'], postgresql_where=sa.text('published_at is null'))
    op.drop_column('outbox', 'position')
    op.drop_table('outbox_head')
