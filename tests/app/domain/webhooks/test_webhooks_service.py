import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update

from app.base.errors import InvalidRequest
from app.base.ids import utc_now
from app.domain.outbox.models import OutboxMessage
from app.domain.webhooks import service as webhooks
from app.domain.webhooks.models import WebhookDelivery, WebhookEndpoint
from app.domain.webhooks.service import RETRY_SECONDS, DueDelivery, check_callback_url
from app.process import Context
from tests.fixtures.factories import clear_jobs, events_of, jobs_of, make_session, make_tenant, start_session

URL = "http://127.0.0.1:9/hooks"


@pytest.fixture
async def session_id(context: Context) -> str:
    """A session with one endpoint and two events that are due."""
    found = await make_session(context, await make_tenant(context), callback_url=URL)
    await start_session(context, found)
    for event in await events_of(context, found):
        await fan_out(context, event.id)
    return found


async def fan_out(context: Context, outbox_id: int) -> None:
    async with context.db.transaction() as session:
        await webhooks.fan_out(session, await session.get_one(OutboxMessage, outbox_id))


async def endpoint(context: Context) -> WebhookEndpoint:
    async with context.db.transaction() as session:
        found: WebhookEndpoint = (await session.scalars(select(WebhookEndpoint))).one()
        return found


async def change(context: Context, model: type[Any], **values: Any) -> None:
    async with context.db.transaction() as session:
        await session.execute(update(model).values(**values))


async def take(context: Context) -> bool:
    found = await endpoint(context)
    async with context.db.transaction() as session:
        return await webhooks.take_lease(session, found.id)


async def next_delivery(context: Context) -> DueDelivery | None:
    found = await endpoint(context)
    async with context.db.transaction() as session:
        return await webhooks.next_delivery(session, found.id)


async def record(context: Context, delivery: DueDelivery, status_code: int | None) -> None:
    async with context.db.transaction() as session:
        await webhooks.record_attempt(session, delivery.delivery_id, status_code=status_code, error=None)


@pytest.mark.parametrize("url", ["http://a", "https://user:pw@host:8443/x?y=z#f", "http://127.0.0.1:1/"])
def test_urls_that_can_be_called(url: str) -> None:
    assert check_callback_url(url) == url


@given(st.text() | st.from_regex(r"[a-z]{0,5}:?//?\[?[\w.:@\]-]*/?.*"))
def test_any_other_text_is_refused_as_the_callers_mistake(url: str) -> None:
    with suppress(InvalidRequest):
        assert check_callback_url(url).lower().lstrip().startswith("http")


async def test_an_endpoint_is_added_once(context: Context, session_id: str) -> None:
    account_id = (await endpoint(context)).account_id
    async with context.db.transaction() as session:
        await webhooks.add_endpoint(session, account_id, session_id, URL)
    await endpoint(context)  # still one


async def test_each_endpoint_gets_each_event_once(context: Context, session_id: str) -> None:
    account_id = (await endpoint(context)).account_id
    async with context.db.transaction() as session:
        await webhooks.add_endpoint(session, account_id, session_id, URL + "/second")
    await clear_jobs(context)
    async with context.db.transaction() as session:
        await session.delete((await session.scalars(select(WebhookDelivery))).first())
    event = (await events_of(context, session_id))[0]
    async with context.db.transaction() as session:
        before = len((await session.scalars(select(WebhookDelivery))).all())
    assert before == 1
    async with context.db.transaction() as session:
        taken = await session.scalar(select(WebhookDelivery.outbox_id))
    other = next(row for row in await events_of(context, session_id) if row.id != taken)
    await fan_out(context, other.id)
    async with context.db.transaction() as session:
        rows = (await session.scalars(select(WebhookDelivery.outbox_id))).all()
    assert sorted(rows) == sorted([taken, other.id, other.id])
    assert len(await jobs_of(context, "deliver_webhooks")) == 2
    assert event.capture_session_id == session_id


async def test_deliveries_come_in_the_order_of_events(context: Context, session_id: str) -> None:
    assert await take(context)
    for expected in ("created", "starting"):
        delivery = await next_delivery(context)
        assert delivery is not None
        assert delivery.body["event"] == f"capture_session.{expected}"
        assert delivery.url == URL
        assert delivery.message_id == delivery.body["id"]
        await record(context, delivery, 204)
    assert await next_delivery(context) is None
    assert (await endpoint(context)).leased_until is None


async def test_a_failed_event_holds_back_the_ones_after_it_until_its_time(
    context: Context, session_id: str
) -> None:
    await take(context)
    first = await next_delivery(context)
    assert first is not None
    await record(context, first, 500)
    assert await next_delivery(context) is None
    await change(context, WebhookDelivery, next_attempt_at=utc_now() - timedelta(seconds=1))
    assert await next_delivery(context) == first  # the same id and body


async def test_after_the_last_retry_the_next_event_has_its_turn(context: Context, session_id: str) -> None:
    await take(context)
    tried = []
    for _ in range(len(RETRY_SECONDS) + 1):
        delivery = await next_delivery(context)
        assert delivery is not None
        tried.append(delivery.body["event"])
        await record(context, delivery, None)
        async with context.db.transaction() as session:
            row = await session.get_one(WebhookDelivery, delivery.delivery_id)
            wait = (row.next_attempt_at - utc_now()).total_seconds()
        if row.status == "pending":
            assert RETRY_SECONDS[row.attempts - 1] - 5 < wait <= RETRY_SECONDS[row.attempts - 1]
        await change(context, WebhookDelivery, next_attempt_at=utc_now() - timedelta(seconds=1))
    assert set(tried) == {"capture_session.created"}
    assert row.status == "failed"
    following = await next_delivery(context)
    assert following is not None
    assert following.body["event"] == "capture_session.starting"


@pytest.mark.parametrize(("status_code", "status"), [(200, "delivered"), (299, "delivered"), (199, "pending"),
                                                     (301, "pending"), (404, "pending"), (500, "pending"),
                                                     (None, "pending")])  # fmt: skip
async def test_what_counts_as_delivered(
    context: Context, session_id: str, status_code: int | None, status: str
) -> None:
    await take(context)
    delivery = await next_delivery(context)
    assert delivery is not None
    await record(context, delivery, status_code)
    async with context.db.transaction() as session:
        row = await session.get_one(WebhookDelivery, delivery.delivery_id)
    assert (row.status, row.attempts, row.last_status_code) == (status, 1, status_code)
    assert (row.delivered_at is not None) == (status == "delivered")


async def test_one_worker_at_a_time_holds_an_endpoint(context: Context, session_id: str) -> None:
    assert sorted(await asyncio.gather(*(take(context) for _ in range(4)))) == [False] * 3 + [True]
    await change(context, WebhookEndpoint, leased_until=utc_now() - timedelta(seconds=1))
    assert await take(context)


MOMENT, LONG_AGO = timedelta(seconds=1), timedelta(minutes=5)


async def test_who_is_rung_for_again(context: Context, session_id: str) -> None:
    for due, leased, rung, rings in [
        (MOMENT, None, LONG_AGO, True),  # a retry whose time has come
        (-LONG_AGO, None, LONG_AGO, False),  # one whose time has not
        (MOMENT, -LONG_AGO, LONG_AGO, False),  # somebody is sending
        (MOMENT, MOMENT, LONG_AGO, True),  # who was sending is gone
        (MOMENT, None, MOMENT / 2, False),  # rung for since
        (LONG_AGO, None, LONG_AGO / 2, True),  # rung for, and that ring was lost
    ]:
        await clear_jobs(context)
        now = utc_now()
        await change(context, WebhookDelivery, next_attempt_at=now - due)
        await change(
            context,
            WebhookEndpoint,
            leased_until=None if leased is None else now - leased,
            rung_at=now - rung,
        )
        for _ in range(2):
            async with context.db.transaction() as session:
                await webhooks.ring_due(session)
        assert len(await jobs_of(context, "deliver_webhooks")) == int(rings), (due, leased, rung)
