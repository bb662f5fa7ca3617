"""Webhook endpoints, and one row for each event that an endpoint must receive."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.base.db import Base, Created


class WebhookEndpoint(Created, Base):
    """Where a capture session's events go. One worker at a time holds the lease, so order is kept."""

    __tablename__ = "webhook_endpoints"

    id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="cascade"), index=True)
    capture_session_id: Mapped[str] = mapped_column(index=True)
    url: Mapped[str]
    leased_until: Mapped[datetime | None]
    rung_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class WebhookDelivery(Created, Base):
    """One event on its way to one endpoint."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        CheckConstraint("status in ('pending', 'delivered', 'failed')", name="status"),
        Index("uq_webhook_deliveries_endpoint_id_outbox_id", "endpoint_id", "outbox_id", unique=True),
        Index("ix_webhook_deliveries_due", "next_attempt_at", postgresql_where=text("status = 'pending'")),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    endpoint_id: Mapped[str] = mapped_column(ForeignKey("webhook_endpoints.id", ondelete="cascade"))
    outbox_id: Mapped[int] = mapped_column(ForeignKey("outbox.id", ondelete="cascade"))
    status: Mapped[str] = mapped_column(default="pending")
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime]
    last_status_code: Mapped[int | None]
    last_error: Mapped[str | None]
    delivered_at: Mapped[datetime | None]
