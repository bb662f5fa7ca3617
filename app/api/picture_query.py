"""A search query as a vector that pictures are compared with."""

import asyncio
import logging
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from app.base.settings import Settings
from app.domain.passages.service import has_pictures
from app.domain.search.pictures import PictureQuestion
from app.engines.contract import EngineError, ImageTextEngine
from app.engines.registry import open_image_text_engine

logger = logging.getLogger(__name__)

WITHOUT_PICTURES = "Pictures were not searched: the server cannot compare them with texts now."
# Loading takes many seconds, and the first searches do not wait for it; encoding takes a tenth of one.
LONGEST_WAIT_SECONDS = 1.5

_tasks: set[asyncio.Task[PictureQuestion]] = set()  # the event loop itself holds them weakly


async def picture_question(
    session: AsyncSession, settings: Settings, account_id: str, query: str, warnings: list[dict[str, Any]]
) -> PictureQuestion | None:
    """The query for pictures; None where the account has none, or with a warning where no engine is ready.

    An account without pictures costs this process neither the memory nor the time of an engine.
    """
    if not await has_pictures(session, account_id):
        return None
    task = asyncio.create_task(asyncio.to_thread(_encode, open_image_text_engine(settings), query))
    _tasks.add(task)
    task.add_done_callback(_forget)
    try:
        return await asyncio.wait_for(asyncio.shield(task), LONGEST_WAIT_SECONDS)
    except (EngineError, TimeoutError) as error:
        logger.warning("searched without pictures: %s", type(error).__name__)
        warnings.append({"code": "pictures_not_searched", "message": WITHOUT_PICTURES, "docs": []})
        return None


def _encode(engine: ImageTextEngine, query: str) -> PictureQuestion:
    (vector,) = engine.encode_texts([query])
    return PictureQuestion(engine.space, [float(value) for value in vector])


def _forget(task: asyncio.Task[PictureQuestion]) -> None:
    _tasks.discard(task)
    if not task.cancelled():
        task.exception()  # who waited for it has been told, or has gone
