from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.base.redis import CONTROL_CHANNEL, subscribe
from tests.fixtures.factories import Tenant, make_active, make_tenant
from tests.fixtures.indexing import AT_US, SECOND, record
from tests.fixtures.web import Web

Json = dict[str, Any]
AT_SECONDS = AT_US // SECOND


@pytest.fixture
async def tenant(web: Web) -> Tenant:
    return await make_tenant(web.context)


@pytest.fixture
async def client(web: Web, tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    async with web.client(tenant.api_key) as opened:
        yield opened


@pytest.fixture
async def stream_id(web: Web, tenant: Tenant) -> str:
    _, streams = await make_active(web.context, tenant, ("display:1",))
    return streams["display:1"]


def data(answer: httpx.Response) -> Json:
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()["data"]
    return found


async def test_an_index_is_made_shown_stopped_started_and_changed(
    web: Web, client: httpx.AsyncClient, stream_id: str
) -> None:
    scene = f"/rtstream/{stream_id}/index/scene"
    control = subscribe(web.context.redis, CONTROL_CHANNEL)
    assert await anext(control) is None
    made = data(
        await client.post(
            scene,
            json={
                "extraction_type": "time_based",
                "extraction_config": {"time": 5, "frame_count": 2},
                "prompt": "What is open?",
                "model_name": "pro",
                "model_config": {},
                "name": "screen",
                "sandbox_id": None,
            },
        )
    )
    assert await anext(control) == {"stream_id": stream_id}
    await control.aclose()  # type: ignore[attr-defined]
    index_id = made["rtstream_index_id"]
    assert made | {"rtstream_index_id": "", "model_name": ""} == {
        "rtstream_index_id": "",
        "rtstream_id": stream_id,
        "name": "screen",
        "prompt": "What is open?",
        "model_name": "",
        "extraction_type": "time",
        "extraction_config": {"time": 5, "frame_count": 2},
        "index_type": "visual",
        "status": "running",
        "notice": None,
        "sandbox_id": None,
    }
    assert data(await client.get(f"/rtstream/{stream_id}/index/{index_id}")) == made
    assert data(await client.get(scene)) == {"scene_indexes": [made]}
    for spelling in ("scene", "spoken"):
        path = f"/rtstream/{stream_id}/index/{spelling}/{index_id}/status"
        assert data(await client.patch(path, json={"action": "stop"}))["status"] == "stopped"
        assert data(await client.patch(path, json={"action": "start"}))["status"] == "running"
        answer = await client.patch(path, json={"action": "pause"})
        assert (answer.status_code, answer.json()["field"]) == (400, "action")
    changed = data(await client.patch(f"{scene}/{index_id}", json={"prompt": "Which errors?"}))
    assert changed["prompt"] == "Which errors?"
    answer = await client.patch(f"{scene}/{index_id}", json={})
    assert (answer.status_code, answer.json()["field"]) == (400, "prompt")


async def test_what_cannot_be_indexed_says_why(client: httpx.AsyncClient, stream_id: str) -> None:
    scene = f"/rtstream/{stream_id}/index/scene"
    answer = await client.post(scene, json={"extraction_type": "transcript"})
    assert (answer.status_code, answer.json()["field"]) == (400, "extraction_type")
    answer = await client.post(scene, json={"extraction_config": {"time": -1}})
    assert (answer.status_code, answer.json()["field"]) == (400, "extraction_config.time")
    assert (await client.get(f"/rtstream/{stream_id}/index/idx-none")).status_code == 404


async def test_records_by_pages_and_times(web: Web, client: httpx.AsyncClient, stream_id: str) -> None:
    scene = f"/rtstream/{stream_id}/index/scene"
    index_id = data(await client.post(scene, json={}))["rtstream_index_id"]
    for number in range(3):
        await record(web.context, index_id, f"Number {number}.", at_us=AT_US + 10 * number * SECOND)
    page = data(await client.get(f"{scene}/{index_id}", params={"page_size": 2}))
    assert page["next_page"] is True
    first, second = page["scene_index_records"]
    assert (first["start"], first["end"]) == (AT_SECONDS, AT_SECONDS + 10)
    assert first["text"] == first["description"] == "Number 0."
    assert second["text"] == "Number 1."
    last = data(await client.get(f"{scene}/{index_id}", params={"page_size": 2, "page": 2}))
    assert ([row["text"] for row in last["scene_index_records"]], last["next_page"]) == (["Number 2."], False)
    asked = {"start": (AT_SECONDS + 11) * 1000, "end": (AT_SECONDS + 12) * 1000}
    found = data(await client.get(f"{scene}/{index_id}", params=asked))
    assert [row["text"] for row in found["scene_index_records"]] == ["Number 1."]


async def test_events_and_alerts(client: httpx.AsyncClient, stream_id: str) -> None:
    index_id = data(await client.post(f"/rtstream/{stream_id}/index/scene", json={}))["rtstream_index_id"]
    event_id = data(
        await client.post("/rtstream/event", json={"event_prompt": "an error is shown", "label": "error"})
    )["event_id"]
    assert data(await client.get("/rtstream/event")) == {
        "events": [{"event_id": event_id, "event_prompt": "an error is shown", "label": "error"}]
    }
    path = f"/rtstream/{stream_id}/index/{index_id}/alert"
    alert_id = data(await client.post(path, json={"event_id": event_id, "callback_url": ""}))["alert_id"]
    (alert,) = data(await client.get(path))["alerts"]
    assert alert == {
        "alert_id": alert_id,
        "event_id": event_id,
        "prompt": "an error is shown",
        "label": "error",
        "callback_url": "",
        "status": "enabled",
    }
    for sent, status in [
        ({"action": "disable"}, "disabled"),
        ({"action": "enable"}, "enabled"),
        ({"status": "disabled"}, "disabled"),
        ({"status": "enabled"}, "enabled"),
    ]:
        assert data(await client.patch(f"{path}/{alert_id}/status", json=sent))["status"] == status
    answer = await client.patch(f"{path}/{alert_id}/status", json={"action": "mute"})
    assert (answer.status_code, answer.json()["field"]) == (400, "action")
    assert (await client.post(path, json={"event_id": "ev-none"})).status_code == 404
