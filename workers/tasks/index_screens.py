"""What the pictures of a window show."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from app.base.errors import CaptureError
from app.base.ids import utc_now
from app.domain.indexes.models import IndexRecord, IndexWindow, SceneIndex, ScreenFrame
from app.domain.indexes.service import Found, latest_record
from app.domain.indexes.windows import screens_of
from app.domain.passages.service import PictureVector
from app.engines.contract import EngineError
from app.engines.registry import open_image_text_engine
from app.media.thumbnail import first_picture
from app.process import Context
from workers.describing.pictures import is_textless, kind_of_picture, with_picture
from workers.describing.screens import Description, Shown, describe_screens
from workers.describing.wording import Worded, word_screens
from workers.engines.contract import ScreenLine
from workers.engines.registry import open_language_engine
from workers.tasks.closeness import closeness_to
from workers.tasks.cores import cores
from workers.tasks.read_screen import read_screen
from workers.tasks.see_pictures import see_pictures

logger = logging.getLogger(__name__)

LATE_SECONDS = 2.0  # a window that has waited so long is one of too many
MOST_PICTURES, PICTURE_WIDTH = 3, 1280  # of a window, for a model that takes pictures
MOST_SEEN = 5  # pictures of a record, by which search finds it


@dataclass(frozen=True, slots=True)
class WordedScreens(Worded):
    """And what the pictures show, by which search finds them."""

    pictures: Sequence[PictureVector] = ()


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
        is_late=utc_now() - window.created_at > timedelta(seconds=LATE_SECONDS),
    )
    if worded is None:
        return [], None
    source_id, described = f"window:{window.start_us}", worded.description
    stretch = (window.start_us, window.end_us)
    return [Found(source_id, *stretch, described.text, described.details, worded.pictures)], worded.notice


async def word_frames(
    context: Context,
    prompt: str,
    frame_ids: Sequence[str],
    *,
    before_id: str | None = None,
    before: Mapping[str, Any] | None = None,
    limit_seconds: float | None = None,
    can_wait: bool = False,
    is_late: bool = False,
) -> WordedScreens | None:
    """What these pictures show; None where all of them were deleted.

    What has appeared since the picture `before_id` is told of. `before` and `limit_seconds` are those of
    `word_screens`. Work that `can_wait` lets other work go first; where `is_late` the last picture alone
    is read.
    """
    shown = await _shown(context, frame_ids, can_wait=can_wait, is_late=is_late)
    if not shown:
        return None
    earlier = await _shown(context, [before_id], can_wait=can_wait, is_late=is_late) if before_id else []
    extract = await _describe(context, prompt, shown, earlier[-1] if earlier else None, can_wait=can_wait)
    seen = await see_pictures(context, [screen.frame_id for screen in shown], can_wait=can_wait)
    extract = await _with_picture(context, extract, shown, seen, can_wait=can_wait)
    engine = open_language_engine(context.settings)
    pictured = engine is not None and engine.capabilities.pictures
    worded = await word_screens(
        engine,
        prompt,
        extract,
        before=before,
        pictures=await screen_pictures(context, frame_ids, can_wait=can_wait) if pictured else (),
        limit_seconds=limit_seconds,
    )
    pictures = [seen[screen.frame_id] for screen in shown if screen.frame_id in seen]
    return WordedScreens(worded.description, worded.notice, pictures[-MOST_SEEN:])


def _followed_this_prompt(record: IndexRecord, index: SceneIndex) -> bool:
    return record.created_at >= index.prompt_changed_at


async def screen_pictures(
    context: Context, frame_ids: Sequence[str], *, can_wait: bool = False
) -> list[bytes]:
    """The last of these pictures and a few before it as small JPEGs; those that are gone are left out."""
    async with context.db.transaction() as session:
        frames = {frame.id: frame for frame in await screens_of(session, frame_ids)}
    at_hand = [frames[frame_id].storage_key for frame_id in frame_ids if frame_id in frames]
    found = []
    for storage_key in at_hand[-MOST_PICTURES:]:
        try:
            picture = b"".join([block async for block in context.storage.read(storage_key)])
            async with cores.turn(can_wait=can_wait):
                found.append(await asyncio.to_thread(first_picture, picture, max_width=PICTURE_WIDTH))
        except CaptureError as error:
            logger.warning("a picture does not go to the language model: %s", type(error).__name__)
    return found


async def _shown(context: Context, frame_ids: Sequence[str], *, can_wait: bool, is_late: bool) -> list[Shown]:
    """The pictures in order; what is not read yet is read now. Of a window that is late that is the last
    alone: the others show no text."""
    wanted = frame_ids[-1:] if is_late else frame_ids
    async with context.db.transaction() as session:
        unread = [frame.id for frame in await screens_of(session, wanted) if frame.lines is None]
    for frame_id in unread:
        await read_screen(context, frame_id, can_wait=can_wait)
    async with context.db.transaction() as session:
        frames = {frame.id: frame for frame in await screens_of(session, frame_ids)}
    return [_as_shown(frames[frame_id]) for frame_id in frame_ids if frame_id in frames]


def _as_shown(frame: ScreenFrame) -> Shown:
    lines = [ScreenLine(**line) for line in frame.lines or ()]
    return Shown(frame.id, frame.at_us, lines, frame.height, is_read=frame.lines is not None)


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


async def _with_picture(
    context: Context,
    described: Description,
    shown: Sequence[Shown],
    seen: Mapping[str, PictureVector],
    *,
    can_wait: bool,
) -> Description:
    """Say what the last screen shows, if it is a picture rather than text."""
    textless = [screen.frame_id for screen in shown if is_textless(screen) and screen.frame_id in seen]
    kind = None
    if shown[-1].frame_id in textless:
        encode_texts = open_image_text_engine(context.settings).encode_texts
        vector = seen[shown[-1].frame_id].vector
        async with cores.turn(can_wait=can_wait):
            try:
                kind = await asyncio.to_thread(kind_of_picture, vector, encode_texts)
            except EngineError as error:
                logger.warning("a picture is not named: %s", type(error).__name__)
    return with_picture(described, kind, textless)
