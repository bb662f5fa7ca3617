"""RTStreams, one per captured channel or pulled source, and the segments recorded of them."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from sqlalchemy import CheckConstraint, ForeignKey, Index, false, func, text, true
from sqlalchemy.orm import Mapped, mapped_column

from app.base.db import Base, Created

MediaType = Literal["video", "audio"]


class PublisherState(StrEnum):
    """Whether somebody sends this stream's media."""

    NONE = "none"  # nobody has yet
    LIVE = "live"
    LOST = "lost"  # it went without a word and may come back
    ENDED = "ended"  # it said that it was done


class Stream(Created, Base):
    """A real-time media stream. `publisher` names the ingest process that holds its peer, `publication` the
    one connection that it is: a publisher that comes back is another.

    It is one channel of a capture session, or has a row in `pulls`, and then perhaps picture and sound.
    """

    __tablename__ = "streams"
    __table_args__ = (
        CheckConstraint("status in ('connected', 'stopped')", name="status"),
        CheckConstraint("publisher_state in ('none', 'live', 'lost', 'ended')", name="publisher_state"),
        CheckConstraint("media_type in ('audio', 'video', 'audiovisual')", name="media_type"),
        CheckConstraint("num_nonnulls(capture_session_id, channel_id, category) in (0, 3)", name="origin"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="cascade"), index=True)
    collection_id: Mapped[str] = mapped_column(ForeignKey("collections.id"), index=True)
    capture_session_id: Mapped[str | None] = mapped_column(
        ForeignKey("capture_sessions.id", ondelete="cascade"), index=True
    )
    channel_id: Mapped[str | None] = mapped_column(ForeignKey("channels.id", ondelete="cascade"), unique=True)
    name: Mapped[str]  # mic:default, system_audio:default, display:1; of a pulled stream whatever was asked
    category: Mapped[str | None]  # mic, system_audio, screen: what the SDKs select streams by
    media_type: Mapped[str]
    store: Mapped[bool]
    status: Mapped[str] = mapped_column(default="connected")
    publisher_state: Mapped[str] = mapped_column(default=PublisherState.NONE.value)
    publisher: Mapped[str | None]
    publication: Mapped[str | None]
    publisher_changed_at: Mapped[datetime | None]
    publisher_seen_at: Mapped[datetime | None]
    codec: Mapped[str | None]
    first_media_at: Mapped[datetime | None]
    exported_asset_id: Mapped[str | None] = mapped_column(ForeignKey("assets.id", ondelete="set null"))
    deleted_at: Mapped[datetime | None]  # of its capture session

    @property
    def media_types(self) -> tuple[MediaType, ...]:
        """What it carries, the picture first."""
        if self.media_type == "audiovisual":
            return ("video", "audio")
        return ("video",) if self.media_type == "video" else ("audio",)


class Segment(Created, Base):
    """A recorded piece of a stream, in storage before this row is. Times are Unix microseconds.

    `discontinuity` says that it does not continue the one before: a publisher came, or came back. `hls_index`
    says where its fragments lie, and is None for what no player takes as it is (WebM). Segments of one
    `header_digest` begin with the same header.
    """

    __tablename__ = "segments"
    __table_args__ = (Index("ix_segments_stream_id_started_at_us", "stream_id", "started_at_us"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    stream_id: Mapped[str] = mapped_column(ForeignKey("streams.id", ondelete="cascade"))
    storage_key: Mapped[str] = mapped_column(unique=True)
    codec: Mapped[str]
    started_at_us: Mapped[int]
    duration_us: Mapped[int]
    size_bytes: Mapped[int]
    frame_count: Mapped[int]
    starts_with_keyframe: Mapped[bool]
    discontinuity: Mapped[bool] = mapped_column(default=False, server_default=false())
    width: Mapped[int | None]
    height: Mapped[int | None]
    hls_index: Mapped[dict[str, Any] | None]
    header_digest: Mapped[str | None]

    @property
    def ended_at_us(self) -> int:
        return self.started_at_us + self.duration_us


class StreamSpool(Created, Base):
    """Says that an ingest process's spool may hold media of the stream which storage does not have yet."""

    __tablename__ = "stream_spools"

    stream_id: Mapped[str] = mapped_column(ForeignKey("streams.id", ondelete="cascade"), primary_key=True)
    spool: Mapped[str] = mapped_column(primary_key=True)


class Pull(Created, Base):
    """Where a stream's media is fetched, whether it is wanted now, and when to try next.

    `url` may hold a password: nobody but the stream's account sees it, and then without that. The ingest
    process that holds the connection is the stream's `publisher`.
    """

    __tablename__ = "pulls"
    __table_args__ = (Index("ix_pulls_due", "next_attempt_at", postgresql_where=text("is_wanted")),)

    stream_id: Mapped[str] = mapped_column(ForeignKey("streams.id", ondelete="cascade"), primary_key=True)
    url: Mapped[str]
    sample_rate: Mapped[int | None]  # as the client gave it, and is told it back
    is_wanted: Mapped[bool] = mapped_column(default=True, server_default=true())
    wanted_changed_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    has_begun: Mapped[bool] = mapped_column(default=False, server_default=false())  # brought media since
    attempts: Mapped[int] = mapped_column(default=0, server_default="0")  # in a row that brought little
    next_attempt_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    error: Mapped[str | None]  # why no media comes
