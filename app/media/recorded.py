"""Recorded tracks as they lie in storage: segments on the wall clock, read packet by packet."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import av

from app.media.frames import Codec

log = logging.getLogger(__name__)

# FFmpeg decodes pictures to learn what a segment's header says already. Told not to, it opens one in 0.4 ms
# instead of 2.4: a second and a half of an hour's export, for each time that it is read.
OPEN_OPTIONS = {"probesize": "32"}


@dataclass(frozen=True, slots=True)
class RecordedSegment:
    """One segment file; `started_at_us` is the wall clock of its first frame."""

    codec: Codec
    path: Path
    started_at_us: int
    duration_us: int

    @property
    def ended_at_us(self) -> int:
        return self.started_at_us + self.duration_us


@dataclass(frozen=True, slots=True)
class RecordedTrack:
    """One channel's segments, in time order; a publisher may have come back with another codec."""

    segments: Sequence[RecordedSegment]

    @property
    def codecs(self) -> set[Codec]:
        return {segment.codec for segment in self.segments}


class RecordedPacket(NamedTuple):
    """One encoded frame of a segment. `description` is its codec's out-of-band data (avcC for H.264);
    `after_hole` says that a segment before this frame could not be read to its end."""

    codec: Codec
    data: bytes
    at_us: int
    duration_us: int
    is_keyframe: bool
    description: bytes
    after_hole: bool


class TrackReader:
    """Reads a track's packets in order; a segment that cannot be read is skipped, counted and logged."""

    def __init__(self, track: RecordedTrack) -> None:
        self._track = track
        self.skipped_segments = 0

    def packets(self) -> Iterator[RecordedPacket]:
        """Yield every packet; a cut segment gives what it still holds."""
        after_hole = False
        for segment in self._track.segments:
            try:
                for packet in _packets(segment, after_hole=after_hole):
                    after_hole = False
                    yield packet
            except (av.FFmpegError, IndexError):
                after_hole = True
                self.skipped_segments += 1
                log.warning("segment %s could not be read to its end", segment.path.name)


def _packets(segment: RecordedSegment, *, after_hole: bool) -> Iterator[RecordedPacket]:
    with av.open(str(segment.path), options=OPEN_OPTIONS) as container:
        stream = container.streams[0]
        if stream.codec_context is None:  # PyAV's answer to a header that is cut off
            raise IndexError("no stream")
        description = stream.codec_context.extradata or b""
        tick_us = float(stream.time_base or 0) * 1_000_000
        first: int | None = None  # whatever zero the segment was written with
        for packet in container.demux(stream):
            if packet.pts is None or not packet.size:
                continue
            first = packet.pts if first is None else first
            yield RecordedPacket(
                segment.codec,
                bytes(packet),
                segment.started_at_us + round((packet.pts - first) * tick_us),
                round((packet.duration or 0) * tick_us),
                packet.is_keyframe,
                description,
                after_hole,
            )
            after_hole = False
