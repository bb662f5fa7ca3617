"""Exports a stopped pulled stream: its picture and its sound in one file."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from app.domain.assets.service import StoredFile
from app.domain.exports.streams import StreamExport, finish_stream_export, plan_stream_export
from app.domain.operations import service as operations
from app.domain.operations.models import Operation
from app.media.copied_sound import CopiedSound, EncodedSound, OpusSound
from app.media.export import ExportedFile, RecordedTrack, export_recording
from app.media.frames import Codec
from app.process import Context
from workers.tasks.lease import Lease
from workers.tasks.local_tracks import local_track
from workers.tasks.once_planned import once_planned
from workers.tasks.scratch import scratch_folder
from workers.tasks.store_media import store_media


async def export_stream(context: Context, operation: Operation, lease: Lease) -> None:
    """Wait until all of the stream is stored, make the file, then register it."""
    planned = await once_planned(
        context, operation, plan_stream_export, meanwhile="what the stream recorded is not stored yet"
    )
    file = await _make(context, operation, planned, lease)
    async with context.db.transaction() as session:
        asset = await finish_stream_export(session, operation, planned, file)
        await operations.finish(session, operation.id, worker=lease.worker, result={"asset_id": asset.id})


async def _make(context: Context, operation: Operation, planned: StreamExport, lease: Lease) -> StoredFile:
    async with AsyncExitStack() as stack:
        folder = await stack.enter_async_context(scratch_folder(context))
        video, audio = [
            await local_track(context, stack, segments) if segments else None
            for segments in (planned.video, planned.audio)
        ]
        exported = await asyncio.to_thread(_written, planned, video, audio, folder / "export.mp4", lease)
        return await store_media(
            context,
            exported,
            account_id=operation.account_id,
            asset_id=planned.asset_id,
            started_at_us=planned.zero_us,
        )


def _written(
    planned: StreamExport,
    video: RecordedTrack | None,
    audio: RecordedTrack | None,
    target: Path,
    lease: Lease,
) -> ExportedFile:
    sound: CopiedSound | None = None
    if audio is not None and audio.codecs == {Codec.OPUS}:
        sound = OpusSound(audio, zero_us=planned.zero_us)
    elif audio is not None:
        sound = EncodedSound(audio, zero_us=planned.zero_us, ends_at_us=planned.ends_at_us)
    return export_recording(
        video,
        sound,
        target,
        zero_us=planned.zero_us,
        ends_at_us=planned.ends_at_us,
        on_progress=lease.report,
    )
