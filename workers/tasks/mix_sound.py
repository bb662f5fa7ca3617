"""Mixes the sound of a session while it records, and what is left of it when it is exported."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

from app.base.ids import new_id
from app.domain.exports.mixing import PlannedWindow, claim_window, plan_windows, save_window
from app.domain.operations.service import LeaseLost
from app.domain.sessions.models import CaptureSession
from app.media.windows import mix_window
from app.process import Context
from app.storage.keys import mix_key
from workers.tasks.local_tracks import local_track


async def mix_sound(context: Context, session_id: str) -> None:
    """Make the windows that are complete, in order; where another run is making one, it goes on from there.

    Harmless when run again. What it misses, the next run or the export makes.
    """
    try:
        await mix_windows(context, session_id, whole=False)
    except LeaseLost:
        return


async def mix_windows(
    context: Context, session_id: str, *, whole: bool, report: Callable[[float], None] | None = None
) -> None:
    """Make the windows that are not made; `whole` takes in the last one, and takes windows over from other
    runs. Raises `LeaseLost` when one was taken over from here."""
    worker = new_id("mix")
    async with context.db.transaction() as session:
        windows = await plan_windows(session, session_id, whole=whole)
    for done, window in enumerate(windows):
        if not await _make(context, session_id, window, worker=worker, take_over=whole):
            return
        if report is not None:
            report((done + 1) / len(windows))


async def _make(
    context: Context, session_id: str, window: PlannedWindow, *, worker: str, take_over: bool
) -> bool:
    async with context.db.transaction() as session:
        capture = await session.get_one(CaptureSession, session_id)
        placements = await claim_window(
            session,
            session_id,
            window.number,
            worker=worker,
            seconds=context.settings.export_lease_seconds,
            take_over=take_over,
        )
    if placements is None:
        return False
    async with AsyncExitStack() as stack:
        tracks = {
            stream_id: await local_track(context, stack, segments)
            for stream_id, segments in window.segments.items()
        }
        mixed = await asyncio.to_thread(mix_window, window.number, tracks, placements)
    key = mix_key(capture.account_id, session_id, new_id("win"))
    await context.storage.put_bytes(key, mixed.data)
    async with context.db.transaction() as session:
        await save_window(
            session, session_id, window, worker=worker, storage_key=key, placements=mixed.placements
        )
    return True
