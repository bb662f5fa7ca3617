"""Pulled streams over REST: what is taken, refused, listed and shown."""

from typing import Any

import pytest

from app.domain.transcripts.models import Transcription
from tests.fixtures.factories import Tenant, make_active, make_tenant
from tests.fixtures.web import Web

CAMERA = {"url": "rtsp://me:secret@camera.example/live?token=hidden", "name": "Front door"}


@pytest.fixture
async def tenant(web: Web) -> Tenant:
    return await make_tenant(web.context)


async def connect(web: Web, tenant: Tenant, **more: Any) -> dict[str, Any]:
    async with web.client(tenant.api_key) as client:
        answer = await client.post("/rtstream", json=CAMERA | more)
        assert answer.status_code == 200, answer.text
        data: dict[str, Any] = answer.json()["data"]
        return data


async def test_a_stream_is_connected_and_its_password_never_shown(web: Web, tenant: Tenant) -> None:
    made = await connect(web, tenant, media_types=["audio", "video"], sample_rate=30, store=True)
    assert made["id"].startswith("rts-")
    assert (made["name"], made["status"], made["store"]) == ("Front door", "connected", True)
    assert (made["media_types"], made["sample_rate"]) == (["video", "audio"], 30)
    assert made["collection_id"] == tenant.collection_id
    source = made.pop("source")
    assert source["url"] == "rtsp://me:***@camera.example/live?token=***"
    assert (source["state"], source["attempts"], source["error"]) == ("waiting", 0, None)
    async with web.client(tenant.api_key) as client:
        shown = await client.get(f"/rtstream/{made['id']}")
        listed = await client.get("/rtstream")
    for row in (shown.json()["data"], *listed.json()["data"]["results"]):
        assert row.pop("source")["url"] == source["url"]
        assert row == made
    assert "secret" not in shown.text + listed.text
    assert "hidden" not in shown.text + listed.text


async def test_what_is_left_out_is_video_alone_and_not_stored(web: Web, tenant: Tenant) -> None:
    made = await connect(web, tenant)
    assert (made["media_types"], made["store"], made["channel_id"]) == (["video"], False, None)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"url": "file:///etc/passwd"}, "url"),
        ({"url": None}, "url"),
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "a\u0000b"}, "name"),
        ({"media_types": ["smell"]}, "media_types"),
        ({"sample_rate": 0}, "sample_rate"),
    ],
)
async def test_what_is_wrong_is_named(web: Web, tenant: Tenant, wrong: dict[str, Any], field: str) -> None:
    async with web.client(tenant.api_key) as client:
        answer = await client.post("/rtstream", json=CAMERA | wrong)
    assert answer.status_code == 400
    assert answer.json()["success"] is False
    assert field in answer.json()["message"]


async def test_another_accounts_collection_is_not_found(web: Web, tenant: Tenant) -> None:
    stranger = await make_tenant(web.context)
    async with web.client(stranger.api_key) as client:
        answer = await client.post("/rtstream", json=CAMERA | {"collection_id": tenant.collection_id})
    assert answer.status_code == 404


async def test_transcription_starts_with_the_stream_and_wants_sound(web: Web, tenant: Tenant) -> None:
    more = {"media_types": ["audio"], "enable_transcript": True, "ws_connection_id": "ws-1"}
    made = await connect(web, tenant, **more)
    async with web.context.db.transaction() as session:
        transcription = await session.get_one(Transcription, made["id"])
        assert (transcription.status, transcription.ws_connection_id) == ("running", "ws-1")
    async with web.client(tenant.api_key) as client:
        refused = await client.post("/rtstream", json=CAMERA | {"enable_transcript": True})
        assert (await client.get("/rtstream")).json()["data"]["count"] == 1
    assert refused.status_code == 400
    assert "no sound" in refused.json()["message"]


async def test_lists_are_paged_filtered_and_ordered(web: Web, tenant: Tenant) -> None:
    names = [f"Camera {number}" for number in range(5)]
    ids = [(await connect(web, tenant, name=name))["id"] for name in names]
    _, opened = await make_active(web.context, tenant)
    async with web.client(tenant.api_key) as client:

        async def listed(**params: Any) -> dict[str, Any]:
            answer = await client.get("/rtstream", params=params)
            assert answer.status_code == 200, answer.text
            data: dict[str, Any] = answer.json()["data"]
            return data

        everything = await listed()
        assert [row["id"] for row in everything["results"]] == [*opened.values(), *reversed(ids)]
        assert (everything["count"], everything["next"], everything["previous"]) == (6, None, None)
        page = await listed(limit=2, offset=1, name="camera", ordering="created_at")
        assert [row["id"] for row in page["results"]] == ids[1:3]
        assert page["count"] == 5
        following = await client.get(page["next"])
        assert [row["id"] for row in following.json()["data"]["results"]] == ids[3:]
        assert "offset=0" in page["previous"]
        await client.patch(f"/rtstream/{ids[0]}/status", json={"action": "stop"})
        assert [row["id"] for row in (await listed(status="stopped"))["results"]] == [ids[0]]
        assert (await listed(status="connected"))["count"] == 5
        assert (await listed(name="100%"))["results"] == []
        by_name = await listed(ordering="-name", name="Camera")
        assert [row["name"] for row in by_name["results"]] == names[::-1]
        for wrong in ({"ordering": "url"}, {"status": "asleep"}, {"limit": 0}, {"offset": -1}):
            assert (await client.get("/rtstream", params=wrong)).status_code == 400, wrong


async def test_a_stream_stops_starts_and_is_renamed(web: Web, tenant: Tenant) -> None:
    made = await connect(web, tenant)
    path = f"/rtstream/{made['id']}"
    async with web.client(tenant.api_key) as client:
        running = await client.post(f"{path}/export", json={})
        assert running.status_code == 400
        assert "still runs" in running.json()["message"]
        for _ in range(2):
            stopped = (await client.patch(f"{path}/status", json={"action": "stop"})).json()["data"]
            assert (stopped["status"], stopped["source"]["state"]) == ("stopped", "stopped")
        unstored = await client.post(f"{path}/export", json={})
        assert "was not stored" in unstored.json()["message"]
        started = (await client.patch(f"{path}/status", json={"action": "start"})).json()["data"]
        assert started["status"] == "connected"
        assert (await client.patch(f"{path}/status", json={"action": "jump"})).status_code == 400
        renamed = (await client.patch(path, json={"name": "Back door", "sample_rate": 25})).json()["data"]
        assert (renamed["name"], renamed["sample_rate"]) == ("Back door", 25)
        assert (await client.patch(path, json={"name": " "})).status_code == 400
        assert (await client.get(path)).json()["data"]["name"] == "Back door"


async def test_a_channel_of_a_session_keeps_its_name_and_its_session(web: Web, tenant: Tenant) -> None:
    _, opened = await make_active(web.context, tenant)
    path = f"/rtstream/{opened['mic:default']}"
    async with web.client(tenant.api_key) as client:
        for call, body in ((path, {"name": "x"}), (f"{path}/status", {"action": "stop"})):
            assert (await client.patch(call, json=body)).status_code == 409
