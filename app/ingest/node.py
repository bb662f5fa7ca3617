"""Says in the database, again and again, that this ingest process lives, where, and how much it carries."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from app.base.db import DATABASE_AWAY
from app.base.tasks import end_task
from app.domain.nodes.service import BEAT_SECONDS, NodeState, node_alive, node_gone
from app.ingest.live import Live
from app.ingest.rtsp.server import RtspsDoor
from app.process import Context

logger = logging.getLogger(__name__)


@asynccontextmanager
async def announced(context: Context, live: Live, rtsps: RtspsDoor | None) -> AsyncIterator[None]:
    """Have sessions given to this process for the length of the block."""
    await _beat(context, live, rtsps)
    beating = asyncio.create_task(_keep_beating(context, live, rtsps))
    try:
        yield
    finally:
        await end_task(beating)
        with suppress(*DATABASE_AWAY):
            async with context.db.transaction() as session:
                await node_gone(session, live.publisher_id)


async def _keep_beating(context: Context, live: Live, rtsps: RtspsDoor | None) -> None:
    while True:
        await asyncio.sleep(BEAT_SECONDS)
        await _beat(context, live, rtsps)


async def _beat(context: Context, live: Live, rtsps: RtspsDoor | None) -> None:
    state = NodeState(
        whip_url=context.settings.ingest_base_url,
        publishers=live.publisher_count,
        max_publishers=context.settings.max_publishers,
        rtsps_host=rtsps.host if rtsps else "",
        rtsps_port=rtsps.port if rtsps else 0,
        rtsps_pin=rtsps.pin if rtsps else "",
    )
    try:
        async with context.db.transaction() as session:
            await node_alive(session, live.publisher_id, state)
    except DATABASE_AWAY as error:
        logger.warning("the database is away, publishers are not told: %s", type(error).__name__)
