"""Collections: the shelves of an account."""

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.base.db import Base, Created


class Collection(Created, Base):
    __tablename__ = "collections"
    __table_args__ = (
        Index(
            "uq_collections_default", "account_id", unique=True, postgresql_where=text("is_default = true")
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="cascade"), index=True)
    name: Mapped[str]
    description: Mapped[str] = mapped_column(default="")
    is_public: Mapped[bool] = mapped_column(default=False)
    is_default: Mapped[bool] = mapped_column(default=False)
    retention_days: Mapped[int | None]  # None: as the setting says; 0: for ever
