"""Who sends a stream's media now: attached, alive, gone, lost."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import Conflict
from app.base.ids import utc_now
from app.domain.sessions.models import CaptureSession
from app.domain.sessions.service import move
from app.domain.sessions.states import Status
from app.domain.streams.ending import lock_both, publisher_gone, settle
from app.domain.streams.models import PublisherState, Pull, Stream
from app.domain.streams.service import list_session_streams

LIVE_STATUSES = (Status.STARTING, Status.ACTIVE)


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
        publisher_gone(stream, PublisherState.ENDED if ended else PublisherState.LOST)
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


def _announced(stream: Stream) -> dict[str, Any]:
    return {
        "rtstream_id": stream.id,
        "name": stream.name,
        "channel_id": stream.category,
        "media_types": list(stream.media_types),
    }
