"""Reads what is written on one picture."""

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

logger = logging.getLogger(__name__)


async def read_screen(context: Context, frame_id: str) -> None:
    """Save a live picture's lines; harmless when run again, and for a picture that was deleted."""
    await read_in_turn(context, frame_id, can_wait=False)


async def read_in_turn(context: Context, frame_id: str, *, can_wait: bool) -> None:
    """The same; a picture that `can_wait` lets other work go first."""
    async with context.db.transaction() as session:
        frame = await session.get(ScreenFrame, frame_id)
    if frame is None or frame.lines is not None:
        return
    lines = await _read(context, frame.storage_key, can_wait=can_wait)
    async with context.db.transaction() as session:
        await save_lines(session, frame_id, [asdict(line) for line in lines])


async def _read(context: Context, storage_key: str, *, can_wait: bool) -> list[ScreenLine]:
    """The lines; none where the picture cannot be read, now or ever: an index goes on without it."""
    engine = open_screen_text_engine(context.settings)
    try:
        picture = b"".join([block async for block in context.storage.read(storage_key)])
        async with cores.turn(can_wait=can_wait):
            return await asyncio.to_thread(engine.read, picture)
    except (ObjectMissing, EngineError) as error:
        logger.warning("a screen was not read: %s", type(error).__name__)
        return []
