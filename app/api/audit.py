"""The audit, read: what was done with the account's keys and tokens."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.domain.accounts.audit import list_entries
from app.domain.accounts.models import AuditEntry
from app.domain.outbox.envelope import iso
from app.wire.deps import AdminCaller, Session
from app.wire.envelope import Json, success

router = APIRouter(prefix="/audit", tags=["audit"])


@router.get("")
async def list_all(
    caller: AdminCaller,
    session: Session,
    action: str | None = None,
    subject_id: str | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[int | None, Query(ge=0, lt=2**63)] = None,
) -> Json:
    """Entries, the newest first; a use is kept once a day for each credential, address and outcome."""
    rows = await list_entries(
        session,
        caller.account_id,
        action=action,
        subject_id=subject_id,
        before=cursor,
        limit=limit + 1,
    )
    page = rows[:limit]
    more = page[-1].id if len(rows) > limit else None
    return success({"entries": [_shape(row) for row in page], "next_page": more})


def _shape(entry: AuditEntry) -> Json:
    return {
        "id": entry.id,
        "at": iso(entry.created_at),
        "action": entry.action,
        "outcome": entry.outcome,
        "actor": {"kind": entry.actor_kind, "id": entry.actor_id},
        "subject_id": entry.subject_id,
        "address": entry.address,
    }
