"""Capture sessions and the channels that a client chose to capture."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Enum, ForeignKey, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from app.base.db import Base, Created
from app.domain.sessions.states import Status

_STATUSES = ", ".join(f"'{status}'" for status in Status)


CLOCK_MARGIN_SECONDS = 60  # a publisher's clock is believed when it is a few seconds behind ours


class CaptureSession(Created, Base):
    __tablename__ = "capture_sessions"
    __table_args__ = (CheckConstraint(f"status in ({_STATUSES})", name="status"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="cascade"), index=True)
    collection_id: Mapped[str] = mapped_column(ForeignKey("collections.id"), index=True)
    end_user_id: Mapped[str]
    status: Mapped[Status] = mapped_column(
        Enum(
            Status,
            native_enum=False,
            length=16,
            values_callable=lambda members: [member.value for member in members],
        ),
        default=Status.CREATED,
    )
    status_changed_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    callback_url: Mapped[str | None]
    ws_connection_id: Mapped[str | None]
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", default=dict)
    primary_video_channel_id: Mapped[str | None]
    end_reason: Mapped[str | None]  # why it ended, where nobody asked it to
    error: Mapped[dict[str, Any] | None]  # {code, message} of a failed session
    exported_video_id: Mapped[str | None] = mapped_column(ForeignKey("assets.id", ondelete="set null"))
    live_slug: Mapped[str | None]  # of the playback that grows while it records
    ingest_node: Mapped[str | None] = mapped_column(index=True)  # the process that takes its media
    last_event_seq: Mapped[int] = mapped_column(default=0)
    deleted_at: Mapped[datetime | None]  # it is being erased: no longer there for anybody who asks

    @property
    def zero_us(self) -> int:
        """The instant that the media time of all its recorded segments counts from, Unix microseconds.

        It lies before anything can be captured: no player takes times below zero.
        """
        return round((self.created_at.timestamp() - CLOCK_MARGIN_SECONDS) * 1e6)


class Channel(Base):
    """One source that a session captures. `wire_id` is the id its client used and is answered with."""

    __tablename__ = "channels"
    __table_args__ = (
        CheckConstraint("media_type in ('audio', 'video')", name="media_type"),
        CheckConstraint("category in ('mic', 'system_audio', 'screen')", name="category"),
        Index("uq_channels_capture_session_id_name", "capture_session_id", "name", unique=True),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    capture_session_id: Mapped[str] = mapped_column(ForeignKey("capture_sessions.id", ondelete="cascade"))
    name: Mapped[str]  # normalised: mic:default, system_audio:default, display:1
    wire_id: Mapped[str]
    label: Mapped[str]
    category: Mapped[str]
    media_type: Mapped[str]
    store: Mapped[bool]
    is_primary: Mapped[bool]
    position: Mapped[int]
