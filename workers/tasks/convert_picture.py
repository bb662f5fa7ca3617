"""Makes H.264 of a session's VP8 while it records, and of what is left when it is exported."""

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress

from app.base.ids import new_id
from app.domain.exports.converting import PlannedRun, claim_run, plan_runs, save_run
from app.domain.operations.service import LeaseLost
from app.domain.sessions.models import CaptureSession
from app.media.conversion import convert_run
from app.process import Context
from app.storage.keys import conversion_key
from workers.tasks.local_tracks import local_track
from workers.tasks.scratch import scratch_folder

# What a worker converts while sessions record takes one core at most, and only what others leave of it.
_NICENESS = 15
# So many runs for one session before another one's turn.
_RUNS_A_TURN = 5


def _yield_to_others() -> None:
    # Linux schedules threads by their own niceness; elsewhere this one works like the others.
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


_patient_thread = ThreadPoolExecutor(1, thread_name_prefix="convert", initializer=_yield_to_others)
_turn = asyncio.Lock()


async def convert_picture(context: Context, session_id: str) -> None:
    """Make the runs that are recorded; nothing while this worker converts those of another session.

    Harmless when run again. What it misses, the next run or the export makes.
    """
    if _turn.locked():
        return
    async with _turn:
        with suppress(LeaseLost):
            await _convert(context, session_id, whole=False, thread=_patient_thread, limit=_RUNS_A_TURN)


async def convert_pictures(
    context: Context, session_id: str, *, report: Callable[[float], None] | None = None
) -> None:
    """Make every run that is not made, taking those over that are being made elsewhere.

    Raises `LeaseLost` when one was taken over from here.
    """
    await _convert(context, session_id, whole=True, thread=None, report=report)


async def _convert(
    context: Context,
    session_id: str,
    *,
    whole: bool,
    thread: Executor | None,
    limit: int | None = None,
    report: Callable[[float], None] | None = None,
) -> None:
    worker = new_id("cnv")
    async with context.db.transaction() as session:
        runs = (await plan_runs(session, session_id, whole=whole))[:limit]
    for done, run in enumerate(runs):
        await _make(context, session_id, run, worker=worker, take_over=whole, thread=thread)
        if report is not None:
            report((done + 1) / len(runs))


async def _make(
    context: Context,
    session_id: str,
    run: PlannedRun,
    *,
    worker: str,
    take_over: bool,
    thread: Executor | None,
) -> None:
    async with context.db.transaction() as session:
        capture = await session.get_one(CaptureSession, session_id)
        seconds = context.settings.export_lease_seconds
        if not await claim_run(session, session_id, run, worker=worker, seconds=seconds, take_over=take_over):
            return
    key = conversion_key(capture.account_id, session_id, new_id("run"))
    async with AsyncExitStack() as stack:
        folder = await stack.enter_async_context(scratch_folder(context))
        track = await local_track(context, stack, run.segments)
        loop = asyncio.get_running_loop()
        made = await loop.run_in_executor(thread, convert_run, track, folder / "run.mp4")
        if made is not None:
            await context.storage.put_file(key, folder / "run.mp4")
    async with context.db.transaction() as session:
        await save_run(
            session,
            run,
            worker=worker,
            storage_key=key if made else None,
            started_at_us=made.started_at_us if made else None,
            duration_us=made.duration_us if made else None,
        )
