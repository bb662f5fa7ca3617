import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from sqlalchemy import select, update

from app.base.ids import utc_now
from app.domain.webhooks.models import WebhookDelivery, WebhookEndpoint
from app.domain.webhooks.service import RETRY_SECONDS, fan_out
from app.process import Context
from tests.fixtures.factories import events_of, make_session, make_tenant, start_session
from tests.fixtures.webhooks import WebhookReceiver
from workers.tasks.deliver_webhooks import deliver_webhooks

LIMIT_SECONDS = 20


async def session_with(context: Context, url: str, *, events: int = 2) -> tuple[str, str]:
    """A session whose first events wait for the endpoint `url`; returns its id and the endpoint's."""
    session_id = await make_session(context, await make_tenant(context), callback_url=url)
    if events > 1:
        await start_session(context, session_id)
    for event in await events_of(context, session_id):
        async with context.db.transaction() as session:
            await fan_out(session, await session.merge(event))
    async with context.db.transaction() as session:
        endpoint_id = await session.scalar(
            select(WebhookEndpoint.id).where(WebhookEndpoint.capture_session_id == session_id)
        )
    assert endpoint_id is not None
    return session_id, endpoint_id


async def make_due(context: Context) -> None:
    """Move every wait into the past."""
    async with context.db.transaction() as session:
        await session.execute(
            update(WebhookDelivery).values(next_attempt_at=utc_now() - timedelta(seconds=1))
        )


async def deliveries(context: Context, endpoint_id: str) -> list[WebhookDelivery]:
    async with context.db.transaction() as session:
        rows = await session.scalars(
            select(WebhookDelivery)
            .where(WebhookDelivery.endpoint_id == endpoint_id)
            .order_by(WebhookDelivery.outbox_id)
        )
        return list(rows)


def limited(context: Context, seconds: float) -> Context:
    settings = context.settings.model_copy(update={"webhook_timeout_seconds": seconds})
    return Context(settings, context.db, context.redis, context.storage)


def names(webhooks: WebhookReceiver, session_id: str) -> list[str]:
    return [body["event"].rpartition(".")[2] for body in webhooks.events(session_id)]


async def test_events_arrive_in_order_with_their_id_in_body_and_header(
    context: Context, webhooks: WebhookReceiver
) -> None:
    session_id, endpoint_id = await session_with(context, webhooks.url + "?key=1")
    await deliver_webhooks(context, endpoint_id)
    assert names(webhooks, session_id) == ["created", "starting"]
    for received in webhooks.received:
        assert received.headers["content-type"] == "application/json"
        assert received.headers["webhook-id"] == received.body["id"] == received.body["event_id"]
        assert received.path.endswith("?key=1")
    await deliver_webhooks(context, endpoint_id)
    assert len(webhooks.received) == 2
    assert {row.status for row in await deliveries(context, endpoint_id)} == {"delivered"}


async def test_a_refused_event_comes_again_with_the_same_id_before_the_next(
    context: Context, webhooks: WebhookReceiver
) -> None:
    answers = iter([500, 200, 200])
    webhooks.answer = lambda body: next(answers)
    session_id, endpoint_id = await session_with(context, webhooks.url)
    await deliver_webhooks(context, endpoint_id)
    await deliver_webhooks(context, endpoint_id)
    assert names(webhooks, session_id) == ["created"]
    await make_due(context)
    await deliver_webhooks(context, endpoint_id)
    assert names(webhooks, session_id) == ["created", "created", "starting"]
    ids = [body["id"] for body in webhooks.events(session_id)]
    assert ids[0] == ids[1] != ids[2]
    first, _ = await deliveries(context, endpoint_id)
    assert (first.status, first.attempts, first.last_status_code) == ("delivered", 2, 200)


async def test_an_endpoint_that_hangs_is_given_up_and_holds_up_nobody_else(
    context: Context, webhooks: WebhookReceiver
) -> None:
    hanging = WebhookReceiver()
    release = threading.Event()
    hanging.answer = lambda body: 200 if release.wait(LIMIT_SECONDS) else 500
    try:
        _, stuck = await session_with(context, hanging.url, events=1)
        session_id, quick = await session_with(context, webhooks.url)
        waiting = asyncio.create_task(deliver_webhooks(limited(context, 1.5), stuck))
        await deliver_webhooks(context, quick)
        assert names(webhooks, session_id) == ["created", "starting"]
        assert not waiting.done()
        await waiting
    finally:
        release.set()
        hanging.close()
    (row,) = await deliveries(context, stuck)
    assert (row.status, row.attempts, row.last_status_code) == ("pending", 1, None)
    assert "Timeout" in (row.last_error or "")


@asynccontextmanager
async def dripping() -> AsyncIterator[str]:
    """A server that answers for ever, a header at a time."""
    opened: set[asyncio.Task[None]] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        opened.add(task)
        try:
            writer.write(b"HTTP/1.1 200 OK\r\n")
            while not writer.is_closing():
                writer.write(b"X-Still: here\r\n")
                await writer.drain()
                await asyncio.sleep(0.02)
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()
        if opened:
            await asyncio.wait(opened, timeout=LIMIT_SECONDS)


async def test_an_answer_that_never_ends_is_given_up(context: Context) -> None:
    async with dripping() as url:
        _, endpoint_id = await session_with(context, url, events=1)
        async with asyncio.timeout(LIMIT_SECONDS):
            await deliver_webhooks(limited(context, 0.3), endpoint_id)
    (row,) = await deliveries(context, endpoint_id)
    assert (row.attempts, row.last_error) == (1, "TimeoutError")


async def test_two_workers_never_send_at_the_same_time(context: Context, webhooks: WebhookReceiver) -> None:
    sending, most = 0, 0
    lock = threading.Lock()

    def answer(body: dict[str, Any]) -> int:
        nonlocal sending, most
        with lock:
            sending += 1
            most = max(most, sending)
        threading.Event().wait(0.05)
        with lock:
            sending -= 1
        return 200

    webhooks.answer = answer
    session_id, endpoint_id = await session_with(context, webhooks.url)
    await asyncio.gather(*(deliver_webhooks(context, endpoint_id) for _ in range(4)))
    assert names(webhooks, session_id) == ["created", "starting"]
    assert most == 1


async def test_a_redirect_is_a_failure_and_is_not_followed(
    context: Context, webhooks: WebhookReceiver
) -> None:
    webhooks.answer = lambda body: 302
    session_id, endpoint_id = await session_with(context, webhooks.url)
    await deliver_webhooks(context, endpoint_id)
    assert names(webhooks, session_id) == ["created"]
    first, _ = await deliveries(context, endpoint_id)
    assert (first.status, first.last_status_code, first.last_error) == ("pending", 302, "HTTP 302")


async def test_after_the_last_retry_the_next_event_is_sent(
    context: Context, webhooks: WebhookReceiver
) -> None:
    webhooks.answer = lambda body: 410 if body["event"].endswith("created") else 200
    session_id, endpoint_id = await session_with(context, webhooks.url)
    for _ in range(len(RETRY_SECONDS) + 1):
        await make_due(context)
        await deliver_webhooks(context, endpoint_id)
    assert names(webhooks, session_id) == ["created"] * (len(RETRY_SECONDS) + 1) + ["starting"]
    assert [row.status for row in await deliveries(context, endpoint_id)] == ["failed", "delivered"]


async def test_an_address_that_nobody_answers_is_tried_again(context: Context) -> None:
    for url in [
        "http://127.0.0.1:1/",
        "http://no.such.host.invalid/",
        f"http://{'a' * 70}.invalid/",
        "http://a..b/",
        "http://127.0.0.1:99999/",
        "http://exa mple.invalid/",
        "https://[::1]:1/",
    ]:
        _, endpoint_id = await session_with(context, "http://placeholder.invalid/", events=1)
        async with context.db.transaction() as session:
            await session.execute(
                update(WebhookEndpoint).where(WebhookEndpoint.id == endpoint_id).values(url=url)
            )
        await deliver_webhooks(context, endpoint_id)
        (row,) = await deliveries(context, endpoint_id)
        assert (row.status, row.attempts, row.last_status_code) == ("pending", 1, None)
        assert row.last_error
        assert url not in row.last_error
