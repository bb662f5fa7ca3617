"""a denser graph of vectors, and words led by their account

A migration must work with the release before it: expand, backfill in batches, contract later. Both indexes
serve its statements too. Writes to `passages` wait while they are built, a million rows for a quarter of an hour.
"""

from typing import Sequence

from alembic import op
revision: str = '3fd1c7a90b52'
down_revision: str | None = 'b7d2f40c9e13'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

GRAPH = {'m': 24, 'ef_construction': 128}


def upgrade() -> None:
    # Where the user may not create it, an operator has made it before; it is a trusted extension.
    op.execute("create extension if not exists btree_gin")
    op.execute("set local statement_timeout = '2h'")
    op.drop_index('ix_passages_vector', table_name='passages')
    op.create_index('ix_passages_vector', 'passages', ['vector'], postgresql_using='hnsw', postgresql_ops={'vector': 'halfvec_ip_ops'}, postgresql_with=GRAPH)
    op.drop_index('ix_passages_search_vector', table_name='passages')
    op.create_index('ix_passages_account_id_search_vector', 'passages', ['account_id', 'search_vector'], postgresql_using='gin')
    op.execute("set local statement_timeout = '5s'")


def downgrade() -> None:
    op.execute("set local statement_timeout = '2h'")
    op.drop_index('ix_passages_account_id_search_vector', table_name='passages')
    op.create_index('ix_passages_search_vector', 'passages', ['search_vector'], postgresql_using='gin')
    op.drop_index('ix_passages_vector', table_name='passages')
    op.create_index('ix_passages_vector', 'passages', ['vector'], postgresql_using='hnsw', postgresql_ops={'vector': 'halfvec_ip_ops'})
    op.execute("set local statement_timeout = '5s'")
    op.execute("drop extension if exists btree_gin")
