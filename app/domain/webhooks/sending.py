"""What a sender does with the database: claim due lines under a lease, keep it, and record what came of it.

Each is a few statements for many lines at once: at hundreds of events a second, one round trip for each
would cost more than the requests themselves.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pydantic import SecretStr
from sqlalchemy import select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.ids import new_id
from app.domain.webhooks.lines import lock_lines
from app.domain.webhooks.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint, WebhookLine
from app.domain.webhooks.schedule import DISABLE_AFTER, GONE, retry_at
from app.domain.webhooks.secrets import Owner, valid_secrets

LEASE_SECONDS = 20.0  # a sender that was killed holds its lines for no longer
EXTEND_SECONDS = 5.0
_WINDOW = 512  # due lines looked at for one claim: those of one busy target must not hide all others

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """The first of a line. `lease` names the claim; `secrets` are what it is signed with."""

    delivery_id: str
    endpoint_id: str
    line_key: str
    target: str
    lease: str
    url: str = field(repr=False)
    message_id: str
    body: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What an attempt gave: a status, or the error that came instead, and the first bytes of the answer."""

    delivery: DueDelivery
    attempted_at: datetime
    latency_ms: int
    status_code: int | None
    error: str | None
    answer: str = field(default="", repr=False)
    retry_after_seconds: float | None = None

    @property
    def succeeded(self) -> bool:
        return self.status_code is not None and 200 <= self.status_code < 300


_CLAIM = text(
    """
    with busy as (
        select * from unnest(cast(:targets as text[]), cast(:counts as int[])) as busy(target, sending)
    ), candidates as (
        select line.endpoint_id, line.key, line.target, line.due_at, coalesce(busy.sending, 0) as sending
        from webhook_lines line left join busy on busy.target = line.target
        where line.due_at <= :now and coalesce(busy.sending, 0) < :per_target
        order by line.due_at limit :window
    ), ranked as (
        select endpoint_id, key, due_at,
            sending + row_number() over (partition by target order by due_at) as place
        from candidates
    ), taken as (
        select line.endpoint_id, line.key from webhook_lines line join ranked using (endpoint_id, key)
        where ranked.place <= :per_target and line.due_at <= :now
        order by ranked.due_at limit :free
        for update of line skip locked
    )
    update webhook_lines line set due_at = :until, lease = :lease from taken
    where line.endpoint_id = taken.endpoint_id and line.key = taken.key
    returning line.endpoint_id, line.key, line.target
    """
)
_FIRST_OF_EACH = text(
    """
    select first.id, line.endpoint_id, line.key, line.target, first.message_id, first.body,
        endpoint.url, endpoint.account_id, endpoint.kind
    from webhook_lines line
    join webhook_endpoints endpoint on endpoint.id = line.endpoint_id
    cross join lateral (
        select delivery.id, outbox.message_id, cast(outbox.payload -> 'envelope' as text) as body
        from webhook_deliveries delivery join outbox on outbox.id = delivery.outbox_id
        where delivery.endpoint_id = line.endpoint_id and delivery.line_key = line.key
            and delivery.status = 'pending'
        order by delivery.position limit 1
    ) first
    where line.lease = :lease
    """
)


async def claim(
    session: AsyncSession,
    secret_key: SecretStr | None,
    now: datetime,
    *,
    free: int,
    per_target: int,
    sending: Mapping[str, int],
) -> list[DueDelivery]:
    """Take up to `free` due lines that nobody holds, for `LEASE_SECONDS`; returns the first of each.

    `sending` counts what the caller is sending to each target already: none gets more than `per_target`.
    """
    lease = new_id("snd")
    lines = await session.execute(
        _CLAIM,
        {
            "targets": list(sending),
            "counts": list(sending.values()),
            "per_target": per_target,
            "window": _WINDOW,
            "free": free,
            "now": now,
            "until": now + timedelta(seconds=LEASE_SECONDS),
            "lease": lease,
        },
    )
    claimed = {(row.endpoint_id, row.key) for row in lines}
    if not claimed:
        return []
    rows = (await session.execute(_FIRST_OF_EACH, {"lease": lease})).all()
    owners = {row.id: _owner(row.account_id, row.kind, row.endpoint_id) for row in rows}
    secrets = await valid_secrets(session, secret_key, owners.values(), now)
    empty = claimed - {(row.endpoint_id, row.key) for row in rows}
    await _leave(session, dict.fromkeys(empty), now)
    return [
        DueDelivery(
            delivery_id=row.id,
            endpoint_id=row.endpoint_id,
            line_key=row.key,
            target=row.target,
            lease=lease,
            url=row.url,
            message_id=row.message_id,
            body=row.body,
            secrets=tuple(secret.text for secret in secrets[owners[row.id]]),
        )
        for row in rows
    ]


async def extend_leases(session: AsyncSession, leases: Iterable[str], now: datetime) -> None:
    """Keep what these claims hold for another `LEASE_SECONDS`."""
    await session.execute(
        update(WebhookLine)
        .where(WebhookLine.lease.in_(set(leases)))
        .values(due_at=now + timedelta(seconds=LEASE_SECONDS))
        .execution_options(synchronize_session=False)
    )


async def give_back(session: AsyncSession, leases: Iterable[str], now: datetime) -> None:
    """Let another sender have at once what these claims still hold."""
    await session.execute(
        update(WebhookLine)
        .where(WebhookLine.lease.in_(set(leases)))
        .values(due_at=now, lease=None)
        .execution_options(synchronize_session=False)
    )


async def record(session: AsyncSession, attempts: Sequence[Attempt], now: datetime) -> dict[str, str]:
    """Keep what attempts gave, and let the lines go on; returns hopeless endpoints, each with the reason.

    2xx is delivered. Anything else waits for its next try, or has failed for good after the last one.
    """
    lines = {(one.delivery.endpoint_id, one.delivery.line_key) for one in attempts}
    leases = await lock_lines(session, lines)
    rows = await session.scalars(
        select(WebhookDelivery)
        .where(WebhookDelivery.id.in_([one.delivery.delivery_id for one in attempts]))
        .with_for_update(key_share=True)
    )
    deliveries = {row.id: row for row in rows}
    known = [one for one in attempts if one.delivery.delivery_id in deliveries]  # not deleted meanwhile
    waits: dict[tuple[str, str], datetime | None] = {}
    for one in known:
        line = one.delivery.endpoint_id, one.delivery.line_key
        delivery = deliveries[one.delivery.delivery_id]
        is_ours = leases.get(line) == one.delivery.lease
        # What arrived has arrived, also where the lease ran out meanwhile.
        if delivery.status == "pending" and (is_ours or one.succeeded):
            _settle(delivery, one, now)
        if is_ours:
            waits[line] = delivery.next_attempt_at
    await session.flush()
    if known:
        await session.execute(insert(WebhookAttempt).values([_row(one) for one in known]))
    await _leave(session, waits, now)
    return await _judge_endpoints(session, known, now)


def _settle(delivery: WebhookDelivery, one: Attempt, now: datetime) -> None:
    delivery.attempts += 1
    delivery.last_status_code, delivery.last_error = one.status_code, one.error
    delivery.next_attempt_at = None
    if one.succeeded:
        delivery.status, delivery.delivered_at = "delivered", now
        return
    delivery.next_attempt_at = retry_at(delivery.attempts, now, random.random(), one.retry_after_seconds)
    if delivery.next_attempt_at is None:
        delivery.status = "failed"


async def _leave(
    session: AsyncSession, waits: Mapping[tuple[str, str], datetime | None], now: datetime
) -> None:
    """Let go of lines: until their wait is over, at once where more is pending, for good where nothing is."""
    if not waits:
        return
    await session.execute(
        text(
            """
            update webhook_lines line set lease = null, due_at = coalesce(
                wait.until,
                case when exists (
                    select from webhook_deliveries delivery
                    where delivery.endpoint_id = line.endpoint_id and delivery.line_key = line.key
                        and delivery.status = 'pending'
                ) then cast(:now as timestamptz) end
            )
            from unnest(
                cast(:endpoint_ids as text[]), cast(:keys as text[]), cast(:waits as timestamptz[])
            ) as wait(endpoint_id, key, until)
            where line.endpoint_id = wait.endpoint_id and line.key = wait.key
            """
        ),
        {
            "endpoint_ids": [endpoint_id for endpoint_id, _ in waits],
            "keys": [key for _, key in waits],
            "waits": list(waits.values()),
            "now": now,
        },
    )


async def _judge_endpoints(
    session: AsyncSession, attempts: Sequence[Attempt], now: datetime
) -> dict[str, str]:
    """Keep since when each endpoint has only failed; returns the hopeless ones, each with the reason."""
    well = {one.delivery.endpoint_id for one in attempts if one.succeeded}
    ill = {one.delivery.endpoint_id for one in attempts} - well
    gone = {one.delivery.endpoint_id for one in attempts if one.status_code == GONE}
    endpoints = await session.scalars(
        select(WebhookEndpoint)
        .where(
            WebhookEndpoint.id.in_(ill | gone)
            | (WebhookEndpoint.id.in_(well) & WebhookEndpoint.failing_since.is_not(None))
        )
        .order_by(WebhookEndpoint.id)
        .with_for_update(key_share=True)
    )
    hopeless = {}
    for endpoint in endpoints:
        endpoint.failing_since = None if endpoint.id in well else endpoint.failing_since or now
        if endpoint.id in gone:
            hopeless[endpoint.id] = "it answered 410 Gone"
        elif endpoint.failing_since and now - endpoint.failing_since >= DISABLE_AFTER:
            hopeless[endpoint.id] = f"it has failed for {DISABLE_AFTER.days} days"
    await session.flush()
    return hopeless


def _owner(account_id: str, kind: str, endpoint_id: str) -> Owner:
    """Whose secret signs: an account's own endpoints have one each, all callbacks share the account's."""
    return account_id, endpoint_id if kind == "account" else None


def _row(one: Attempt) -> Json:
    return {
        "id": new_id("wha"),
        "delivery_id": one.delivery.delivery_id,
        "attempted_at": one.attempted_at,
        "latency_ms": one.latency_ms,
        "status_code": one.status_code,
        "error": one.error,
        "answer": one.answer,
    }
