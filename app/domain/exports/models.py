"""What is made of a session's sound and pictures while it records, for its export to copy."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from app.base.db import Base, Created


class MixWindow(Created, Base):
    """A window of the mix of all stored audio; `storage_key` is None until it is first made.

    `made_of` is the digest of the segments in it: where there are others now, it is made again. `placements`
    are the `media.sound.Placement`s of its streams, as lists of their fields.
    """

    __tablename__ = "mix_windows"

    capture_session_id: Mapped[str] = mapped_column(
        ForeignKey("capture_sessions.id", ondelete="cascade"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    leased_by: Mapped[str | None]
    leased_until: Mapped[datetime | None]
    made_of: Mapped[str | None]
    storage_key: Mapped[str | None]
    placements: Mapped[dict[str, Any]] = mapped_column(default=dict)


class ConvertedRun(Created, Base):
    """The H.264 of a run of VP8 segments, which `segment_id` begins. `made_of` is None until it is made, then
    the run's digest; `storage_key` and its times are None as well where no picture of it could be decoded.
    """

    __tablename__ = "converted_runs"

    segment_id: Mapped[str] = mapped_column(ForeignKey("segments.id", ondelete="cascade"), primary_key=True)
    capture_session_id: Mapped[str] = mapped_column(
        ForeignKey("capture_sessions.id", ondelete="cascade"), index=True
    )
    leased_by: Mapped[str | None]
    leased_until: Mapped[datetime | None]
    made_of: Mapped[str | None]
    storage_key: Mapped[str | None]
    started_at_us: Mapped[int | None]
    duration_us: Mapped[int | None]
