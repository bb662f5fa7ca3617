"""Deletion over REST, with the worker's own task behind it: nothing is left, and what went is said."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from app.base.errors import NotFound
from app.base.ids import utc_now
from app.base.settings import Settings
from app.domain.assets.models import Asset
from app.domain.collections.models import Collection
from app.domain.erasure.retention import (
    erase_expired_asset,
    erase_expired_session,
    expired_assets,
    expired_sessions,
    restart_failed_erasures,
)
from app.domain.erasure.service import erase_session
from app.domain.operations.models import Operation
from app.domain.sessions.models import CaptureSession
from app.domain.streams.models import Segment
from app.process import Context
from app.storage.contract import StorageUnavailable
from tests.fixtures.erasable import Erasable, make_erasable, traces
from tests.fixtures.factories import Tenant, add_segment_row, make_active, make_tenant
from tests.fixtures.web import Web
from tests.fixtures.working import worker
from workers.tasks.keep_house import keep_house
from workers.tasks.run_operation import run_operation

Json = dict[str, Any]
WHOLE = {
    # Segments, mix, conversion, screen, speech, video with picture, raw, image, stray, frame of the video.
    "objects": 4 + 1 + 1 + 1 + 1 + 2 + 1 + 1 + 1 + 1,
    "media_bytes": 4 * 1000 + 3 * 14,
    "capture_sessions": 1,
    "streams": 2,
    "segments": 4,
    "videos": 1,
    "audios": 1,
    "images": 1,
    "utterances": 2,
    "index_records": 1,
    "screens": 2,
    "scene_collections": 1,
    "speech_chunks": 1,
    "playbacks": 5,  # of the session, a stretch, the video, the raw track, and a cut that shows a part
    "jobs": 3,  # the export that its stop asked for, and vectors of what was said
    "webhook_endpoints": 1,
    "client_tokens": 1,
    "operations": 1,
}
LEASE_SECONDS = 1.0
DAYS_2 = timedelta(days=2)


@pytest.fixture
async def tenant(web: Web) -> Tenant:
    return await make_tenant(web.context)


@pytest.fixture
async def client(web: Web, tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    async with web.client(tenant.api_key) as client:
        yield client


async def stored(context: Context, tenant: Tenant) -> list[str]:
    return await context.storage.list_keys(f"{tenant.account_id}/")


def session_path(erasable: Erasable) -> str:
    return f"/collection/default/capture/session/{erasable.session_id}"


async def removed(client: httpx.AsyncClient, path: str) -> Json:
    answer = await client.delete(path)
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()["data"]["removed"]
    return found


async def test_a_session_goes_with_all_that_came_of_it(
    web: Web, client: httpx.AsyncClient, tenant: Tenant
) -> None:
    erasable, other = [await make_erasable(web.context, tenant) for _ in range(2)]
    before = await stored(web.context, tenant)
    kept = await traces(web.context, other)
    async with worker(web.context):
        counts = await removed(client, session_path(erasable))
    events, deliveries = counts.pop("events"), counts.pop("webhook_deliveries")
    assert counts == WHOLE
    assert (events, deliveries) == (6, 5)  # five moves, and what was said
    assert await traces(web.context, erasable) == []
    assert len(await stored(web.context, tenant)) == len(before) - WHOLE["objects"]
    assert await traces(web.context, other) == kept
    assert (await client.delete(session_path(erasable))).status_code == 404
    assert (await client.get(f"/video/{erasable.rendered_id}")).status_code == 200


async def test_nothing_is_seen_of_it_before_it_is_gone(
    web: Web, client: httpx.AsyncClient, tenant: Tenant
) -> None:
    erasable = await make_erasable(web.context, tenant)
    async with web.context.db.transaction() as session:
        await erase_session(session, await session.get_one(CaptureSession, erasable.session_id))
    assert await stored(web.context, tenant)
    for path in (
        session_path(erasable),
        f"/video/{erasable.video_id}",
        f"/audio/{erasable.raw_id}",
        f"/image/{erasable.image_id}",
        *(f"/rtstream/{stream_id}" for stream_id in erasable.stream_ids),
    ):
        assert (await client.get(path)).status_code == 404, path
    sessions = await client.get("/collection/default/capture/session")
    assert sessions.json()["data"]["sessions"] == []
    videos = (await client.get("/video")).json()["data"]["videos"]
    assert [video["id"] for video in videos] == [erasable.rendered_id]
    found = await client.post("/rtstream/collection/default/search", json={"query": "budget"})
    assert found.json()["data"]["results"] == []
    for slug in erasable.slugs:
        assert (await client.get(f"/media/{slug}/stream.m3u8")).status_code in (404, 410)


async def test_a_video_goes_alone(web: Web, client: httpx.AsyncClient, tenant: Tenant) -> None:
    erasable = await make_erasable(web.context, tenant)
    async with worker(web.context):
        counts = await removed(client, f"/video/{erasable.video_id}")
    assert {name: number for name, number in counts.items() if number} == {
        "objects": 5,
        "media_bytes": 28,
        "videos": 1,
        "images": 1,
        "utterances": 1,
        "screens": 1,
        "scene_collections": 1,
        "playbacks": 2,
        "operations": 1,
        "jobs": 1,
    }
    shown = (await client.get(session_path(erasable))).json()["data"]
    assert (shown["status"], shown["stream_url"]) == ("exported", None)


async def test_an_end_user_goes_with_everything(web: Web, client: httpx.AsyncClient, tenant: Tenant) -> None:
    erasables = [await make_erasable(web.context, tenant, end_user_id="zoe/1") for _ in range(2)]
    other = await make_erasable(web.context, tenant)
    kept = await traces(web.context, other)
    await client.post("/capture/session/token", json={"user_id": "zoe/1"})
    async with worker(web.context):
        counts = await removed(client, "/end_user/zoe%2F1")
        assert (counts["capture_sessions"], counts["client_tokens"]) == (2, 3)
        assert (await client.delete("/end_user/zoe%2F1")).status_code == 404
    for erasable in erasables:
        assert await traces(web.context, erasable) == []
    async with web.context.db.transaction() as session:
        for operation in await session.scalars(select(Operation).where(Operation.kind == "erase")):
            assert "zoe" not in f"{operation.subject} {operation.request} {operation.result}"
    assert await traces(web.context, other) == kept


async def test_what_still_records_is_not_deleted(web: Web, client: httpx.AsyncClient, tenant: Tenant) -> None:
    session_id, _ = await make_active(web.context, tenant, end_user_id="eve")
    for path in (f"/collection/default/capture/session/{session_id}", "/end_user/eve"):
        answer = await client.delete(path)
        assert (answer.status_code, answer.json()["error_code"]) == (409, "session_busy")
    assert (await client.get(f"/capture/session/{session_id}")).json()["data"]["status"] == "active"


async def test_what_comes_late_from_a_spool_is_not_stored_again(
    web: Web, client: httpx.AsyncClient, tenant: Tenant
) -> None:
    erasable = await make_erasable(web.context, tenant)
    async with worker(web.context):
        await removed(client, session_path(erasable))
    with pytest.raises(NotFound):
        await add_segment_row(web.context, erasable.stream_ids[0])


async def test_collections_say_how_long_their_media_is_kept(
    web: Web, client: httpx.AsyncClient, tenant: Tenant
) -> None:
    old, new = [await make_erasable(web.context, tenant) for _ in range(2)]
    days = (await client.patch("/collection/default", json={"retention_days": 30})).json()["data"]
    assert days["retention_days"] == 30
    context = web.context
    async with context.db.transaction() as session:
        then = utc_now() - timedelta(days=31)
        old_ids = (old.video_id, old.raw_id, old.image_id, old.rendered_id)
        await session.execute(
            update(CaptureSession).where(CaptureSession.id == old.session_id).values(status_changed_at=then)
        )
        await session.execute(update(Asset).where(Asset.id.in_(old_ids)).values(created_at=then))
        assert await expired_sessions(session, 0) == [old.session_id]
        assert set(await expired_assets(session, 0)) == set(old_ids)
        await session.execute(update(Collection).values(retention_days=0))  # for ever, whatever the setting
        assert await expired_sessions(session, 1) == []
        await session.execute(update(Collection).values(retention_days=None))
        assert await expired_sessions(session, 0) == []
        assert await expired_sessions(session, 30) == [old.session_id]
        await erase_expired_session(session, old.session_id)
        for asset_id in await expired_assets(session, 30):
            await erase_expired_asset(session, asset_id)
    async with context.db.transaction() as session:
        operations = (await session.scalars(select(Operation.id).where(Operation.kind == "erase"))).all()
    assert len(operations) == 2  # the session with its media, and the video that was rendered
    for operation_id in operations:
        await run_operation(context, operation_id)
    assert await traces(context, old) == []
    assert (await client.get(f"/video/{new.video_id}")).status_code == 200


async def test_housekeeping_erases_what_is_past_its_retention(
    web: Web, client: httpx.AsyncClient, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    erasable = await make_erasable(web.context, tenant)
    async with web.context.db.transaction() as session:
        await session.execute(
            update(CaptureSession).values(status_changed_at=CaptureSession.status_changed_at - DAYS_2)
        )
    await client.patch("/collection/default", json={"retention_days": 1})
    monkeypatch.setattr("workers.tasks.keep_house._SELDOM._next", 0.0)
    await keep_house(web.context, "")
    assert (await client.get(session_path(erasable))).status_code == 404


async def test_storage_that_is_away_for_long_only_puts_it_off(
    web: Web, client: httpx.AsyncClient, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    erasable = await make_erasable(web.context, tenant)
    context = web.context

    async def away(key: str) -> None:
        raise StorageUnavailable("away")

    monkeypatch.setattr(context.storage, "delete", away)
    monkeypatch.setattr("workers.tasks.leased.RETRY_SECONDS", 0.0)
    monkeypatch.setattr("app.api.operations.HOLD_SECONDS", 10.0)
    async with worker(context):
        answer = await client.delete(session_path(erasable))
    assert answer.status_code == 500
    monkeypatch.undo()
    async with context.db.transaction() as session:
        await restart_failed_erasures(session)
        operation = await session.scalar(select(Operation).where(Operation.kind == "erase"))
    assert operation is not None
    await run_operation(context, operation.id)
    assert await traces(context, erasable) == []


@pytest.mark.slow
async def test_a_killed_erasure_is_taken_over_and_counts_everything(
    web: Web, settings: Settings, tenant: Tenant
) -> None:
    """Kill -9 at ten steps of ten erasures."""
    turns = asyncio.Semaphore(2)
    await asyncio.gather(*(killed_at(step, web.context, settings, tenant, turns) for step in range(2, 32, 3)))


async def killed_at(
    step: int, context: Context, settings: Settings, tenant: Tenant, turns: asyncio.Semaphore
) -> None:
    erasable = await make_erasable(context, tenant)
    async with context.db.transaction() as session:
        capture = await session.get_one(CaptureSession, erasable.session_id)
        operation_id = (await erase_session(session, capture)).id
    environment = os.environ | {
        "DATABASE_URL": settings.database_url or "",
        "REDIS_URL": settings.redis_url or "",
        "CAPTURE_DATA_DIR": str(settings.data_dir),
        "CAPTURE_EXPORT_LEASE_SECONDS": str(LEASE_SECONDS),
    }
    async with turns:
        doomed = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.fixtures.doomed_by_steps", operation_id, str(step), env=environment
        )
        assert await asyncio.wait_for(doomed.wait(), 60) == -signal.SIGKILL, step
        async with asyncio.timeout(30):
            while True:
                await run_operation(context, operation_id)
                async with context.db.transaction() as session:
                    operation = await session.get_one(Operation, operation_id)
                if operation.status == "done":
                    break
                await asyncio.sleep(0.1)
    counts = (operation.result or {})["removed"]
    assert {name: counts[name] for name in WHOLE} == WHOLE, step
    assert await traces(context, erasable) == []
    for prefix in ("segments", "speech"):
        for stream_id in erasable.stream_ids:
            assert await context.storage.list_keys(f"{tenant.account_id}/{prefix}/{stream_id}/") == []
    async with context.db.transaction() as session:
        left = select(Segment.id).where(Segment.stream_id.in_(erasable.stream_ids))
        assert await session.scalar(left) is None
