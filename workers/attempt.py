"""One request of a webhook: what is sent, what counts of the answer, and how long it may take."""

import asyncio
import logging
import time
from datetime import datetime

import httpx

from app.domain.webhooks.schedule import parse_retry_after
from app.domain.webhooks.sending import Attempt, DueDelivery
from app.domain.webhooks.signing import signed_headers

logger = logging.getLogger(__name__)

ANSWER_BYTES = 512
ANSWER_SECONDS = 1.0  # the status is what counts: who sends it and then dawdles is not waited for


async def attempt(
    client: httpx.AsyncClient, delivery: DueDelivery, at: datetime, limit_seconds: float
) -> Attempt:
    """Send one event to its endpoint, and say what came of it; never raises but for its cancellation."""
    headers = {
        "content-type": "application/json",
        "accept-encoding": "identity",
        "user-agent": "OpenCapture-Webhooks/1.0",
        **signed_headers(delivery.message_id, at, delivery.body, delivery.secrets),
    }
    started = time.monotonic()
    status_code, error, answer, retry_after = None, None, "", None
    try:
        # httpx limits each read, and a server that answers byte by byte would outlast that for ever.
        async with asyncio.timeout(limit_seconds):
            async with client.stream(
                "POST", delivery.url, content=delivery.body.encode(), headers=headers
            ) as response:
                status_code = response.status_code
                retry_after = response.headers.get("retry-after")
                answer = await _first_bytes(response)
    except Exception as failure:
        # Whatever a customer's URL brings about is a failed attempt: httpx lets groups and OverflowErrors
        # through, and an event whose attempts do not count would hold back the ones after it for ever.
        # What fails after the status has come takes nothing back.
        error = type(failure).__name__ if status_code is None else None
    if status_code is not None and not 200 <= status_code < 300:
        error = f"HTTP {status_code}"
    if error:
        logger.info("webhook %s not delivered: %s", delivery.message_id, error)
    return Attempt(
        delivery=delivery,
        attempted_at=at,
        latency_ms=round((time.monotonic() - started) * 1000),
        status_code=status_code,
        error=error,
        answer=answer,
        retry_after_seconds=parse_retry_after(retry_after, at),
    )


async def _first_bytes(response: httpx.Response) -> str:
    """The answer's beginning as text that can be stored and shown: no control characters but line ends."""
    found = b""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            async for block in response.aiter_raw(ANSWER_BYTES):
                found += block
                if len(found) >= ANSWER_BYTES:
                    break
    except (TimeoutError, httpx.HTTPError):
        pass
    text = found[:ANSWER_BYTES].decode("utf-8", "replace")
    return "".join(one for one in text if one.isprintable() or one in "\n\t")
