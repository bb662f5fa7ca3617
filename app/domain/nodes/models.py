"""Ingest processes that take media now, each with the address at which publishers reach it."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from app.base.db import Base


class IngestNode(Base):
    """`id` is the publisher id of `streams.publisher`; `rtsps_pin` what publishers check its key against."""

    __tablename__ = "ingest_nodes"

    id: Mapped[str] = mapped_column(primary_key=True)
    rtsps_host: Mapped[str]
    rtsps_port: Mapped[int]
    rtsps_pin: Mapped[str]
    seen_at: Mapped[datetime]
