"""What a slug of streams plays, while it is recorded and afterwards: one stream, or a picture with sounds."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import NotFound
from app.domain.assets.models import Playback
from app.domain.streams.models import Segment
from app.domain.streams.playback import RecordedStretch, open_stretches
from app.media.clip import make_clip
from app.media.hls import FragmentIndex
from app.media.live import LiveSegment, clip_range_us, live_entries
from app.media.playlist import Sound, media_playlist, multivariant_playlist
from app.pages.clips import ClipSource
from app.pages.mix import MIX, Mix, recorded_until_us, stretch_ends_us
from app.process import Context

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SOUND_BITS_PER_SECOND = 64_000


@dataclass(frozen=True, slots=True)
class Broadcast:
    """A playback of streams. `target_seconds` is the target duration of its playlists."""

    slug: str
    title: str
    stretches: Sequence[RecordedStretch]
    target_seconds: int
    thumbnail_key = None

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
        return max(first.start_us, first.segments[0].started_at_us)

    @property
    def ends_us(self) -> int:
        """Unix microseconds."""
        return max(stretch_ends_us(stretch) for stretch in self.stretches)

    @property
    def has_mix(self) -> bool:
        """Whether several sounds belong to the picture."""
        return self.has_picture and len(self.stretches) > 2

    @property
    def mix(self) -> Mix:
        """The sounds together."""
        sounds = [one for one in self.stretches if one.media_type == "audio"]
        return Mix(sounds, self.starts_us, max(stretch_ends_us(one) for one in self.stretches))

    @property
    def _are_renditions(self) -> bool:
        return len(self.stretches) > 1 and self.has_picture

    def playback_seconds(self, at_us: int) -> float:
        """When the instant `at_us` is played; holes take time only where streams have to keep in step."""
        passed_us = at_us - self.starts_us
        if not self._are_renditions:
            passed_us = 0
            for row in self.stretches[0].segments:
                until_us = min(at_us, row.started_at_us + row.duration_us)
                passed_us += max(until_us - max(row.started_at_us, self.starts_us), 0)
        return round(max(passed_us, 0) / 1e6, 3)

    def is_played(self, at_us: float) -> bool:
        """Whether the instant `at_us` is within what is played."""
        return self.starts_us <= at_us < self.ends_us

    def playlist(self) -> str:
        """The playlist of a single stream, or the one that names those of the picture and the sounds."""
        first, *others = self.stretches
        if not self._are_renditions:
            return self._media_playlist(first)
        segment = first.segments[0]
        mix = [Sound("All sound", f"{MIX}.m3u8")] if self.has_mix else []
        size = (segment.width, segment.height) if segment.width and segment.height else None
        return multivariant_playlist(
            f"{first.name}.m3u8",
            [*mix, *(Sound(one.stream.name, f"{one.name}.m3u8") for one in others)],
            bits_per_second=_bits_per_second(first.segments) + _SOUND_BITS_PER_SECOND,
            size=size,
        )

    def rendition(self, name: str) -> str | None:
        """The playlist of one stream of several, or of the sound of all of them."""
        if name == MIX and self.has_mix:
            return self.mix.playlist(self.target_seconds)
        found = next((one for one in self.stretches if one.name == name), None)
        return self._media_playlist(found) if found else None

    def segment(self, name: str) -> Segment | None:
        """A segment that is played as it lies."""
        return next((row for one in self.stretches for row in one.segments if row.id == name), None)

    def clip(self, name: str) -> ClipSource | None:
        """How the clip of this name is made."""
        if name.startswith(f"{MIX}-") and self.has_mix:
            return self.mix.clip(name)
        for stretch in self.stretches:
            for row in stretch.segments:
                if row.id == name:
                    return _clip(row, clip_range_us(_live(row), stretch.start_us, stretch.end_us))
        return None

    def _media_playlist(self, stretch: RecordedStretch) -> str:
        is_rendition = self._are_renditions
        entries = live_entries(
            [_live(row) for row in stretch.segments if row.hls_index or row.starts_with_keyframe],
            start_us=stretch.start_us,
            end_us=stretch.end_us,
            target_seconds=self.target_seconds,
            holes="gaps" if is_rendition else "joined",
            until_us=recorded_until_us(stretch, self.ends_us) if is_rendition else None,
        )
        return media_playlist(
            entries,
            is_event=True,
            has_ended=stretch.has_ended,
            target_seconds=self.target_seconds,
        )


async def open_broadcast(session: AsyncSession, playback: Playback, *, target_seconds: int) -> Broadcast:
    """What a playback of streams plays by now. Raises `NotFound` when that is nothing."""
    stretches = await open_stretches(session, playback)
    broadcast = Broadcast(playback.slug, playback.title, stretches, target_seconds)
    if broadcast.has_mix and not broadcast.mix.piece_count:
        raise NotFound("nothing is recorded here yet")
    return broadcast


def _live(row: Segment) -> LiveSegment:
    index = FragmentIndex.from_json(row.hls_index) if row.hls_index else None
    converted = f"{row.codec} {row.width}x{row.height}"
    return LiveSegment(row.id, row.started_at_us, row.duration_us, index, row.header_digest or converted)


def _clip(row: Segment, stretch_us: tuple[int, int] | None) -> ClipSource | None:
    if stretch_us is None:
        return None
    low, high = stretch_us

    async def read(context: Context) -> bytes:
        return b"".join([block async for block in context.storage.read(row.storage_key)])

    return ClipSource(
        identity=f"{row.storage_key} {low} {high}",
        read=read,
        make=lambda data: make_clip(
            data,
            (low - row.started_at_us) / 1e6,
            (high - row.started_at_us) / 1e6,
            first_seconds=0.0,
        ),
    )


def _bits_per_second(segments: Sequence[Segment]) -> int:
    """The highest rate of a segment, as BANDWIDTH has it."""
    return max(round(row.size_bytes * 8e6 / max(row.duration_us, 1)) for row in segments)
