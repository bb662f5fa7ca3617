"""RTStreams from their opening to their end, and with them a capture session's way from start to stop.

A pulled stream has no session: it lasts as long as its source is wanted.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import Conflict, NotFound
from app.base.ids import new_id, utc_now
from app.domain.outbox.jobs import Job, enqueue
from app.domain.sessions.models import CLOCK_MARGIN_SECONDS, CaptureSession, Channel
from app.domain.sessions.service import fail, lock_session, move
from app.domain.sessions.states import Status
from app.domain.streams.models import PublisherState, Pull, Segment, Stream, StreamSpool

LIVE_STATUSES = (Status.STARTING, Status.ACTIVE)


async def open_streams(
    session: AsyncSession, capture: CaptureSession, channels: Sequence[Channel]
) -> list[Stream]:
    """Make one stream for each channel of a starting session."""
    streams = [
        Stream(
            id=new_id("rts"),
            account_id=capture.account_id,
            collection_id=capture.collection_id,
            capture_session_id=capture.id,
            channel_id=channel.id,
            name=channel.name,
            category=channel.category,
            media_type=channel.media_type,
            store=channel.store,
        )
        for channel in channels
    ]
    session.add_all(streams)
    await session.flush()
    return streams


async def get_stream(session: AsyncSession, account_id: str, stream_id: str) -> Stream:
    """Raises `NotFound` for an unknown stream and for another account's."""
    stream = await session.get(Stream, stream_id)
    if stream is None or stream.account_id != account_id or stream.deleted_at is not None:
        raise NotFound(f"no rtstream {stream_id}")
    return stream


async def list_session_streams(session: AsyncSession, session_id: str) -> list[Stream]:
    """The session's streams in the order of its channels: the primary display first."""
    return (await streams_by_session(session, [session_id]))[session_id]


async def streams_by_session(session: AsyncSession, session_ids: Sequence[str]) -> dict[str, list[Stream]]:
    """The streams of several sessions, each's in the order of its channels."""
    rows = await session.scalars(
        select(Stream)
        .join(Channel, Channel.id == Stream.channel_id)
        .where(Stream.capture_session_id.in_(session_ids))
        .order_by(Channel.position)
    )
    found: dict[str, list[Stream]] = {session_id: [] for session_id in session_ids}
    for row in rows:
        found[row.capture_session_id or ""].append(row)
    return found


def in_collection(collection_id: str) -> ColumnElement[bool]:
    """Holds for every stream of a collection: a query, since there may be more than a statement takes ids."""
    return (Stream.collection_id == collection_id) & Stream.deleted_at.is_(None)


async def list_segments(session: AsyncSession, stream_id: str) -> list[Segment]:
    """What was recorded of a stream, in time order."""
    rows = await session.scalars(
        select(Segment).where(Segment.stream_id == stream_id).order_by(Segment.started_at_us)
    )
    return list(rows)


async def attach_publisher(
    session: AsyncSession, stream_id: str, publisher: str, publication: str
) -> CaptureSession:
    """Give the stream to a connection, `publication`, of the ingest process `publisher`; returns its session.

    Raises `Conflict` when its session does not take media now, or when a publisher is sending already.
    """
    capture, stream = await lock_both(session, stream_id)
    if capture is None:
        raise Conflict(f"{stream.name} is pulled from its source: it takes no publisher", code="pulled")
    if capture.status not in LIVE_STATUSES:
        raise Conflict(
            f"this capture session is {capture.status}: it takes no media", code="session_not_live"
        )
    if stream.publisher_state == PublisherState.LIVE:
        raise Conflict(f"{stream.name} already has a publisher", code="already_published")
    now = utc_now()
    stream.publisher_state, stream.publisher = PublisherState.LIVE.value, publisher
    stream.publication = publication
    stream.publisher_changed_at = stream.publisher_seen_at = now
    return capture


async def detach_publisher(session: AsyncSession, stream_id: str, publication: str, *, ended: bool) -> None:
    """The connection is over; `ended` tells a goodbye from a loss. A later one is left alone.

    In a stopping session the stream has drained with that, or once storage has what is in its spool; the
    last one makes the session `stopped`.
    """
    capture, stream = await lock_both(session, stream_id)
    if stream.publication == publication:
        _publisher_gone(stream, PublisherState.ENDED if ended else PublisherState.LOST)
    await session.flush()
    await settle(session, capture, stream)


async def media_flows(session: AsyncSession, stream_id: str, codec: str) -> None:
    """The first frame of a stream arrived: a starting session becomes active, with its streams named."""
    capture, stream = await lock_both(session, stream_id)
    stream.codec = codec
    stream.first_media_at = stream.first_media_at or utc_now()
    if capture is None:
        pulled = update(Pull).where(Pull.stream_id == stream.id)
        await session.execute(pulled.values(error=None, has_begun=True))
    elif capture.status == Status.STARTING:
        streams = await list_session_streams(session, capture.id)
        await move(session, capture, Status.ACTIVE, {"rtstreams": [_announced(row) for row in streams]})


async def publishers_alive(session: AsyncSession, publisher: str, publications: Sequence[str]) -> None:
    """The ingest process `publisher` still holds these connections.

    A stream whose connection was taken for lost, since the database was away, has it again unless it was
    given to another.
    """
    held = Stream.publication.in_(publications)
    now = utc_now()
    await session.execute(
        update(Stream)
        .where(held, Stream.publisher_state == PublisherState.LIVE.value)
        .values(publisher_seen_at=now)
    )
    await session.execute(
        update(Stream)
        .where(held, Stream.publisher_state == PublisherState.LOST.value, Stream.status == "connected")
        .values(
            publisher_state=PublisherState.LIVE.value,
            publisher=publisher,
            publisher_seen_at=now,
            publisher_changed_at=now,
        )
    )


async def wanted_streams(session: AsyncSession, stream_ids: Sequence[str]) -> set[str]:
    """Which of these streams are to go on: their session takes media, or their source is still wanted."""
    rows = await session.scalars(
        select(Stream.id)
        .outerjoin(CaptureSession, CaptureSession.id == Stream.capture_session_id)
        .outerjoin(Pull, Pull.stream_id == Stream.id)
        .where(Stream.id.in_(stream_ids), or_(CaptureSession.status.in_(LIVE_STATUSES), Pull.is_wanted))
    )
    return set(rows)


async def zero_us_of(session: AsyncSession, stream: Stream) -> int:
    """The instant that the media time of the stream's segments counts from, Unix microseconds.

    Channels of one session share theirs, so that they can be played together.
    """
    if stream.capture_session_id is None:
        return round((stream.created_at.timestamp() - CLOCK_MARGIN_SECONDS) * 1e6)
    capture = await session.get_one(CaptureSession, stream.capture_session_id)
    return capture.zero_us


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
            _publisher_gone(stream, PublisherState.LOST)
        if spooled_too:
            stream.status = "stopped"
    await session.flush()
    await stop_if_drained(session, capture)


async def lose_publisher(session: AsyncSession, publisher: str) -> None:
    """The ingest process `publisher` was killed: whoever sent to it may come back at once."""
    await session.execute(
        update(Stream)
        .where(Stream.publisher == publisher, Stream.publisher_state == PublisherState.LIVE.value)
        .values(
            publisher_state=PublisherState.LOST.value,
            publisher=None,
            publication=None,
            publisher_changed_at=utc_now(),
        )
    )


async def lose_silent_publishers(session: AsyncSession, silence_seconds: float) -> int:
    """Mark as lost every publisher whose ingest process has not been heard of; returns how many."""
    lost = await session.execute(
        update(Stream)
        .where(
            Stream.publisher_state == PublisherState.LIVE.value,
            Stream.publisher_seen_at < utc_now() - timedelta(seconds=silence_seconds),
        )
        .values(publisher_state=PublisherState.LOST.value, publisher=None, publisher_changed_at=utc_now())
        .returning(Stream.id)
    )
    return len(lost.all())


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


def _announced(stream: Stream) -> dict[str, Any]:
    return {
        "rtstream_id": stream.id,
        "name": stream.name,
        "channel_id": stream.category,
        "media_types": list(stream.media_types),
    }


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


def _publisher_gone(stream: Stream, state: PublisherState) -> None:
    stream.publisher_state, stream.publisher, stream.publisher_changed_at = state.value, None, utc_now()
    stream.publication = None


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
