"""Ends what nobody will end, and rings again for work whose doorbell was lost."""

import logging
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from app.base.ids import utc_now
from app.base.settings import Settings
from app.domain.accounts.audit import purge_entries
from app.domain.accounts.keys import purge_tokens
from app.domain.erasure import retention
from app.domain.exports.service import request_missed_exports
from app.domain.indexes.notices import note_missing_engines
from app.domain.indexes.windows import ring_due_windows
from app.domain.matching.service import ring_waiting_matches
from app.domain.nodes.service import forget_silent_nodes
from app.domain.operations.service import forget_answers, ring_abandoned
from app.domain.passages.service import ring_waiting_passages
from app.domain.sessions import service as sessions
from app.domain.sessions.states import Status
from app.domain.streams import ending, publishing
from app.domain.streams.pulls import stop_abandoned_pulls
from app.domain.webhooks.tidying import forget_old_events
from app.process import Context
from workers.engines.registry import engine_records
from workers.tasks.sweep_up import sweep_up

logger = logging.getLogger(__name__)

PUBLISHER_SILENCE_SECONDS = 10.0  # five of the ingest's heartbeats
GOODBYE_SECONDS = 5.0
FORGOTTEN_AT_ONCE = 1000  # rows: a transaction of some tens of milliseconds
CLEAR_OUT_SECONDS = 600.0

Subject = TypeVar("Subject")


async def keep_house(context: Context, _: str) -> None:
    """One round; each step is a transaction of its own, and safe to run beside another round."""
    await _step(context, "lose_silent_publishers", _lose_silent_publishers)
    await _end_sessions(context, context.settings)
    await _step(
        context,
        "stop_abandoned_pulls",
        partial(stop_abandoned_pulls, resume_seconds=context.settings.resume_seconds),
    )
    for step in (
        forget_silent_nodes,
        request_missed_exports,
        ring_abandoned,
        ring_due_windows,
        ring_waiting_matches,
        ring_waiting_passages,
        forget_answers,
    ):
        await _step(context, step.__name__, step)
    missing = [name for name, record in engine_records(context.settings).items() if record.missing]
    await _step(context, "note_missing_engines", partial(_note_missing, missing))
    await _step(context, "forget_old_events", partial(_forget_old_events, context.settings))
    await sweep_up(context)
    if _SELDOM.is_due():
        await _clear_out(context)


class _Seldom:
    """Lets one round through in so many seconds; each worker has its own."""

    def __init__(self, every_seconds: float) -> None:
        self._every_seconds = every_seconds
        self._next = 0.0

    def is_due(self) -> bool:
        if time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + self._every_seconds
        return True


_SELDOM = _Seldom(CLEAR_OUT_SECONDS)


async def _clear_out(context: Context) -> None:
    """Erase what is past its retention, each in a transaction of its own, and forget what is long dead."""
    settings = context.settings
    async with context.db.transaction() as session:
        session_ids = await retention.expired_sessions(session, settings.retention_days)
        asset_ids = await retention.expired_assets(session, settings.retention_days)
    for session_id in session_ids:
        await _step(context, "retention", partial(_call, retention.erase_expired_session, session_id))
    for asset_id in asset_ids:
        await _step(context, "retention", partial(_call, retention.erase_expired_asset, asset_id))
    await _step(context, "restart_failed_erasures", retention.restart_failed_erasures)
    await _step(context, "purge_tokens", purge_tokens)
    await _step(context, "purge_entries", partial(_call, purge_entries, settings.audit_retention_days))


async def _call(
    work: Callable[[AsyncSession, Subject], Awaitable[None]], subject: Subject, session: AsyncSession
) -> None:
    await work(session, subject)


async def _step(context: Context, name: str, work: Callable[[AsyncSession], Awaitable[None]]) -> None:
    try:
        async with context.db.transaction() as session:
            await work(session)
    except Exception:
        # One row that cannot be dealt with must not leave all the others undone, round after round.
        logger.exception("housekeeping: %s failed", name)


async def _note_missing(missing: list[str], session: AsyncSession) -> None:
    await note_missing_engines(session, missing)


async def _forget_old_events(settings: Settings, session: AsyncSession) -> None:
    older_than = utc_now() - timedelta(days=settings.event_retention_days)
    await forget_old_events(session, older_than, limit=FORGOTTEN_AT_ONCE)


async def _lose_silent_publishers(session: AsyncSession) -> None:
    await publishing.lose_silent_publishers(session, PUBLISHER_SILENCE_SECONDS)


async def _end_sessions(context: Context, settings: Settings) -> None:
    async with context.db.transaction() as session:
        unborn = await sessions.stale_sessions(
            session, Status.STARTING, older_than_seconds=settings.start_timeout_seconds
        )
        abandoned = await ending.abandoned_sessions(
            session, resume_seconds=settings.resume_seconds, ended_seconds=GOODBYE_SECONDS
        )
        undrained = await sessions.stale_sessions(
            session, Status.STOPPING, older_than_seconds=settings.stop_timeout_seconds + 5
        )
    seen = ((unborn, Status.STARTING), (abandoned, Status.ACTIVE), (undrained, Status.STOPPING))
    for session_ids, status in seen:
        for session_id in session_ids:
            await _step(
                context, f"ending {session_id}", partial(_end, session_id, status, settings.resume_seconds)
            )


async def _end(session_id: str, seen: Status, resume_seconds: float, session: AsyncSession) -> None:
    """End a session that was seen in this status, unless it has moved on since."""
    capture = await sessions.lock_session(session, session_id)
    if capture.status != seen:
        return
    logger.log(
        logging.DEBUG if seen is Status.STOPPING else logging.INFO,
        "ending capture session %s that stayed %s",
        session_id,
        seen.value,
    )
    if seen is Status.STARTING:
        await ending.fail_session(session, capture, "no_media", "no channel sent media in time")
    elif seen is Status.ACTIVE:
        await ending.request_stop(session, capture, reason="publisher_vanished")
    else:
        # An ingest process that died may come back with what it recorded, as its publishers may.
        waited = utc_now() - capture.status_changed_at
        await ending.stop_undrained(session, capture, spooled_too=waited > timedelta(seconds=resume_seconds))
