"""RTStreams: opening them, and finding them and what was recorded of them."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import NotFound
from app.base.ids import new_id
from app.domain.sessions.models import CLOCK_MARGIN_SECONDS, CaptureSession, Channel
from app.domain.streams.models import Segment, Stream


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


async def zero_us_of(session: AsyncSession, stream: Stream) -> int:
    """The instant that the media time of the stream's segments counts from, Unix microseconds.

    Channels of one session share theirs, so that they can be played together.
    """
    if stream.capture_session_id is None:
        return round((stream.created_at.timestamp() - CLOCK_MARGIN_SECONDS) * 1e6)
    capture = await session.get_one(CaptureSession, stream.capture_session_id)
    return capture.zero_us
