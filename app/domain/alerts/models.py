"""Event rules in plain words, the alerts that watch an index for them, and each time that one fired."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.base.db import Base, Created


class EventRule(Created, Base):
    """What an account wants to be told of, in its own words (the SDKs' "event")."""

    __tablename__ = "event_rules"

    id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="cascade"), index=True)
    prompt: Mapped[str]
    label: Mapped[str]


class Alert(Created, Base):
    """A rule that is held against each record of one index while it is enabled.

    With `named_index_id` it was made on that index over the same records, and sleeps while that is stopped.
    """

    __tablename__ = "alerts"
    __table_args__ = (CheckConstraint("status in ('enabled', 'disabled')", name="status"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    index_id: Mapped[str] = mapped_column(ForeignKey("scene_indexes.id", ondelete="cascade"), index=True)
    rule_id: Mapped[str] = mapped_column(ForeignKey("event_rules.id", ondelete="cascade"), index=True)
    named_index_id: Mapped[str | None] = mapped_column(
        ForeignKey("named_indexes.id", ondelete="cascade"), index=True
    )
    callback_url: Mapped[str | None]
    ws_connection_id: Mapped[str | None]
    status: Mapped[str] = mapped_column(default="enabled")


class RecordToMatch(Base):
    """A record that the alerts of its index still have to be held against; the row goes when they were.

    From `due_at` on housekeeping rings for it.
    """

    __tablename__ = "records_to_match"

    record_id: Mapped[str] = mapped_column(
        ForeignKey("index_records.id", ondelete="cascade"), primary_key=True
    )
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime] = mapped_column(index=True)


class AlertMatch(Base):
    """A record lies within an episode of an alert: it fired for it, or had fired and it went on."""

    __tablename__ = "alert_matches"

    alert_id: Mapped[str] = mapped_column(ForeignKey("alerts.id", ondelete="cascade"), primary_key=True)
    record_id: Mapped[str] = mapped_column(
        ForeignKey("index_records.id", ondelete="cascade"), primary_key=True, index=True
    )
    confidence: Mapped[float]


class AlertFiring(Created, Base):
    """An alert matched a record, with a confidence from 0 to 1. A record fires an alert at most once."""

    __tablename__ = "alert_firings"
    __table_args__ = (Index("uq_alert_firings_alert_id_record_id", "alert_id", "record_id", unique=True),)

    id: Mapped[str] = mapped_column(primary_key=True)
    alert_id: Mapped[str] = mapped_column(ForeignKey("alerts.id", ondelete="cascade"))
    record_id: Mapped[str] = mapped_column(ForeignKey("index_records.id", ondelete="cascade"), index=True)
    confidence: Mapped[float]
    explanation: Mapped[str]
