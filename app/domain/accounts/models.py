"""Accounts, the credentials that act for them, and what was done with those; of secrets hashes are kept."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Identity, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.base.db import Base, Created


class Account(Created, Base):
    __tablename__ = "accounts"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]


class ApiKey(Created, Base):
    """A server-side key (`sk-…`). `scopes` are of `credentials.Scope`; `hint` is how its secret ends."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="cascade"), index=True)
    name: Mapped[str]
    secret_hash: Mapped[str] = mapped_column(unique=True)
    hint: Mapped[str | None]
    scopes: Mapped[list[Any]]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]  # to the minute


class ClientToken(Created, Base):
    """A short-lived token (`st-…`) for one desktop client: capture calls, ingest and the WebSocket.

    One that is bound is good for a single capture session, and with `channels` for those of it alone.
    """

    __tablename__ = "client_tokens"

    id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="cascade"), index=True)
    user_id: Mapped[str | None]
    secret_hash: Mapped[str] = mapped_column(unique=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)
    revoked_at: Mapped[datetime | None]
    capture_session_id: Mapped[str | None] = mapped_column(
        ForeignKey("capture_sessions.id", ondelete="cascade"), index=True
    )
    channels: Mapped[list[Any] | None]


class AuditEntry(Created, Base):
    """What was done with a key or token, by whom, from where and how it ended. Never changed once written.

    `actor_id` is the key or token that acted, `subject_id` the one that was acted on. `once` keeps what
    repeats to one entry for each credential, address and day.
    """

    __tablename__ = "audit_entries"
    __table_args__ = (Index("ix_audit_entries_account_id_id", "account_id", "id"),)

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="cascade"))
    actor_kind: Mapped[str]  # api_key, client_token or operator
    actor_id: Mapped[str | None]
    action: Mapped[str]
    subject_id: Mapped[str | None]
    address: Mapped[str | None]
    outcome: Mapped[str]
    once: Mapped[str | None] = mapped_column(unique=True)
