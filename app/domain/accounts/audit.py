"""The audit: who did what with which key or token, when and from where. Entries are only ever added."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.ids import utc_now
from app.domain.accounts.credentials import Caller, CredentialKind
from app.domain.accounts.models import ApiKey, AuditEntry

Action = Literal[
    "api_key.created",
    "api_key.rotated",
    "api_key.revoked",
    "api_key.used",
    "client_token.created",
    "client_token.revoked",
    "client_token.used",
]


async def record(
    session: AsyncSession,
    account_id: str,
    action: Action,
    subject_id: str,
    *,
    caller: Caller | None,
    address: str | None,
) -> None:
    """Note something that was done in the caller's transaction; without a `caller`, by the operator."""
    session.add(
        AuditEntry(
            account_id=account_id,
            actor_kind=caller.kind if caller else "operator",
            actor_id=caller.credential_id if caller else None,
            action=action,
            subject_id=subject_id,
            address=address,
            outcome="done",
        )
    )
    await session.flush()


async def record_use(
    session: AsyncSession,
    account_id: str,
    kind: CredentialKind,
    credential_id: str,
    *,
    address: str | None,
    outcome: str = "accepted",
) -> None:
    """Note that a credential was shown; once for each credential, address, outcome and day."""
    now = utc_now()
    await session.execute(
        insert(AuditEntry)
        .values(
            account_id=account_id,
            actor_kind=kind,
            actor_id=credential_id,
            action=f"{kind}.used",
            subject_id=credential_id,
            address=address,
            outcome=outcome,
            once=f"{credential_id} {address} {outcome} {now.date()}",
        )
        .on_conflict_do_nothing(index_elements=["once"])
    )
    if kind == "api_key" and outcome == "accepted":
        await session.execute(update(ApiKey).where(ApiKey.id == credential_id).values(last_used_at=now))


async def list_entries(
    session: AsyncSession,
    account_id: str,
    *,
    action: str | None,
    subject_id: str | None,
    before: int | None,
    limit: int,
) -> Sequence[AuditEntry]:
    """The account's entries, the newest first, from before the entry `before`."""
    query = select(AuditEntry).where(AuditEntry.account_id == account_id)
    if action is not None:
        query = query.where(AuditEntry.action == action)
    if subject_id is not None:
        query = query.where(AuditEntry.subject_id == subject_id)
    if before is not None:
        query = query.where(AuditEntry.id < before)
    return (await session.scalars(query.order_by(AuditEntry.id.desc()).limit(limit))).all()


async def purge_entries(session: AsyncSession, kept_days: int) -> None:
    """Forget entries older than this; 0 keeps all."""
    if kept_days:
        await session.execute(
            delete(AuditEntry).where(AuditEntry.created_at < utc_now() - timedelta(days=kept_days))
        )
