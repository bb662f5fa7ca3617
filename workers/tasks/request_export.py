"""A session stopped: ask for its export."""

from app.domain.exports.service import request_export
from app.process import Context


async def request_session_export(context: Context, session_id: str) -> None:
    """Request the export of what the session stored, if anything. Harmless when run again."""
    async with context.db.transaction() as session:
        await request_export(session, session_id)
