"""a denser graph of vectors

A migration must work with the release before it: expand, backfill in batches, contract later. Its
statements are served as well. Writes to `passages` wait while it is built: a million rows take half an hour.
"""

from typing import Sequence

from alembic import op
revision: str = '3fd1c7a90b52'
down_revision: str | None = 'b2b5c7ebe1b2'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

GRAPH = {'m': 24, 'ef_construction': 128}


def upgrade() -> None:
    op.execute("set local statement_timeout = '2h'")
    op.drop_index('ix_passages_vector', table_name='passages')
    op.create_index('ix_passages_vector', 'passages', ['vector'], postgresql_using='hnsw', postgresql_ops={'vector': 'halfvec_ip_ops'}, postgresql_with=GRAPH)
    op.execute("set local statement_timeout = '5s'")


def downgrade() -> None:
    op.execute("set local statement_timeout = '2h'")
    op.drop_index('ix_passages_vector', table_name='passages')
    op.create_index('ix_passages_vector', 'passages', ['vector'], postgresql_using='hnsw', postgresql_ops={'vector': 'halfvec_ip_ops'})
    op.execute("set local statement_timeout = '5s'")
