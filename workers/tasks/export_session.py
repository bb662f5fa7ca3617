"""Exports a stopped session: the muxed recording and each stored channel as an asset of its own."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from app.domain.assets.links import Links
from app.domain.assets.service import StoredFile
from app.domain.exports.converting import as_h264, converted_runs
from app.domain.exports.displays import tell_listeners
from app.domain.exports.mixing import mixed_windows
from app.domain.exports.service import ExportPlan, PlannedAsset, fail_export, finish_export, plan_export
from app.domain.operations import service as operations
from app.domain.operations.models import Operation
from app.media.copied_sound import CopiedSound, EncodedSound, MixedSound, OpusSound
from app.media.export import ExportedFile, RecordedTrack, export_recording
from app.media.frames import Codec
from app.process import Context
from workers.tasks.convert_picture import convert_pictures
from workers.tasks.lease import Lease
from workers.tasks.local_tracks import local_track
from workers.tasks.mix_sound import mix_windows
from workers.tasks.scratch import scratch_folder
from workers.tasks.store_media import store_media

# Of the work, where nothing was made while the session recorded.
_MIXED, _CONVERTED = 0.25, 0.75


async def export_session(context: Context, operation: Operation, lease: Lease) -> None:
    """Mix and convert what is not yet, copy every planned file, then register them and move the session in
    one transaction."""
    session_id = operation.request["capture_session_id"]
    await mix_windows(
        context, session_id, whole=True, report=lambda fraction: lease.report(fraction * _MIXED)
    )
    await convert_pictures(
        context,
        session_id,
        report=lambda fraction: lease.report(_MIXED + fraction * (_CONVERTED - _MIXED)),
    )
    async with context.db.transaction() as session:
        plan = await plan_export(session, session_id)
        window_keys = await mixed_windows(session, session_id)
        converted = await converted_runs(session, session_id)
    files: list[tuple[PlannedAsset, StoredFile]] = []
    async with AsyncExitStack() as stack:
        windows = {
            number: await stack.enter_async_context(context.storage.local_path(key))
            for number, key in window_keys.items()
        }
        tracks = {
            track.stream_id: await local_track(context, stack, as_h264(track.segments, converted))
            for track in plan.tracks
        }
        for number, planned in enumerate(plan.assets):

            def report(fraction: float, done: int = number) -> None:
                lease.report(_CONVERTED + (1 - _CONVERTED) * (done + fraction) / len(plan.assets))

            files.append((planned, await _make(context, plan, planned, tracks, windows, report)))
    links = Links(context.settings)
    async with context.db.transaction() as session:
        muxed = await finish_export(session, plan, files, links)
        await operations.finish(
            session, operation.id, worker=lease.worker, result={"exported_video_id": muxed.id}
        )
        await tell_listeners(session, operation.id, muxed, links)


async def export_session_failed(context: Context, operation: Operation) -> None:
    """Tell the session that its export failed for good."""
    async with context.db.transaction() as session:
        await fail_export(session, operation.request["capture_session_id"])


async def _make(
    context: Context,
    plan: ExportPlan,
    planned: PlannedAsset,
    tracks: Mapping[str, RecordedTrack],
    windows: Mapping[int, Path],
    report: Callable[[float], None],
) -> StoredFile:
    async with scratch_folder(context) as folder:
        track = tracks[planned.track.stream_id] if planned.track else None
        exported = await asyncio.to_thread(
            _write, plan, planned, track, windows, folder / "export.mp4", report
        )
        return await store_media(
            context,
            exported,
            account_id=plan.account_id,
            asset_id=planned.asset_id,
            started_at_us=plan.zero_us,
        )


def _write(
    plan: ExportPlan,
    planned: PlannedAsset,
    track: RecordedTrack | None,
    windows: Mapping[int, Path],
    target: Path,
    report: Callable[[float], None],
) -> ExportedFile:
    sound: CopiedSound | None = None
    ends_at_us = plan.ends_at_us
    if planned.stream_id is not None and planned.track is not None:
        ends_at_us = planned.track.segments[-1].ended_at_us
    video = track if planned.track and planned.track.media_type == "video" else None
    if planned.has_mix:
        sound = MixedSound(windows, zero_us=plan.zero_us, ends_at_us=ends_at_us)
    elif track and not video and track.codecs == {Codec.OPUS}:
        sound = OpusSound(track, zero_us=plan.zero_us)
    elif track and not video:
        sound = EncodedSound(track, zero_us=plan.zero_us, ends_at_us=ends_at_us)
    return export_recording(
        video, sound, target, zero_us=plan.zero_us, ends_at_us=ends_at_us, on_progress=report
    )
