"""The sound of all streams of a session as one rendition, made in pieces when they are asked for."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.base.ids import utc_now
from app.domain.streams.models import PublisherState, Segment
from app.domain.streams.playback import RecordedStretch
from app.media.frames import Codec
from app.media.live import clip_entry
from app.media.live_mix import StoredSegment, make_mix, needed_us, piece_us, pieces_until
from app.media.playlist import media_playlist
from app.pages.clips import ClipSource
from app.process import Context

MIX = "mix"
# By then a segment that began so long ago is stored, unless its publisher is gone.
GONE_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Mix:
    """The sounds of a session from `starts_us`; when all have ended, to `ends_us`."""

    sounds: Sequence[RecordedStretch]
    starts_us: int
    ends_us: int

    @property
    def _has_ended(self) -> bool:
        return all(sound.has_ended for sound in self.sounds)

    @property
    def piece_count(self) -> int:
        """How many pieces all of them have recorded."""
        until_us = min(_mixable_until_us(sound, self.ends_us) for sound in self.sounds)
        return pieces_until(until_us, self.starts_us, has_ended=self._has_ended)

    def playlist(self, target_seconds: int) -> str:
        """The playlist of what all of them have recorded. Raises `Unprocessable` where that is nothing."""
        entries = []
        for number in range(self.piece_count):
            starts, ends = piece_us(number, self.starts_us)
            seconds = (ends - starts) / 1e6
            # All pieces are encoded alike, so one header serves them.
            entries.append(clip_entry(f"{MIX}-{number}", seconds, starts_at_us=starts, identity=MIX))
        return media_playlist(
            entries, is_event=True, has_ended=self._has_ended, target_seconds=target_seconds
        )

    def clip(self, name: str) -> ClipSource | None:
        """How a piece is made; None for one that there is not, or not yet."""
        digits = name.removeprefix(f"{MIX}-")
        if not digits.isdecimal() or len(digits) > 9 or int(digits) >= self.piece_count:
            return None
        number, zero_us = int(digits), self.sounds[0].zero_us
        low, high = needed_us(number, self.starts_us)
        needed = [
            [
                row
                for row in sound.segments
                if row.started_at_us < high and row.started_at_us + row.duration_us > low
            ]
            for sound in self.sounds
        ]

        async def read(context: Context) -> list[list[StoredSegment]]:
            return [[await _stored(context, row) for row in rows] for rows in needed if rows]

        return ClipSource(
            identity=" ".join([name, str(low), *(row.id for rows in needed for row in rows)]),
            read=read,
            make=lambda tracks: make_mix(tracks, number, self.starts_us, zero_us=zero_us),
        )


async def _stored(context: Context, row: Segment) -> StoredSegment:
    data = b"".join([block async for block in context.storage.read(row.storage_key)])
    return Codec(row.codec), data, row.started_at_us, row.duration_us


def stretch_ends_us(stretch: RecordedStretch) -> int:
    """Where what is recorded of a stretch ends by now."""
    if not stretch.segments:
        return 0
    last = stretch.segments[-1]
    end_us = last.started_at_us + last.duration_us
    return end_us if stretch.end_us is None else min(end_us, stretch.end_us)


def recorded_until_us(stretch: RecordedStretch, others_us: int) -> int | None:
    """How far nothing more will come of a stream, while others went on until `others_us`.

    None while its publisher is there. Players would wait for it otherwise.
    """
    if stretch.has_ended:
        return others_us
    if stretch.stream.publisher_state == PublisherState.LIVE:
        return None
    return min(others_us, round((utc_now().timestamp() - GONE_SECONDS) * 1e6))


def _mixable_until_us(sound: RecordedStretch, others_us: int) -> int:
    return max(stretch_ends_us(sound), recorded_until_us(sound, others_us) or 0)
