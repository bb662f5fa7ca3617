"""Files that lie in storage until somebody makes assets of them."""

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.base.db import Base, Created


class Upload(Created, Base):
    """One file under `upload_key`, or one about to be; written before the file, so that none is forgotten."""

    __tablename__ = "uploads"
    __table_args__ = (Index("ix_uploads_created_at", "created_at"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="cascade"), index=True)
