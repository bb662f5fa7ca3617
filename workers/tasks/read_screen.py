"""Reads what is written on one picture, and sees what it shows."""

import asyncio
import logging
from dataclasses import asdict
from datetime import timedelta

from app.base.ids import utc_now
from app.domain.indexes.models import ScreenFrame
from app.domain.indexes.windows import save_lines
from app.engines.contract import EngineError, ModelMissing
from app.process import Context
from app.storage.contract import ObjectMissing
from workers.engines.contract import ScreenLine
from workers.engines.registry import open_screen_text_engine
from workers.tasks.cores import Cores, cores
from workers.tasks.see_pictures import see_pictures

logger = logging.getLogger(__name__)

# A picture that has waited so long for its job is late: the window that needs it reads it.
LATE_SECONDS = 5.0
# The engine reads one picture after the other: who waits for it takes no core meanwhile.
_reader = Cores(1, patience_seconds=None)


async def read_new_screen(context: Context, frame_id: str) -> None:
    """Read a picture as soon as it is there, so that its window need not; under load they are thinned out."""
    async with context.db.transaction() as session:
        frame = await session.get(ScreenFrame, frame_id)
    if frame is not None and utc_now() - frame.created_at < timedelta(seconds=LATE_SECONDS):
        await read_screen(context, frame_id)


async def read_screen(context: Context, frame_id: str, *, can_wait: bool = False) -> None:
    """Save the picture's lines and its vector; harmless when run again, and for one that was deleted."""
    async with _reader.turn(can_wait=can_wait):
        async with context.db.transaction() as session:
            frame = await session.get(ScreenFrame, frame_id)
        if frame is None:
            return
        if frame.lines is None:  # else by another job, while this one waited
            lines = await _read(context, frame.storage_key, can_wait=can_wait)
            if lines is not None:
                async with context.db.transaction() as session:
                    await save_lines(session, frame_id, [asdict(line) for line in lines])
    await see_pictures(context, [frame_id], can_wait=can_wait)


async def _read(context: Context, storage_key: str, *, can_wait: bool) -> list[ScreenLine] | None:
    """The lines; none where the picture cannot be read, now or ever: an index goes on without it. None where
    there is nothing to read it with."""
    engine = open_screen_text_engine(context.settings)
    try:
        picture = b"".join([block async for block in context.storage.read(storage_key)])
        async with cores.turn(can_wait=can_wait):
            return await asyncio.to_thread(engine.read, picture)
    except ModelMissing:
        return None  # said once, by whoever warms the engines
    except (ObjectMissing, EngineError) as error:
        logger.warning("a screen was not read: %s", type(error).__name__)
        return []
