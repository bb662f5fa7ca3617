"""Webhooks as receivers get them: signed, in order, again after failures, and none held up by another."""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update
from standardwebhooks import Webhook, WebhookVerificationError

from app.base.ids import utc_now
from app.domain.outbox.events import Route, emit
from app.domain.outbox.models import OutboxMessage
from app.domain.outbox.session_events import SessionMoved
from app.domain.webhooks.endpoints import create_endpoint, list_attempts
from app.domain.webhooks.models import WebhookDelivery, WebhookEndpoint, WebhookLine
from app.domain.webhooks.secrets import rotate, valid_secrets
from app.process import Context
from tests.fixtures.deliveries import (
    deliveries_to,
    endpoint_of,
    on_loopback,
    publish_events,
    running_sender,
)
from tests.fixtures.eventually import eventually
from tests.fixtures.factories import Tenant, make_session, make_tenant, start_session
from tests.fixtures.webhooks import WebhookReceiver

LIMIT_SECONDS = 20


@pytest.fixture
async def tenant(context: Context) -> Tenant:
    return await make_tenant(context)


@pytest.fixture
def local(context: Context) -> Context:
    return on_loopback(context)


async def session_with(context: Context, tenant: Tenant, url: str, *, events: int = 2) -> str:
    """A session whose first events wait for its callback."""
    session_id = await make_session(context, tenant, callback_url=url)
    if events > 1:
        await start_session(context, session_id)
    await publish_events(context)
    return session_id


def names(webhooks: WebhookReceiver, session_id: str) -> list[str]:
    return [body["event"].rpartition(".")[2] for body in webhooks.events(session_id)]


async def account_secrets(context: Context, tenant: Tenant) -> list[str]:
    async with context.db.transaction() as session:
        owner = tenant.account_id, None
        found = await valid_secrets(session, context.settings.secret_key, [owner], utc_now())
    return [one.text for one in found[owner]]


async def test_events_arrive_in_order_and_verify(
    local: Context, tenant: Tenant, webhooks: WebhookReceiver
) -> None:
    webhooks.answer_text = "thank\x00 you\n" + "x" * 2000
    session_id = await session_with(local, tenant, webhooks.url + "?key=1")
    async with running_sender(local) as running:
        await running.settle()
    assert names(webhooks, session_id) == ["created", "starting"]
    (secret,) = await account_secrets(local, tenant)
    for received in webhooks.received:
        assert Webhook(secret).verify(received.text, received.headers)["id"] == received.body["id"]
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(received.text + " ", received.headers)
        assert received.headers["content-type"] == "application/json"
        assert received.headers["webhook-id"] == received.body["id"] == received.body["event_id"]
        assert received.path.endswith("?key=1")
    rows = await deliveries_to(local, (await endpoint_of(local, session_id)).id)
    assert {(row.status, row.attempts) for row in rows} == {("delivered", 1)}
    async with local.db.transaction() as session:
        (attempt,) = await list_attempts(session, rows[0].id)
        assert attempt.answer.startswith("thank you\nxxx")
        assert (attempt.status_code, attempt.error, len(attempt.answer)) == (200, None, 511)
        assert (await session.scalars(select(WebhookLine.due_at))).all() == [None]


async def test_two_secrets_are_valid_while_one_takes_the_others_place(
    local: Context, tenant: Tenant, webhooks: WebhookReceiver
) -> None:
    (old,) = await account_secrets(local, tenant)
    owner = tenant.account_id, None
    for _ in range(2):
        async with local.db.transaction() as session:
            await rotate(session, local.settings.secret_key, owner, utc_now(), 600)
    new, before = await account_secrets(local, tenant)
    await session_with(local, tenant, webhooks.url, events=1)
    async with running_sender(local) as running:
        await running.settle()
    (received,) = webhooks.received
    for secret in (new, before):
        Webhook(secret).verify(received.text, received.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(old).verify(received.text, received.headers)  # of two rotations ago


async def test_a_refused_event_comes_again_with_the_same_id_before_the_next(
    local: Context, tenant: Tenant, webhooks: WebhookReceiver
) -> None:
    answers = iter([500, 200, 200])
    webhooks.answer = lambda body: next(answers)
    session_id = await session_with(local, tenant, webhooks.url)
    async with running_sender(local) as running:
        await running.settle()
        assert names(webhooks, session_id) == ["created"]
        await running.pass_time(timedelta(seconds=6))
    assert names(webhooks, session_id) == ["created", "created", "starting"]
    first, again, following = webhooks.received
    assert first.headers["webhook-id"] == again.headers["webhook-id"] != following.headers["webhook-id"]
    assert int(again.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) in (4, 5, 6)
    assert first.headers["webhook-signature"] != again.headers["webhook-signature"]
    assert first.text == again.text


async def test_an_endpoint_that_fails_for_a_day_loses_nothing(
    local: Context, tenant: Tenant, webhooks: WebhookReceiver
) -> None:
    webhooks.answer = lambda body: 503
    session_ids = [await session_with(local, tenant, webhooks.url) for _ in range(20)]
    async with running_sender(local) as running:
        await running.pass_time(timedelta(days=1))
        assert {name for session_id in session_ids for name in names(webhooks, session_id)} == {"created"}
        async with local.db.transaction() as session:
            attempts = await session.scalars(
                select(WebhookDelivery.attempts).where(WebhookDelivery.attempts > 0)
            )
            # At once, and after 5 s, 5 min, 30 min, 2 h, 5 h and 10 h.
            assert attempts.all() == [7] * 20
        webhooks.answer = lambda body: 200
        await running.pass_time(timedelta(days=1))
    for session_id in session_ids:
        assert list(dict.fromkeys(names(webhooks, session_id))) == ["created", "starting"]
    async with local.db.transaction() as session:
        assert set(await session.scalars(select(WebhookDelivery.status))) == {"delivered"}
        assert set(await session.scalars(select(WebhookEndpoint.failing_since))) == {None}


async def test_an_endpoint_that_fails_for_five_days_is_disabled_and_an_event_says_so(
    local: Context, tenant: Tenant, webhooks: WebhookReceiver
) -> None:
    webhooks.answer = lambda body: 500
    session_id = await session_with(local, tenant, webhooks.url)
    async with running_sender(local) as running:
        await running.pass_time(timedelta(days=4.9))
        assert (await endpoint_of(local, session_id)).status == "enabled"
        await running.pass_time(timedelta(days=2))
    endpoint = await endpoint_of(local, session_id)
    assert (endpoint.status, endpoint.disabled_reason) == ("disabled", "it has failed for 5 days")
    created, starting = await deliveries_to(local, endpoint.id)
    assert (created.status, created.attempts) == ("failed", 10)
    assert (starting.status, starting.last_error) == ("failed", "the endpoint is disabled")
    async with local.db.transaction() as session:
        told = (
            await session.scalars(
                select(OutboxMessage).where(OutboxMessage.name == "webhook.endpoint_disabled")
            )
        ).one()
    assert told.payload["envelope"]["data"] == {
        "endpoint_id": endpoint.id,
        "reason": "it has failed for 5 days",
        "capture_session_id": session_id,
    }
    assert told.payload["frames"][0]["event"] == "webhook.endpoint_disabled"


async def test_who_says_gone_is_asked_no_more(
    local: Context, tenant: Tenant, webhooks: WebhookReceiver
) -> None:
    webhooks.answer = lambda body: 410
    session_id = await session_with(local, tenant, webhooks.url)
    async with running_sender(local) as running:
        await running.pass_time(timedelta(days=1))
    assert names(webhooks, session_id) == ["created"]
    assert [row.status for row in await deliveries_to(local, (await endpoint_of(local, session_id)).id)] == [
        "failed",
        "failed",
    ]


async def test_a_receiver_may_ask_for_time(local: Context, tenant: Tenant, webhooks: WebhookReceiver) -> None:
    webhooks.answer, webhooks.answer_headers = (lambda body: 429), {"Retry-After": "600"}
    session_id = await session_with(local, tenant, webhooks.url, events=1)
    async with running_sender(local) as running:
        await running.pass_time(timedelta(seconds=599))
        assert len(webhooks.received) == 1
        await running.pass_time(timedelta(seconds=2))
    assert len(webhooks.received) == 2
    (row,) = await deliveries_to(local, (await endpoint_of(local, session_id)).id)
    assert (row.last_status_code, row.last_error) == (429, "HTTP 429")


async def test_an_endpoint_that_hangs_holds_up_nobody_else(
    local: Context, tenant: Tenant, webhooks: WebhookReceiver
) -> None:
    hanging = WebhookReceiver()
    release = threading.Event()
    hanging.answer = lambda body: 200 if release.wait(LIMIT_SECONDS) else 500
    stuck = [await session_with(local, tenant, hanging.url, events=1) for _ in range(40)]
    session_id = await session_with(local, tenant, webhooks.url)
    try:
        async with running_sender(local) as running:
            await eventually(lambda: names(webhooks, session_id) == ["created", "starting"])
            assert 32 <= running.sender.busy <= 34
            assert hanging.received == []
            release.set()
            await running.settle()
    finally:
        release.set()
        hanging.close()
    assert {body["capture_session_id"] for body in (one.body for one in hanging.received)} == set(stuck)
    assert len(hanging.received) == 40


async def test_one_sessions_trouble_holds_up_no_other_session_of_an_endpoint(
    local: Context, tenant: Tenant, webhooks: WebhookReceiver
) -> None:
    async with local.db.transaction() as session:
        await create_endpoint(session, tenant.account_id, url=webhooks.url, events=[], description="")
    bad = await make_session(local, tenant)
    good = await make_session(local, tenant)
    for one in (bad, good):
        await start_session(local, one)
    await publish_events(local)
    webhooks.answer = lambda body: 500 if body["capture_session_id"] == bad else 200
    async with running_sender(local) as running:
        await running.settle()
    assert names(webhooks, good) == ["created", "starting"]
    assert names(webhooks, bad) == ["created"]


async def test_four_senders_send_each_event_once_and_in_order(
    local: Context, tenant: Tenant, webhooks: WebhookReceiver
) -> None:
    session_ids = [await session_with(local, tenant, webhooks.url) for _ in range(30)]
    async with (
        running_sender(local) as first,
        running_sender(local) as second,
        running_sender(local) as third,
        running_sender(local) as fourth,
    ):
        for running in (first, second, third, fourth):
            await running.settle()
    assert len(webhooks.received) == 60
    for session_id in session_ids:
        assert names(webhooks, session_id) == ["created", "starting"]


async def test_what_a_killed_sender_held_is_sent_when_its_lease_has_run_out(
    local: Context, tenant: Tenant, webhooks: WebhookReceiver
) -> None:
    session_id = await session_with(local, tenant, webhooks.url)
    async with local.db.transaction() as session:
        held = utc_now() + timedelta(seconds=15)
        await session.execute(update(WebhookLine).values(lease="snd-of-the-dead", due_at=held))
    async with running_sender(local) as running:
        await running.settle()
        assert webhooks.received == []
        await running.pass_time(timedelta(seconds=20))
    assert names(webhooks, session_id) == ["created", "starting"]


async def test_a_sender_that_ends_gives_back_what_it_holds(
    local: Context, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.sender.GOODBYE_SECONDS", 0.05)
    async with dripping() as url:
        await session_with(local, tenant, url, events=1)
        async with running_sender(local) as running:
            await eventually(lambda: running.sender.busy == 1)
        async with local.db.transaction() as session:
            line = (await session.scalars(select(WebhookLine))).one()
        assert line.lease is None
        assert line.due_at is not None
        assert line.due_at <= running.clock.now


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


async def test_an_answer_that_never_ends_is_given_up(context: Context, tenant: Tenant) -> None:
    local = on_loopback(context, timeout_seconds=0.3)
    async with dripping() as url:
        session_id = await session_with(local, tenant, url, events=1)
        async with running_sender(local) as running:
            await running.settle()
    (row,) = await deliveries_to(local, (await endpoint_of(local, session_id)).id)
    assert (row.status, row.attempts, row.last_error) == ("pending", 1, "TimeoutError")


async def test_a_redirect_is_a_failure_and_is_not_followed(
    local: Context, tenant: Tenant, webhooks: WebhookReceiver
) -> None:
    webhooks.answer, webhooks.answer_headers = (lambda body: 307), {"Location": webhooks.url + "/other"}
    session_id = await session_with(local, tenant, webhooks.url)
    async with running_sender(local) as running:
        await running.settle()
    assert [one.path for one in webhooks.received] == ["/webhooks"]
    first, _ = await deliveries_to(local, (await endpoint_of(local, session_id)).id)
    assert (first.status, first.last_status_code, first.last_error) == ("pending", 307, "HTTP 307")


async def test_urls_that_lead_nowhere_are_tried_again(
    local: Context, tenant: Tenant, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "workers")
    urls = [
        "http://127.0.0.1:1/?key=hidden",
        "http://no.such.host.invalid/hidden",
        f"http://{'a' * 70}.invalid/hidden",
        "http://a..b/hidden",
        "http://127.0.0.1:99999/hidden",
        "http://exa mple.invalid/hidden",
        "https://[::1]:1/hidden",
    ]
    sessions = []
    for url in urls:
        sessions.append(await session_with(local, tenant, "http://placeholder.invalid/", events=1))
        async with local.db.transaction() as session:
            await session.execute(
                update(WebhookEndpoint)
                .where(WebhookEndpoint.capture_session_id == sessions[-1])
                .values(url=url)
            )
    async with running_sender(local) as running:
        await running.settle()
    for session_id in sessions:
        (row,) = await deliveries_to(local, (await endpoint_of(local, session_id)).id)
        assert (row.status, row.attempts, row.last_status_code) == ("pending", 1, None)
        assert row.last_error
        assert "hidden" not in row.last_error
    assert "not delivered" in caplog.text
    assert "hidden" not in caplog.text
    assert "whsec_" not in caplog.text


async def test_an_event_may_name_a_callback_of_its_own(
    local: Context, tenant: Tenant, webhooks: WebhookReceiver
) -> None:
    for status in ("active", "stopped"):
        async with local.db.transaction() as session:
            await emit(
                session,
                SessionMoved("cap-1", "user-1", status, {}),
                account_id=tenant.account_id,
                route=Route(tenant.collection_id),
                callback_url=webhooks.url,
            )
    await publish_events(local)
    async with running_sender(local) as running:
        await running.settle()
    assert names(webhooks, "cap-1") == ["active", "stopped"]
    (secret,) = await account_secrets(local, tenant)
    Webhook(secret).verify(webhooks.received[0].text, webhooks.received[0].headers)


# IPv4 and IPv6 in every spelling that a resolver or a socket understands; none may see a connection.
REFUSED_HOSTS = [
    *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost", "localhost.", "0.0.0.0"),
    *("[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[0:0:0:0:0:0:0:1]"),
    *("[64:ff9b::7f00:1]", "[2002:7f00:1::]", "user:pw@127.0.0.1", "127.0.0.1.", "[fe80::1%25lo]"),
]


class Counted:
    """A port on every address of this machine that counts who connects."""

    def __init__(self) -> None:
        self.connections = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.close()


@pytest.fixture
async def counted() -> AsyncIterator[Counted]:
    counting = Counted()
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        server = await asyncio.start_server(counting.serve, sock=listener)
        async with server:
            counting.port = listener.getsockname()[1]
            yield counting


async def test_no_private_address_sees_a_connection(
    context: Context, tenant: Tenant, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rebinding name is public whenever it is checked first, and loopback to whoever asks again."""
    real = asyncio.BaseEventLoop.getaddrinfo
    asked = 0

    async def rebinding(self: Any, host: Any, port: Any, **more: Any) -> Any:
        nonlocal asked
        if host != "rebind.example":
            return await real(self, host, port, **more)
        asked += 1
        # TEST-NET-3 stands for a public address: refused as well, so nothing leaves this machine.
        address = "203.0.113.1" if asked == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", rebinding)
    sessions = [
        await session_with(context, tenant, f"http://{host}:{counted.port}/", events=1)
        for host in [*REFUSED_HOSTS, "rebind.example"]
    ]
    async with running_sender(context) as running:
        await running.pass_time(timedelta(minutes=10))
    assert counted.connections == 0
    assert asked == 3
    for session_id, host in zip(sessions, [*REFUSED_HOSTS, "rebind.example"], strict=True):
        (row,) = await deliveries_to(context, (await endpoint_of(context, session_id)).id)
        assert row.attempts == 3, host
        assert row.last_error in ("AddressRefused", "ConnectError", "InvalidURL"), (host, row.last_error)


async def test_a_redirect_into_this_machine_is_not_followed(
    local: Context, tenant: Tenant, webhooks: WebhookReceiver, counted: Counted
) -> None:
    webhooks.answer = lambda body: 302
    webhooks.answer_headers = {"Location": f"http://127.0.0.1:{counted.port}/"}
    await session_with(local, tenant, webhooks.url, events=1)
    async with running_sender(local) as running:
        await running.settle()
    assert (len(webhooks.received), counted.connections) == (1, 0)


async def test_the_body_says_what_the_event_said(
    local: Context, tenant: Tenant, webhooks: WebhookReceiver
) -> None:
    data = {"text": "日本 “quoted” \u2028", "n": [1, 2.5, None], "nested": {"a": True}}
    async with local.db.transaction() as session:
        message = await emit(
            session,
            SessionMoved("cap-1", "user-1", "active", data),
            account_id=tenant.account_id,
            route=Route(tenant.collection_id),
            callback_url=webhooks.url,
        )
    await publish_events(local)
    async with running_sender(local) as running:
        await running.settle()
    assert json.loads(webhooks.received[0].text) == message.payload["envelope"]
