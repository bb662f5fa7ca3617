"""What was recorded of one stream as entries of a playlist, with its holes, while more of it comes.

Entries are only ever appended: an event playlist may not change what it has said (RFC 8216 clause 6.2.1).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from app.media.hls import EDGE_SECONDS, FragmentIndex
from app.media.live_parts import PartSpan, SegmentPiece, pieces
from app.media.playlist import ByteRange, Entry, MediaHeader, PartEntry

# Segments of one publisher follow each other without a hole; one that comes back needs longer than this.
HOLE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class LiveSegment:
    """A recorded segment. Without `index` it can only be played as a clip, which is made of it on demand.

    `header_digest` is equal for segments with the same header, or whose clips have the same one. One that
    `grows` is still recorded. `frames`, in seconds from the first, are known of what is played in parts.
    """

    name: str
    started_at_us: int
    duration_us: int
    index: FragmentIndex | None
    header_digest: str | None
    grows: bool = False
    frames: tuple[float, ...] = ()
    is_video: bool = True

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
    """Which stretch of the segment is played as a clip; None where it is played as it lies.

    Where all that comes is played, a segment that begins too early is a clip until its next key frame only:
    it may still grow behind that.
    """
    edge_us = round(EDGE_SECONDS * 1e6)
    late = start_us - segment.started_at_us > edge_us
    early = end_us is not None and segment.ended_at_us - end_us > edge_us
    if segment.index is not None and not late and not early:
        return None
    low = max(start_us, segment.started_at_us)
    high = segment.ended_at_us if end_us is None else min(end_us, segment.ended_at_us)
    if end_us is None and (first := first_whole(segment, start_us)) is not None and segment.index:
        high = segment.started_at_us + round(segment.index.fragments[first].start_seconds * 1e6)
    return low, high


def first_whole(segment: LiveSegment, start_us: int) -> int | None:
    """The first fragment from `start_us` on that needs none before; None where there is none."""
    from_seconds = (start_us - segment.started_at_us) / 1e6 - EDGE_SECONDS
    fragments = segment.index.fragments if segment.index else ()
    return next(
        (
            number
            for number, one in enumerate(fragments)
            if one.start_seconds >= from_seconds and one.starts_with_keyframe
        ),
        None,
    )


def part_name(segment_name: str, number: int) -> str:
    """The file of a part of a segment."""
    return f"{segment_name}.{number}.part.mp4"


def played_parts(segment: LiveSegment, start_us: int, target_seconds: int) -> dict[int, PartSpan]:
    """The parts, by their numbers, that a segment is played in where all that comes is played."""
    first = first_whole(segment, start_us)
    if segment.index is None or first is None or not segment.frames:
        return {}
    made = _pieces(segment, segment.index, target_seconds, first)
    return {part.number: part for piece in made for part in piece.parts}


def live_entries(
    segments: Sequence[LiveSegment],
    *,
    start_us: int,
    end_us: int | None,
    target_seconds: int,
    holes: Literal["joined", "gaps"],
    until_us: int | None = None,
    made: dict[str, Sequence[Entry]] | None = None,
) -> list[Entry]:
    """Entries of `[start_us, end_us)`, of about `target_seconds` at most.

    With `holes="joined"` a discontinuity joins what is before and after a hole. With `"gaps"` a hole keeps
    its time, also one at the start and one that lasts until `until_us`: renditions of one presentation have
    one timeline, on which they may be discontinuous only together (RFC 8216 clause 6.2.4).

    `made` keeps the entries of segments that grow no more, for the next time.
    """
    entries: list[Entry] = []
    at_us = start_us
    for segment in segments:
        hole = segment.started_at_us - at_us > HOLE_SECONDS * 1e6
        if holes == "gaps" and hole:
            entries += _gaps(at_us, segment.started_at_us, target_seconds)
        own = made.get(segment.name) if made is not None else None
        if own is None:
            own = _segment_entries(segment, start_us, end_us, target_seconds)
            if made is not None and not segment.grows:
                made[segment.name] = own
        for number, entry in enumerate(own):
            another = entries and ((hole and not number) or not _same_header(entries[-1], entry))
            entries.append(
                replace(entry, after_discontinuity=True) if holes == "joined" and another else entry
            )
        at_us = segment.ended_at_us
        if segment.grows:
            break  # what has come behind it is said once its end is known
    if holes == "gaps" and until_us is not None and not (entries and entries[-1].is_open):
        # Whole ones only: whatever comes back must find its place behind the last.
        whole = math.floor((until_us - at_us) / (target_seconds * 1e6))
        entries += _gaps(at_us, at_us + whole * target_seconds * 1_000_000, target_seconds)
    return entries


def _segment_entries(
    segment: LiveSegment, start_us: int, end_us: int | None, target_seconds: int
) -> list[Entry]:
    if segment.grows and (end_us is not None or first_whole(segment, start_us) is None):
        return []  # where a clip of it ends is not known yet
    clip = clip_range_us(segment, start_us, end_us)
    made: list[Entry] = []
    first = 0
    if clip is not None or segment.index is None:
        low, high = clip or (segment.started_at_us, segment.ended_at_us)
        identity = segment.header_digest if segment.index is None else None
        made.append(clip_entry(segment.name, (high - low) / 1e6, starts_at_us=low, identity=identity))
        rest = first_whole(segment, start_us) if end_us is None else None
        if segment.index is None or rest is None:
            return made
        first = rest
    file = f"{segment.name}.mp4"
    header = MediaHeader(
        file, ByteRange(0, segment.index.init_length_bytes), segment.header_digest or segment.name
    )
    said = 0
    for piece in _pieces(segment, segment.index, target_seconds, first):
        said += len(piece.parts)
        fragment = piece.joined
        parts = tuple(
            PartEntry(part_name(segment.name, one.number), one.duration_seconds, one.is_independent)
            for one in piece.parts
        )
        made.append(
            Entry(
                file,
                fragment.duration_seconds,
                header,
                ByteRange(fragment.offset_bytes, fragment.length_bytes),
                segment.started_at_us + round(fragment.start_seconds * 1e6),
                parts=parts,
                is_open=piece.is_open,
                next_part_uri=part_name(segment.name, said) if piece.is_open else None,
            )
        )
    return made


def _pieces(
    segment: LiveSegment, index: FragmentIndex, target_seconds: int, first: int
) -> list[SegmentPiece]:
    return pieces(
        index,
        segment.frames,
        target_seconds,
        grows=segment.grows,
        is_video=segment.is_video,
        first=first,
    )


def _gaps(start_us: int, end_us: int, target_seconds: int) -> Iterator[Entry]:
    """A hole in pieces of the target duration, and a last one of what is left."""
    while end_us > start_us:
        piece_us = min(end_us - start_us, target_seconds * 1_000_000)
        yield Entry("gap.mp4", piece_us / 1e6, None, starts_at_us=start_us)
        start_us += piece_us


def _same_header(before: Entry, after: Entry) -> bool:
    return bool(before.header and after.header and before.header.identity == after.header.identity)
