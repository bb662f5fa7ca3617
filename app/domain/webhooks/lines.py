"""The lines before endpoints: joining one, being sent again, and asking for a range again."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import case, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.ids import new_id
from app.domain.outbox.models import OutboxMessage
from app.domain.webhooks.models import WebhookDelivery, WebhookEndpoint, WebhookLine

Json = dict[str, Any]


def line_key(message: OutboxMessage) -> str:
    """Events of one session wait for each other; those of none wait for nobody."""
    return message.capture_session_id or message.message_id or str(message.id)


def target_of(account_id: str, url: str) -> str:
    """What lines share a limit by: without the query, which may differ for each session."""
    parts = urlsplit(url)
    return f"{account_id} {parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}{parts.path}"


async def wait_in_line(
    session: AsyncSession,
    wanted: Sequence[tuple[OutboxMessage, WebhookEndpoint]],
    *,
    again: bool = False,
    now: datetime | None = None,
) -> None:
    """Make one delivery of each event for its endpoint. `again` sends what has been sent once more."""
    lines = {
        (endpoint.id, line_key(message)): target_of(endpoint.account_id, endpoint.url)
        for message, endpoint in wanted
    }
    await open_lines(session, lines, now)
    joined = insert(WebhookDelivery).values(
        [
            {
                "id": new_id("whd"),
                "account_id": endpoint.account_id,
                "endpoint_id": endpoint.id,
                "line_key": line_key(message),
                "outbox_id": message.id,
                "position": message.position,
                "status": "pending",
                "attempts": 0,
            }
            for message, endpoint in wanted
        ]
    )
    elements = ["outbox_id", "endpoint_id"]
    await session.execute(
        joined.on_conflict_do_update(index_elements=elements, set_={"status": "pending", "attempts": 0})
        if again
        else joined.on_conflict_do_nothing(index_elements=elements)
    )


async def open_lines(session: AsyncSession, lines: dict[tuple[str, str], str], now: datetime | None) -> None:
    """Have somebody look at these lines: at once at those where nothing waits, else when their time comes.

    With `now` those that wait for their next attempt are looked at then, too. Always taken in one order: two
    transactions that touch the same lines must not wait for each other.
    """
    line = insert(WebhookLine).values(
        [
            {
                "endpoint_id": endpoint_id,
                "key": key,
                "target": lines[endpoint_id, key],
                "due_at": now or func.clock_timestamp(),
            }
            for endpoint_id, key in sorted(lines)
        ]
    )
    # Whoever holds the lease looks again when done: what is being sent is not sent by another beside it.
    is_idle = WebhookLine.due_at.is_(None) if now is None else WebhookLine.lease.is_(None)
    due_at = case((is_idle, line.excluded.due_at), else_=WebhookLine.due_at)
    await session.execute(
        line.on_conflict_do_update(
            index_elements=["endpoint_id", "key"], set_={"due_at": due_at, "target": line.excluded.target}
        )
    )


async def lock_lines(
    session: AsyncSession, lines: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], str | None]:
    """Hold these lines until the transaction ends; returns the lease of each."""
    rows = await session.execute(
        select(WebhookLine.endpoint_id, WebhookLine.key, WebhookLine.lease)
        .where(tuple_(WebhookLine.endpoint_id, WebhookLine.key).in_(sorted(set(lines))))
        .order_by(WebhookLine.endpoint_id, WebhookLine.key)
        .with_for_update(key_share=True)
    )
    return {(row.endpoint_id, row.key): row.lease for row in rows}


async def close_lines(session: AsyncSession, endpoint_id: str, error: str) -> None:
    """Give up all that waits before an endpoint."""
    await session.execute(
        select(WebhookLine.key)
        .where(WebhookLine.endpoint_id == endpoint_id)
        .order_by(WebhookLine.key)
        .with_for_update(key_share=True)
    )
    await session.execute(
        update(WebhookDelivery)
        .where(WebhookDelivery.endpoint_id == endpoint_id, WebhookDelivery.status == "pending")
        .values(status="failed", last_error=error, next_attempt_at=None)
    )
    await session.execute(
        update(WebhookLine).where(WebhookLine.endpoint_id == endpoint_id).values(due_at=None, lease=None)
    )
