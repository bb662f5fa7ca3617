"""What was delivered where, each attempt of it, and sending one again."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query

from app.base.ids import utc_now
from app.domain.outbox.envelope import iso
from app.domain.outbox.models import OutboxMessage
from app.domain.webhooks import endpoints
from app.domain.webhooks.models import WebhookAttempt, WebhookDelivery
from app.wire.deps import ServerCaller, Session
from app.wire.envelope import Json, success

router = APIRouter(prefix="/webhooks/deliveries", tags=["webhooks"])

Id = Annotated[str | None, Query(max_length=100)]


@router.get("")
async def list_all(
    caller: ServerCaller,
    session: Session,
    endpoint_id: Id = None,
    status: Literal["pending", "delivered", "failed"] | None = None,
    event_id: Id = None,
    capture_session_id: Id = None,
    cursor: Id = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> Json:
    """Deliveries, newest first."""
    rows = await endpoints.list_deliveries(
        session,
        caller.account_id,
        endpoint_id=endpoint_id,
        status=status,
        event_id=event_id,
        capture_session_id=capture_session_id,
        before=cursor,
        limit=limit + 1,
    )
    page = rows[:limit]
    next_page = page[-1][0].id if len(rows) > limit else None
    return success({"deliveries": [_shape(*row) for row in page], "next_page": next_page})


@router.get("/{delivery_id}")
async def show(delivery_id: str, caller: ServerCaller, session: Session) -> Json:
    """One delivery with what each of its attempts gave."""
    delivery = await endpoints.get_delivery(session, caller.account_id, delivery_id)
    message = await session.get_one(OutboxMessage, delivery.outbox_id)
    attempts = await endpoints.list_attempts(session, delivery_id)
    return success(_shape(delivery, message) | {"log": [_attempt_shape(one) for one in attempts]})


@router.post("/{delivery_id}/redeliver")
async def redeliver(delivery_id: str, caller: ServerCaller, session: Session) -> Json:
    """Send the event once more, under the same id; one that waits for its next attempt is sent at once."""
    delivery = await endpoints.get_delivery(session, caller.account_id, delivery_id)
    await endpoints.redeliver(session, delivery, utc_now())
    return success(_shape(delivery, await session.get_one(OutboxMessage, delivery.outbox_id)))


def _shape(delivery: WebhookDelivery, message: OutboxMessage) -> Json:
    return {
        "id": delivery.id,
        "endpoint_id": delivery.endpoint_id,
        "event_id": message.message_id,
        "event": message.name,
        "capture_session_id": message.capture_session_id,
        "status": delivery.status,
        "attempts": delivery.attempts,
        "next_attempt_at": _iso(delivery.next_attempt_at),
        "last_status_code": delivery.last_status_code,
        "last_error": delivery.last_error,
        "delivered_at": _iso(delivery.delivered_at),
        "created_at": iso(delivery.created_at),
    }


def _attempt_shape(attempt: WebhookAttempt) -> Json:
    return {
        "attempted_at": iso(attempt.attempted_at),
        "status_code": attempt.status_code,
        "error": attempt.error,
        "latency_ms": attempt.latency_ms,
        "answer": attempt.answer,
    }


def _iso(at: datetime | None) -> str | None:
    return iso(at) if at else None
