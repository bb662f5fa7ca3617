"""Makes one window of a stream's pictures into a record."""

import asyncio
import logging
from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.indexes.models import IndexWindow, SceneIndex, ScreenFrame
from app.domain.indexes.service import Found, latest_record, save_record
from app.domain.indexes.windows import forget_window, screens_of
from app.domain.routing import pipeline_route
from app.domain.streams.models import Stream
from app.process import Context
from workers.describing.screens import Closeness, Description, Shown, describe_screens
from workers.engines.contract import EngineError, ScreenLine, SentenceEngine
from workers.engines.registry import open_sentence_engine
from workers.tasks.cores import cores
from workers.tasks.read_screen import read_screen

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 5


async def index_window(context: Context, window_id: str) -> None:
    """Save and emit the window's record, then forget the window. Harmless when run again."""
    async with context.db.transaction() as session:
        window = await session.get(IndexWindow, window_id, with_for_update=True)
        if window is None:
            return
        window.attempts += 1
        if window.attempts > MAX_ATTEMPTS:
            logger.error("a window of %s given up", window.index_id)
            await forget_window(session, window_id)
            return
        index = await session.get_one(SceneIndex, window.index_id)
        last = await latest_record(session, index.id, before_us=window.start_us)
    shown = await _shown(context, window.frames)
    before = await _shown(context, last.details["frame_ids"][-1:]) if last else []
    described = await _describe(context, index.prompt, shown, before) if shown else None
    async with context.db.transaction() as session:
        if described is not None:
            await _save(context, session, window, described)
        await forget_window(session, window_id)


async def _save(context: Context, session: AsyncSession, window: IndexWindow, described: Description) -> None:
    index = await session.get(SceneIndex, window.index_id)
    if index is None:
        return  # deleted meanwhile
    stream = await session.get_one(Stream, index.stream_id)
    found = Found(
        f"window:{window.start_us}", window.start_us, window.end_us, described.text, described.details
    )
    await save_record(
        session,
        index,
        stream,
        found,
        route=await pipeline_route(session, stream, index.ws_connection_id),
        visual_channels=context.settings.visual_channels,
    )


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
    context: Context, prompt: str, shown: Sequence[Shown], earlier: Sequence[Shown]
) -> Description:
    before = earlier[-1] if earlier else None
    engine = open_sentence_engine(context.settings)
    async with cores:
        try:
            return await asyncio.to_thread(describe_screens, shown, before, closeness_to(engine, prompt))
        except EngineError as error:
            logger.warning("a window is described without its prompt: %s", type(error).__name__)
            return describe_screens(shown, before, None)


def closeness_to(engine: SentenceEngine, prompt: str) -> Closeness:
    """How close texts are to `prompt`, by the engine's vectors."""

    def closeness(texts: Sequence[str]) -> list[float]:
        vectors = engine.encode([prompt, *texts])
        return [float(value) for value in vectors[1:] @ vectors[0]]

    return closeness
