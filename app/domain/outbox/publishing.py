"""Publishing: events leave the outbox in one order, whichever relay carries them."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.ids import utc_now
from app.domain.outbox.models import OutboxHead, OutboxMessage


async def take_events(session: AsyncSession, limit: int) -> list[OutboxMessage]:
    """Publish up to `limit` events, oldest first: they are readable once the caller commits.

    The head row is locked until the caller commits, so that positions become visible in their order and
    without gaps, and two relays never carry one session's events side by side. A session's rows were
    written under its own row's lock: their ids are in the order of their commits.
    """
    head = await session.get_one(OutboxHead, 1, with_for_update=True, populate_existing=True)
    rows = await session.scalars(
        select(OutboxMessage)
        .where(OutboxMessage.published_at.is_(None), OutboxMessage.kind == "event")
        .order_by(OutboxMessage.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    messages = list(rows)
    for message in messages:
        head.position += 1
        message.position, message.published_at = head.position, utc_now()
    await session.flush()
    return messages


async def take_jobs(session: AsyncSession, limit: int) -> list[OutboxMessage]:
    """Up to `limit` unpublished jobs, oldest first, that no other relay holds."""
    rows = await session.scalars(
        select(OutboxMessage)
        .where(OutboxMessage.published_at.is_(None), OutboxMessage.kind == "job")
        .order_by(OutboxMessage.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return list(rows)
