"""Makes one window of a stream, what it showed or what was said in it, into records."""

import logging
from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.indexes.models import IndexWindow, SceneIndex
from app.domain.indexes.service import Found, note_missing, save_record
from app.domain.indexes.windows import forget_window, next_window, take_turn
from app.domain.matching.service import await_match
from app.domain.outbox.jobs import Job, enqueue
from app.domain.routing import pipeline_route
from app.domain.streams.models import Stream
from app.process import Context
from workers.tasks.index_screens import found_on_screens
from workers.tasks.index_speech import found_in_speech
from workers.tasks.match_record import match_record

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 5


async def index_window(context: Context, window_id: str) -> None:
    """Make the oldest window of this one's index into records, and emit them; harmless when run again.

    Where there are more it rings for the next: an index that is behind goes on beside others.
    """
    async with context.db.transaction() as session:
        window = await session.get(IndexWindow, window_id)
        if window is None:
            return
        window.is_ready = True
        index_id = window.index_id
    async with context.db.transaction() as turn:
        if not await take_turn(turn, index_id):
            return  # whoever has it looks for more when it is over
        watched = await _next(context, index_id)
    async with context.db.transaction() as session:
        more = await next_window(session, index_id)
        if more is not None and watched is not None:
            await enqueue(session, Job.INDEX_WINDOW, more.id)
    for record_id in watched or ():
        await match_record(context, record_id)  # a job of its own would wait behind other streams' pictures


async def _next(context: Context, index_id: str) -> list[str] | None:
    """The ids of the records that alerts watch for; None where nothing was there to do."""
    async with context.db.transaction() as session:
        window = await next_window(session, index_id)
        if window is None:
            return None
        window.attempts += 1
        index = await session.get_one(SceneIndex, index_id)
        if window.attempts > MAX_ATTEMPTS:
            logger.error("a window of %s given up", index.id)
            await forget_window(session, window.id)
            return []
    find = found_on_screens if index.kind == "visual" else found_in_speech
    found, notice = await find(context, index, window)
    async with context.db.transaction() as session:
        watched = await _save(context, session, index.id, found, notice)
        await forget_window(session, window.id)
    return watched


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
