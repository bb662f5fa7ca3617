import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import select, update

from app.base.redis import FRAMES_CHANNEL, subscribe
from app.base.settings import Settings
from app.base.tasks import end_task
from app.domain.outbox.events import NOTIFY_CHANNEL, Route, emit
from app.domain.outbox.jobs import Job, enqueue
from app.domain.outbox.models import OutboxMessage
from app.domain.outbox.stream_events import TranscriptFinal
from app.domain.webhooks.models import WebhookDelivery, WebhookLine
from app.process import Context, open_context
from tests.fixtures.eventually import eventually
from tests.fixtures.factories import make_session, make_tenant
from tests.workers.conftest import Broker
from workers import relay as relay_module
from workers.listening import listen
from workers.relay import carry_events, carry_jobs, relay

LIMIT_SECONDS = 20
SAID = TranscriptFinal("rts-1", "mic:default", "utt-1", "Hello.", 1, 2)


async def say(context: Context, account_id: str = "acc-1") -> int:
    async with context.db.transaction() as session:
        return (await emit(session, SAID, account_id=account_id, route=Route("c-1", "ws-1"))).id


async def unpublished(context: Context) -> list[str]:
    async with context.db.transaction() as session:
        rows = await session.scalars(select(OutboxMessage.name).where(OutboxMessage.published_at.is_(None)))
        return sorted(rows)


@asynccontextmanager
async def frames(context: Context) -> AsyncIterator[AsyncIterator[dict[str, Any] | None]]:
    subscription = subscribe(context.redis, FRAMES_CHANNEL)
    assert await anext(subscription) is None
    yield subscription
    await subscription.aclose()  # type: ignore[attr-defined]


async def heard(subscription: AsyncIterator[dict[str, Any] | None], account_id: str) -> dict[str, Any]:
    """The next message of the account: the channel is shared with every other test."""
    async with asyncio.timeout(LIMIT_SECONDS):
        async for message in subscription:
            if message is not None and message["account_id"] == account_id:
                return message
    raise AssertionError("the subscription ended")


async def test_a_job_is_rung_and_its_row_is_gone(context: Context, broker: Broker) -> None:
    async with context.db.transaction() as session:
        await enqueue(session, Job.REQUEST_EXPORT, "cap-1")
        await enqueue(session, Job.RUN_OPERATION, "op-1")
    assert await carry_jobs(context) == 2
    assert broker.rung() == [("request_export", "cap-1"), ("run_operation", "op-1")]
    async with context.db.transaction() as session:
        assert (await session.scalars(select(OutboxMessage))).all() == []
    assert await carry_jobs(context) == 0


async def test_an_event_is_published_with_its_route_and_kept(context: Context, broker: Broker) -> None:
    tenant = await make_tenant(context)
    async with frames(context) as subscription:
        row_id = await say(context, tenant.account_id)
        await carry_events(context)
        message = await heard(subscription, tenant.account_id)
    assert message["route"] == {
        "collection_id": "c-1",
        "connection_id": "ws-1",
        "except_connection_ids": [],
    }
    assert message["frames"][0]["text"] == "Hello."
    assert await unpublished(context) == []
    async with context.db.transaction() as session:
        assert (await session.get_one(OutboxMessage, row_id)).published_at is not None


async def test_a_session_event_becomes_a_delivery_for_its_endpoint(context: Context, broker: Broker) -> None:
    tenant = await make_tenant(context)
    session_id = await make_session(context, tenant, callback_url="http://127.0.0.1:9/")
    await make_session(context, tenant)  # of no interest to anybody's server
    while await carry_events(context):
        pass
    async with context.db.transaction() as session:
        (delivery,) = (await session.scalars(select(WebhookDelivery))).all()
        event = await session.get_one(OutboxMessage, delivery.outbox_id)
        line = await session.get_one(WebhookLine, (delivery.endpoint_id, session_id))
    assert (event.capture_session_id, delivery.status) == (session_id, "pending")
    assert (line.lease, delivery.position, event.position) == (None, 1, 1)
    assert line.due_at is not None
    assert broker.rung() == []


async def test_what_was_rolled_back_is_never_carried(context: Context, broker: Broker) -> None:
    async def emit_and_break() -> None:
        async with context.db.transaction() as session:
            await emit(session, SAID, account_id="acc-1", route=Route("c-1"))
            await enqueue(session, Job.REQUEST_EXPORT, "cap-1")
            raise LookupError

    with pytest.raises(LookupError):
        await emit_and_break()
    assert await carry_events(context) == await carry_jobs(context) == 0
    assert broker.rung() == []


async def test_a_row_that_commits_late_is_not_passed_over(context: Context, broker: Broker) -> None:
    async with context.db.transaction() as late:
        await enqueue(late, Job.REQUEST_EXPORT, "early id, late commit")
        async with context.db.transaction() as session:
            await enqueue(session, Job.REQUEST_EXPORT, "late id, early commit")
        assert await carry_jobs(context) == 1
    assert await carry_jobs(context) == 1
    assert [subject for _, subject in broker.rung()] == ["late id, early commit", "early id, late commit"]


async def test_two_relays_carry_each_row_once(context: Context, settings: Settings, broker: Broker) -> None:
    subjects = [f"cap-{number}" for number in range(130)]
    async with context.db.transaction() as session:
        session.add_all(
            OutboxMessage(kind="job", name="request_export", payload={"subject_id": one}) for one in subjects
        )
    second = open_context(settings)

    async def carry_all(of: Context) -> int:
        total = 0
        while carried := await carry_jobs(of):
            total += carried
        return total

    try:
        totals = await asyncio.gather(carry_all(context), carry_all(second))
    finally:
        await second.close()
    assert sum(totals) == len(subjects)
    assert min(totals) > 0
    assert Counter(subject for _, subject in broker.rung()) == Counter(subjects)
    assert await unpublished(context) == []


async def test_a_broker_that_is_away_loses_nothing(
    context: Context, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "BACKOFF_SECONDS", 0)
    await say(context)
    for subject_id in ("cap-1", "cap-2"):
        async with context.db.transaction() as session:
            await enqueue(session, Job.REQUEST_EXPORT, subject_id)
    broker.go_away()
    assert await carry_jobs(context) == 0
    assert await carry_events(context) == 1  # who needs no broker does not wait for it
    assert await unpublished(context) == ["request_export", "request_export"]
    broker.come_back()
    assert await carry_jobs(context) == 2
    assert [subject for _, subject in broker.rung()] == ["cap-1", "cap-2"]


async def test_a_job_of_another_version_holds_nothing_up(context: Context, broker: Broker) -> None:
    async with context.db.transaction() as session:
        session.add(OutboxMessage(kind="job", name="fold_laundry", payload={"subject_id": "x"}))
        await session.flush()
        await enqueue(session, Job.REQUEST_EXPORT, "cap-1")
    await carry_jobs(context)
    assert broker.rung() == [("request_export", "cap-1")]
    assert await carry_jobs(context) == 0


async def test_the_bell_wakes_a_listener_whose_line_was_cut(context: Context) -> None:
    assert context.settings.database_url
    wake = asyncio.Event()
    listener = asyncio.create_task(listen(context.settings.database_url, NOTIFY_CHANNEL, wake))
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            await wake.wait()  # it listens, and may have missed something before
            wake.clear()
            await say(context)
            await wake.wait()
            wake.clear()
            async with context.db.transaction() as session:
                cut = (
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where query ilike 'listen%' and datname = current_database()"
                )
                connection = await session.connection()
                assert len((await connection.exec_driver_sql(cut)).all()) == 1
            await wake.wait()  # it listens again
            wake.clear()
            await say(context)
            await wake.wait()
    finally:
        await end_task(listener)


async def test_a_running_relay_carries_what_commits_without_waiting_to_poll(
    context: Context, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "POLL_SECONDS", 3600.0)
    running = asyncio.create_task(relay(context))
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            await eventually(lambda: ("keep_house", "") in broker.rung())
            async with context.db.transaction() as session:
                await enqueue(session, Job.REQUEST_EXPORT, "cap-1")
            await eventually(lambda: ("request_export", "cap-1") in broker.rung())
    finally:
        await end_task(running)


async def test_a_relay_outlives_a_database_that_is_away(
    context: Context, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "BACKOFF_SECONDS", 0.02)
    monkeypatch.setattr(relay_module, "POLL_SECONDS", 0.02)
    rename = "alter table {} rename to {}"

    async def execute(statement: str) -> None:
        async with context.db.transaction() as session:
            await (await session.connection()).exec_driver_sql(statement)

    await execute(rename.format("outbox", "hidden"))
    running = asyncio.create_task(relay(context))
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            await eventually(lambda: ("keep_house", "") in broker.rung())
            await execute(rename.format("hidden", "outbox"))
            async with context.db.transaction() as session:
                await enqueue(session, Job.REQUEST_EXPORT, "cap-1")
            await eventually(lambda: ("request_export", "cap-1") in broker.rung())
        assert not running.done()
    finally:
        await end_task(running)
    async with context.db.transaction() as session:
        await session.execute(update(OutboxMessage).values(published_at=None))
