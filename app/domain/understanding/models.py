"""Understandings of streams and videos, the analyzers at work in them, and indexes over what these found."""

from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.base.db import Base, Created


class Understanding(Created, Base):
    """A run of analyzers over a stream or a video; `request` is what it was asked for with.

    It has no state of its own: that of its analyzers' outputs is its.
    """

    __tablename__ = "understandings"
    __table_args__ = (CheckConstraint("num_nonnulls(stream_id, asset_id) = 1", name="one_owner"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="cascade"), index=True)
    stream_id: Mapped[str | None] = mapped_column(ForeignKey("streams.id", ondelete="cascade"), index=True)
    asset_id: Mapped[str | None] = mapped_column(ForeignKey("assets.id", ondelete="cascade"), index=True)
    request: Mapped[dict[str, Any]]


class Analyzer(Created, Base):
    """One of a run's analyzers. `output_id` is the index whose records it makes; it is None where no engine
    here does such work, which `notice` says, and where that index was deleted."""

    __tablename__ = "analyzers"
    __table_args__ = (Index("uq_analyzers_understanding_id_name", "understanding_id", "name", unique=True),)

    id: Mapped[str] = mapped_column(primary_key=True)
    understanding_id: Mapped[str] = mapped_column(ForeignKey("understandings.id", ondelete="cascade"))
    position: Mapped[int]
    name: Mapped[str]
    type: Mapped[str]
    config: Mapped[dict[str, Any]]
    output_id: Mapped[str | None] = mapped_column(
        ForeignKey("scene_indexes.id", ondelete="set null"), index=True
    )
    notice: Mapped[str | None]


class NamedIndex(Created, Base):
    """A name over the records of an output, with what they may be asked for (the SDKs' `Index`).

    `field_schema` is one of domain/understanding/fields.py. `spans` are the Unix microseconds
    `[[from, to], …]` within which records belong to it, a `to` of None being open: an index on a stream can
    be stopped and started while its output goes on.
    """

    __tablename__ = "named_indexes"
    __table_args__ = (
        CheckConstraint("num_nonnulls(stream_id, asset_id) = 1", name="one_owner"),
        Index("uq_named_indexes_stream_id_name", "stream_id", "name", unique=True),
        Index("uq_named_indexes_asset_id_name", "asset_id", "name", unique=True),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="cascade"), index=True)
    stream_id: Mapped[str | None] = mapped_column(ForeignKey("streams.id", ondelete="cascade"))
    asset_id: Mapped[str | None] = mapped_column(ForeignKey("assets.id", ondelete="cascade"))
    output_id: Mapped[str] = mapped_column(ForeignKey("scene_indexes.id", ondelete="cascade"), index=True)
    analyzer_type: Mapped[str]
    source: Mapped[dict[str, Any]]
    name: Mapped[str]
    use_for: Mapped[list[Any]]
    field_schema: Mapped[dict[str, Any]]
    is_stopped: Mapped[bool] = mapped_column(default=False)
    spans: Mapped[list[Any]]
