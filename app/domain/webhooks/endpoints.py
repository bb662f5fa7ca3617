"""An account's own endpoints: made, changed, tested, disabled; and asking for events once more."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import Conflict, InvalidRequest, NotFound
from app.base.ids import new_id
from app.domain.outbox.account_events import EndpointDisabled, Ping
from app.domain.outbox.events import LIFECYCLE_NAMES, UNASKED_NAMES, Route, emit, ring
from app.domain.outbox.listing import position_of
from app.domain.outbox.models import OutboxMessage
from app.domain.webhooks.lines import close_lines, open_lines, target_of, wait_in_line
from app.domain.webhooks.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from app.domain.webhooks.service import NOTIFY_CHANNEL, check_callback_url

MAX_ENDPOINTS = 100  # each event of the account is compared with all of them


async def create_endpoint(
    session: AsyncSession, account_id: str, *, url: str, events: Sequence[str], description: str
) -> WebhookEndpoint:
    """Make an endpoint for the account's events of these names, of those that need no asking without any."""
    if len(await list_endpoints(session, account_id)) >= MAX_ENDPOINTS:
        raise Conflict(f"an account has at most {MAX_ENDPOINTS} webhook endpoints")
    endpoint = WebhookEndpoint(
        id=new_id("we"),
        account_id=account_id,
        kind="account",
        url=check_callback_url(url, "url"),
        description=description,
        events=list(events) or None,
        status="enabled",
    )
    session.add(endpoint)
    await session.flush()
    await session.refresh(endpoint)
    return endpoint


async def list_endpoints(session: AsyncSession, account_id: str) -> list[WebhookEndpoint]:
    """The account's own endpoints, the oldest first."""
    rows = await session.scalars(
        select(WebhookEndpoint)
        .where(WebhookEndpoint.account_id == account_id, WebhookEndpoint.kind == "account")
        .order_by(WebhookEndpoint.id)
    )
    return list(rows)


async def get_endpoint(session: AsyncSession, account_id: str, endpoint_id: str) -> WebhookEndpoint:
    """One of the account's own endpoints, or a callback's. Raises `NotFound`."""
    endpoint = await session.get(WebhookEndpoint, endpoint_id)
    if endpoint is None or endpoint.account_id != account_id:
        raise NotFound(f"no webhook endpoint {endpoint_id[:100]}")
    return endpoint


async def enable(session: AsyncSession, endpoint: WebhookEndpoint) -> None:
    """Let it have what comes from now on; what it missed comes by a replay."""
    endpoint.status, endpoint.disabled_reason, endpoint.failing_since = "enabled", None, None
    await session.flush()


async def disable(session: AsyncSession, endpoint_id: str, reason: str, *, announce: bool = True) -> None:
    """Send nothing there any more, what waits included; an event of the account says so.

    Its lines come before it, as they do when attempts are recorded: two transactions take both in one order.
    """
    await close_lines(session, endpoint_id, "the endpoint is disabled")
    endpoint = await session.get(
        WebhookEndpoint, endpoint_id, with_for_update={"key_share": True}, populate_existing=True
    )
    if endpoint is None or endpoint.status == "disabled":
        return
    endpoint.status, endpoint.disabled_reason = "disabled", reason
    await session.flush()
    if announce:
        await emit(
            session,
            EndpointDisabled(endpoint.id, reason, endpoint.capture_session_id),
            account_id=endpoint.account_id,
            route=await _route(session, endpoint),
        )


async def ping(session: AsyncSession, endpoint: WebhookEndpoint) -> OutboxMessage:
    """Send this endpoint, and no other, a `webhook.ping`. Raises `Conflict` where it is disabled."""
    _require_enabled(endpoint)
    return await emit(
        session,
        Ping(endpoint.id),
        account_id=endpoint.account_id,
        route=Route(None),
        endpoint_id=endpoint.id,
    )


async def get_delivery(session: AsyncSession, account_id: str, delivery_id: str) -> WebhookDelivery:
    """Raises `NotFound`."""
    delivery = await session.get(WebhookDelivery, delivery_id)
    if delivery is None or delivery.account_id != account_id:
        raise NotFound(f"no webhook delivery {delivery_id[:100]}")
    return delivery


async def list_deliveries(
    session: AsyncSession,
    account_id: str,
    *,
    endpoint_id: str | None,
    status: str | None,
    event_id: str | None,
    capture_session_id: str | None,
    before: str | None,
    limit: int,
) -> list[tuple[WebhookDelivery, OutboxMessage]]:
    """The account's deliveries with their events, newest first, older than the delivery `before`."""
    query = (
        select(WebhookDelivery, OutboxMessage)
        .join(OutboxMessage, OutboxMessage.id == WebhookDelivery.outbox_id)
        .where(WebhookDelivery.account_id == account_id)
    )
    for column, value in (
        (WebhookDelivery.endpoint_id, endpoint_id),
        (WebhookDelivery.status, status),
        (OutboxMessage.message_id, event_id),
        (OutboxMessage.capture_session_id, capture_session_id),
    ):
        query = query.where(column == value) if value else query
    query = query.where(WebhookDelivery.id < before) if before else query
    rows = await session.execute(query.order_by(WebhookDelivery.id.desc()).limit(limit))
    return [(row[0], row[1]) for row in rows]


async def list_attempts(session: AsyncSession, delivery_id: str) -> list[WebhookAttempt]:
    """What each attempt gave, the first one first."""
    rows = await session.scalars(
        select(WebhookAttempt).where(WebhookAttempt.delivery_id == delivery_id).order_by(WebhookAttempt.id)
    )
    return list(rows)


async def redeliver(session: AsyncSession, delivery: WebhookDelivery, now: datetime) -> None:
    """Send an event once more, or at once where it waits for its next attempt, with all its attempts anew.

    Raises `Conflict` where the endpoint is disabled.
    """
    endpoint = await session.get_one(WebhookEndpoint, delivery.endpoint_id)
    _require_enabled(endpoint)
    target = target_of(endpoint.account_id, endpoint.url)
    await open_lines(session, {(delivery.endpoint_id, delivery.line_key): target}, now)
    delivery.status, delivery.attempts, delivery.next_attempt_at = "pending", 0, None
    await session.flush()
    await ring(session, NOTIFY_CHANNEL)


@dataclass(frozen=True, slots=True)
class EventRange:
    """Which events to replay: after one of them, or from a time on, up to a time; of a session alone."""

    after: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    capture_session_id: str | None = None
    undelivered_only: bool = False


@dataclass(frozen=True, slots=True)
class Replayed:
    """How many were queued; with `next_after` there is more of the range after that event."""

    count: int
    next_after: str | None


async def replay(
    session: AsyncSession, endpoint: WebhookEndpoint, wanted: EventRange, now: datetime, limit: int
) -> Replayed:
    """Send the endpoint the range's events that it wants, in their order, at most `limit` at a time.

    Raises `Conflict` where it is disabled, `NotFound` for an unknown `after`, `InvalidRequest` for a range
    that ends before it begins.
    """
    _require_enabled(endpoint)
    if wanted.since and wanted.until and wanted.until <= wanted.since:
        raise InvalidRequest("until must come after since", field="until")
    names = LIFECYCLE_NAMES if endpoint.kind == "session" else endpoint.events or UNASKED_NAMES
    query = select(OutboxMessage).where(
        OutboxMessage.account_id == endpoint.account_id,
        OutboxMessage.kind == "event",
        OutboxMessage.position.is_not(None),
        OutboxMessage.name.in_(names),
    )
    session_id = endpoint.capture_session_id or wanted.capture_session_id
    if session_id:
        query = query.where(OutboxMessage.capture_session_id == session_id)
    if wanted.after:
        after = await position_of(session, endpoint.account_id, wanted.after)
        query = query.where(OutboxMessage.position > after)
    query = query.where(OutboxMessage.created_at >= wanted.since) if wanted.since else query
    query = query.where(OutboxMessage.created_at < wanted.until) if wanted.until else query
    if wanted.undelivered_only:
        query = query.where(
            ~select(WebhookDelivery.id)
            .where(
                WebhookDelivery.outbox_id == OutboxMessage.id,
                WebhookDelivery.endpoint_id == endpoint.id,
                WebhookDelivery.status != "failed",
            )
            .exists()
        )
    messages = list(await session.scalars(query.order_by(OutboxMessage.position).limit(limit + 1)))
    page = messages[:limit]
    if page:
        await wait_in_line(session, [(message, endpoint) for message in page], again=True, now=now)
        await ring(session, NOTIFY_CHANNEL)
    return Replayed(len(page), page[-1].message_id if len(messages) > limit else None)


def _require_enabled(endpoint: WebhookEndpoint) -> None:
    if endpoint.status == "disabled":
        raise Conflict("this endpoint is disabled: enable it first")


async def _route(session: AsyncSession, endpoint: WebhookEndpoint) -> Route:
    """The sockets of its session's collection; of all collections for an endpoint of the account."""
    if endpoint.capture_session_id is None:
        return Route(None)
    route = await session.scalar(
        select(OutboxMessage.route)
        .where(OutboxMessage.capture_session_id == endpoint.capture_session_id)
        .limit(1)
    )
    return Route(route["collection_id"] if route else None)
