"""Sends one endpoint's due webhooks, oldest first, one at a time."""

import asyncio
import json
import logging

import httpx

from app.domain.webhooks.service import DueDelivery, next_delivery, record_attempt, take_lease
from app.process import Context

logger = logging.getLogger(__name__)

MAX_IN_A_ROW = 100


async def deliver_webhooks(context: Context, endpoint_id: str) -> None:
    """Deliver until the endpoint has nothing due; does nothing while another worker is at it."""
    async with context.db.transaction() as session:
        if not await take_lease(session, endpoint_id):
            return
    limit_seconds = context.settings.webhook_timeout_seconds
    timeout = httpx.Timeout(limit_seconds, connect=10)
    async with httpx.AsyncClient(timeout=timeout, follow_redirects=False, trust_env=False) as client:
        for _ in range(MAX_IN_A_ROW):
            # No transaction is open while the customer's server answers.
            async with context.db.transaction() as session:
                delivery = await next_delivery(session, endpoint_id)
            if delivery is None:
                return
            status_code, error = await _attempt(client, delivery, limit_seconds)
            async with context.db.transaction() as session:
                await record_attempt(session, delivery.delivery_id, status_code=status_code, error=error)


async def _attempt(
    client: httpx.AsyncClient, delivery: DueDelivery, limit_seconds: float
) -> tuple[int | None, str | None]:
    headers = {"content-type": "application/json", "webhook-id": delivery.message_id}
    try:
        # httpx limits each read, and a server that answers byte by byte would outlast the lease.
        async with asyncio.timeout(limit_seconds):
            # Streamed, so that an endless answer is never read; its status is all that counts.
            async with client.stream(
                "POST", delivery.url, content=json.dumps(delivery.body), headers=headers
            ) as answer:
                status_code = answer.status_code
    except Exception as error:
        # Whatever a customer's URL brings about is a failed attempt: httpx lets groups and OverflowErrors
        # through, and an event whose attempts do not count would hold back the ones after it for ever.
        logger.info("webhook %s not delivered: %s", delivery.message_id, type(error).__name__)
        return None, type(error).__name__
    if not 200 <= status_code < 300:
        logger.info("webhook %s answered %d", delivery.message_id, status_code)
        return status_code, f"HTTP {status_code}"
    return status_code, None
