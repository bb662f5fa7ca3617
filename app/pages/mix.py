"""The sound of all streams of a session as one rendition, made in pieces when they are asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.base.ids import utc_now
from app.domain.streams.models import PublisherState, Segment
from app.domain.streams.playback import RecordedStretch
from app.media.frames import Codec
from app.media.live import clip_header_name, clip_name
from app.media.live_mix import MixStretch, StoredSegment, make_mix, pieces_until
from app.media.playlist import Entry, MediaHeader, PartEntry
from app.pages.clips import ClipSource
from app.pages.followed import Followed
from app.pages.spooled import SpooledSegment, read_recorded
from app.process import Context

MIX = "mix"
# By then a segment that began so long ago is stored, unless its publisher is gone.
GONE_SECONDS = 20
# The same where what is not stored yet can be read from the spool.
GONE_HERE_SECONDS = 3


@dataclass(frozen=True, slots=True)
class Mix:
    """The sounds of a session from `starts_us`; when all has ended, to `ends_us`. `here` are read here.

    Media time counts from `zero_us`. One whose sounds have not begun yet is silent. What was `followed`
    stays: a sound that begins late may be some milliseconds behind the others.
    """

    sounds: Sequence[RecordedStretch]
    starts_us: int
    ends_us: int
    zero_us: int
    has_ended: bool
    held: Mapping[str, SpooledSegment]
    here: frozenset[str]
    followed: Followed

    @property
    def piece_count(self) -> int:
        """How many pieces all of them have recorded."""
        known = len(self.followed.mix)
        return pieces_until(self._until_us, self.starts_us, has_ended=self.has_ended, known=known)

    def entries(self, *, in_parts: bool) -> list[Entry]:
        """What all of them have recorded; with `in_parts` also of the piece that is not whole yet."""
        # All pieces are encoded alike, so one header serves them.
        header = MediaHeader(clip_header_name(f"{MIX}-0-0"), None, MIX)
        known, count = list(self.followed.mix), self.piece_count
        for number in range(len(known), count + (1 if in_parts and not self.has_ended else 0)):
            piece = MixStretch.piece(number)
            recorded = [one for one in piece.parts if self._is_recorded(one)]
            parts = recorded if in_parts else []
            is_open = number == count
            starts, ends = (piece if is_open else self._played(piece)).times_us(self.starts_us)
            known.append(
                Entry(
                    clip_name(f"{MIX}-{number}"),
                    (ends - starts) / 1e6,
                    header,
                    starts_at_us=starts,
                    parts=tuple(self._part(number, at, one) for at, one in enumerate(parts)),
                    is_open=is_open,
                    next_part_uri=clip_name(f"{MIX}-{number}-{len(parts)}") if is_open else None,
                )
            )
        if count > len(self.followed.mix):
            self.followed.mix = known[:count]
        return known

    def clip(self, name: str) -> ClipSource | None:
        """How a piece or a part is made; None for one that there is not, or not yet."""
        stretch = _named(name)
        if stretch is None:
            return None
        if not self._is_recorded(stretch):
            return None
        stretch = self._played(stretch)
        low, high = stretch.needed_us(self.starts_us)
        needed = [
            [
                row
                for row in sound.segments
                if row.started_at_us < high and row.started_at_us + row.duration_us > low
            ]
            for sound in self.sounds
        ]

        async def read(context: Context) -> list[list[StoredSegment]]:
            return [[await self._stored(context, row) for row in rows] for rows in needed if rows]

        return ClipSource(
            identity=" ".join([name, str(low), *(row.id for rows in needed for row in rows)]),
            read=read,
            make=lambda tracks: make_mix(tracks, stretch, self.starts_us, zero_us=self.zero_us),
        )

    def _played(self, stretch: MixStretch) -> MixStretch:
        """The last piece ends with the part in which all sound ends: players would wait in its silence."""
        return MixStretch(stretch.first_part, sum(self._is_recorded(one) for one in stretch.parts))

    @property
    def _until_us(self) -> int:
        until_us = min((self._mixable_until_us(sound) for sound in self.sounds), default=self.ends_us)
        self.followed.mix_until_us = max(until_us, self.followed.mix_until_us)
        return self.followed.mix_until_us

    def _is_recorded(self, stretch: MixStretch) -> bool:
        return stretch.is_recorded(self._until_us, self.starts_us, has_ended=self.has_ended)

    def _part(self, piece: int, number: int, part: MixStretch) -> PartEntry:
        starts, ends = part.times_us(self.starts_us)
        return PartEntry(clip_name(f"{MIX}-{piece}-{number}"), (ends - starts) / 1e6, is_independent=True)

    def _mixable_until_us(self, sound: RecordedStretch) -> int:
        is_here = sound.stream.id in self.here
        return max(stretch_ends_us(sound), recorded_until_us(sound, self.ends_us, is_here=is_here) or 0)

    async def _stored(self, context: Context, row: Segment) -> StoredSegment:
        data = await read_recorded(context, row, self.held.get(row.id))
        return Codec(row.codec), data, row.started_at_us, row.duration_us


def stretch_ends_us(stretch: RecordedStretch) -> int:
    """Where what is recorded of a stretch ends by now."""
    if not stretch.segments:
        return 0
    last = stretch.segments[-1]
    end_us = last.started_at_us + last.duration_us
    return end_us if stretch.end_us is None else min(end_us, stretch.end_us)


def recorded_until_us(stretch: RecordedStretch, others_us: int, *, is_here: bool) -> int | None:
    """How far nothing more will come of a stream, while others went on until `others_us`.

    None before its publisher has come. Players would wait for it otherwise. One that has come back sends
    nothing of the time before: what was said of it then stays true.
    """
    if stretch.has_ended:
        return others_us
    at = utc_now()
    if stretch.stream.publisher_state == PublisherState.LIVE:
        if stretch.stream.publisher_changed_at is None:
            return None
        at = stretch.stream.publisher_changed_at
    seconds = GONE_HERE_SECONDS if is_here else GONE_SECONDS
    return min(others_us, round((at.timestamp() - seconds) * 1e6))


def _named(name: str) -> MixStretch | None:
    """`mix-<piece>` or `mix-<piece>-<part>`."""
    digits = name.removeprefix(f"{MIX}-").split("-")
    if len(digits) > 2 or not all(one.isdecimal() and len(one) < 9 for one in digits):
        return None
    piece, *part = map(int, digits)
    parts = MixStretch.piece(piece).parts
    if not part:
        return MixStretch.piece(piece)
    return parts[part[0]] if part[0] < len(parts) else None
