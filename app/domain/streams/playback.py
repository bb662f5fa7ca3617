"""Playbacks of what streams record: a stretch of one stream, or a whole session as it happens."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import InvalidRequest, NotFound
from app.base.ids import utc_now
from app.domain.assets.models import Playback
from app.domain.assets.playback import save_playback
from app.domain.sessions.models import CaptureSession
from app.domain.streams.models import MediaType, Segment, Stream
from app.domain.streams.service import list_session_streams, zero_us_of
from app.media.frames import Codec

CODECS: dict[MediaType, list[str]] = {
    "video": [codec.value for codec in Codec if codec.is_video],
    "audio": [codec.value for codec in Codec if not codec.is_video],
}

# Players read once which streams a session has. One whose media has begun is waited for so long, and so long
# the display is, whose first picture is where the session begins.
BEGIN_SECONDS = 10

# Segments that wait for storage may be registered so much later than those after them.
OVERTAKING_SECONDS = 120.0

# The picture of a source may be registered so many segments before its sound, or after it.
_SEGMENTS_APART = 3

# What of a stream is recorded, but perhaps not registered yet.
Unregistered = Callable[[str], Awaitable[Sequence[Segment]]]


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


class KnownSegments:
    """The registered segments of a playback's streams: whoever follows it reads each of them once.

    Of what has been opened with picture and sound apart also where it begins, and its picture's stream:
    neither changes.
    """

    def __init__(self) -> None:
        self.start_us: int | None = None
        self.picture_id: str | None = None
        self._rows: dict[tuple[str, MediaType], list[Segment]] = {}

    async def read(
        self,
        session: AsyncSession,
        stream_id: str,
        media_type: MediaType,
        start_us: int,
        end_us: int | None,
    ) -> Sequence[Segment]:
        """What is registered of `[start_us, end_us)` by now, in time order; the same range each time."""
        known = self._rows.get((stream_id, media_type), [])
        wanted = [
            *_of_kind(stream_id, media_type),
            Segment.started_at_us + Segment.duration_us > start_us,
        ]
        if end_us is not None:
            wanted.append(Segment.started_at_us < end_us)
        if known:
            since_us = known[-1].started_at_us - round(OVERTAKING_SECONDS * 1e6)
            recent = [row.id for row in known if row.started_at_us >= since_us]
            wanted += [Segment.started_at_us >= since_us, Segment.id.not_in(recent)]
        found = (await session.scalars(select(Segment).where(*wanted))).all()
        if found:
            known = sorted([*known, *found], key=lambda row: row.started_at_us)
            self._rows[stream_id, media_type] = known
        return known


async def open_stretches(
    session: AsyncSession, playback: Playback, unregistered: Unregistered, known: KnownSegments
) -> list[RecordedStretch]:
    """What a playback of streams plays: the picture first, if there is one, then each sound.

    A session's begins with its primary display's first picture, or where that comes much later than the
    sound, with the first sound. Raises `NotFound` when nothing of it is recorded yet, or while a stream that
    has just begun is not, or when its streams are gone.
    """
    part = playback.parts[0]
    is_open = known.start_us is not None
    if "stream_id" in part:
        stream = await session.get(Stream, part["stream_id"])
        if stream is None or stream.deleted_at is not None:
            raise NotFound("what was playable here has been deleted")
        both = await _stretches(session, stream, part["start_us"], part["end_us"], unregistered, known)
        if not is_open and is_young(both) and any(not one.segments and not one.has_ended for one in both):
            raise NotFound("nothing is recorded here yet")
        return _begun(both, part["start_us"], known)
    streams = await list_session_streams(session, part["capture_session_id"])
    found = [
        stretch
        for stream in streams
        if stream.store and not stream.deleted_at
        for stretch in await _stretches(session, stream, 0, None, unregistered, known)
    ]
    begun = [stretch for stretch in found if stretch.segments]
    if not is_open and any(_is_awaited(stretch, begun) for stretch in found):
        raise NotFound("nothing is recorded here yet")
    return _begun(begun, 0, known)


def _begun(found: Sequence[RecordedStretch], from_us: int, known: KnownSegments) -> list[RecordedStretch]:
    """The picture of `found`, and each sound, all from where they begin to be played together."""
    begun = [stretch for stretch in found if stretch.segments]
    if not begun:
        raise NotFound("nothing is recorded here yet")
    pictures = [stretch for stretch in begun if stretch.media_type == "video"]
    sounds = [stretch for stretch in begun if stretch.media_type == "audio"]
    pictures.sort(key=lambda one: one.stream.id != known.picture_id)
    start_us = known.start_us if known.start_us is not None else max(from_us, _start_us(pictures, sounds))
    started = [_from(stretch, start_us) for stretch in [*pictures[:1], *sounds]]
    return [stretch for stretch in started if stretch.segments]


async def _stretches(
    session: AsyncSession,
    stream: Stream,
    start_us: int,
    end_us: int | None,
    unregistered: Unregistered,
    known: KnownSegments,
) -> list[RecordedStretch]:
    """One for each kind that the stream carries."""
    # Before the rows: what is registered meanwhile is in both, and nothing is in neither.
    waiting = await unregistered(stream.id)
    zero_us = await zero_us_of(session, stream)
    stretches = []
    for kind in stream.media_types:
        rows = await known.read(session, stream.id, kind, start_us, end_us)
        own = [one for one in waiting if one.codec in CODECS[kind]]
        segments = _together(rows, own, start_us, end_us)
        has_ended = stream.status == "stopped" or (
            end_us is not None and await _is_past(session, stream, kind, segments, end_us)
        )
        stretches.append(RecordedStretch(stream, kind, segments, start_us, end_us, has_ended, zero_us))
    return stretches


async def _is_past(
    session: AsyncSession, stream: Stream, kind: MediaType, segments: Sequence[Segment], end_us: int
) -> bool:
    """Whether what is recorded reaches `end_us`, or goes on behind it."""
    if segments and _ends_us(segments[-1]) >= end_us:
        return True
    later = select(Segment.id).where(*_of_kind(stream.id, kind), Segment.started_at_us >= end_us)
    return await session.scalar(later.limit(1)) is not None


def _of_kind(stream_id: str, media_type: MediaType) -> list[ColumnElement[bool]]:
    return [Segment.stream_id == stream_id, Segment.codec.in_(CODECS[media_type])]


def _together(
    rows: Sequence[Segment], waiting: Sequence[Segment], start_us: int, end_us: int | None
) -> Sequence[Segment]:
    registered = {row.id for row in rows}
    more = [
        one
        for one in waiting
        if one.id not in registered
        and _ends_us(one) > start_us
        and (end_us is None or one.started_at_us < end_us)
    ]
    return sorted([*rows, *more], key=lambda one: one.started_at_us) if more else rows


def _is_awaited(stretch: RecordedStretch, others: Sequence[RecordedStretch]) -> bool:
    """Whether the session cannot be opened without it: it has just begun, or is a display that may yet."""
    stream = stretch.stream
    if stretch.segments or stream.status != "connected":
        return False
    if stretch.media_type == "video" and any(one.media_type == "video" for one in others):
        return False
    if stream.first_media_at is not None:
        return is_awaited(stream)
    firsts = [one.stream.first_media_at for one in others if one.stream.first_media_at is not None]
    return stretch.media_type == "video" and bool(firsts) and _is_recent(min(firsts))


def is_awaited(stream: Stream) -> bool:
    """Whether the stream has begun so recently that nothing of it can be expected to play yet."""
    return (
        stream.status == "connected"
        and stream.first_media_at is not None
        and _is_recent(stream.first_media_at)
    )


def is_young(both: Sequence[RecordedStretch]) -> bool:
    """Whether one kind may just be a segment behind. A source may lack what was asked of it, too."""
    return all(len(one.segments) < _SEGMENTS_APART for one in both)


def _is_recent(at: datetime) -> bool:
    return utc_now() - at < timedelta(seconds=BEGIN_SECONDS)


def _start_us(pictures: Sequence[RecordedStretch], sounds: Sequence[RecordedStretch]) -> int:
    heard_us = min((one.segments[0].started_at_us for one in sounds), default=None)
    if not pictures:
        assert heard_us is not None
        return heard_us
    seen_us = pictures[0].segments[0].started_at_us
    # Who listens already must not lose what was said before.
    return seen_us if heard_us is None or seen_us - heard_us < BEGIN_SECONDS * 1_000_000 else heard_us


def _from(stretch: RecordedStretch, start_us: int) -> RecordedStretch:
    segments = [segment for segment in stretch.segments if _ends_us(segment) > start_us]
    return replace(stretch, segments=segments, start_us=start_us)


def _ends_us(segment: Segment) -> int:
    return segment.started_at_us + segment.duration_us
