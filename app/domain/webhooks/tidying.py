"""Events are kept for a while, and with them what was delivered of them."""

from datetime import datetime
from typing import Any, cast

from sqlalchemy import CursorResult, text
from sqlalchemy.ext.asyncio import AsyncSession

# Ids come in the order of time, so no more than the oldest rows is ever looked at.
_OLD_EVENTS = text(
    """
    delete from outbox where id in (
        select oldest.id
        from (select id, created_at, published_at from outbox order by id limit :limit) oldest
        where oldest.created_at < :older_than and oldest.published_at is not null
        and not exists (
            select from webhook_deliveries delivery
            where delivery.outbox_id = oldest.id and delivery.status = 'pending'
        )
    )
    """
)
_EMPTY_LINES = text(
    """
    delete from webhook_lines where (endpoint_id, key) in (
        select line.endpoint_id, line.key from webhook_lines line
        where line.due_at is null and not exists (
            select from webhook_deliveries delivery
            where delivery.endpoint_id = line.endpoint_id and delivery.line_key = line.key
        )
        limit :limit for update skip locked
    )
    """
)


async def forget_old_events(session: AsyncSession, older_than: datetime, limit: int) -> int:
    """Delete up to `limit` published events of before `older_than` with their deliveries and attempts.

    One that is still being delivered stays until that has ended. Returns how many went.
    """
    old = {"limit": limit, "older_than": older_than}
    gone = cast(CursorResult[Any], await session.execute(_OLD_EVENTS, old))
    if gone.rowcount:
        await session.execute(_EMPTY_LINES, {"limit": limit})
    return gone.rowcount
