"""Reads what is written on one picture, and sees what it shows."""

import asyncio
import logging
from dataclasses import asdict

from app.domain.indexes.models import ScreenFrame
from app.domain.indexes.windows import save_lines
from app.engines.contract import EngineError
from app.process import Context
from app.storage.contract import ObjectMissing
from workers.engines.contract import ScreenLine
from workers.engines.registry import open_screen_text_engine
from workers.tasks.cores import cores
from workers.tasks.see_pictures import see_pictures

logger = logging.getLogger(__name__)


async def read_screen(context: Context, frame_id: str) -> None:
    """Save the picture's lines and its vector; harmless when run again, and for one that was deleted."""
    async with context.db.transaction() as session:
        frame = await session.get(ScreenFrame, frame_id)
    if frame is None:
        return
    if frame.lines is None:
        lines = await _read(context, frame.storage_key)
        async with context.db.transaction() as session:
            await save_lines(session, frame_id, [asdict(line) for line in lines])
    await see_pictures(context, [frame_id])


async def _read(context: Context, storage_key: str) -> list[ScreenLine]:
    """The lines; none where the picture cannot be read, now or ever: an index goes on without it."""
    engine = open_screen_text_engine(context.settings)
    try:
        picture = b"".join([block async for block in context.storage.read(storage_key)])
        async with cores:
            return await asyncio.to_thread(engine.read, picture)
    except (ObjectMissing, EngineError) as error:
        logger.warning("a screen was not read: %s", type(error).__name__)
        return []
