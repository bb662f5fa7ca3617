"""How streams drain, and with the last of them a capture session stops.

A pulled stream has no session: it lasts as long as its source is wanted.
"""

from datetime import timedelta

from sqlalchemy import ColumnElement, exists, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import NotFound
from app.base.ids import utc_now
from app.domain.outbox.jobs import Job, enqueue
from app.domain.sessions.models import CaptureSession
from app.domain.sessions.service import fail, lock_session, move
from app.domain.sessions.states import Status
from app.domain.streams.models import PublisherState, Pull, Stream, StreamSpool
from app.domain.streams.service import list_session_streams


async def lock_both(session: AsyncSession, stream_id: str) -> tuple[CaptureSession | None, Stream]:
    """Lock the session, then its stream: always in this order, or two callers wait for each other.

    A pulled stream has no session.
    """
    stream = await session.get(Stream, stream_id)
    if stream is None or stream.deleted_at is not None:
        raise NotFound(f"no rtstream {stream_id}")
    capture = None
    if stream.capture_session_id is not None:
        capture = await lock_session(session, stream.capture_session_id)
    await session.refresh(stream, with_for_update=True)
    return capture, stream


async def request_stop(session: AsyncSession, capture: CaptureSession, *, reason: str | None = None) -> None:
    """Move a locked session to `stopping`; streams that nobody sends and that are all stored stop at once.

    The others stop when their ingest process has stored what it holds. Raises `IllegalMove`.
    """
    capture.end_reason = reason
    await move(session, capture, Status.STOPPING, {"reason": reason} if reason else None)
    await stop_if_drained(session, capture)


async def fail_session(session: AsyncSession, capture: CaptureSession, code: str, message: str) -> None:
    """Move a locked session to `failed`, saying why, and stop its streams. Raises `IllegalMove`."""
    await fail(session, capture, code, message)
    await session.execute(
        update(Stream).where(Stream.capture_session_id == capture.id).values(status="stopped")
    )


async def stop_undrained(session: AsyncSession, capture: CaptureSession, *, spooled_too: bool) -> None:
    """End the streams of a locked, stopping session that their ingest processes do not.

    A stream whose spool may still hold media is spared unless `spooled_too`.
    """
    for stream in await list_session_streams(session, capture.id):
        if stream.publisher_state == PublisherState.LIVE:
            publisher_gone(stream, PublisherState.LOST)
        if spooled_too:
            stream.status = "stopped"
    await session.flush()
    await stop_if_drained(session, capture)


async def stop_if_drained(session: AsyncSession, capture: CaptureSession) -> None:
    """Stop each stream of a locked, stopping session that has drained; the last one stops the session."""
    if capture.status != Status.STOPPING:
        return
    await session.execute(
        update(Stream)
        .where(
            Stream.capture_session_id == capture.id,
            Stream.publisher_state != PublisherState.LIVE.value,
            ~exists().where(StreamSpool.stream_id == Stream.id),
        )
        .values(status="stopped")
    )
    running = await session.scalar(
        select(func.count())
        .select_from(Stream)
        .where(Stream.capture_session_id == capture.id, Stream.status != "stopped")
    )
    if not running:
        await move(session, capture, Status.STOPPED)
        await enqueue(session, Job.REQUEST_EXPORT, capture.id)


async def settle(session: AsyncSession, capture: CaptureSession | None, stream: Stream) -> None:
    """Stop what has drained with a change of this locked stream."""
    if capture is not None:
        await stop_if_drained(session, capture)
    else:
        await stop_drained_pulls(session, Stream.id == stream.id)


async def stop_drained_pulls(session: AsyncSession, *which: ColumnElement[bool]) -> None:
    """Stop pulled streams whose source is no longer wanted, and of which nothing is still to be stored."""
    await session.execute(
        update(Stream)
        .where(
            *which,
            Stream.status == "connected",
            Stream.publisher_state != PublisherState.LIVE.value,
            exists().where(Pull.stream_id == Stream.id, ~Pull.is_wanted),
            ~exists().where(StreamSpool.stream_id == Stream.id),
        )
        .values(status="stopped")
    )


async def abandoned_sessions(
    session: AsyncSession, *, resume_seconds: float, ended_seconds: float
) -> list[str]:
    """Active sessions that nobody has sent media to for so long.

    `resume_seconds` after the last publisher was lost; `ended_seconds` where all of them said goodbye.
    """
    changed = func.coalesce(func.max(Stream.publisher_changed_at), func.max(CaptureSession.status_changed_at))
    lost = func.count().filter(Stream.publisher_state == PublisherState.LOST.value)
    live = func.count().filter(Stream.publisher_state == PublisherState.LIVE.value)
    now = utc_now()
    rows = await session.scalars(
        select(CaptureSession.id)
        .join(Stream, Stream.capture_session_id == CaptureSession.id)
        .where(CaptureSession.status == Status.ACTIVE)
        .group_by(CaptureSession.id)
        .having(live == 0)
        .having(
            (changed < now - timedelta(seconds=resume_seconds))
            | ((lost == 0) & (changed < now - timedelta(seconds=ended_seconds)))
        )
    )
    return list(rows)


def publisher_gone(stream: Stream, state: PublisherState) -> None:
    """Nobody sends this locked stream any more."""
    stream.publisher_state, stream.publisher, stream.publisher_changed_at = state.value, None, utc_now()
    stream.publication = None
