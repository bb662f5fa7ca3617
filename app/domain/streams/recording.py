"""What recording does to rows: segments registered, spools that hold media still to come, and its failure."""

from sqlalchemy import delete, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import NotFound
from app.base.ids import utc_now
from app.domain.outbox.jobs import Job, enqueue
from app.domain.sessions.models import Channel
from app.domain.sessions.states import LEGAL_MOVES, Status
from app.domain.streams.ending import fail_session, lock_both, settle
from app.domain.streams.models import PublisherState, Pull, Segment, Stream, StreamSpool
from app.media.frames import Codec
from app.media.windows import window_at

# Sound of one stream may be stored so much later than that of another and still be in the mix at once.
MIX_DELAY_US = 10_000_000


async def add_segment(session: AsyncSession, segment: Segment) -> None:
    """Register a recorded piece whose object is in storage, once.

    The first sound to come `MIX_DELAY_US` after the end of a window of the mix rings for that to be made, and
    VP8 of the primary display for its conversion.
    Raises `NotFound` when its stream was deleted.
    """
    stream = await session.get(Stream, segment.stream_id)
    if stream is None or stream.deleted_at is not None:
        raise NotFound(f"no rtstream {segment.stream_id}")
    if await session.get(Segment, segment.id) is not None:
        return
    session.add(segment)
    await session.flush()
    due = window_at(segment.started_at_us - MIX_DELAY_US) != window_at(segment.ended_at_us - MIX_DELAY_US)
    if due and stream.capture_session_id is not None and stream.media_type == "audio":
        await enqueue(session, Job.MIX_SOUND, stream.capture_session_id)
    if stream.capture_session_id is not None and segment.codec == Codec.VP8:
        channel = await session.get_one(Channel, stream.channel_id)
        if channel.is_primary:
            await enqueue(session, Job.CONVERT_PICTURE, stream.capture_session_id)


async def spool_opened(session: AsyncSession, stream_id: str, spool: str) -> None:
    """From now the spool may hold media of the stream; the session is not `stopped` until it is stored."""
    row = insert(StreamSpool).values(stream_id=stream_id, spool=spool)
    await session.execute(row.on_conflict_do_nothing())


async def spool_emptied(session: AsyncSession, stream_id: str, spool: str) -> bool:
    """The spool holds nothing of the stream; in a stopping session the stream has drained with that.

    False, and nothing changed, while the stream has a publisher: more may come.
    """
    try:
        capture, stream = await lock_both(session, stream_id)
    except NotFound:
        return True
    if stream.publisher_state == PublisherState.LIVE:
        return False
    await session.execute(
        delete(StreamSpool).where(StreamSpool.stream_id == stream_id, StreamSpool.spool == spool)
    )
    await settle(session, capture, stream)
    return True


async def fail_recording(session: AsyncSession, stream_id: str, code: str, message: str) -> None:
    """What is sent can no longer be recorded: the session fails, or the source is wanted no longer.

    What was recorded stays.
    """
    capture, stream = await lock_both(session, stream_id)
    if capture is None:
        given_up = update(Pull).where(Pull.stream_id == stream.id)
        await session.execute(given_up.values(is_wanted=False, wanted_changed_at=utc_now(), error=message))
    elif Status.FAILED in LEGAL_MOVES[capture.status]:
        await fail_session(session, capture, code, message)
