from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.base.redis import CONTROL_CHANNEL, subscribe
from tests.fixtures.factories import Tenant, make_active, make_stopped, make_tenant, say
from tests.fixtures.web import Web

Json = dict[str, Any]
AT_SECONDS = 1_760_000_000


@pytest.fixture
async def tenant(web: Web) -> Tenant:
    return await make_tenant(web.context)


@pytest.fixture
async def client(web: Web, tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    async with web.client(tenant.api_key) as opened:
        yield opened


@pytest.fixture
async def stream_id(web: Web, tenant: Tenant) -> str:
    _, streams = await make_active(web.context, tenant)
    return streams["mic:default"]


def data(answer: httpx.Response) -> Json:
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()["data"]
    return found


async def test_a_stream_by_its_id(client: httpx.AsyncClient, stream_id: str, tenant: Tenant) -> None:
    shown = data(await client.get(f"/rtstream/{stream_id}"))
    assert isinstance(shown.pop("created_at"), int)
    assert shown == {
        "id": stream_id,
        "rtstream_id": stream_id,
        "collection_id": tenant.collection_id,
        "channel_id": "mic",
        "name": "mic:default",
        "media_types": ["audio"],
        "status": "connected",
        "sample_rate": 48_000,
        "store": True,
        "exported_asset_id": None,
    }


async def test_transcription_is_started_stopped_and_asked_for(
    web: Web, client: httpx.AsyncClient, stream_id: str
) -> None:
    path = f"/rtstream/{stream_id}/transcription"
    assert data(await client.get(f"{path}/status"))["status"] == "not_configured"
    control = subscribe(web.context.redis, CONTROL_CHANNEL)
    assert await anext(control) is None
    asked = {"action": "start", "engine": "assemblyai", "mode": None, "language": "en-US"}
    started = data(await client.post(path, json=asked))
    assert (started["status"], started["rtstream_id"]) == ("running", stream_id)
    assert (started["engine"], started["requested_engine"]) == ("faster-whisper", "assemblyai")
    assert started["language"] == "en-US"
    assert await anext(control) == {"stream_id": stream_id}
    assert data(await client.post(path, json={"action": "stop", "mode": "graceful"}))["status"] == "stopped"
    assert data(await client.get(f"{path}/status"))["status"] == "stopped"
    assert data(await client.post(path, json={"action": "stop", "mode": "force"}))["status"] == "stopped"
    await control.aclose()  # type: ignore[attr-defined]
    for wrong in ({}, {"action": "pause"}, {"action": None}):
        answer = await client.post(path, json=wrong)
        assert (answer.status_code, answer.json()["field"]) == (400, "action")
    for field, asked in [
        ("mode", {"action": "stop", "mode": "later"}),
        ("language", {"action": "start", "language": "?"}),
    ]:
        answer = await client.post(path, json=asked)
        assert (answer.status_code, answer.json()["field"]) == (400, field)


async def test_what_was_said_by_pages_and_times(web: Web, client: httpx.AsyncClient, stream_id: str) -> None:
    for number in range(5):
        await say(web.context, stream_id, f"Number {number}.", at_us=(AT_SECONDS + 10 * number) * 1_000_000)

    async def texts(**asked: float) -> str:
        answer = data(await client.get(f"/rtstream/{stream_id}/transcription", params=asked))
        return "".join(row["text"][-2] for row in answer["transcription_records"])

    page = data(await client.get(f"/rtstream/{stream_id}/transcription", params={"page_size": 2, "page": 2}))
    assert [row["text"] for row in page["transcription_records"]] == ["Number 2.", "Number 3."]
    assert (page["total_count"], page["next_page"], page["page"], page["page_size"]) == (5, True, 2, 2)
    assert page["transcription_records"][0]["start"] == AT_SECONDS + 20
    assert await texts() == "01234"
    assert await texts(since=AT_SECONDS + 20) == "34"
    assert await texts(since=(AT_SECONDS + 20) * 1000) == "34"  # milliseconds are understood (contract C8)
    assert await texts(start=AT_SECONDS + 15, end=AT_SECONDS + 35) == "23"
    assert await texts(page=99) == ""
    assert await texts(page_size=100_000) == "01234"
    for wrong in ({"page": 0}, {"page_size": 0}, {"start": "nan"}, {"end": "inf"}, {"page": 10**30}):
        answer = await client.get(f"/rtstream/{stream_id}/transcription", params=wrong)
        assert answer.status_code == 400, wrong


async def test_search_in_a_stream_and_in_its_collection(
    web: Web, client: httpx.AsyncClient, tenant: Tenant, stream_id: str
) -> None:
    await say(web.context, stream_id, "We discussed the budget.", at_us=AT_SECONDS * 1_000_000)
    _, others = await make_active(web.context, tenant)
    for path in (f"/rtstream/{stream_id}/search", "/rtstream/collection/default/search"):
        (found,) = data(await client.post(path, json={"query": "budget discussion"}))["results"]
        assert (found["start"], found["end"]) == (AT_SECONDS, AT_SECONDS + 2)
        assert (found["text"], found["score"]) == ("We discussed the budget.", 1.0)
        assert (found["rtstream_id"], found["rtstream_name"]) == (stream_id, "mic:default")
    elsewhere = f"/rtstream/{others['mic:default']}/search"
    assert data(await client.post(elsewhere, json={"query": "budget"}))["results"] == []
    path = f"/rtstream/{stream_id}/search"
    for wanted in ({"score_threshold": 1.5}, {"query": "the of"}, {"score_threshold": 1e308}):
        assert data(await client.post(path, json={"query": "budget"} | wanted))["results"] == []
    for wrong in ({"query": None}, {"query": "  "}, {"query": "x" * 1001}, {"result_threshold": -1},
                  {"query": "nul \0"}):  # fmt: skip
        answer = await client.post(path, json={"query": "budget"} | wrong)
        assert answer.status_code == 400, wrong


async def test_a_stream_is_exported_when_it_has_stopped_and_holds_something(
    web: Web, client: httpx.AsyncClient, tenant: Tenant, stream_id: str
) -> None:
    running = await client.post(f"/rtstream/{stream_id}/export")
    assert (running.status_code, "still runs" in running.json()["message"]) == (400, True)
    _, stopped = await make_stopped(web.context, tenant)
    empty = await client.post(f"/rtstream/{stopped['mic:default']}/export")
    assert (empty.status_code, "recorded nothing" in empty.json()["message"]) == (400, True)
