"""`cap.export()` and `rtstream.export(name)` over the wire, with the worker's own tasks behind them."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from app.domain.assets.models import Asset
from app.domain.outbox.models import OutboxMessage
from app.media.recorded import RecordedTrack
from app.process import Context
from tests.fixtures.factories import Tenant, detach, events_of, make_active, make_tenant, stop_session
from tests.fixtures.media import (
    START_US,
    beep_seconds,
    beeps,
    flash_seconds,
    h264_frames,
    opus_packets,
    record,
)
from tests.fixtures.recorded_sessions import operations_of, stop, store_track
from tests.fixtures.web import Web
from tests.fixtures.working import worker
from workers.tasks.request_export import request_session_export
from workers.tasks.run_operation import run_operation

Json = dict[str, Any]
CHANNELS = ("mic", "display:1", "display:2")


@pytest.fixture
async def tenant(web: Web) -> Tenant:
    return await make_tenant(web.context)


@pytest.fixture
async def client(web: Web, tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    async with web.client(tenant.api_key) as client:
        yield client


@pytest.fixture(scope="module")
def tracks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RecordedTrack]:
    """A beeping microphone and two displays of different sizes."""
    folder = tmp_path_factory.mktemp("displays")
    return {
        "mic:default": record(opus_packets(beeps(4.0), started_at_us=START_US + 64_000), folder, "mic"),
        "display:1": record(h264_frames(seconds=4.0, started_at_us=START_US + 64_000), folder, "one"),
        "display:2": record(
            h264_frames(seconds=3.0, width=160, height=120, started_at_us=START_US + 64_000), folder, "two"
        ),
    }


async def recorded(context: Context, tenant: Tenant, tracks: dict[str, RecordedTrack]) -> str:
    session_id, streams = await make_active(context, tenant, CHANNELS)
    for name, track in tracks.items():
        await store_track(context, tenant, streams[name], track)
    await stop(context, session_id, streams)
    await request_session_export(context, session_id)
    return session_id


async def work(context: Context) -> None:
    """Run every operation, as the worker would."""
    for operation in await operations_of(context):
        await run_operation(context, operation.id)


async def ask(client: httpx.AsyncClient, session_id: str, **body: Any) -> Json:
    answer = await client.post(f"/collection/default/capture/session/{session_id}/export", json=body)
    assert answer.status_code == 200, answer.text
    data: Json = answer.json()["data"]
    assert set(data) == {
        "session_id", "video_channel_id", "export_status", "video_id", "stream_url", "player_url"
    }  # fmt: skip
    return data


async def notices(context: Context) -> list[tuple[str, Json]]:
    """Which connections were told of which exports."""
    async with context.db.transaction() as session:
        rows = await session.scalars(
            select(OutboxMessage).where(OutboxMessage.name == "capture_session.export_ready")
        )
        return [(row.route["connection_id"], row.payload["frames"][0]) for row in rows if row.route]


async def test_another_display_is_exported_once_with_the_same_sound(
    web: Web, client: httpx.AsyncClient, tenant: Tenant, tracks: dict[str, RecordedTrack]
) -> None:
    session_id = await recorded(web.context, tenant, tracks)
    assert (await ask(client, session_id))["export_status"] == "exporting"
    asked = {"video_channel_id": "display:2", "connection_id": "ws-1"}
    for _ in range(2):
        first = await ask(client, session_id, **asked)
        assert (first["export_status"], first["video_id"]) == ("exporting", None)
    await ask(client, session_id, video_channel_id="display:2", ws_connection_id="ws-2")
    await work(web.context)
    own, other = await ask(client, session_id), await ask(client, session_id, **asked)
    assert (own["export_status"], own["video_channel_id"]) == ("exported", "display:1")
    assert (other["export_status"], other["video_channel_id"]) == ("exported", "display:2")
    assert own["video_id"] != other["video_id"]
    assert other["stream_url"] != own["stream_url"]
    assert await ask(client, session_id, **asked) == other
    told = await notices(web.context)
    assert [connection for connection, _ in told] == ["ws-1", "ws-2"]
    assert {frame["video_id"] for _, frame in told} == {other["video_id"]}
    names = [event.name for event in await events_of(web.context, session_id)]
    assert names.count("capture_session.exported") == 1
    async with web.context.storage.local_path(await key_of(web.context, other["video_id"])) as path:
        for flash, beep in zip(flash_seconds(path), beep_seconds(path), strict=False):
            assert abs(flash - beep) < 0.04
        assert len(beep_seconds(path)) == 4
    video = (await client.get(f"/video/{other['video_id']}")).json()["data"]
    assert float(video["length"]) == pytest.approx(4.0, abs=0.1)


async def key_of(context: Context, asset_id: str) -> str:
    async with context.db.transaction() as session:
        return (await session.get_one(Asset, asset_id)).storage_key


async def test_a_socket_may_be_told_of_the_sessions_own_export(
    web: Web, client: httpx.AsyncClient, tenant: Tenant, tracks: dict[str, RecordedTrack]
) -> None:
    session_id = await recorded(web.context, tenant, tracks)
    await ask(client, session_id, connection_id="ws-1")
    await work(web.context)
    done = await ask(client, session_id, video_channel_id="display:1")
    ((connection, frame),) = await notices(web.context)
    assert (connection, frame["event"]) == ("ws-1", "capture_session.export_ready")
    assert frame["data"]["video_id"] == done["video_id"]
    assert "id" not in frame


async def test_a_deleted_export_of_a_display_is_made_again(
    web: Web, client: httpx.AsyncClient, tenant: Tenant, tracks: dict[str, RecordedTrack]
) -> None:
    session_id = await recorded(web.context, tenant, tracks)
    await ask(client, session_id, video_channel_id="display:2")
    await work(web.context)
    first = await ask(client, session_id, video_channel_id="display:2")
    async with worker(web.context):
        assert (await client.delete(f"/video/{first['video_id']}")).json()["data"]["removed"]["videos"] == 1
    assert (await ask(client, session_id, video_channel_id="display:2"))["export_status"] == "exporting"
    await work(web.context)
    again = await ask(client, session_id, video_channel_id="display:2")
    assert again["export_status"] == "exported"
    assert again["stream_url"] != first["stream_url"]


async def test_what_cannot_be_exported_is_refused(
    web: Web, client: httpx.AsyncClient, tenant: Tenant
) -> None:
    session_id, streams = await make_active(web.context, tenant, CHANNELS)
    path = f"/collection/default/capture/session/{session_id}/export"
    live = await client.post(path, json={})
    assert (live.status_code, "still records" in live.text) == (400, True)
    for channel_id in ("display:3", "mic:default"):
        refused = await client.post(path, json={"video_channel_id": channel_id})
        assert refused.status_code == 400
    await stop_session(web.context, session_id)
    assert (await ask(client, session_id))["export_status"] == "exporting"  # its streams are draining
    for stream_id in streams.values():
        await detach(web.context, stream_id)
    assert (await client.post(path, json={})).status_code == 400  # nothing was recorded
    others = await make_tenant(web.context)
    async with web.client(others.api_key) as stranger:
        assert (await stranger.post(path, json={})).status_code == 404


async def test_an_exported_stream_takes_the_name_it_is_given(
    web: Web, client: httpx.AsyncClient, tenant: Tenant, tracks: dict[str, RecordedTrack]
) -> None:
    session_id = await recorded(web.context, tenant, tracks)
    await work(web.context)
    shown = (await client.get(f"/collection/default/capture/session/{session_id}")).json()["data"]
    mic = next(row for row in shown["rtstreams"] if row["name"] == "mic:default")
    named = (await client.post(f"/rtstream/{mic['id']}/export", json={"name": "What Ada said"})).json()[
        "data"
    ]
    again = (await client.post(f"/rtstream/{mic['id']}/export", json={})).json()["data"]
    assert named == again
    assert (named["name"], named["video_id"]) == ("What Ada said", mic["exported_asset_id"])
