from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.fixtures.factories import (
    Tenant,
    detach,
    events_of,
    make_session,
    make_tenant,
    publish_media,
    status_of,
)
from tests.fixtures.web import Web

Json = dict[str, Any]
SESSIONS = "/collection/default/capture/session"


@pytest.fixture
async def tenant(web: Web) -> Tenant:
    return await make_tenant(web.context)


@pytest.fixture
async def client(web: Web, tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    async with web.client(tenant.api_key) as opened:
        yield opened


@pytest.fixture
async def desktop(web: Web, tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    """Where the recorder runs: it has a client token only."""
    async with web.client(tenant.client_token) as opened:
        yield opened


def data(answer: httpx.Response) -> Json:
    assert answer.status_code == 200, answer.text
    assert answer.json()["success"] is True
    found: Json = answer.json()["data"]
    return found


async def test_create_says_session_id_and_no_id(client: httpx.AsyncClient, tenant: Tenant) -> None:
    made = data(await client.post(SESSIONS, json={"end_user_id": "u", "metadata": {"a": [1, {"b": None}]}}))
    assert made.pop("session_id").startswith("cap-")
    assert isinstance(made.pop("created_at"), int)
    assert made == {
        "collection_id": tenant.collection_id,
        "end_user_id": "u",
        "status": "created",
        "callback_url": None,
        "metadata": {"a": [1, {"b": None}]},
        "rtstreams": [],
        "channels": [],
    }


async def test_a_capture_from_start_to_stop(
    web: Web, client: httpx.AsyncClient, desktop: httpx.AsyncClient
) -> None:
    session_id = data(await client.post(SESSIONS, json={"end_user_id": "u"}))["session_id"]
    wanted: Json = {
        "session_id": session_id,
        "channels": [
            {"channel_id": "mic", "type": "audio", "store": True},
            {"channel_id": "screen", "type": "video", "store": False},
            {"channel_id": "screen_1", "type": "video", "is_primary": True},
        ],
    }
    started = data(await desktop.post("/capture/session/start", json=wanted))
    assert (started["session_id"], started["streaming_session_id"]) == (session_id, session_id)
    assert started["status"] == "starting"
    assert [channel["channel_id"] for channel in started["channels"]] == ["screen_1", "mic", "screen"]
    for channel in started["channels"]:
        assert channel["whip_url"].endswith(f"/whip/{channel['stream_id']}")
        # The vendor's recorder wants all four as strings (recorder.md §1).
        for name in ("channel_id", "channel_name", "stream_id", "rtsp_url"):
            assert isinstance(channel[name], str)

    assert data(await desktop.post("/capture/session/start", json=wanted)) == started  # said twice
    other = wanted | {"channels": [{"channel_id": "system_audio"}]}
    assert (await desktop.post("/capture/session/start", json=other)).status_code == 409

    for channel in started["channels"]:
        await publish_media(web.context, channel["stream_id"])
    assert data(await desktop.get(f"/capture/session/{session_id}"))["status"] == "active"
    shown = data(await client.get(f"{SESSIONS}/{session_id}"))
    assert (shown["id"], shown["session_id"], shown["status"]) == (session_id, session_id, "active")
    assert [(row["channel_id"], row["name"]) for row in shown["rtstreams"]] == [
        ("screen", "display:2"),
        ("mic", "mic:default"),
        ("screen", "display:1"),
        ("display", "display:2"),
        ("display", "display:1"),
    ]
    assert [
        (row["channel_id"], row["type"], row["store"], row["is_primary"]) for row in shown["channels"]
    ] == [
        ("display:2", "video", True, True),
        ("mic:default", "audio", True, False),
        ("display:1", "video", False, False),
    ]
    assert shown["primary_video_channel_id"] == "display:2"
    assert (shown["exported_video_id"], shown["export_status"]) == (None, None)

    stopped = await desktop.post(f"/capture/session/{session_id}/stop", json={"session_id": session_id})
    assert data(stopped)["status"] == "stopping"
    assert stopped.json()["message"]
    for channel in started["channels"]:
        await detach(web.context, channel["stream_id"])
    again = data(await desktop.post(f"/capture/session/{session_id}/stop"))
    assert again["status"] == "stopped"
    assert (await desktop.post("/capture/session/start", json=wanted)).status_code == 409


async def test_the_documents_channels_are_named_and_stored_by_default(
    web: Web, client: httpx.AsyncClient, tenant: Tenant
) -> None:
    session_id = await make_session(web.context, tenant)
    wanted = {
        "session_id": session_id,
        "channels": [{"name": "mic"}, {"name": "display", "store": False}, {"name": "system_audio"}],
        "primary_video_channel_id": "display",
    }
    data(await client.post("/capture/session/start", json=wanted))
    channels = data(await client.get(f"{SESSIONS}/{session_id}"))["channels"]
    assert [(row["channel_id"], row["store"]) for row in channels] == [
        ("display:1", False),
        ("mic:default", True),
        ("system_audio:default", True),
    ]


async def test_a_start_that_is_refused_changes_nothing(
    web: Web, client: httpx.AsyncClient, tenant: Tenant
) -> None:
    session_id = await make_session(web.context, tenant)
    for wrong in (
        {},
        {"channels": []},
        {"channels": [{}]},
        {"channels": [{"channel_id": "camera"}]},
        {"channels": [{"channel_id": "mic"}, {"channel_id": "mic:default"}]},
        {"channels": [{"channel_id": "mic"}], "callback_url": "ftp://x"},
    ):
        answer = await client.post("/capture/session/start", json={"session_id": session_id} | wrong)
        assert answer.status_code == 400, wrong
        assert answer.json()["field"] in ("channels", "callback_url")
    assert await status_of(web.context, session_id) == "created"
    assert len(await events_of(web.context, session_id)) == 1
    assert (await client.post("/capture/session/start", json={})).json()["field"] == "session_id"
    unknown = {"session_id": "cap-none", "channels": [{"channel_id": "mic"}]}
    assert (await client.post("/capture/session/start", json=unknown)).status_code == 404


async def test_a_session_that_never_started_cannot_be_stopped(
    web: Web, client: httpx.AsyncClient, tenant: Tenant
) -> None:
    session_id = await make_session(web.context, tenant)
    answer = await client.post(f"/capture/session/{session_id}/stop")
    assert (answer.status_code, answer.json()["error_code"]) == (409, "illegal_move")


async def test_a_session_is_found_under_any_collection(
    web: Web, client: httpx.AsyncClient, tenant: Tenant
) -> None:
    session_id = await make_session(web.context, tenant)
    for collection in ("default", tenant.collection_id, "c-whatever"):
        path = f"/collection/{collection}/capture/session/{session_id}"
        assert data(await client.get(path))["id"] == session_id


async def test_lists_page_by_cursor(web: Web, client: httpx.AsyncClient, tenant: Tenant) -> None:
    made = [await make_session(web.context, tenant) for _ in range(5)]
    seen: list[str] = []
    cursor = None
    while True:
        page = data(await client.get(SESSIONS, params={"limit": 2} | ({"cursor": cursor} if cursor else {})))
        for row in page["sessions"]:
            assert row["id"] == row["session_id"]
            assert (row["rtstreams"], row["channels"]) == ([], [])
        seen += [row["id"] for row in page["sessions"]]
        cursor = page["next_page"]
        if cursor is None:
            break
        assert len(page["sessions"]) == 2
    assert seen == made[::-1]
    assert data(await client.get(SESSIONS, params={"status": "active"}))["sessions"] == []
    for wrong in ({"limit": 0}, {"limit": 101}, {"status": "paused"}, {"cursor": "x"}, {"cursor": "nan:x"},
                  {"cursor": "1e400:x"}, {"cursor": "-1e18:\0"}):  # fmt: skip
        answer = await client.get(SESSIONS, params=wrong)
        assert answer.status_code == 400, wrong


async def test_tokens(web: Web, client: httpx.AsyncClient) -> None:
    made = data(await client.post("/capture/session/token", json={"expires_in": 600, "user_id": "u"}))
    assert made["token"].startswith("st-")
    assert 595 <= made["expires_in"] <= 600
    assert isinstance(made["expires_at"], int)
    async with web.client(made["token"]) as desktop:
        assert (await desktop.get("/collection/default/websocket")).status_code == 200


async def test_the_socket_is_told_with_its_own_ticket(client: httpx.AsyncClient) -> None:
    first, second = [data(await client.get("/collection/default/websocket")) for _ in range(2)]
    assert first["websocket_url"].startswith("ws://")
    assert "/ws/" in first["websocket_url"]
    assert second["websocket_url"]
