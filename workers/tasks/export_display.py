"""Exports another display of an exported session: its picture with the sound of the session's recording."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from app.domain.assets.links import Links
from app.domain.assets.models import Asset
from app.domain.assets.service import StoredFile
from app.domain.exports.displays import DisplayExport, finish_display, plan_display, tell_listeners
from app.domain.operations import service as operations
from app.domain.operations.models import Operation
from app.media.copied_sound import sound_of_file
from app.media.export import ExportedFile, RecordedSegment, RecordedTrack, export_recording
from app.media.frames import Codec
from app.process import Context
from workers.tasks.lease import Lease
from workers.tasks.once_planned import once_planned
from workers.tasks.scratch import scratch_folder
from workers.tasks.store_media import store_media


async def export_display(context: Context, operation: Operation, lease: Lease) -> None:
    """Make the file of two that are there once the session's own export is, then register it."""
    planned = await once_planned(
        context, operation, plan_display, meanwhile="the session is still being exported"
    )
    file = await _make(context, operation, planned, lease)
    async with context.db.transaction() as session:
        asset = await finish_display(session, operation, planned, file)
        await operations.finish(session, operation.id, worker=lease.worker, result={"video_id": asset.id})
        await tell_listeners(session, operation.id, asset, Links(context.settings))


async def _make(context: Context, operation: Operation, planned: DisplayExport, lease: Lease) -> StoredFile:
    async with AsyncExitStack() as stack:
        folder = await stack.enter_async_context(scratch_folder(context))
        picture = await stack.enter_async_context(context.storage.local_path(planned.picture.storage_key))
        sound = await stack.enter_async_context(context.storage.local_path(planned.sound.storage_key))
        exported = await asyncio.to_thread(_joined, planned, picture, sound, folder / "export.mp4", lease)
        return await store_media(
            context,
            exported,
            account_id=operation.account_id,
            asset_id=planned.asset_id,
            started_at_us=planned.sound.started_at_us,
        )


def _joined(planned: DisplayExport, picture: Path, sound: Path, target: Path, lease: Lease) -> ExportedFile:
    zero_us = planned.picture.started_at_us or 0
    track = RecordedTrack([RecordedSegment(Codec.H264, picture, zero_us, _length_us(planned.picture))])
    return export_recording(
        track,
        sound_of_file(sound),
        target,
        zero_us=zero_us,
        ends_at_us=zero_us + max(_length_us(planned.picture), _length_us(planned.sound)),
        on_progress=lease.report,
    )


def _length_us(asset: Asset) -> int:
    return round(asset.length_seconds * 1_000_000)
