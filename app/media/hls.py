"""Where the fragments of an MP4 file lie, and which of them play a stretch of its time."""

import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from app.base.errors import Unprocessable
from app.media.boxes import (
    Box,
    MovieTrack,
    fragment_number,
    movie_tracks,
    read_payload,
    top_level_boxes,
    track_runs,
)
from app.media.parts import PROVISIONAL_FRAGMENT
from app.media.playlist import ByteRange

LONGEST_SEGMENT_SECONDS = 6.0  # shorter neighbours are joined up to this, as HLS authoring advises
# Sound starts a few milliseconds apart from the picture, and a fragment with whichever is first: what lies
# nearer to a key frame than the shortest picture lasts is on it.
EDGE_SECONDS = 0.03
_ENDING_SECONDS = 0.1  # AAC fills its last frame, so the file ends later than what was recorded


@dataclass(frozen=True, slots=True)
class Fragment:
    """A `moof` with its `mdat`; times count from the first fragment."""

    offset_bytes: int
    length_bytes: int
    start_seconds: float
    duration_seconds: float
    starts_with_keyframe: bool = True

    @property
    def end_seconds(self) -> float:
        return self.start_seconds + self.duration_seconds


@dataclass(frozen=True, slots=True)
class FragmentIndex:
    """Where a file's header and fragments lie; the header is its first `init_length_bytes`."""

    init_length_bytes: int
    fragments: tuple[Fragment, ...]
    duration_seconds: float

    def to_json(self) -> dict[str, Any]:
        """A plain dict; a fragment is a list of its fields in their order."""
        return {
            "init_length_bytes": self.init_length_bytes,
            "duration_seconds": self.duration_seconds,
            "fragments": [list(astuple(fragment)) for fragment in self.fragments],
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "FragmentIndex":
        """The index that `to_json` wrote."""
        return cls(
            init_length_bytes=int(stored["init_length_bytes"]),
            fragments=tuple(
                Fragment(int(offset), int(length), float(start), float(duration), bool(keyframe))
                for offset, length, start, duration, keyframe in stored["fragments"]
            ),
            duration_seconds=float(stored["duration_seconds"]),
        )


@dataclass(frozen=True, slots=True)
class Piece:
    """Neighbouring fragments, the first with a key frame.

    They are played whole, or, as an edge of a cut, from `start_seconds` to `end_seconds` alone.
    """

    fragments: tuple[Fragment, ...]
    start_seconds: float
    end_seconds: float
    is_edge: bool

    @property
    def duration_seconds(self) -> float:
        return self.end_seconds - self.start_seconds

    @property
    def range(self) -> ByteRange:
        first, last = self.fragments[0], self.fragments[-1]
        return ByteRange(first.offset_bytes, last.offset_bytes + last.length_bytes - first.offset_bytes)


def index_fragments(path: Path) -> FragmentIndex:
    """Find the fragments of the file at `path` by its boxes alone.

    A fragment that is cut off is left out. Raises `Unprocessable` for a file that is no fragmented MP4.
    """
    with path.open("rb") as file:
        return index_file(file)


def index_segment(path: Path) -> tuple[FragmentIndex, str]:
    """The index of a recorded segment, and a digest that segments with the same header share.

    Raises `Unprocessable` and `OSError`.
    """
    with path.open("rb") as file:
        index = index_file(file)
        return index, header_digest(file, index)


def header_digest(file: BinaryIO, index: FragmentIndex) -> str:
    """What files with the same header share."""
    file.seek(0)
    return hashlib.sha256(file.read(index.init_length_bytes)).hexdigest()[:32]


def index_file(file: BinaryIO, *, grows: bool = False) -> FragmentIndex:
    """`index_fragments` of an open file. Of one that `grows`, what will be written over is left out."""
    try:
        return _indexed(file, grows=grows)
    except (struct.error, KeyError, IndexError) as error:
        raise Unprocessable("The file is not a readable MP4.") from error


def cut_pieces(index: FragmentIndex, start_seconds: float, end_seconds: float) -> list[Piece]:
    """What plays exactly `[start_seconds, end_seconds)`: an edge, fragments as they lie, and another edge.

    An end within `EDGE_SECONDS` of a key frame is there. Empty where nothing of it is in the file.
    """
    pieces: list[Piece] = []
    for group in _groups(index.fragments):
        starts, ends = group[0].start_seconds, group[-1].end_seconds
        if ends - start_seconds <= EDGE_SECONDS or end_seconds - starts <= EDGE_SECONDS:
            continue
        is_last = group[-1] is index.fragments[-1]
        late_start = start_seconds - starts > EDGE_SECONDS
        early_end = ends - end_seconds > (_ENDING_SECONDS if is_last else EDGE_SECONDS)
        if late_start or early_end:
            low, high = max(starts, start_seconds), min(ends, end_seconds)
            pieces.append(Piece(group, low, high, is_edge=True))
        elif pieces and not pieces[-1].is_edge:
            pieces[-1] = replace(pieces[-1], fragments=pieces[-1].fragments + group, end_seconds=ends)
        else:
            pieces.append(Piece(group, starts, ends, is_edge=False))
    return pieces


def piece_at(index: FragmentIndex, at_seconds: float) -> Piece:
    """What is needed to show the picture of an instant, the last ones behind the end."""
    groups = _groups(index.fragments)
    group = next((group for group in reversed(groups) if group[0].start_seconds <= at_seconds), groups[0])
    return Piece(group, group[0].start_seconds, group[-1].end_seconds, is_edge=False)


def joined_fragments(
    fragments: Sequence[Fragment], longest_seconds: float = LONGEST_SEGMENT_SECONDS
) -> list[Fragment]:
    """Short neighbours made into segments of at most `longest_seconds`."""
    joined: list[Fragment] = []
    for fragment in fragments:
        last = joined[-1] if joined else None
        if last and last.duration_seconds + fragment.duration_seconds <= longest_seconds:
            joined[-1] = replace(
                last,
                length_bytes=fragment.offset_bytes + fragment.length_bytes - last.offset_bytes,
                duration_seconds=last.duration_seconds + fragment.duration_seconds,
            )
        else:
            joined.append(fragment)
    return joined


def _groups(fragments: Sequence[Fragment]) -> list[tuple[Fragment, ...]]:
    """Fragments by the key frame that they need, which the first of each group begins with."""
    groups: list[list[Fragment]] = []
    for fragment in fragments:
        if fragment.starts_with_keyframe or not groups:
            groups.append([])
        groups[-1].append(fragment)
    return [tuple(group) for group in groups]


def _indexed(file: BinaryIO, *, grows: bool) -> FragmentIndex:
    tracks: dict[int, MovieTrack] = {}
    init_length_bytes = 0
    fragments: list[Fragment] = []
    moof: tuple[Box, _Span] | None = None
    ended_seconds = 0.0
    for box in top_level_boxes(file):
        if box.kind == b"moov":
            tracks, init_length_bytes = movie_tracks(read_payload(file, box)), box.end
        elif box.kind == b"moof" and tracks:
            payload = read_payload(file, box)
            if grows and fragment_number(payload) >= PROVISIONAL_FRAGMENT:
                break
            moof = box, _span(payload, tracks)
        elif box.kind == b"mdat" and moof:
            head, span = moof
            fragments.append(
                Fragment(head.offset, box.end - head.offset, span.start, 0.0, span.starts_with_keyframe)
            )
            ended_seconds = max(ended_seconds, span.end)
            moof = None
    if not fragments:
        raise Unprocessable("The file is not a fragmented MP4, or holds no whole fragment.")
    zero = fragments[0].start_seconds
    ends = [*(fragment.start_seconds for fragment in fragments[1:]), ended_seconds]
    timed = tuple(
        replace(
            fragment,
            start_seconds=fragment.start_seconds - zero,
            duration_seconds=max(end - fragment.start_seconds, 0.0),
        )
        for fragment, end in zip(fragments, ends, strict=True)
    )
    return FragmentIndex(init_length_bytes, timed, ended_seconds - zero)


class _Span(NamedTuple):
    start: float
    end: float
    starts_with_keyframe: bool


def _span(moof: bytes, tracks: dict[int, MovieTrack]) -> _Span:
    """A fragment's seconds, from its earliest track's start to its longest track's end."""
    runs = track_runs(moof, tracks)
    if not runs:
        raise Unprocessable("The file holds a fragment without samples.")
    pictures = [run for run in runs if tracks[run.track_id].is_video]
    return _Span(
        start=min(run.decode_time / tracks[run.track_id].timescale_hz for run in runs),
        end=max(run.end / tracks[run.track_id].timescale_hz for run in runs),
        starts_with_keyframe=all(run.starts_with_keyframe for run in pictures),
    )
