"""Playbacks of what streams record: a stretch of one stream, or a whole session as it happens."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import InvalidRequest, NotFound
from app.domain.assets.models import Playback
from app.domain.assets.playback import save_playback
from app.domain.sessions.models import CaptureSession
from app.domain.streams.models import MediaType, Segment, Stream
from app.domain.streams.service import list_session_streams, zero_us_of
from app.media.frames import Codec

_SEGMENTS_APART = 3
CODECS: dict[MediaType, list[str]] = {
    "video": [codec.value for codec in Codec if codec.is_video],
    "audio": [codec.value for codec in Codec if not codec.is_video],
}


@dataclass(frozen=True, slots=True)
class RecordedStretch:
    """What is recorded so far of a stream's picture or sound between two instants (Unix microseconds), in
    time order.

    `end_us` is None for all that comes; `has_ended` says that nothing more comes. `zero_us` is the instant
    that the media time of its segments counts from.
    """

    stream: Stream
    media_type: MediaType
    segments: Sequence[Segment]
    start_us: int
    end_us: int | None
    has_ended: bool
    zero_us: int

    @property
    def name(self) -> str:
        """What its playlist is called."""
        if len(self.stream.media_types) == 1:
            return self.stream.id
        return f"{self.stream.id}-{self.media_type}"


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
        both = await _stretches(session, stream, part["start_us"], part["end_us"])
        if any(not one.segments and not one.has_ended for one in both) and _is_young(both):
            raise NotFound("nothing is recorded here yet")
        return _begun(both, part["start_us"])
    streams = await list_session_streams(session, part["capture_session_id"])
    found = [
        stretch
        for stream in streams
        if stream.store and not stream.deleted_at
        for stretch in await _stretches(session, stream, 0, None)
    ]
    if any(_is_about_to_begin(stretch) for stretch in found):
        raise NotFound("nothing is recorded here yet")  # players read once which streams there are
    return _begun(found, 0)


def _begun(found: list[RecordedStretch], start_us: int) -> list[RecordedStretch]:
    """The first picture of `found`, and each sound from where that begins, or else from the first sound."""
    found = [stretch for stretch in found if stretch.segments]
    pictures = [stretch for stretch in found if stretch.media_type == "video"]
    sounds = [stretch for stretch in found if stretch.media_type == "audio"]
    if not found:
        raise NotFound("nothing is recorded here yet")
    start_us = max(start_us, (pictures or sounds)[0].segments[0].started_at_us)
    begun = [_from(stretch, start_us) for stretch in [*pictures[:1], *sounds]]
    return [stretch for stretch in begun if stretch.segments]


async def _stretches(
    session: AsyncSession, stream: Stream, start_us: int, end_us: int | None
) -> list[RecordedStretch]:
    return [await _stretch(session, stream, kind, start_us, end_us) for kind in stream.media_types]


async def _stretch(
    session: AsyncSession, stream: Stream, media_type: MediaType, start_us: int, end_us: int | None
) -> RecordedStretch:
    of_kind = [Segment.stream_id == stream.id, Segment.codec.in_(CODECS[media_type])]
    wanted = [*of_kind, Segment.started_at_us + Segment.duration_us > start_us]
    if end_us is not None:
        wanted.append(Segment.started_at_us < end_us)
    rows = await session.scalars(select(Segment).where(*wanted).order_by(Segment.started_at_us))
    segments = rows.all()
    reached = segments and end_us is not None and _ends_us(segments[-1]) >= end_us
    if end_us is not None and not reached:
        later = await session.scalar(
            select(Segment.id).where(*of_kind, Segment.started_at_us >= end_us).limit(1)
        )
        reached = later is not None
    return RecordedStretch(
        stream,
        media_type,
        segments,
        start_us,
        end_us,
        has_ended=bool(reached) or stream.status == "stopped",
        zero_us=await zero_us_of(session, stream),
    )


def _is_about_to_begin(stretch: RecordedStretch) -> bool:
    stream = stretch.stream
    return stream.first_media_at is not None and not stretch.segments and stream.status == "connected"


def _is_young(both: Sequence[RecordedStretch]) -> bool:
    """Whether the other kind may just be a segment behind. A source may lack what was asked of it, too."""
    return all(len(one.segments) < _SEGMENTS_APART for one in both)


def _from(stretch: RecordedStretch, start_us: int) -> RecordedStretch:
    segments = [segment for segment in stretch.segments if _ends_us(segment) > start_us]
    return replace(stretch, segments=segments, start_us=start_us)


def _ends_us(segment: Segment) -> int:
    return segment.started_at_us + segment.duration_us
