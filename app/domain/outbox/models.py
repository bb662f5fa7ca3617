"""The outbox row: something that became true and still has to be carried out of the database."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Identity, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.base.db import Base, Created


class OutboxMessage(Created, Base):
    """An event for sockets and webhooks, or a job for a worker. Written in the transaction it belongs to.

    `id` is given before commit, so it says nothing about commit order: the relay asks for rows that are
    unpublished, never for ids beyond the last one seen. `seq` numbers one capture session's events.
    `position` is given when an event is published, and is the order in which events became readable:
    whoever has seen one has seen all before it, or can ask for what is missing.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        CheckConstraint("kind in ('event', 'job')", name="kind"),
        Index("ix_outbox_unpublished", "kind", "id", postgresql_where=text("published_at is null")),
        Index("uq_outbox_capture_session_id_seq", "capture_session_id", "seq", unique=True),
        Index("uq_outbox_message_id", "message_id", unique=True),
        Index("uq_outbox_account_id_position", "account_id", "position", unique=True),
        Index("uq_outbox_position", "position", unique=True),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    kind: Mapped[str]
    name: Mapped[str]
    message_id: Mapped[str | None]  # the event's public id, constant over retries and transports
    account_id: Mapped[str | None]
    capture_session_id: Mapped[str | None]
    seq: Mapped[int | None]
    position: Mapped[int | None]
    payload: Mapped[dict[str, Any]]
    route: Mapped[dict[str, Any] | None]  # which sockets get an event: see events.Route
    published_at: Mapped[datetime | None]


class OutboxHead(Base):
    """The one row that holds the position of the last published event, and keeps relays from overtaking."""

    __tablename__ = "outbox_head"
    __table_args__ = (CheckConstraint("id = 1", name="single"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    position: Mapped[int]
