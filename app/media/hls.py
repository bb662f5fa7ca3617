"""Fragmented MP4 files to HLS playlists that address their fragments by byte range (RFC 8216)."""

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from app.base.errors import Unprocessable
from app.media.boxes import Box, MovieTrack, movie_tracks, read_payload, top_level_boxes, track_runs

_LONGEST_SEGMENT_SECONDS = 6.0  # shorter neighbours are joined up to this, as HLS authoring advises


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
class PlaylistPart:
    """The stretch `[start_seconds, end_seconds)` of the file at `media_url`."""

    media_url: str
    index: FragmentIndex
    start_seconds: float
    end_seconds: float


def index_fragments(path: Path) -> FragmentIndex:
    """Find the fragments of the file at `path` by its boxes alone.

    A fragment that is cut off is left out. Raises `Unprocessable` for a file that is no fragmented MP4.
    """
    try:
        with path.open("rb") as file:
            return _indexed(file)
    except (struct.error, KeyError, IndexError) as error:
        raise Unprocessable("The file is not a readable MP4.") from error


def covering_fragments(
    index: FragmentIndex, start_seconds: float, end_seconds: float
) -> tuple[Fragment, ...]:
    """The whole fragments that play `[start_seconds, end_seconds)`, from the key frame on that its first
    picture needs; none where nothing of it is in the file."""
    fragments = index.fragments
    inside = [
        number
        for number, fragment in enumerate(fragments)
        if fragment.end_seconds > start_seconds and fragment.start_seconds < end_seconds
    ]
    if not inside:
        return ()
    first = inside[0]
    while first > 0 and not fragments[first].starts_with_keyframe:
        first -= 1
    return fragments[first : inside[-1] + 1]


def media_playlist(parts: Sequence[PlaylistPart]) -> str:
    """A VOD playlist over `parts`, whole fragments, with a discontinuity between parts.

    Raises `Unprocessable` where no part holds a fragment.
    """
    chosen = [
        (part, _joined(covering_fragments(part.index, part.start_seconds, part.end_seconds)))
        for part in parts
    ]
    chosen = [(part, fragments) for part, fragments in chosen if fragments]
    if not chosen:
        raise Unprocessable("There is nothing to play in this stretch of time.")
    longest = max(fragment.duration_seconds for _, fragments in chosen for fragment in fragments)
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        f"#EXT-X-TARGETDURATION:{max(math.ceil(longest), 1)}",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-PLAYLIST-TYPE:VOD",
    ]
    for number, (part, fragments) in enumerate(chosen):
        if number:
            lines.append("#EXT-X-DISCONTINUITY")
        lines.append(f'#EXT-X-MAP:URI="{part.media_url}",BYTERANGE="{part.index.init_length_bytes}@0"')
        for fragment in fragments:
            lines += [
                f"#EXTINF:{fragment.duration_seconds:.6f},",
                f"#EXT-X-BYTERANGE:{fragment.length_bytes}@{fragment.offset_bytes}",
                part.media_url,
            ]
    return "\n".join([*lines, "#EXT-X-ENDLIST", ""])


def _indexed(file: BinaryIO) -> FragmentIndex:
    tracks: dict[int, MovieTrack] = {}
    init_length_bytes = 0
    fragments: list[Fragment] = []
    moof: tuple[Box, _Span] | None = None
    ended_seconds = 0.0
    for box in top_level_boxes(file):
        if box.kind == b"moov":
            tracks, init_length_bytes = movie_tracks(read_payload(file, box)), box.end
        elif box.kind == b"moof" and tracks:
            moof = box, _span(read_payload(file, box), tracks)
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


def _joined(fragments: Sequence[Fragment]) -> list[Fragment]:
    """Short neighbours made into longer segments."""
    joined: list[Fragment] = []
    for fragment in fragments:
        last = joined[-1] if joined else None
        if last and last.duration_seconds + fragment.duration_seconds <= _LONGEST_SEGMENT_SECONDS:
            joined[-1] = replace(
                last,
                length_bytes=fragment.offset_bytes + fragment.length_bytes - last.offset_bytes,
                duration_seconds=last.duration_seconds + fragment.duration_seconds,
            )
        else:
            joined.append(fragment)
    return joined
