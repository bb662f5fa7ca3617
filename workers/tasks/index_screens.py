"""What the pictures of a window show."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta

from app.base.ids import utc_now
from app.domain.indexes.models import IndexWindow, SceneIndex, ScreenFrame
from app.domain.indexes.service import Found, latest_record
from app.domain.indexes.windows import screens_of
from app.engines.contract import EngineError
from app.process import Context
from workers.describing.screens import Description, Shown, describe_screens
from workers.engines.contract import ScreenLine
from workers.tasks.closeness import closeness_to
from workers.tasks.cores import cores
from workers.tasks.read_screen import read_screen

logger = logging.getLogger(__name__)

LATE_SECONDS = 2.0  # a window that has waited so long is one of too many


async def found_on_screens(context: Context, index: SceneIndex, window: IndexWindow) -> list[Found]:
    """One record for the window; none where its pictures were deleted."""
    async with context.db.transaction() as session:
        last = await latest_record(session, index.id, before_us=window.start_us)
    is_late = utc_now() - window.created_at > timedelta(seconds=LATE_SECONDS)
    shown = await _shown(context, window.frames, is_late=is_late)
    if not shown:
        return []
    before = await _shown(context, last.details["frame_ids"][-1:], is_late=is_late) if last else []
    described = await _describe(context, index.prompt, shown, before[-1] if before else None)
    source_id = f"window:{window.start_us}"
    return [Found(source_id, window.start_us, window.end_us, described.text, described.details)]


async def _shown(context: Context, frame_ids: Sequence[str], *, is_late: bool) -> list[Shown]:
    """The pictures in order; what is not read yet is read now. Of a window that is late that is the last
    alone: the others show no text."""
    wanted = frame_ids[-1:] if is_late else frame_ids
    async with context.db.transaction() as session:
        unread = [frame.id for frame in await screens_of(session, wanted) if frame.lines is None]
    for frame_id in unread:
        await read_screen(context, frame_id)
    async with context.db.transaction() as session:
        frames = {frame.id: frame for frame in await screens_of(session, frame_ids)}
    return [_as_shown(frames[frame_id]) for frame_id in frame_ids if frame_id in frames]


def _as_shown(frame: ScreenFrame) -> Shown:
    lines = [ScreenLine(**line) for line in frame.lines or ()]
    return Shown(frame.id, frame.at_us, lines, frame.height)


async def _describe(
    context: Context, prompt: str, shown: Sequence[Shown], before: Shown | None
) -> Description:
    async with cores:
        try:
            near = closeness_to(context.settings, prompt)
            return await asyncio.to_thread(describe_screens, shown, before, near)
        except EngineError as error:
            logger.warning("a window is described without its prompt: %s", type(error).__name__)
            return await asyncio.to_thread(describe_screens, shown, before, None)
