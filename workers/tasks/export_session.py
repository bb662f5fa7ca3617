"""Exports a stopped session: the muxed recording and each stored channel as an asset of its own."""

import asyncio
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from app.domain.assets.service import StoredFile
from app.domain.exports.service import (
    ExportPlan,
    PlannedAsset,
    PlannedTrack,
    fail_export,
    finish_export,
    plan_export,
)
from app.domain.operations import service as operations
from app.domain.operations.models import Operation
from app.media.export import RecordedSegment, RecordedTrack, export_recording
from app.media.frames import Codec
from app.process import Context
from workers.tasks.lease import Lease
from workers.tasks.store_media import store_media


async def export_session(context: Context, operation: Operation, lease: Lease) -> None:
    """Make every planned file, then register them and move the session in one transaction."""
    session_id = operation.request["capture_session_id"]
    async with context.db.transaction() as session:
        plan = await plan_export(session, session_id)
    files: list[tuple[PlannedAsset, StoredFile]] = []
    for number, planned in enumerate(plan.assets):

        def report(fraction: float, done: int = number) -> None:
            lease.report((done + fraction) / len(plan.assets))

        files.append((planned, await _make(context, plan, planned, report)))
    async with context.db.transaction() as session:
        muxed = await finish_export(session, plan, files)
        await operations.finish(
            session, operation.id, worker=lease.worker, result={"exported_video_id": muxed.id}
        )


async def export_session_failed(context: Context, operation: Operation) -> None:
    """Tell the session that its export failed for good."""
    async with context.db.transaction() as session:
        await fail_export(session, operation.request["capture_session_id"])


async def _make(
    context: Context, plan: ExportPlan, planned: PlannedAsset, report: Callable[[float], None]
) -> StoredFile:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="capture-export-")))
        video = await _local(context, stack, planned.video) if planned.video else None
        audio = [await _local(context, stack, track) for track in planned.audio]
        exported = await asyncio.to_thread(
            export_recording, video, audio, folder / "export.mp4", zero_us=plan.zero_us, on_progress=report
        )
        return await store_media(
            context,
            exported,
            account_id=plan.account_id,
            asset_id=planned.asset_id,
            started_at_us=plan.zero_us,
        )


async def _local(context: Context, stack: AsyncExitStack, track: PlannedTrack) -> RecordedTrack:
    segments = [
        RecordedSegment(
            await stack.enter_async_context(context.storage.local_path(segment.storage_key)),
            segment.started_at_us,
            segment.duration_us,
        )
        for segment in track.segments
    ]
    return RecordedTrack(Codec(track.codec), segments)
