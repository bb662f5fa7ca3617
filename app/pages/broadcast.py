"""What a slug of streams plays, while it is recorded and afterwards: one stream, or a picture with sounds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from app.base.ids import utc_now
from app.domain.streams.models import Segment
from app.domain.streams.playback import RecordedStretch
from app.media.frames import Codec
from app.media.hls import FragmentIndex
from app.media.live import LiveSegment, clip_name, clip_range_us, live_entries, played_parts
from app.media.live_parts import PART_TARGET_SECONDS
from app.media.playlist import (
    Entry,
    LowLatency,
    Sound,
    closed_count,
    media_playlist,
    multivariant_playlist,
)
from app.pages.clips import ClipSource
from app.pages.followed import Followed
from app.pages.mix import MIX, Mix, recorded_until_us, stretch_ends_us
from app.pages.recorded_pieces import clip_source, part_source
from app.pages.spooled import Spooled, SpooledSegment

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SOUND_BITS_PER_SECOND = 64_000
YOUNG_SECONDS = 15


@dataclass(frozen=True, slots=True)
class MediaPlaylist:
    """One media playlist as it is by now; `in_parts` where clients may wait for what comes next."""

    entries: Sequence[Entry]
    has_ended: bool
    target_seconds: int
    in_parts: bool

    def text(self, *, skips: bool = False) -> str:
        """As players read it; with `skips` without what they have said to know. Raises `Unprocessable`."""
        return media_playlist(
            self.entries,
            is_event=True,
            has_ended=self.has_ended,
            target_seconds=self.target_seconds,
            low_latency=LowLatency(PART_TARGET_SECONDS, skips) if self.in_parts else None,
        )


@dataclass(frozen=True, slots=True)
class Broadcast:
    """A playback of streams. `target_seconds` is the target duration of its playlists.

    `is_apart` says that picture and sounds have playlists of their own, which one more names: in a session
    and of a source that sends both. `held` are the segments that are still in this data folder's spool,
    `here` the streams recorded into it. Of a session, `sound_count` streams of sound are stored, or will be
    once they begin. Players are told that it has ended by `says_ended`, some time after it has.
    """

    slug: str
    title: str
    stretches: Sequence[RecordedStretch]
    target_seconds: int
    is_apart: bool
    sound_count: int
    spooled: Spooled
    held: Mapping[str, SpooledSegment]
    here: frozenset[str]
    followed: Followed
    says_ended: bool
    thumbnail_key = None
    _media: dict[str | None, MediaPlaylist | None] = field(default_factory=dict)

    @property
    def is_live(self) -> bool:
        return not all(stretch.has_ended for stretch in self.stretches)

    @property
    def duration_seconds(self) -> float:
        """How long it is by now."""
        return self.playback_seconds(self.ends_us)

    @property
    def has_picture(self) -> bool:
        return any(stretch.media_type == "video" for stretch in self.stretches)

    @property
    def captured_at(self) -> datetime:
        """The wall clock of its second zero."""
        return _EPOCH + timedelta(microseconds=self.starts_us)

    @property
    def starts_us(self) -> int:
        """Unix microseconds."""
        first = self.stretches[0]
        if self.is_apart:
            return first.start_us
        return max(first.start_us, first.segments[0].started_at_us)

    @property
    def ends_us(self) -> int:
        """Unix microseconds."""
        return max(stretch_ends_us(stretch) for stretch in self.stretches)

    @property
    def plays_until_us(self) -> int | None:
        """Where what is played ends; None while words to come may be ahead of the media that is there."""
        return self.stretches[0].end_us if self.is_apart and self.is_live else self.ends_us

    @property
    def has_mix(self) -> bool:
        """Whether several sounds belong to the picture, or one that players have to be given a place for."""
        begun = len(self.stretches) - 1
        return self.may_mix and self.sound_count > min(begun, 1)

    @property
    def may_mix(self) -> bool:
        """Whether the mix can be played: whoever has been given it goes on with it."""
        return self.has_picture and self.sound_count > 0

    @property
    def mix(self) -> Mix:
        """The sounds together."""
        sounds = [one for one in self.stretches if one.media_type == "audio"]
        zero_us = self.stretches[0].zero_us
        return Mix(
            sounds,
            self.starts_us,
            self.ends_us,
            zero_us,
            not self.is_live,
            self.held,
            self.here,
            self.followed,
        )

    @property
    def stream_ids(self) -> list[str]:
        """What is watched for growing."""
        return [stretch.stream.id for stretch in self.stretches if not stretch.has_ended]

    def playback_seconds(self, at_us: int) -> float:
        """When the instant `at_us` is played; holes take time only where streams have to keep in step."""
        passed_us = at_us - self.starts_us
        if not self.is_apart:
            passed_us = 0
            for row in self.stretches[0].segments:
                until_us = min(at_us, row.started_at_us + row.duration_us)
                passed_us += max(until_us - max(row.started_at_us, self.starts_us), 0)
        return round(max(passed_us, 0) / 1e6, 3)

    def is_played(self, at_us: float) -> bool:
        """Whether the instant `at_us` is within what is played."""
        until_us = self.plays_until_us
        return self.starts_us <= at_us and (until_us is None or at_us < until_us)

    def playlist(self) -> str:
        """The playlist of a single stream, or the one that names those of the picture and the sounds."""
        first, *others = self.stretches
        if not self.is_apart:
            return self._of_stream(first).text()
        segment = first.segments[0]
        mix = [Sound("All sound", f"{MIX}.m3u8")] if self.has_mix else []
        size = (segment.width, segment.height) if segment.width and segment.height else None
        sounds = others if self.has_picture else []
        return multivariant_playlist(
            f"{first.name}.m3u8",
            [*mix, *(Sound(one.stream.name, f"{one.name}.m3u8") for one in sounds)],
            bits_per_second=_bits_per_second(first.segments) + _SOUND_BITS_PER_SECOND,
            size=size,
        )

    def media(self, name: str | None) -> MediaPlaylist | None:
        """The media playlist of one stream of several or of all sound; without a name the only one."""
        if name not in self._media:
            self._media[name] = self._media_of(name)
        return self._media[name]

    def _media_of(self, name: str | None) -> MediaPlaylist | None:
        if name is None:
            return None if self.is_apart else self._of_stream(self.stretches[0])
        if name == MIX and self.may_mix:
            in_parts = all(self._is_in_parts(one) for one in self.mix.sounds or self.stretches)
            entries = self.mix.entries(in_parts=in_parts)
            return MediaPlaylist(entries, self.says_ended, self.target_seconds, in_parts)
        found = next((one for one in self.stretches if one.name == name), None)
        return self._of_stream(found) if found else None

    def segment(self, name: str) -> Segment | None:
        """A segment that is played as it lies."""
        return next((row for one in self.stretches for row in one.segments if row.id == name), None)

    def held_segment(self, name: str) -> SpooledSegment | None:
        """A segment that is still in the spool."""
        return self.held.get(name)

    def clip(self, name: str) -> ClipSource | None:
        """How the clip of this name is made."""
        if name.startswith(f"{MIX}-") and self.may_mix:
            return self.mix.clip(name)
        for stretch in self.stretches:
            for row in stretch.segments:
                if row.id == name:
                    range_us = clip_range_us(self._live(row), stretch.start_us, stretch.end_us)
                    return clip_source(row, range_us, self.held.get(row.id))
        return None

    def part(self, name: str, number: int) -> ClipSource | None:
        """How part `number` of a segment is made; None where it is not recorded yet, or never will be."""
        for stretch in self.stretches:
            row = next((row for row in stretch.segments if row.id == name), None)
            if row is None or row.hls_index is None:
                continue
            span = played_parts(self._live(row), stretch.start_us, self.target_seconds).get(number)
            return (
                part_source(row, span.start_seconds, span.end_seconds, self.held.get(row.id))
                if span
                else None
            )
        return None

    def grows(self, name: str) -> bool:
        """Whether a segment is still recorded."""
        held = self.held.get(name)
        return held is not None and held.grows

    def is_next(self, name: str) -> bool:
        """Whether a part of the mix of this name has been promised."""
        playlist = self.media(MIX) if name.startswith(f"{MIX}-") else None
        entries = playlist.entries if playlist else []
        return bool(entries) and entries[-1].next_part_uri == clip_name(name)

    @property
    def is_too_young(self) -> bool:
        """Whether players would stall: hls.js loads the parts of a lone segment again and again."""
        names = [*([MIX] if self.has_mix else []), *(one.name for one in self.stretches)]
        begun = [one.stream.first_media_at for one in self.stretches if one.stream.first_media_at is not None]
        is_new = bool(begun) and utc_now() - max(begun) < timedelta(seconds=YOUNG_SECONDS)
        playlists = [self._media_of(name) for name in names] if self.is_apart and is_new else []
        return any(one and one.in_parts and closed_count(one.entries) < 2 for one in playlists)

    def has_entries(self, stretch: RecordedStretch) -> bool:
        """Whether at least one entry of a stream's playlist is whole."""
        return closed_count(self._of_stream(stretch).entries) > 0

    def _of_stream(self, stretch: RecordedStretch) -> MediaPlaylist:
        until_us = None
        if self.is_apart:
            is_here = stretch.stream.id in self.here
            until_us = recorded_until_us(stretch, self.ends_us, is_here=is_here)
        entries = live_entries(
            [self._live(row) for row in stretch.segments if row.hls_index or row.starts_with_keyframe],
            start_us=stretch.start_us,
            end_us=stretch.end_us,
            target_seconds=self.target_seconds,
            holes="gaps" if self.is_apart else "joined",
            until_us=until_us,
            made=self.followed.entries,
        )
        # Playlists that are played together end together: until then a hole may follow what one of them has.
        return MediaPlaylist(entries, self.says_ended, self.target_seconds, self._is_in_parts(stretch))

    def _is_in_parts(self, stretch: RecordedStretch) -> bool:
        """Whether what a stream records can be read here while it grows."""
        return (
            not self.says_ended
            and stretch.end_us is None
            and stretch.stream.id in self.here
            and stretch.segments[-1].hls_index is not None
        )

    def _live(self, row: Segment) -> LiveSegment:
        finished = self.followed.finished.get(row.id)
        if finished is None:
            finished = self._read(row)
            if not finished.grows:
                self.followed.finished[row.id] = finished
        return finished

    def _read(self, row: Segment) -> LiveSegment:
        index = FragmentIndex.from_json(row.hls_index) if row.hls_index else None
        converted = f"{row.codec} {row.width}x{row.height}"
        return LiveSegment(
            row.id,
            row.started_at_us,
            row.duration_us,
            index,
            row.header_digest or converted,
            grows=self.grows(row.id),
            frames=self.followed.frames.get(row.id) or self.spooled.frames(row.id),
            is_video=Codec(row.codec).is_video,
        )


def _bits_per_second(segments: Sequence[Segment]) -> int:
    """The highest rate of a segment, as BANDWIDTH has it."""
    return max(round(row.size_bytes * 8e6 / max(row.duration_us, 1)) for row in segments)
