"""Long-running operations: work that outlives its request, under a lease, with progress and a result."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.base.db import Base, Created


class Operation(Created, Base):
    """`kind` names the worker's handler; `subject` makes a request idempotent within its account."""

    __tablename__ = "operations"
    __table_args__ = (
        CheckConstraint("status in ('pending', 'running', 'done', 'failed')", name="status"),
        Index("uq_operations_account_id_subject", "account_id", "subject", unique=True),
        Index(
            "ix_operations_unfinished",
            "leased_until",
            postgresql_where=text("status in ('pending', 'running')"),
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="cascade"))
    kind: Mapped[str]
    subject: Mapped[str]
    request: Mapped[dict[str, Any]]
    status: Mapped[str] = mapped_column(default="pending")
    percentage: Mapped[int] = mapped_column(default=0)
    attempts: Mapped[int] = mapped_column(default=0)
    leased_by: Mapped[str | None]
    leased_until: Mapped[datetime | None]
    rung_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    result: Mapped[dict[str, Any] | None]
    error: Mapped[str | None]
    # What the wire answers where the failure is what was asked for, rather than ours.
    error_code: Mapped[str | None]
    error_status: Mapped[int | None]
