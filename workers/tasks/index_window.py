"""Makes one window of a stream, what it showed or what was said in it, into records."""

import logging
from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.indexes.models import IndexWindow, SceneIndex
from app.domain.indexes.service import Found, note_missing, save_record
from app.domain.indexes.windows import forget_window
from app.domain.matching.service import await_match
from app.domain.routing import pipeline_route
from app.domain.streams.models import Stream
from app.process import Context
from workers.tasks.index_screens import found_on_screens
from workers.tasks.index_speech import found_in_speech
from workers.tasks.match_record import match_record

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 5


async def index_window(context: Context, window_id: str) -> None:
    """Save and emit the window's records, then forget the window. Harmless when run again."""
    async with context.db.transaction() as session:
        window = await session.get(IndexWindow, window_id, with_for_update=True)
        if window is None:
            return
        window.attempts += 1
        index = await session.get_one(SceneIndex, window.index_id)
        if window.attempts > MAX_ATTEMPTS:
            logger.error("a window of %s given up", index.id)
            await forget_window(session, window_id)
            return
    find = found_on_screens if index.kind == "visual" else found_in_speech
    found, notice = await find(context, index, window)
    async with context.db.transaction() as session:
        watched = await _save(context, session, index.id, found, notice)
        await forget_window(session, window_id)
    for record_id in watched:
        await match_record(context, record_id)  # a job of its own would wait behind other streams' pictures


async def _save(
    context: Context, session: AsyncSession, index_id: str, found: Sequence[Found], notice: str | None
) -> list[str]:
    """Returns the ids of the records that alerts watch for."""
    index = await session.get(SceneIndex, index_id)
    if index is None:
        return []  # deleted meanwhile
    if found:
        await note_missing(session, index, notice)
    stream = await session.get_one(Stream, index.stream_id)
    route = await pipeline_route(session, stream, index.ws_connection_id)
    channels = context.settings.visual_channels
    watched = []
    for one in found:
        record = await save_record(session, index, stream, one, route=route, visual_channels=channels)
        if record is not None and await await_match(session, record):
            watched.append(record.id)
    return watched
