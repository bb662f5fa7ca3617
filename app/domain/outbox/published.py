"""Published events as sockets get them: read by position, from wherever somebody has left off."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import NotFound
from app.domain.outbox.models import OutboxHead, OutboxMessage

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PublishedEvent:
    """An event's frames and the sockets they are for: `route` is an `events.Route`.

    Without a position it is of the moment only: it is in no order, and is not kept.
    """

    account_id: str
    route: Json
    frames: list[Json]
    event_id: str | None = None
    position: int | None = None
    may_be_skipped: bool = False


def published(message: OutboxMessage) -> PublishedEvent:
    """The event of an outbox row that has its position."""
    return PublishedEvent(
        account_id=message.account_id or "",
        route=message.route or {},
        frames=message.payload["frames"],
        event_id=message.message_id,
        position=message.position,
    )


async def head_position(session: AsyncSession) -> int:
    """The position of the last event that was published."""
    return (await session.get_one(OutboxHead, 1)).position


async def read_published(session: AsyncSession, *, after: int, limit: int) -> list[PublishedEvent]:
    """Up to `limit` events of all accounts that follow the position `after`, in order."""
    return await _read(session, _columns().where(OutboxMessage.position > after).limit(limit))


async def read_published_to(
    session: AsyncSession, account_id: str, *, after: int, upto: int, limit: int
) -> list[PublishedEvent]:
    """Up to `limit` events of the account with positions beyond `after`, not beyond `upto`, in order."""
    return await _read(
        session,
        _columns()
        .where(
            OutboxMessage.account_id == account_id,
            OutboxMessage.position > after,
            OutboxMessage.position <= upto,
        )
        .limit(limit),
    )


async def last_event_id(session: AsyncSession, account_id: str, upto: int) -> str | None:
    """The account's latest event that is not beyond the position `upto`."""
    found: str | None = await session.scalar(
        select(OutboxMessage.message_id)
        .where(OutboxMessage.account_id == account_id, OutboxMessage.position <= upto)
        .order_by(OutboxMessage.position.desc())
        .limit(1)
    )
    return found


async def position_to_resume(session: AsyncSession, account_id: str, event_id: str) -> int:
    """What to read after for who has seen the event last; 0, all that is kept, for an empty id.

    One of several frames comes again: which of them was seen is not known. Raises `NotFound`.
    """
    if not event_id:
        return 0
    frames = OutboxMessage.payload["frames"]
    row = (
        await session.execute(
            select(OutboxMessage.position, func.jsonb_array_length(frames).label("frames")).where(
                OutboxMessage.message_id == event_id,
                OutboxMessage.account_id == account_id,
                OutboxMessage.position.is_not(None),
            )
        )
    ).one_or_none()
    if row is None:
        message = f"no event {event_id[:100]}: unknown, or older than events are kept"
        raise NotFound(message, field="last_event_id")
    position: int = row.position
    return position - 1 if row.frames > 1 else position


def _columns() -> Select[Any]:
    return select(
        OutboxMessage.account_id,
        OutboxMessage.route,
        OutboxMessage.payload["frames"].label("frames"),
        OutboxMessage.message_id,
        OutboxMessage.position,
    ).order_by(OutboxMessage.position)


async def _read(session: AsyncSession, query: Select[Any]) -> list[PublishedEvent]:
    return [PublishedEvent(*row) for row in await session.execute(query)]
