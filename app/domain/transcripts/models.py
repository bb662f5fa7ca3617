"""What was said: transcriptions that run on streams, speech waiting for words, and utterances."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Computed, ForeignKey, Index, func
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from app.base.db import Base, Created


class Transcription(Created, Base):
    """Live transcription of one stream, running or stopped."""

    __tablename__ = "transcriptions"
    __table_args__ = (
        CheckConstraint("status in ('running', 'stopped')", name="status"),
        CheckConstraint("stop_mode in ('graceful', 'force')", name="stop_mode"),
    )

    stream_id: Mapped[str] = mapped_column(ForeignKey("streams.id", ondelete="cascade"), primary_key=True)
    status: Mapped[str]
    engine: Mapped[str | None]  # as the caller named it
    language: Mapped[str | None]
    stop_mode: Mapped[str | None]
    reason: Mapped[str | None]  # why the last words were not found, where the engine could not
    ws_connection_id: Mapped[str | None]
    updated_at: Mapped[datetime] = mapped_column(
        server_default=func.clock_timestamp(), onupdate=func.clock_timestamp()
    )


class SpeechChunk(Created, Base):
    """One utterance's sound on its way to words; row and object go when it has them.

    Its id is the utterance's. Nobody takes it before `due_at`.
    """

    __tablename__ = "speech_chunks"
    __table_args__ = (Index("ix_speech_chunks_stream_id_started_at_us", "stream_id", "started_at_us"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    stream_id: Mapped[str] = mapped_column(ForeignKey("streams.id", ondelete="cascade"))
    storage_key: Mapped[str] = mapped_column(unique=True)
    started_at_us: Mapped[int]
    ended_at_us: Mapped[int]
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class Utterance(Created, Base):
    """Something said in a stream (Unix microseconds) or in an asset (microseconds from its start).

    `words` is `[{"text", "start_us", "end_us"}, …]` on the same clock. `source_id` is what it was made
    from: the same source never makes two.
    """

    __tablename__ = "utterances"
    __table_args__ = (
        CheckConstraint("num_nonnulls(stream_id, asset_id) = 1", name="one_owner"),
        Index("ix_utterances_stream_id_start_us", "stream_id", "start_us"),
        Index("ix_utterances_asset_id_start_us", "asset_id", "start_us"),
        Index("ix_utterances_search_vector", "search_vector", postgresql_using="gin"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    stream_id: Mapped[str | None] = mapped_column(ForeignKey("streams.id", ondelete="cascade"))
    asset_id: Mapped[str | None] = mapped_column(ForeignKey("assets.id", ondelete="cascade"))
    source_id: Mapped[str] = mapped_column(unique=True)
    start_us: Mapped[int]
    end_us: Mapped[int]
    text: Mapped[str]
    language: Mapped[str | None]
    words: Mapped[list[Any]]
    search_vector: Mapped[Any] = mapped_column(
        TSVECTOR, Computed("to_tsvector('english', text)", persisted=True), deferred=True
    )


class TranscribedPiece(Created, Base):
    """What an operation has understood of an asset up to `end_us`, from where the piece before ended.

    `spoken` is a list of `Spoken` as objects. The rows go when the operation has all of the asset's words.
    """

    __tablename__ = "transcribed_pieces"

    operation_id: Mapped[str] = mapped_column(
        ForeignKey("operations.id", ondelete="cascade"), primary_key=True
    )
    end_us: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    spoken: Mapped[list[Any]]
