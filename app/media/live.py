"""What was recorded of one stream as entries of a playlist, with its holes, while more of it comes.

Entries are only ever appended: an event playlist may not change what it has said (RFC 8216 clause 6.2.1).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from app.media.hls import EDGE_SECONDS, FragmentIndex, joined_fragments
from app.media.playlist import ByteRange, Entry, MediaHeader

# Segments of one publisher follow each other without a hole; one that comes back needs longer than this.
HOLE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class LiveSegment:
    """A stored segment. Without `index` it can only be played as a clip, which is made of it on demand.

    `header_digest` is equal for segments with the same header, or whose clips have the same one.
    """

    name: str
    started_at_us: int
    duration_us: int
    index: FragmentIndex | None
    header_digest: str | None

    @property
    def ended_at_us(self) -> int:
        return self.started_at_us + self.duration_us


def clip_name(name: str) -> str:
    """The file of an exact stretch of `name`."""
    return f"{name}.clip.mp4"


def clip_header_name(name: str) -> str:
    """The header of that file."""
    return f"{name}.init.mp4"


def clip_entry(
    name: str, duration_seconds: float, *, starts_at_us: int | None = None, identity: str | None = None
) -> Entry:
    """The entry of a clip that will be made when it is asked for; its header is its own unless named."""
    header = MediaHeader(clip_header_name(name), None, identity or clip_header_name(name))
    return Entry(clip_name(name), duration_seconds, header, starts_at_us=starts_at_us)


def clip_range_us(segment: LiveSegment, start_us: int, end_us: int | None) -> tuple[int, int] | None:
    """Which stretch of the segment is played as a clip; None where it is played as it lies."""
    edge_us = round(EDGE_SECONDS * 1e6)
    late = start_us - segment.started_at_us > edge_us
    early = end_us is not None and segment.ended_at_us - end_us > edge_us
    if segment.index is not None and not late and not early:
        return None
    low = max(start_us, segment.started_at_us)
    high = segment.ended_at_us if end_us is None else min(end_us, segment.ended_at_us)
    return low, high


def live_entries(
    segments: Sequence[LiveSegment],
    *,
    start_us: int,
    end_us: int | None,
    target_seconds: int,
    holes: Literal["joined", "gaps"],
    until_us: int | None = None,
) -> list[Entry]:
    """Entries of `[start_us, end_us)`, of about `target_seconds` at most.

    With `holes="joined"` a discontinuity joins what is before and after a hole. With `"gaps"` a hole keeps
    its time, also one at the start and one that lasts until `until_us`: renditions of one presentation have
    one timeline, on which they may be discontinuous only together (RFC 8216 clause 6.2.4).
    """
    entries: list[Entry] = []
    at_us = start_us
    for segment in segments:
        hole = segment.started_at_us - at_us > HOLE_SECONDS * 1e6
        if holes == "gaps" and hole:
            entries += _gaps(at_us, segment.started_at_us, target_seconds)
        made = _segment_entries(segment, start_us, end_us, target_seconds)
        if holes == "joined" and entries and (hole or not _same_header(entries[-1], made[0])):
            made[0] = replace(made[0], after_discontinuity=True)
        entries += made
        at_us = segment.ended_at_us
    if holes == "gaps" and until_us is not None:
        # Whole ones only: whatever comes back must find its place behind the last.
        whole = math.floor((until_us - at_us) / (target_seconds * 1e6))
        entries += _gaps(at_us, at_us + whole * target_seconds * 1_000_000, target_seconds)
    return entries


def _segment_entries(
    segment: LiveSegment, start_us: int, end_us: int | None, target_seconds: int
) -> list[Entry]:
    clip = clip_range_us(segment, start_us, end_us)
    if clip is not None or segment.index is None:
        low, high = clip or (segment.started_at_us, segment.ended_at_us)
        identity = segment.header_digest if segment.index is None else None
        return [clip_entry(segment.name, (high - low) / 1e6, starts_at_us=low, identity=identity)]
    file = f"{segment.name}.mp4"
    header = MediaHeader(
        file, ByteRange(0, segment.index.init_length_bytes), segment.header_digest or segment.name
    )
    return [
        Entry(
            file,
            fragment.duration_seconds,
            header,
            ByteRange(fragment.offset_bytes, fragment.length_bytes),
            segment.started_at_us + round(fragment.start_seconds * 1e6),
        )
        for fragment in joined_fragments(segment.index.fragments, target_seconds)
    ]


def _gaps(start_us: int, end_us: int, target_seconds: int) -> Iterator[Entry]:
    """A hole in pieces of the target duration, and a last one of what is left."""
    while end_us > start_us:
        piece_us = min(end_us - start_us, target_seconds * 1_000_000)
        yield Entry("gap.mp4", piece_us / 1e6, None, starts_at_us=start_us)
        start_us += piece_us


def _same_header(before: Entry, after: Entry) -> bool:
    return bool(before.header and after.header and before.header.identity == after.header.identity)
