"""Playbacks of what streams record: a stretch of one stream, or a whole session as it happens."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import InvalidRequest, NotFound
from app.domain.assets.models import Playback
from app.domain.assets.playback import save_playback
from app.domain.sessions.models import CaptureSession
from app.domain.streams.models import Segment, Stream
from app.domain.streams.service import list_session_streams


@dataclass(frozen=True, slots=True)
class RecordedStretch:
    """What is recorded so far of a stream between two instants (Unix microseconds), in time order.

    `end_us` is None for all that comes; `has_ended` says that nothing more comes. `zero_us` is the instant
    that the media time of its segments counts from.
    """

    stream: Stream
    segments: Sequence[Segment]
    start_us: int
    end_us: int | None
    has_ended: bool
    zero_us: int


async def play_stream(
    session: AsyncSession, stream: Stream, start_us: int, end_us: int | None, *, title: str
) -> Playback:
    """The playback of a stretch of a stream, which may lie in the future.

    Raises `InvalidRequest` for an empty stretch and for a stream that is not stored.
    """
    if end_us is not None and end_us <= start_us:
        raise InvalidRequest("end must come after start", field="end")
    if not stream.store:
        raise InvalidRequest(f"{stream.name} is not stored, so there is nothing to play")
    part = {"stream_id": stream.id, "start_us": start_us, "end_us": end_us}
    return await save_playback(session, stream.account_id, [part], title=title)


async def play_session(session: AsyncSession, capture: CaptureSession) -> None:
    """Give a session that stores something its live playback."""
    part = {"capture_session_id": capture.id}
    playback = await save_playback(session, capture.account_id, [part], title=f"Capture {capture.id}")
    capture.live_slug = playback.slug


async def open_stretches(session: AsyncSession, playback: Playback) -> list[RecordedStretch]:
    """What a playback of streams plays: the picture first, if there is one, then each sound.

    A session's begins with its primary display's first picture. Raises `NotFound` when nothing of it is
    recorded yet, or its streams are gone.
    """
    part = playback.parts[0]
    if "stream_id" in part:
        stream = await session.get(Stream, part["stream_id"])
        if stream is None or stream.deleted_at is not None:
            raise NotFound("what was playable here has been deleted")
        stretch = await _stretch(session, stream, part["start_us"], part["end_us"])
        if not stretch.segments:
            raise NotFound("nothing is recorded here yet")
        return [stretch]
    streams = await list_session_streams(session, part["capture_session_id"])
    found = [
        await _stretch(session, stream, 0, None)
        for stream in streams
        if stream.store and not stream.deleted_at
    ]
    if any(_is_about_to_begin(stretch) for stretch in found):
        raise NotFound("nothing is recorded here yet")  # players read once which streams there are
    found = [stretch for stretch in found if stretch.segments]
    pictures = [stretch for stretch in found if stretch.stream.media_type == "video"]
    sounds = [stretch for stretch in found if stretch.stream.media_type == "audio"]
    if not found:
        raise NotFound("nothing is recorded here yet")
    start_us = (pictures or sounds)[0].segments[0].started_at_us
    begun = [_from(stretch, start_us) for stretch in [*pictures[:1], *sounds]]
    return [stretch for stretch in begun if stretch.segments]


async def _stretch(
    session: AsyncSession, stream: Stream, start_us: int, end_us: int | None
) -> RecordedStretch:
    wanted = [Segment.stream_id == stream.id, Segment.started_at_us + Segment.duration_us > start_us]
    if end_us is not None:
        wanted.append(Segment.started_at_us < end_us)
    rows = await session.scalars(select(Segment).where(*wanted).order_by(Segment.started_at_us))
    segments = rows.all()
    reached = segments and end_us is not None and _ends_us(segments[-1]) >= end_us
    if end_us is not None and not reached:
        later = await session.scalar(
            select(Segment.id).where(Segment.stream_id == stream.id, Segment.started_at_us >= end_us).limit(1)
        )
        reached = later is not None
    capture = await session.get_one(CaptureSession, stream.capture_session_id)
    return RecordedStretch(
        stream,
        segments,
        start_us,
        end_us,
        has_ended=bool(reached) or stream.status == "stopped",
        zero_us=capture.zero_us,
    )


def _is_about_to_begin(stretch: RecordedStretch) -> bool:
    stream = stretch.stream
    return stream.first_media_at is not None and not stretch.segments and stream.status == "connected"


def _from(stretch: RecordedStretch, start_us: int) -> RecordedStretch:
    segments = [segment for segment in stretch.segments if _ends_us(segment) > start_us]
    return replace(stretch, segments=segments, start_us=start_us)


def _ends_us(segment: Segment) -> int:
    return segment.started_at_us + segment.duration_us
