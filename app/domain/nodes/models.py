"""Ingest processes that take media now, each with the addresses at which publishers reach it."""

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Mapped, mapped_column

from app.base.db import Base


class IngestNode(Base):
    """`id` is the process's id in `streams.publisher`; `rtsps_pin` what publishers check its key against.

    A process that takes no RTSPS says port 0.
    """

    __tablename__ = "ingest_nodes"

    id: Mapped[str] = mapped_column(primary_key=True)
    whip_url: Mapped[str | None]
    publishers: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    max_publishers: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    rtsps_host: Mapped[str]
    rtsps_port: Mapped[int]
    rtsps_pin: Mapped[str]
    seen_at: Mapped[datetime]
