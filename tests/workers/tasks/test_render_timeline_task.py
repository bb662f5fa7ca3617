import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.domain.assets.service import StoredFile, add_asset, get_asset, new_asset_id
from app.domain.operations.models import Operation
from app.domain.operations.service import OperationKind, get_operation, request_operation
from app.process import Context
from app.storage.keys import asset_key
from tests.fixtures.factories import Tenant, make_tenant
from tests.fixtures.media import export_recording, h264_frames, record
from workers.tasks.run_operation import run_operation


async def stored_video(context: Context, tenant: Tenant, folder: Path, seconds: float) -> str:
    track = record(h264_frames(seconds=seconds, width=640, height=360), folder, "display")
    made = await asyncio.to_thread(export_recording, track, [], folder / "video.mp4")
    asset_id = new_asset_id("video")
    key = asset_key(tenant.account_id, asset_id, "r-1", "mp4")
    await context.storage.put_file(key, made.path)
    async with context.db.transaction() as session:
        await add_asset(
            session,
            asset_id=asset_id,
            account_id=tenant.account_id,
            collection_id=tenant.collection_id,
            kind="video",
            name="video",
            file=StoredFile(key, "video/mp4", 1, length_seconds=made.duration_seconds, width=640, height=360),
        )
    return asset_id


async def requested(context: Context, tenant: Tenant, request: dict[str, Any]) -> str:
    async with context.db.transaction() as session:
        request = {**request, "collection_id": tenant.collection_id}
        kind = OperationKind.RENDER_TIMELINE
        return (await request_operation(session, tenant.account_id, kind, "render:test", request)).id


async def state(context: Context, tenant: Tenant, operation_id: str) -> Operation:
    async with context.db.transaction() as session:
        return await get_operation(session, tenant.account_id, operation_id)


async def test_progress_moves_while_it_renders_and_the_result_plays(context: Context, tmp_path: Path) -> None:
    # A lease is extended, and progress written, four times in its length.
    quick = replace(context, settings=context.settings.model_copy(update={"export_lease_seconds": 0.2}))
    tenant = await make_tenant(quick)
    asset_id = await stored_video(quick, tenant, tmp_path, 8.0)
    clips = [{"start": 0, "clip": {"asset": {"type": "video", "id": asset_id}, "duration": 8}}]
    timeline = {"resolution": "1920x1080", "tracks": [{"clips": clips}]}
    operation_id = await requested(quick, tenant, {"editor": timeline})
    work = asyncio.create_task(run_operation(quick, operation_id))
    seen = {0}
    while not work.done():
        seen.add((await state(quick, tenant, operation_id)).percentage)
        await asyncio.wait({work}, timeout=0.02)
    await work
    assert len(seen) > 3
    done = await state(quick, tenant, operation_id)
    assert (done.status, done.percentage) == ("done", 100)
    assert done.result is not None
    assert done.result["video_id"].startswith("m-")
    async with quick.db.transaction() as session:
        made = await get_asset(session, tenant.account_id, done.result["video_id"], kind="video")
    assert (made.width, made.height) == (1920, 1080)
    assert await quick.storage.size_bytes(made.storage_key) == made.size_bytes


async def test_a_clip_that_cannot_be_read_fails_with_its_name(context: Context, tmp_path: Path) -> None:
    tenant = await make_tenant(context)
    asset_id = await stored_video(context, tenant, tmp_path, 1.0)
    clips = [{"start": 0, "clip": {"asset": {"type": "audio", "id": asset_id}, "duration": 8}}]
    operation_id = await requested(context, tenant, {"editor": {"tracks": [{"clips": clips}]}})
    await run_operation(context, operation_id)
    failed = await state(context, tenant, operation_id)
    assert failed.status == "failed"
    assert failed.error == "tracks[0].clips[0].clip.asset.id: its file has no audio."
