"""Finished media: videos, audios and images, and the playbacks that make them watchable."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.base.db import Base, Created


class Asset(Created, Base):
    """One finished file. `storage_key` is written once; `hls_index` says where its fragments lie."""

    __tablename__ = "assets"
    __table_args__ = (CheckConstraint("kind in ('video', 'audio', 'image')", name="kind"),)

    id: Mapped[str] = mapped_column(primary_key=True)  # m-, a- or img-: the SDKs test the prefix
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="cascade"), index=True)
    collection_id: Mapped[str] = mapped_column(ForeignKey("collections.id"), index=True)
    kind: Mapped[str]
    name: Mapped[str]
    description: Mapped[str] = mapped_column(default="")
    length_seconds: Mapped[float] = mapped_column(default=0.0)
    size_bytes: Mapped[int]
    width: Mapped[int | None]
    height: Mapped[int | None]
    storage_key: Mapped[str] = mapped_column(unique=True)
    thumbnail_key: Mapped[str | None]
    media_type: Mapped[str]
    hls_index: Mapped[dict[str, Any] | None]
    playback_slug: Mapped[str | None] = mapped_column(unique=True)
    source_asset_id: Mapped[str | None] = mapped_column(
        ForeignKey("assets.id", ondelete="cascade"), index=True
    )  # the video that an image was taken from, and when in it
    source_at_seconds: Mapped[float | None]
    deleted_at: Mapped[datetime | None]  # it is being erased: no longer there for anybody who asks
    started_at_us: Mapped[int | None]  # wall clock of its second zero, where it was captured


class Playback(Created, Base):
    """Something playable under an unguessable slug; `digest` makes the same request give the same slug.

    `parts` is `[{"asset_id", "start", "end"}, …]` in seconds, played one after the other; or what was
    recorded of one stream, `[{"stream_id", "start_us", "end_us"}]` in Unix microseconds, `end_us` null for
    all that comes; or of all streams of a session, `[{"capture_session_id"}]`.
    """

    __tablename__ = "playbacks"
    __table_args__ = (Index("uq_playbacks_account_id_digest", "account_id", "digest", unique=True),)

    slug: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="cascade"))
    digest: Mapped[str]
    title: Mapped[str]
    parts: Mapped[list[Any]]
