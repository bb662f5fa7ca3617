"""Endpoints of an account, their secrets, deliveries and replays; and events, read with a cursor."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from app.process import Context
from tests.fixtures.deliveries import LOOPBACK, on_loopback, publish_events, running_sender
from tests.fixtures.factories import Tenant, events_of, make_session, make_tenant, say, start_session
from tests.fixtures.web import Web
from tests.fixtures.webhooks import WebhookReceiver

Json = dict[str, Any]
URL = "https://hooks.example.com/capture"


@pytest.fixture
async def tenant(web: Web) -> Tenant:
    return await make_tenant(web.context)


@pytest.fixture
async def client(web: Web, tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    async with web.client(tenant.api_key) as opened:
        yield opened


def data(answer: httpx.Response) -> Json:
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()["data"]
    return found


async def send_all(context: Context) -> None:
    await publish_events(context)
    async with running_sender(on_loopback(context)) as running:
        await running.settle()


async def test_an_endpoint_from_its_making_to_its_end(client: httpx.AsyncClient) -> None:
    made = data(await client.post("/webhooks", json={"url": URL, "events": ["capture_session.*"]}))
    assert made.pop("secret").startswith("whsec_")
    assert made["url"] == URL
    assert "capture_session.exported" in made["events"]
    assert data(await client.get("/webhooks"))["webhooks"] == [made]
    path = f"/webhooks/{made['id']}"
    assert data(await client.get(path)) == made
    changed = data(await client.patch(path, json={"events": None, "description": "d", "status": "disabled"}))
    assert (changed["status"], changed["disabled_reason"]) == ("disabled", "by request")
    assert changed["description"] == "d"
    assert "transcript.final" not in changed["events"]
    assert (await client.post(f"{path}/test")).status_code == 409
    assert data(await client.patch(path, json={"status": "enabled"}))["disabled_reason"] is None
    assert data(await client.delete(path)) == {"id": made["id"]}
    assert (await client.get(path)).status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"url": "ftp://x"}, "url"),
        ({"url": "http://["}, "url"),
        ({"url": "http://127.0.0.1/x"}, "url"),
        ({"url": "http://[::ffff:10.0.0.1]/x"}, "url"),
        ({"url": "http://2130706433/"}, "url"),
        ({"url": "http://localhost:9000/"}, "url"),
        ({"url": URL, "events": ["capture_session.melted"]}, "events"),
        ({"url": URL, "events": "x"}, "events"),
        ({}, "url"),
    ],
)
async def test_a_wrong_endpoint_is_refused_by_field(
    client: httpx.AsyncClient, body: Json, field: str
) -> None:
    answer = await client.post("/webhooks", json=body)
    assert (answer.status_code, answer.json()["field"]) == (400, field)


async def test_a_callback_into_this_network_is_refused_by_field(client: httpx.AsyncClient) -> None:
    body = {"end_user_id": "u", "callback_url": "http://169.254.169.254/latest"}
    answer = await client.post("/collection/default/capture/session", json=body)
    assert (answer.status_code, answer.json()["field"]) == (400, "callback_url")
    assert answer.json()["error_code"] == "address_refused"


async def test_secrets_are_shown_and_rotated(client: httpx.AsyncClient) -> None:
    made = data(await client.post("/webhooks", json={"url": URL}))
    path = f"/webhooks/{made['id']}/secret"
    assert data(await client.get(path))["secret"] == made["secret"]
    rotated = data(await client.post(f"{path}/rotate", json={"overlap_seconds": 60}))
    assert rotated["secret"] != made["secret"]
    assert [one["secret"] for one in rotated["previous"]] == [made["secret"]]
    at_once = data(await client.post(f"{path}/rotate", json={"overlap_seconds": 0}))
    assert at_once["previous"] == []
    account = data(await client.get("/webhooks/secret"))
    assert account["secret"] not in (made["secret"], rotated["secret"])
    assert data(await client.get("/webhooks/secret")) == account
    assert (
        data(await client.post("/webhooks/secret/rotate", json={}))["previous"][0]["secret"]
        == (account["secret"])
    )


async def test_a_ping_is_delivered_logged_and_sent_again(
    web: Web, client: httpx.AsyncClient, webhooks: WebhookReceiver
) -> None:
    web.context.settings.allowed_networks = LOOPBACK
    webhooks.answer_text = "pong"
    made = data(await client.post("/webhooks", json={"url": webhooks.url}))
    other = data(await client.post("/webhooks", json={"url": webhooks.url + "/other"}))
    event_id = data(await client.post(f"/webhooks/{made['id']}/test"))["event_id"]
    await send_all(web.context)
    (received,) = webhooks.received
    assert Webhook(made["secret"]).verify(received.text, received.headers)["id"] == event_id
    (row,) = data(await client.get("/webhooks/deliveries", params={"event_id": event_id}))["deliveries"]
    assert (row["event"], row["status"], row["attempts"]) == ("webhook.ping", "delivered", 1)
    shown = data(await client.get(f"/webhooks/deliveries/{row['id']}"))
    (attempt,) = shown["log"]
    assert (attempt["status_code"], attempt["answer"], attempt["error"]) == (200, "pong", None)
    assert attempt["latency_ms"] >= 0
    again = data(await client.post(f"/webhooks/deliveries/{row['id']}/redeliver"))
    assert (again["status"], again["attempts"]) == ("pending", 0)
    await send_all(web.context)
    assert [one.headers["webhook-id"] for one in webhooks.received] == [event_id, event_id]
    assert len(data(await client.get(f"/webhooks/deliveries/{row['id']}"))["log"]) == 2
    assert data(await client.get("/webhooks/deliveries", params={"endpoint_id": other["id"]})) == {
        "deliveries": [],
        "next_page": None,
    }


async def test_what_an_endpoint_missed_is_replayed(
    web: Web, client: httpx.AsyncClient, tenant: Tenant, webhooks: WebhookReceiver
) -> None:
    web.context.settings.allowed_networks = LOOPBACK
    session_id = await make_session(web.context, tenant)
    await start_session(web.context, session_id)
    await publish_events(web.context)
    made = data(await client.post("/webhooks", json={"url": webhooks.url}))
    path = f"/webhooks/{made['id']}/replay"
    assert data(await client.post(path, json={"since": "2026-01-01T00:00:00Z"})) == {
        "count": 2,
        "next_after": None,
    }
    await send_all(web.context)
    assert [body["status"] for body in webhooks.events(session_id)] == ["created", "starting"]
    assert data(await client.post(path, json={"undelivered_only": True}))["count"] == 0
    late = {"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}
    assert (await client.post(path, json=late)).json()["field"] == "until"
    assert (await client.post(path, json={"after": "evt-none"})).status_code == 404
    page = data(await client.get("/webhooks/deliveries", params={"limit": 1}))
    (newest,) = page["deliveries"]
    rest = data(await client.get("/webhooks/deliveries", params={"cursor": page["next_page"]}))
    assert {newest["event"], *(row["event"] for row in rest["deliveries"])} == {
        "capture_session.starting",
        "capture_session.created",
    }


async def test_events_are_read_with_a_cursor(web: Web, client: httpx.AsyncClient, tenant: Tenant) -> None:
    first = await make_session(web.context, tenant)
    opened = await start_session(web.context, first)
    await say(web.context, opened["mic:default"], "Hello.")
    second = await make_session(web.context, tenant)
    assert data(await client.get("/events")) == {"events": [], "next_after": None, "has_more": False}
    await publish_events(web.context)
    page = data(await client.get("/events", params={"limit": 2}))
    assert [event["event"] for event in page["events"]] == [
        "capture_session.created",
        "capture_session.starting",
    ]
    assert (page["has_more"], page["next_after"]) == (True, page["events"][-1]["id"])
    rest = data(await client.get("/events", params={"after": page["next_after"]}))
    assert [event["event"] for event in rest["events"]] == ["transcript.final", "capture_session.created"]
    assert rest["has_more"] is False
    nothing = data(await client.get("/events", params={"after": rest["next_after"]}))
    assert nothing == {"events": [], "next_after": rest["next_after"], "has_more": False}

    async def some(**query: str) -> list[Json]:
        found: list[Json] = data(await client.get("/events", params=query))["events"]
        return found

    assert [one["data"]["text"] for one in await some(types="transcript.*")] == ["Hello."]
    assert len(await some(capture_session_id=first)) == 3
    assert {one["capture_session_id"] for one in await some(types="capture_session.created")} == {
        first,
        second,
    }
    assert (await some())[0] == (await events_of(web.context, first))[0].payload["envelope"]
    assert (await client.get("/events", params={"types": "x"})).json()["field"] == "types"
    assert (await client.get("/events", params={"after": "evt-none"})).status_code == 404


async def test_a_cursor_misses_nothing_of_what_commits_late(
    web: Web, client: httpx.AsyncClient, tenant: Tenant
) -> None:
    """Sessions are made side by side, published by two relays, and read while they are."""
    stop = asyncio.Event()

    async def carry() -> None:
        while not stop.is_set():
            await publish_events(web.context)

    async def read() -> list[str]:
        seen: list[str] = []
        after: str | None = None
        while True:
            ended = stop.is_set()
            page = data(
                await client.get("/events", params={"limit": 3} | ({"after": after} if after else {}))
            )
            seen += [event["capture_session_id"] for event in page["events"]]
            after = page["next_after"]
            if ended and not page["events"]:
                return seen

    async def make(number: int) -> list[str]:
        return [await make_session(web.context, tenant) for _ in range(number)]

    relays, reader = [asyncio.create_task(carry()) for _ in range(2)], asyncio.create_task(read())
    made = [one for found in await asyncio.gather(*(make(10) for _ in range(4))) for one in found]
    await publish_events(web.context)
    stop.set()
    await asyncio.gather(*relays)
    seen = await reader
    assert sorted(seen) == sorted(made)


async def test_two_accounts_see_nothing_of_each_other(
    web: Web, client: httpx.AsyncClient, tenant: Tenant
) -> None:
    made = data(await client.post("/webhooks", json={"url": URL}))
    event_id = data(await client.post(f"/webhooks/{made['id']}/test"))["event_id"]
    await publish_events(web.context)
    (delivery,) = data(await client.get("/webhooks/deliveries"))["deliveries"]
    stranger = await make_tenant(web.context)
    async with web.client(stranger.api_key) as other:
        for method, path in [
            ("GET", f"/webhooks/{made['id']}"),
            ("PATCH", f"/webhooks/{made['id']}"),
            ("DELETE", f"/webhooks/{made['id']}"),
            ("POST", f"/webhooks/{made['id']}/test"),
            ("GET", f"/webhooks/{made['id']}/secret"),
            ("POST", f"/webhooks/{made['id']}/secret/rotate"),
            ("POST", f"/webhooks/{made['id']}/replay"),
            ("GET", f"/webhooks/deliveries/{delivery['id']}"),
            ("POST", f"/webhooks/deliveries/{delivery['id']}/redeliver"),
            ("GET", f"/events?after={event_id}"),
        ]:
            answer = await other.request(method, path, json=None if method == "GET" else {})
            assert answer.status_code == 404, (method, path, answer.text)
        assert data(await other.get("/events"))["events"] == []
        assert data(await other.get("/webhooks"))["webhooks"] == []
        assert data(await other.get("/webhooks/deliveries"))["deliveries"] == []
    async with web.client(tenant.client_token) as desktop:
        assert (await desktop.get("/events")).status_code == 403
