"""Ends what nobody will end, and rings again for work whose doorbell was lost."""

import logging
from datetime import timedelta

from app.base.errors import IllegalMove
from app.base.ids import utc_now
from app.base.settings import Settings
from app.domain.exports.service import request_missed_exports
from app.domain.nodes.service import forget_silent_nodes
from app.domain.operations.service import ring_abandoned
from app.domain.sessions import service as sessions
from app.domain.sessions.states import Status
from app.domain.streams import service as streams
from app.domain.transcripts.service import ring_waiting_speech
from app.domain.webhooks.service import ring_due
from app.process import Context

logger = logging.getLogger(__name__)

PUBLISHER_SILENCE_SECONDS = 10.0  # five of the ingest's heartbeats
GOODBYE_SECONDS = 5.0


async def keep_house(context: Context, _: str) -> None:
    """One round; each step is a transaction of its own, and safe to run beside another round."""
    settings = context.settings
    async with context.db.transaction() as session:
        await streams.lose_silent_publishers(session, PUBLISHER_SILENCE_SECONDS)
        await forget_silent_nodes(session)
    await _end_sessions(context, settings)
    async with context.db.transaction() as session:
        await request_missed_exports(session)
    async with context.db.transaction() as session:
        await ring_abandoned(session)
    async with context.db.transaction() as session:
        await ring_due(session)
    async with context.db.transaction() as session:
        await ring_waiting_speech(session)


async def _end_sessions(context: Context, settings: Settings) -> None:
    async with context.db.transaction() as session:
        unborn = await sessions.stale_sessions(
            session, Status.STARTING, older_than_seconds=settings.start_timeout_seconds
        )
        abandoned = await streams.abandoned_sessions(
            session, resume_seconds=settings.resume_seconds, ended_seconds=GOODBYE_SECONDS
        )
        undrained = await sessions.stale_sessions(
            session, Status.STOPPING, older_than_seconds=settings.stop_timeout_seconds + 5
        )
    for session_id in unborn:
        await _end(context, session_id, Status.STARTING)
    for session_id in abandoned:
        await _end(context, session_id, Status.ACTIVE)
    for session_id in undrained:
        await _end(context, session_id, Status.STOPPING)


async def _end(context: Context, session_id: str, seen: Status) -> None:
    """End a session that was seen in this status, unless it has moved on since."""
    async with context.db.transaction() as session:
        capture = await sessions.lock_session(session, session_id)
        if capture.status != seen:
            return
        logger.log(
            logging.DEBUG if seen is Status.STOPPING else logging.INFO,
            "ending capture session %s that stayed %s",
            session_id,
            seen.value,
        )
        try:
            if seen is Status.STARTING:
                await sessions.fail(session, capture, "no_media", "no channel sent media in time")
            elif seen is Status.ACTIVE:
                await streams.request_stop(session, capture, reason="publisher_vanished")
            else:
                # An ingest process that died may come back with what it recorded, as its publishers may.
                waited = utc_now() - capture.status_changed_at
                patience = timedelta(seconds=context.settings.resume_seconds)
                await streams.stop_undrained(session, capture, spooled_too=waited > patience)
        except IllegalMove:
            logger.info("capture session %s moved on by itself", session_id)
