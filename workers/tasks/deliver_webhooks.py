"""Sends one endpoint's due webhooks, oldest first, one at a time."""

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
    timeout = httpx.Timeout(context.settings.webhook_timeout_seconds, connect=10)
    async with httpx.AsyncClient(timeout=timeout, follow_redirects=False, trust_env=False) as client:
        for _ in range(MAX_IN_A_ROW):
            # No transaction is open while the customer's server answers.
            async with context.db.transaction() as session:
                delivery = await next_delivery(session, endpoint_id)
            if delivery is None:
                return
            status_code, error = await _attempt(client, delivery)
            async with context.db.transaction() as session:
                await record_attempt(session, delivery.delivery_id, status_code=status_code, error=error)


async def _attempt(client: httpx.AsyncClient, delivery: DueDelivery) -> tuple[int | None, str | None]:
    headers = {"content-type": "application/json", "webhook-id": delivery.message_id}
    try:
        # Streamed, so that an endless answer is never read; its status is all that counts.
        async with client.stream(
            "POST", delivery.url, content=json.dumps(delivery.body), headers=headers
        ) as answer:
            status_code = answer.status_code
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        logger.info("webhook %s not delivered: %s", delivery.message_id, type(error).__name__)
        return None, type(error).__name__
    if not 200 <= status_code < 300:
        logger.info("webhook %s answered %d", delivery.message_id, status_code)
        return status_code, f"HTTP {status_code}"
    return status_code, None
