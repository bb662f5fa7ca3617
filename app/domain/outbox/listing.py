"""Reading published events in their order, so that a receiver can make up for what it missed."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import InvalidRequest, NotFound
from app.domain.outbox.envelope import Json
from app.domain.outbox.events import EVENT_NAMES
from app.domain.outbox.models import OutboxMessage


@dataclass(frozen=True, slots=True)
class EventPage:
    """Envelopes in the order of publishing. `next_after` is the last one's id, or what was asked for."""

    events: list[Json]
    next_after: str | None
    has_more: bool


def check_names(names: Sequence[str], field: str) -> tuple[str, ...]:
    """Event names as asked for, `capture_session.*` spelled out. Raises `InvalidRequest`."""
    found: list[str] = []
    for name in names:
        prefix = name.removesuffix("*")
        meant = [one for one in EVENT_NAMES if one == name or (name != prefix and one.startswith(prefix))]
        if not meant:
            known = ", ".join(EVENT_NAMES)
            raise InvalidRequest(f"{field}: there is no event {name[:100]!r}, but {known}", field=field)
        found.extend(meant)
    return tuple(dict.fromkeys(found))


async def position_of(session: AsyncSession, account_id: str, event_id: str) -> int | None:
    """An event's place in the order, None while it is not published. Raises `NotFound`."""
    row = (
        await session.execute(
            select(OutboxMessage.position).where(
                OutboxMessage.message_id == event_id, OutboxMessage.account_id == account_id
            )
        )
    ).one_or_none()
    if row is None:
        raise NotFound(f"no event {event_id[:100]}: unknown, or older than events are kept", field="after")
    found: int | None = row[0]
    return found


async def list_events(
    session: AsyncSession,
    account_id: str,
    *,
    after: str | None,
    names: Sequence[str],
    capture_session_id: str | None,
    limit: int,
) -> EventPage:
    """The account's events that follow the event `after`, all from the oldest without one.

    Nothing is missed: an event is given its place when it becomes visible, never before one that is already
    visible. Raises `NotFound` where `after` is not an event of this account that is still kept.
    """
    query = select(OutboxMessage).where(
        OutboxMessage.account_id == account_id,
        OutboxMessage.kind == "event",
        OutboxMessage.position.is_not(None),
    )
    if after:
        position = await position_of(session, account_id, after)
        if position is None:
            return EventPage([], after, has_more=False)
        query = query.where(OutboxMessage.position > position)
    if names:
        query = query.where(OutboxMessage.name.in_(names))
    if capture_session_id:
        query = query.where(OutboxMessage.capture_session_id == capture_session_id)
    rows = list(await session.scalars(query.order_by(OutboxMessage.position).limit(limit + 1)))
    page = rows[:limit]
    return EventPage(
        [row.payload["envelope"] for row in page],
        page[-1].message_id if page else after,
        has_more=len(rows) > limit,
    )
