"""events by position alone, as the hubs read them"""

from typing import Sequence

from alembic import op

revision: str = '5b0f9c2ad417'
down_revision: str | None = '5b1c0f7a92de'
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_index('uq_outbox_position', 'outbox', ['position'], unique=True)


def downgrade() -> None:
    op.drop_index('uq_outbox_position', 'outbox')
