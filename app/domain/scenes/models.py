"""Scenes of recordings, in collections that were cut in one way."""

from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.base.db import Base, Created


class SceneCollection(Created, Base):
    """All scenes of a recording, cut by `extraction` (domain/indexes/extraction.py); `digest` is its own, so
    that one recording is cut in one way once."""

    __tablename__ = "scene_collections"
    __table_args__ = (
        CheckConstraint("status in ('building', 'ready', 'failed')", name="status"),
        Index("uq_scene_collections_asset_id_digest", "asset_id", "digest", unique=True),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="cascade"), index=True)
    asset_id: Mapped[str] = mapped_column(ForeignKey("assets.id", ondelete="cascade"))
    extraction: Mapped[dict[str, Any]]
    digest: Mapped[str]
    status: Mapped[str]


class Scene(Created, Base):
    """A stretch of a recording, in microseconds from its start.

    `frames` is `[{"frame_id", "at_us"}, …]`: a picture that stays on the screen is one frame, seen several
    times. `description` is what somebody who asked was told of it last.
    """

    __tablename__ = "scenes"
    __table_args__ = (
        Index("uq_scenes_scene_collection_id_start_us", "scene_collection_id", "start_us", unique=True),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    scene_collection_id: Mapped[str] = mapped_column(ForeignKey("scene_collections.id", ondelete="cascade"))
    start_us: Mapped[int]
    end_us: Mapped[int]
    frames: Mapped[list[Any]]
    description: Mapped[str | None]
