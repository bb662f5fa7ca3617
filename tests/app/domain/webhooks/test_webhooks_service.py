import asyncio
from contextlib import suppress
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update

from app.base.errors import Conflict, InvalidRequest
from app.base.ids import utc_now
from app.domain.outbox.models import OutboxMessage
from app.domain.outbox.publishing import take_events
from app.domain.webhooks import endpoints, sending
from app.domain.webhooks import service as webhooks
from app.domain.webhooks.models import WebhookDelivery, WebhookEndpoint, WebhookLine
from app.domain.webhooks.sending import Attempt, DueDelivery
from app.domain.webhooks.service import check_callback_url
from app.domain.webhooks.tidying import forget_old_events
from app.process import Context
from tests.fixtures.deliveries import deliveries_to, endpoint_of, publish_events
from tests.fixtures.factories import Tenant, events_of, make_session, make_tenant, say, start_session

URL = "http://127.0.0.1:9/hooks"


@pytest.fixture
async def tenant(context: Context) -> Tenant:
    return await make_tenant(context)


@pytest.fixture
async def session_id(context: Context, tenant: Tenant) -> str:
    """A session with a callback and two events that are due."""
    found = await make_session(context, tenant, callback_url=URL)
    await start_session(context, found)
    await publish_events(context)
    return found


async def claim(context: Context, *, at: datetime | None = None, per_target: int = 16) -> list[DueDelivery]:
    now = at or utc_now() + timedelta(seconds=1)
    async with context.db.transaction() as session:
        return await sending.claim(
            session, context.settings.secret_key, now, free=64, per_target=per_target, sending={}
        )


async def record(context: Context, delivery: DueDelivery, status_code: int | None) -> dict[str, str]:
    attempt = Attempt(delivery, utc_now(), 12, status_code, None if status_code else "ConnectError")
    async with context.db.transaction() as session:
        return await sending.record(session, [attempt], utc_now())


async def add_account_endpoint(context: Context, tenant: Tenant, *events: str) -> str:
    async with context.db.transaction() as session:
        made = await endpoints.create_endpoint(
            session, tenant.account_id, url=URL + "/own", events=events, description=""
        )
        return made.id


async def names_for(context: Context, endpoint_id: str) -> list[str]:
    async with context.db.transaction() as session:
        rows = await session.scalars(
            select(OutboxMessage.name)
            .join(WebhookDelivery, WebhookDelivery.outbox_id == OutboxMessage.id)
            .where(WebhookDelivery.endpoint_id == endpoint_id)
            .order_by(WebhookDelivery.position)
        )
        return [name.rpartition(".")[2] for name in rows]


@pytest.mark.parametrize("url", ["http://a", "https://user:pw@host:8443/x?y=z#f", "http://127.0.0.1:1/"])
def test_urls_that_can_be_called(url: str) -> None:
    assert check_callback_url(url) == url


@given(st.text() | st.from_regex(r"[a-z]{0,5}:?//?\[?[\w.:@\]-]*/?.*"))
def test_any_other_text_is_refused_as_the_callers_mistake(url: str) -> None:
    with suppress(InvalidRequest):
        assert check_callback_url(url).lower().lstrip().startswith("http")


async def test_a_callback_is_added_once(context: Context, tenant: Tenant, session_id: str) -> None:
    async with context.db.transaction() as session:
        await webhooks.add_endpoint(session, tenant.account_id, session_id, URL)
    await endpoint_of(context, session_id)  # still one


async def test_each_endpoint_gets_each_event_once(context: Context, tenant: Tenant, session_id: str) -> None:
    async with context.db.transaction() as session:
        messages = await events_of(context, session_id)
        await webhooks.fan_out(session, messages)
    assert await names_for(context, (await endpoint_of(context, session_id)).id) == ["created", "starting"]


async def test_an_account_endpoint_gets_what_it_asked_for(context: Context, tenant: Tenant) -> None:
    unasked = await add_account_endpoint(context, tenant)
    some = await add_account_endpoint(context, tenant, "capture_session.starting", "transcript.final")
    stranger = await add_account_endpoint(context, await make_tenant(context))
    off = await add_account_endpoint(context, tenant)
    async with context.db.transaction() as session:
        await endpoints.disable(session, off, "by request", announce=False)
    opened = await start_session(context, await make_session(context, tenant))
    await say(context, opened["mic:default"], "Hello.")
    await publish_events(context)
    assert await names_for(context, unasked) == ["created", "starting"]
    assert await names_for(context, some) == ["starting", "final"]
    assert await names_for(context, stranger) == []
    assert await names_for(context, off) == []


async def test_only_the_first_of_a_line_is_ever_claimed(context: Context, session_id: str) -> None:
    (first,) = await claim(context)
    assert '"capture_session.created"' in first.body
    assert first.url == URL
    assert await claim(context) == []
    await record(context, first, 500)
    assert await claim(context) == []  # until its time has come
    (again,) = await claim(context, at=utc_now() + timedelta(seconds=10))
    assert (again.message_id, again.body) == (first.message_id, first.body)
    await record(context, again, 200)
    (second,) = await claim(context)
    assert '"capture_session.starting"' in second.body
    await record(context, second, 204)
    assert await claim(context, at=utc_now() + timedelta(days=30)) == []


async def test_a_claim_is_one_senders_until_its_lease_runs_out(context: Context, session_id: str) -> None:
    claims = await asyncio.gather(*(claim(context) for _ in range(4)))
    assert sorted(len(found) for found in claims) == [0, 0, 0, 1]
    ((late,),) = [found for found in claims if found]
    later = utc_now() + timedelta(seconds=sending.LEASE_SECONDS + 2)
    (delivery,) = await claim(context, at=later)
    assert delivery.delivery_id == late.delivery_id
    await record(context, late, 500)  # who lost the lease decides nothing
    created, _ = await deliveries_to(context, delivery.endpoint_id)
    assert (created.status, created.attempts) == ("pending", 0)
    async with context.db.transaction() as session:
        assert await session.scalar(select(WebhookLine.lease)) == delivery.lease
    await record(context, late, 200)  # but what arrived has arrived
    await record(context, delivery, None)
    created, _ = await deliveries_to(context, delivery.endpoint_id)
    assert (created.status, created.attempts) == ("delivered", 1)
    (following,) = await claim(context)
    assert '"capture_session.starting"' in following.body


async def test_one_target_gets_its_share_and_the_others_theirs(context: Context, tenant: Tenant) -> None:
    for number in range(40):
        await make_session(context, tenant, callback_url=f"{URL}?number={number}")
    await make_session(context, tenant, callback_url="http://127.0.0.1:9/another")
    await publish_events(context)
    claimed = await claim(context, per_target=3)
    assert sorted(one.target.rpartition("/")[2] for one in claimed) == ["another", "hooks", "hooks", "hooks"]
    assert len(await claim(context, per_target=100)) == 37


@pytest.mark.parametrize(("status_code", "status"), [(200, "delivered"), (299, "delivered"), (199, "pending"),
                                                     (301, "pending"), (404, "pending"), (500, "pending"),
                                                     (None, "pending")])  # fmt: skip
async def test_what_counts_as_delivered(
    context: Context, session_id: str, status_code: int | None, status: str
) -> None:
    (delivery,) = await claim(context)
    assert await record(context, delivery, status_code) == {}
    row, _ = await deliveries_to(context, delivery.endpoint_id)
    assert (row.status, row.attempts, row.last_status_code) == (status, 1, status_code)
    assert (row.delivered_at is not None) == (status == "delivered")
    assert ((await endpoint_of(context, session_id)).failing_since is None) == (status == "delivered")


async def test_two_relays_keep_a_sessions_order(context: Context, tenant: Tenant) -> None:
    """The second waits for the first, though it could lock other rows: it would be ahead of it."""
    endpoint_id = await add_account_endpoint(context, tenant)
    await start_session(context, await make_session(context, tenant))
    async with context.db.transaction() as first:
        (created,) = await take_events(first, 1)
        second = asyncio.create_task(publish_events(context))
        done, _ = await asyncio.wait({second}, timeout=0.2)
        assert not done
        await webhooks.fan_out(first, [created])
    await second
    assert await names_for(context, endpoint_id) == ["created", "starting"]
    rows = await deliveries_to(context, endpoint_id)
    assert [row.position for row in rows] == [1, 2]


async def test_a_range_is_replayed_in_order_and_a_delivery_once_more(
    context: Context, tenant: Tenant, session_id: str
) -> None:
    endpoint_id = await add_account_endpoint(context, tenant, "capture_session.*", "capture_session.created")
    async with context.db.transaction() as session:
        endpoint = await session.get_one(WebhookEndpoint, endpoint_id)
        endpoint.events = None
        replayed = await endpoints.replay(session, endpoint, endpoints.EventRange(), utc_now(), limit=1)
        assert replayed.count == 1
        rest = endpoints.EventRange(after=replayed.next_after)
        assert await endpoints.replay(session, endpoint, rest, utc_now(), limit=9) == endpoints.Replayed(
            1, None
        )
        missed = endpoints.EventRange(undelivered_only=True)
        assert (await endpoints.replay(session, endpoint, missed, utc_now(), limit=9)).count == 0
    assert await names_for(context, endpoint_id) == ["created", "starting"]
    for _ in range(4):
        for delivery in await claim(context):
            await record(context, delivery, 200)
    created, starting = await deliveries_to(context, endpoint_id)
    assert (created.status, starting.status) == ("delivered", "delivered")
    async with context.db.transaction() as session:
        await endpoints.redeliver(session, await session.merge(created), utc_now())
    (again,) = await claim(context)
    assert (again.delivery_id, again.endpoint_id) == (created.id, endpoint_id)


async def test_nothing_is_asked_of_a_disabled_endpoint(context: Context, session_id: str) -> None:
    endpoint = await endpoint_of(context, session_id)
    async with context.db.transaction() as session:
        await endpoints.disable(session, endpoint.id, "by request", announce=False)
    assert await claim(context) == []
    row, _ = await deliveries_to(context, endpoint.id)
    assert row.status == "failed"
    async with context.db.transaction() as session:
        disabled = await session.get_one(WebhookEndpoint, endpoint.id)
        for ask in (
            endpoints.ping(session, disabled),
            endpoints.redeliver(session, row, utc_now()),
            endpoints.replay(session, disabled, endpoints.EventRange(), utc_now(), 10),
        ):
            with pytest.raises(Conflict):
                await ask
        await endpoints.enable(session, disabled)
        missed = endpoints.EventRange(undelivered_only=True)
        assert (await endpoints.replay(session, disabled, missed, utc_now(), 10)).count == 2
    (first,) = await claim(context)
    assert first.delivery_id == row.id


async def test_old_events_go_with_their_deliveries_unless_they_are_on_their_way(
    context: Context, tenant: Tenant, session_id: str
) -> None:
    await make_session(context, tenant)
    await publish_events(context)
    other = await make_session(context, tenant)  # never published
    (first,) = await claim(context)
    await record(context, first, 200)
    async with context.db.transaction() as session:
        await session.execute(update(OutboxMessage).values(created_at=utc_now() - timedelta(days=31)))
    async with context.db.transaction() as session:
        assert await forget_old_events(session, utc_now() - timedelta(days=32), 100) == 0
        assert await forget_old_events(session, utc_now() - timedelta(days=30), 1) == 1
        assert await forget_old_events(session, utc_now() - timedelta(days=30), 100) == 1
    left = [event.name for one in (session_id, other) for event in await events_of(context, one)]
    assert left == ["capture_session.starting", "capture_session.created"]
    assert len(await deliveries_to(context, first.endpoint_id)) == 1
