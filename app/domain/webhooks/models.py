"""Webhook endpoints, the lines in which events wait for them, and what each attempt gave."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.base.db import Base, Created


class WebhookEndpoint(Created, Base):
    """Where events go: one capture session's callback, one event's callback, or an account's own endpoint."""

    __tablename__ = "webhook_endpoints"
    __table_args__ = (
        CheckConstraint("kind in ('session', 'callback', 'account')", name="kind"),
        CheckConstraint("status in ('enabled', 'disabled')", name="status"),
        CheckConstraint("(kind = 'session') = (capture_session_id is not null)", name="session"),
        Index(
            "uq_webhook_endpoints_callback",
            "account_id",
            "url",
            unique=True,
            postgresql_where=text("kind = 'callback'"),
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="cascade"))
    kind: Mapped[str]
    capture_session_id: Mapped[str | None] = mapped_column(index=True)
    url: Mapped[str]
    description: Mapped[str] = mapped_column(default="")
    events: Mapped[list[Any] | None]  # the names it wants; none: those that webhooks carry unasked
    status: Mapped[str] = mapped_column(default="enabled")
    disabled_reason: Mapped[str | None]
    failing_since: Mapped[datetime | None]  # the first failure after the last success


# The accounts' own endpoints are few; those of sessions are as many as there were sessions.
Index(
    "ix_webhook_endpoints_account",
    WebhookEndpoint.account_id,
    postgresql_where=WebhookEndpoint.__table__.c.kind == "account",
)


class WebhookLine(Base):
    """One capture session's events before one endpoint: they are sent in order, one at a time.

    `due_at` says when somebody has to look next: when the first of the line is to be sent, or when the lease
    of whoever sends it runs out. Nothing is pending where it is null. `lease` names one claim of one sender.
    """

    __tablename__ = "webhook_lines"
    __table_args__ = (
        Index("ix_webhook_lines_due_at", "due_at", postgresql_where=text("due_at is not null")),
    )

    endpoint_id: Mapped[str] = mapped_column(
        ForeignKey("webhook_endpoints.id", ondelete="cascade"), primary_key=True
    )
    key: Mapped[str] = mapped_column(primary_key=True)  # the session, or the event where it has none
    target: Mapped[str]  # lines of one target share a limit: its account and its URL
    due_at: Mapped[datetime | None]
    lease: Mapped[str | None]


class WebhookDelivery(Created, Base):
    """One event on its way to one endpoint."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        CheckConstraint("status in ('pending', 'delivered', 'failed')", name="status"),
        ForeignKeyConstraint(
            ["endpoint_id", "line_key"],
            ["webhook_lines.endpoint_id", "webhook_lines.key"],
            name="fk_webhook_deliveries_line",
            ondelete="cascade",
        ),
        Index("uq_webhook_deliveries_outbox_id_endpoint_id", "outbox_id", "endpoint_id", unique=True),
        Index(
            "ix_webhook_deliveries_waiting",
            "endpoint_id",
            "line_key",
            "position",
            postgresql_where=text("status = 'pending'"),
        ),
        Index("ix_webhook_deliveries_account_id_id", "account_id", "id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str]
    endpoint_id: Mapped[str]
    line_key: Mapped[str]
    outbox_id: Mapped[int] = mapped_column(ForeignKey("outbox.id", ondelete="cascade"))
    position: Mapped[int]  # the event's, see OutboxMessage
    status: Mapped[str] = mapped_column(default="pending")
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime | None]
    last_status_code: Mapped[int | None]
    last_error: Mapped[str | None]
    delivered_at: Mapped[datetime | None]


class WebhookAttempt(Base):
    """What one attempt gave."""

    __tablename__ = "webhook_attempts"

    id: Mapped[str] = mapped_column(primary_key=True)
    delivery_id: Mapped[str] = mapped_column(
        ForeignKey("webhook_deliveries.id", ondelete="cascade"), index=True
    )
    attempted_at: Mapped[datetime]
    latency_ms: Mapped[int]
    status_code: Mapped[int | None]
    error: Mapped[str | None]
    answer: Mapped[str]  # its first bytes, as text


class WebhookSecret(Created, Base):
    """A signing secret of an account, or of one endpoint. The row is its name; `secrets` derives the rest."""

    __tablename__ = "webhook_secrets"
    __table_args__ = (
        Index(
            "uq_webhook_secrets_current",
            "account_id",
            text("coalesce(endpoint_id, '')"),
            unique=True,
            postgresql_where=text("expires_at is null"),
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="cascade"), index=True)
    endpoint_id: Mapped[str | None] = mapped_column(
        ForeignKey("webhook_endpoints.id", ondelete="cascade"), index=True
    )
    expires_at: Mapped[datetime | None]  # set when another one took its place
