"""What the pictures of a window show."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from app.base.errors import CaptureError
from app.domain.indexes.models import IndexRecord, IndexWindow, SceneIndex, ScreenFrame
from app.domain.indexes.service import Found, latest_record
from app.domain.indexes.windows import screens_of
from app.engines.contract import EngineError
from app.media.thumbnail import first_picture
from app.process import Context
from workers.describing.screens import Description, Shown, describe_screens
from workers.describing.wording import Worded, word_screens
from workers.engines.contract import ScreenLine
from workers.engines.registry import open_language_engine
from workers.tasks.closeness import closeness_to
from workers.tasks.cores import cores
from workers.tasks.read_screen import read_in_turn

logger = logging.getLogger(__name__)

MOST_PICTURES, PICTURE_WIDTH = 3, 1280  # of a window, for a model that takes pictures


async def found_on_screens(
    context: Context, index: SceneIndex, window: IndexWindow
) -> tuple[list[Found], str | None]:
    """One record for the window, none where its pictures were deleted; and what it was made without."""
    async with context.db.transaction() as session:
        last = await latest_record(session, index.id, before_us=window.start_us)
    worded = await word_frames(
        context,
        index.prompt,
        window.frames,
        before_id=last.details["frame_ids"][-1] if last else None,
        before=last.details if last and _followed_this_prompt(last, index) else None,
        limit_seconds=context.settings.language_live_seconds,
    )
    if worded is None:
        return [], None
    source_id, described = f"window:{window.start_us}", worded.description
    found = Found(source_id, window.start_us, window.end_us, described.text, described.details)
    return [found], worded.notice


async def word_frames(
    context: Context,
    prompt: str,
    frame_ids: Sequence[str],
    *,
    before_id: str | None = None,
    before: Mapping[str, Any] | None = None,
    limit_seconds: float | None = None,
    can_wait: bool = False,
) -> Worded | None:
    """What these pictures show; None where all of them were deleted.

    What has appeared since the picture `before_id` is told of. `before` and `limit_seconds` are those of
    `word_screens`. Work that `can_wait` lets other work go first.
    """
    shown = await _shown(context, frame_ids, can_wait=can_wait)
    if not shown:
        return None
    earlier = await _shown(context, [before_id], can_wait=can_wait) if before_id else []
    extract = await _describe(context, prompt, shown, earlier[-1] if earlier else None, can_wait=can_wait)
    engine = open_language_engine(context.settings)
    pictured = engine is not None and engine.capabilities.pictures
    return await word_screens(
        engine,
        prompt,
        extract,
        before=before,
        pictures=await screen_pictures(context, frame_ids) if pictured else (),
        limit_seconds=limit_seconds,
    )


def _followed_this_prompt(record: IndexRecord, index: SceneIndex) -> bool:
    return record.created_at >= index.prompt_changed_at


async def screen_pictures(context: Context, frame_ids: Sequence[str]) -> list[bytes]:
    """The last of these pictures and a few before it as small JPEGs; those that are gone are left out."""
    async with context.db.transaction() as session:
        frames = {frame.id: frame for frame in await screens_of(session, frame_ids)}
    at_hand = [frames[frame_id].storage_key for frame_id in frame_ids if frame_id in frames]
    found = []
    for storage_key in at_hand[-MOST_PICTURES:]:
        try:
            picture = b"".join([block async for block in context.storage.read(storage_key)])
            async with cores:
                found.append(await asyncio.to_thread(first_picture, picture, max_width=PICTURE_WIDTH))
        except CaptureError as error:
            logger.warning("a picture does not go to the language model: %s", type(error).__name__)
    return found


async def _shown(context: Context, frame_ids: Sequence[str], *, can_wait: bool) -> list[Shown]:
    """The pictures in order, each read; what is not read yet is read now, its own job being late."""
    async with context.db.transaction() as session:
        unread = [frame.id for frame in await screens_of(session, frame_ids) if frame.lines is None]
    for frame_id in unread:
        await read_in_turn(context, frame_id, can_wait=can_wait)
    async with context.db.transaction() as session:
        frames = {frame.id: frame for frame in await screens_of(session, frame_ids)}
    return [_as_shown(frames[frame_id]) for frame_id in frame_ids if frame_id in frames]


def _as_shown(frame: ScreenFrame) -> Shown:
    lines = [ScreenLine(**line) for line in frame.lines or ()]
    return Shown(frame.id, frame.at_us, lines, frame.height)


async def _describe(
    context: Context, prompt: str, shown: Sequence[Shown], before: Shown | None, *, can_wait: bool
) -> Description:
    async with cores.turn(can_wait=can_wait):
        try:
            near = closeness_to(context.settings, prompt)
            return await asyncio.to_thread(describe_screens, shown, before, near)
        except EngineError as error:
            logger.warning("a window is described without its prompt: %s", type(error).__name__)
            return await asyncio.to_thread(describe_screens, shown, before, None)
