"""What the pictures of a window show."""

import asyncio
import logging
from collections.abc import Sequence

from app.domain.indexes.models import IndexWindow, SceneIndex, ScreenFrame
from app.domain.indexes.service import Found, latest_record
from app.domain.indexes.windows import screens_of
from app.domain.passages.service import PictureVector
from app.engines.contract import EngineError
from app.engines.registry import open_image_text_engine
from app.process import Context
from workers.describing.pictures import is_textless, kind_of_picture, with_picture
from workers.describing.screens import Description, Shown, describe_screens
from workers.engines.contract import ScreenLine
from workers.tasks.closeness import closeness_to
from workers.tasks.cores import cores
from workers.tasks.read_screen import read_screen
from workers.tasks.see_pictures import see_pictures

logger = logging.getLogger(__name__)

MOST_PICTURES = 5  # of a record, by which search finds it


async def found_on_screens(context: Context, index: SceneIndex, window: IndexWindow) -> list[Found]:
    """One record for the window; none where its pictures were deleted."""
    async with context.db.transaction() as session:
        last = await latest_record(session, index.id, before_us=window.start_us)
    shown = await _shown(context, window.frames)
    if not shown:
        return []
    before = await _shown(context, last.details["frame_ids"][-1:]) if last else []
    described = await _describe(context, index.prompt, shown, before[-1] if before else None)
    seen = await see_pictures(context, [screen.frame_id for screen in shown])
    described = await _with_picture(context, described, shown, seen)
    source_id = f"window:{window.start_us}"
    pictures = [seen[screen.frame_id] for screen in shown if screen.frame_id in seen][-MOST_PICTURES:]
    return [Found(source_id, window.start_us, window.end_us, described.text, described.details, pictures)]


async def _shown(context: Context, frame_ids: Sequence[str]) -> list[Shown]:
    """The pictures in order, each read; what is not read yet is read now, its own job being late."""
    async with context.db.transaction() as session:
        unread = [frame.id for frame in await screens_of(session, frame_ids) if frame.lines is None]
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


async def _with_picture(
    context: Context, described: Description, shown: Sequence[Shown], seen: dict[str, PictureVector]
) -> Description:
    """Say what the last screen shows, if it is a picture rather than text."""
    textless = [screen.frame_id for screen in shown if is_textless(screen) and screen.frame_id in seen]
    kind = None
    if shown[-1].frame_id in textless:
        encode_texts = open_image_text_engine(context.settings).encode_texts
        vector = seen[shown[-1].frame_id].vector
        async with cores:
            try:
                kind = await asyncio.to_thread(kind_of_picture, vector, encode_texts)
            except EngineError as error:
                logger.warning("a picture is not named: %s", type(error).__name__)
    return with_picture(described, kind, textless)
