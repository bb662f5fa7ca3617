"""An export has ended: removes the mix it was made of, and what tries that were cut short have left."""

import logging

from app.domain.exports.tidying import take_leftovers
from app.process import Context

logger = logging.getLogger(__name__)


async def tidy_export(context: Context, session_id: str) -> None:
    """Delete what serves nobody any more. Harmless when run again, or too early."""
    async with context.db.transaction() as session:
        leftovers = await take_leftovers(session, session_id)
    if leftovers is None:
        return
    deleted = 0
    for prefix in leftovers.prefixes:
        for key in await context.storage.list_keys(prefix):
            if key not in leftovers.kept_keys:
                await context.storage.delete(key)
                deleted += 1
    logger.info("%d leftovers of the export of %s deleted", deleted, session_id)
