"""Indexes of what a stream or an asset shows or says, and the records that they are made of."""

from datetime import datetime
from typing import Any

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import CheckConstraint, Computed, ForeignKey, Index, func, text
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from app.base.db import Base, Created


class SceneIndex(Created, Base):
    """One prompt, applied over and over to a stream's pictures or words (the SDKs' "scene index").

    `extraction` is one of domain/indexes/extraction.py. `prompt_changed_at` says from when on records follow
    the present prompt. `notice` says in words what its latest records had to do without, `engines_notice`
    which engines are missing; None when nothing is.
    """

    __tablename__ = "scene_indexes"
    __table_args__ = (
        CheckConstraint("num_nonnulls(stream_id, asset_id) = 1", name="one_owner"),
        CheckConstraint("kind in ('visual', 'audio')", name="kind"),
        CheckConstraint("status in ('running', 'stopped', 'building', 'ready', 'failed')", name="status"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="cascade"), index=True)
    stream_id: Mapped[str | None] = mapped_column(ForeignKey("streams.id", ondelete="cascade"), index=True)
    asset_id: Mapped[str | None] = mapped_column(ForeignKey("assets.id", ondelete="cascade"), index=True)
    kind: Mapped[str]
    name: Mapped[str]
    prompt: Mapped[str]
    prompt_changed_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    model_name: Mapped[str | None]
    extraction: Mapped[dict[str, Any]]
    status: Mapped[str]
    notice: Mapped[str | None]
    engines_notice: Mapped[str | None]
    ws_connection_id: Mapped[str | None]
    updated_at: Mapped[datetime] = mapped_column(
        server_default=func.clock_timestamp(), onupdate=func.clock_timestamp()
    )

    @property
    def told_notice(self) -> str | None:
        """Both in words."""
        return " ".join(one for one in (self.notice, self.engines_notice) if one) or None


class ScreenFrame(Created, Base):
    """A picture of a stream or an asset that differs from the one before, in storage before this row is.

    `lines` is what is written on it (domain/indexes/screens.py), None until it has been read.
    `picture_vector` is what it shows, by the model and weights that `picture_space` names. `description` is
    what somebody who asked was told of it last.
    """

    __tablename__ = "screen_frames"
    __table_args__ = (
        CheckConstraint("num_nonnulls(stream_id, asset_id) = 1", name="one_owner"),
        Index("ix_screen_frames_stream_id_at_us", "stream_id", "at_us"),
        Index("ix_screen_frames_asset_id_at_us", "asset_id", "at_us"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    stream_id: Mapped[str | None] = mapped_column(ForeignKey("streams.id", ondelete="cascade"))
    asset_id: Mapped[str | None] = mapped_column(ForeignKey("assets.id", ondelete="cascade"))
    storage_key: Mapped[str] = mapped_column(unique=True)
    at_us: Mapped[int]
    width: Mapped[int]
    height: Mapped[int]
    lines: Mapped[list[Any] | None]
    description: Mapped[str | None]
    picture_vector: Mapped[Any | None] = mapped_column(HALFVEC(), deferred=True)
    picture_space: Mapped[str | None]


class IndexWindow(Created, Base):
    """A stretch of a stream that waits to become records; the row goes when it has.

    `frames` are the ids of the pictures shown in it, in order; the first may be older than the window. From
    `due_at` on housekeeping rings for it. It `is_ready` once nothing that it is made of is on its way.
    """

    __tablename__ = "index_windows"
    __table_args__ = (Index("uq_index_windows_index_id_start_us", "index_id", "start_us", unique=True),)

    id: Mapped[str] = mapped_column(primary_key=True)
    index_id: Mapped[str] = mapped_column(ForeignKey("scene_indexes.id", ondelete="cascade"))
    start_us: Mapped[int]
    end_us: Mapped[int]
    frames: Mapped[list[Any]]
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime] = mapped_column(index=True)
    is_ready: Mapped[bool] = mapped_column(server_default=text("true"))


class IndexRecord(Created, Base):
    """What an index found between two instants, on its owner's clock in microseconds.

    `source_id` is what it was made from: the same window or words never make two. `details` holds the
    evidence: screen text, words, what changed.
    """

    __tablename__ = "index_records"
    __table_args__ = (
        Index("uq_index_records_index_id_source_id", "index_id", "source_id", unique=True),
        Index("ix_index_records_index_id_start_us", "index_id", "start_us"),
        Index("ix_index_records_search_vector", "search_vector", postgresql_using="gin"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    index_id: Mapped[str] = mapped_column(ForeignKey("scene_indexes.id", ondelete="cascade"))
    source_id: Mapped[str]
    start_us: Mapped[int]
    end_us: Mapped[int]
    text: Mapped[str]
    details: Mapped[dict[str, Any]]
    search_vector: Mapped[Any] = mapped_column(
        TSVECTOR, Computed("to_tsvector('english', text)", persisted=True), deferred=True
    )
