"""Which endpoint gets which event: sessions' callbacks, events' own callbacks, accounts' endpoints."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import InvalidRequest
from app.base.ids import new_id
from app.domain.outbox.events import LIFECYCLE_NAMES, UNASKED_NAMES, ring
from app.domain.outbox.models import OutboxMessage
from app.domain.webhooks.lines import wait_in_line
from app.domain.webhooks.models import WebhookEndpoint

NOTIFY_CHANNEL = "webhooks"
MAX_URL_CHARACTERS = 2000


def check_callback_url(url: str, field: str = "callback_url") -> str:
    """Return `url`. Raises `InvalidRequest` unless it is an absolute http or https URL."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or len(url) > MAX_URL_CHARACTERS:
        raise InvalidRequest(f"{field} must be an absolute http or https URL", field=field)
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
                id=new_id("we"),
                account_id=account_id,
                kind="session",
                capture_session_id=capture_session_id,
                url=url,
            )
        )
        await session.flush()


async def fan_out(session: AsyncSession, messages: Sequence[OutboxMessage]) -> None:
    """Put each published event in line before every endpoint that wants it, and wake the senders."""
    named = [message.payload["endpoint_id"] for message in messages if "endpoint_id" in message.payload]
    endpoints = list(
        await session.scalars(
            select(WebhookEndpoint).where(
                (WebhookEndpoint.status == "enabled")
                & (
                    WebhookEndpoint.capture_session_id.in_(
                        {message.capture_session_id for message in messages if message.capture_session_id}
                    )
                    | (
                        (WebhookEndpoint.kind == "account")
                        & WebhookEndpoint.account_id.in_({message.account_id for message in messages})
                    )
                    | WebhookEndpoint.id.in_(named)
                )
            )
        )
    )
    wanted = [
        (message, endpoint)
        for message in messages
        for endpoint in (*endpoints, await _own_callback(session, message))
        if endpoint is not None and _wants(endpoint, message)
    ]
    if wanted:
        await wait_in_line(session, wanted)
        await ring(session, NOTIFY_CHANNEL)


def _wants(endpoint: WebhookEndpoint, message: OutboxMessage) -> bool:
    if endpoint.account_id != message.account_id:
        return False
    if "endpoint_id" in message.payload:
        return bool(endpoint.id == message.payload["endpoint_id"])
    if endpoint.kind == "session":
        return endpoint.capture_session_id == message.capture_session_id and message.name in LIFECYCLE_NAMES
    if endpoint.kind == "account":
        return message.name in (endpoint.events or UNASKED_NAMES)
    return bool(endpoint.url == message.payload.get("callback_url"))


async def _own_callback(session: AsyncSession, message: OutboxMessage) -> WebhookEndpoint | None:
    """The endpoint of the URL that the event itself names; None where it names none, or a disabled one."""
    url: Any = message.payload.get("callback_url")
    if not url:
        return None
    await session.execute(
        insert(WebhookEndpoint)
        .values(id=new_id("we"), account_id=message.account_id, kind="callback", url=url)
        .on_conflict_do_nothing(
            index_elements=["account_id", "url"], index_where=WebhookEndpoint.kind == "callback"
        )
    )
    return await session.scalar(
        select(WebhookEndpoint).where(
            WebhookEndpoint.account_id == message.account_id,
            WebhookEndpoint.kind == "callback",
            WebhookEndpoint.url == url,
            WebhookEndpoint.status == "enabled",
        )
    )
