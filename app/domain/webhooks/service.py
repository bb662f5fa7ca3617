"""Which endpoint gets which event, in which order, and when a failed delivery is tried again."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import InvalidRequest
from app.base.ids import new_id, utc_now
from app.domain.outbox.jobs import RING_AGAIN_SECONDS, Job, enqueue
from app.domain.outbox.models import OutboxMessage
from app.domain.webhooks.models import WebhookDelivery, WebhookEndpoint

RETRY_SECONDS = (5, 30, 120, 600, 3600, 3600 * 6)
LEASE_SECONDS = 90  # the 60 s limit of one attempt, and room to write its result


@dataclass(frozen=True, slots=True)
class DueDelivery:
    delivery_id: str
    url: str
    message_id: str
    body: dict[str, Any]


def check_callback_url(url: str) -> str:
    """Return `url`. Raises `InvalidRequest` unless it is an absolute http or https URL."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise InvalidRequest("callback_url must be an absolute http or https URL", field="callback_url")
    return url


async def add_endpoint(session: AsyncSession, account_id: str, capture_session_id: str, url: str) -> None:
    """Send a capture session's events to `url`, once however often it is added."""
    known = await session.scalar(
        select(WebhookEndpoint.id).where(
            WebhookEndpoint.capture_session_id == capture_session_id, WebhookEndpoint.url == url
        )
    )
    if known is None:
        session.add(
            WebhookEndpoint(
                id=new_id("we"), account_id=account_id, capture_session_id=capture_session_id, url=url
            )
        )
        await session.flush()


async def fan_out(session: AsyncSession, message: OutboxMessage) -> None:
    """Make one delivery of an event for each endpoint that wants it, and ask for them to be sent."""
    if "envelope" not in message.payload or message.capture_session_id is None:
        return
    endpoints = await session.scalars(
        select(WebhookEndpoint.id).where(WebhookEndpoint.capture_session_id == message.capture_session_id)
    )
    for endpoint_id in endpoints:
        session.add(
            WebhookDelivery(
                id=new_id("whd"), endpoint_id=endpoint_id, outbox_id=message.id, next_attempt_at=utc_now()
            )
        )
        await enqueue(session, Job.DELIVER_WEBHOOKS, endpoint_id)


async def take_lease(session: AsyncSession, endpoint_id: str) -> bool:
    """Become the only sender to this endpoint for `LEASE_SECONDS`; False if another one is."""
    now = utc_now()
    taken = await session.execute(
        update(WebhookEndpoint)
        .where(
            WebhookEndpoint.id == endpoint_id,
            or_(WebhookEndpoint.leased_until.is_(None), WebhookEndpoint.leased_until < now),
        )
        .values(leased_until=now + timedelta(seconds=LEASE_SECONDS))
        .returning(WebhookEndpoint.id)
    )
    return taken.scalar_one_or_none() is not None


async def next_delivery(session: AsyncSession, endpoint_id: str) -> DueDelivery | None:
    """Return the endpoint's oldest pending delivery if it is due, and extend the lease; else give it up.

    Only the oldest is ever sent: an event waits for the ones before it.
    """
    row = (
        await session.execute(
            select(WebhookDelivery, WebhookEndpoint, OutboxMessage)
            .join(WebhookEndpoint, WebhookEndpoint.id == WebhookDelivery.endpoint_id)
            .join(OutboxMessage, OutboxMessage.id == WebhookDelivery.outbox_id)
            .where(WebhookDelivery.endpoint_id == endpoint_id, WebhookDelivery.status == "pending")
            .order_by(OutboxMessage.seq)
            .limit(1)
        )
    ).one_or_none()
    due = row is not None and row[0].next_attempt_at <= utc_now()
    until = utc_now() + timedelta(seconds=LEASE_SECONDS) if due else None
    await session.execute(
        update(WebhookEndpoint).where(WebhookEndpoint.id == endpoint_id).values(leased_until=until)
    )
    if row is None or not due:
        return None
    delivery, endpoint, message = row
    return DueDelivery(delivery.id, endpoint.url, message.message_id or "", message.payload["envelope"])


async def record_attempt(
    session: AsyncSession, delivery_id: str, *, status_code: int | None, error: str | None
) -> None:
    """Keep what an attempt gave: 2xx is delivered; anything else waits for its next try or fails for good."""
    delivery = await session.get_one(WebhookDelivery, delivery_id, with_for_update=True)
    delivery.attempts += 1
    delivery.last_status_code = status_code
    delivery.last_error = error
    if status_code is not None and 200 <= status_code < 300:
        delivery.status, delivery.delivered_at = "delivered", utc_now()
    elif delivery.attempts > len(RETRY_SECONDS):
        delivery.status = "failed"
    else:
        delivery.next_attempt_at = utc_now() + timedelta(seconds=RETRY_SECONDS[delivery.attempts - 1])


async def ring_due(session: AsyncSession) -> None:
    """Ask for every endpoint with a due delivery that nobody is sending to."""
    now = utc_now()
    due = (
        select(WebhookDelivery.id)
        .where(
            WebhookDelivery.endpoint_id == WebhookEndpoint.id,
            WebhookDelivery.status == "pending",
            WebhookDelivery.next_attempt_at <= now,
            or_(
                WebhookEndpoint.rung_at < WebhookDelivery.next_attempt_at,
                WebhookEndpoint.rung_at < now - timedelta(seconds=RING_AGAIN_SECONDS),
            ),
        )
        .exists()
    )
    endpoints = await session.scalars(
        update(WebhookEndpoint)
        .where(or_(WebhookEndpoint.leased_until.is_(None), WebhookEndpoint.leased_until < now), due)
        .values(rung_at=now)
        .returning(WebhookEndpoint.id)
        .execution_options(synchronize_session=False)
    )
    for endpoint_id in endpoints.all():
        await enqueue(session, Job.DELIVER_WEBHOOKS, endpoint_id)
