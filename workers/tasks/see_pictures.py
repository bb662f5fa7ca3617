"""What pictures show, as vectors: kept with them, and made once."""

import asyncio
import logging
from collections.abc import Sequence

from app.domain.indexes.windows import save_pictures, screens_of, seen_pictures
from app.domain.passages.service import PictureVector
from app.engines.contract import EngineError
from app.engines.registry import open_image_text_engine
from app.process import Context
from app.storage.contract import ObjectMissing
from workers.tasks.cores import cores

logger = logging.getLogger(__name__)


async def see_pictures(
    context: Context, frame_ids: Sequence[str], *, can_wait: bool = False
) -> dict[str, PictureVector]:
    """What these pictures show, by id; those that no engine has seen are seen now.

    Without an engine it is none of them, and no picture that cannot be read.
    """
    if not frame_ids:
        return {}
    engine = open_image_text_engine(context.settings)
    try:
        space = await asyncio.to_thread(lambda: engine.space)
    except EngineError:
        return {}  # said once, by whoever warms the engines
    async with context.db.transaction() as session:
        seen = await seen_pictures(session, frame_ids, space)
        unseen = [frame for frame in await screens_of(session, frame_ids) if frame.id not in seen]
    fresh = {}
    for frame in unseen:
        try:
            picture = b"".join([block async for block in context.storage.read(frame.storage_key)])
            async with cores.turn(can_wait=can_wait):
                (vector,) = await asyncio.to_thread(engine.encode_pictures, [picture])
        except (ObjectMissing, EngineError) as error:
            logger.warning("a picture was not seen: %s", type(error).__name__)
            continue
        fresh[frame.id] = PictureVector(space, [float(value) for value in vector])
    if fresh:
        async with context.db.transaction() as session:
            await save_pictures(session, fresh)
    return seen | fresh
