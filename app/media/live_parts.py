"""Partial segments of low-latency HLS (RFC 8216bis clause 4.4.4.9), cut of segments that may still grow.

A recorder's own parts are as long as it took to collect them. Players want theirs of one length. So they are
cut when they are asked for: a part has the frames that begin within its `PART_SECONDS` of the segment.
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import BinaryIO

import av

from app.base.errors import Unprocessable
from app.media.boxes import fragment_number, movie_tracks, read_payload, top_level_boxes, track_runs
from app.media.hls import Fragment, FragmentIndex, index_file, joined_fragments
from app.media.parts import PROVISIONAL_FRAGMENT

PART_SECONDS = 1.0
# A part lasts at least 85 % of this, and at most this, but for the last of a segment (clause 4.4.4.9). Those
# of the mix are whole AAC frames, and a little longer.
PART_TARGET_SECONDS = 1.01
_NEAR_SECONDS = 0.0005  # what a frame's time may be rounded by
_MP4_FLAGS = "empty_moov+delay_moov+default_base_moof+frag_discont+skip_trailer"


@dataclass(frozen=True, slots=True)
class GrownFile:
    """What can be played of a segment's file by now. `frames` are seconds from the first one."""

    index: FragmentIndex
    frames: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class PartSpan:
    """A part of a segment, in seconds from the segment's first frame."""

    number: int
    start_seconds: float
    end_seconds: float
    is_independent: bool

    @property
    def duration_seconds(self) -> float:
        return self.end_seconds - self.start_seconds


@dataclass(frozen=True, slots=True)
class SegmentPiece:
    """Fragments that are one entry of a playlist, and its parts. An open one may still grow.

    `parts` is empty where a stretch of that length has no frame of its own.
    """

    joined: Fragment
    parts: tuple[PartSpan, ...]
    is_open: bool


def read_grown(file: BinaryIO, *, grows: bool) -> GrownFile:
    """Read where fragments and frames of a segment lie, without those that will be written over.

    Raises `Unprocessable` where there is not one whole fragment.
    """
    index = index_file(file, grows=grows)
    tracks = {}
    frames: list[float] = []
    for box in top_level_boxes(file):
        if box.kind == b"moov":
            tracks = movie_tracks(read_payload(file, box))
        elif box.kind == b"moof" and box.offset <= index.fragments[-1].offset_bytes:
            moof = read_payload(file, box)
            if grows and fragment_number(moof) >= PROVISIONAL_FRAGMENT:
                break
            for run in track_runs(moof, tracks):
                at = run.decode_time
                for duration in run.durations:
                    frames.append(at / tracks[run.track_id].timescale_hz)
                    at += duration
    return GrownFile(index, tuple(at - frames[0] for at in frames))


def pieces(
    index: FragmentIndex,
    frames: Sequence[float],
    target_seconds: float,
    *,
    grows: bool,
    is_video: bool,
    first: int = 0,
) -> list[SegmentPiece]:
    """The entries that a segment's fragments from `first` on make, each with its parts.

    What is said of a segment while it grows stays true: later fragments only add to the last piece, and to
    the parts behind the last.
    """
    joined = joined_fragments(index.fragments[first:], target_seconds)
    found: list[SegmentPiece] = []
    number = 0
    keyframes = {round(one.start_seconds, 3) for one in index.fragments if one.starts_with_keyframe}
    for one in joined:
        is_open = grows and one is joined[-1]
        spans: list[PartSpan] = []
        if not frames:
            found.append(SegmentPiece(one, (), is_open))
            continue
        own = [frame for frame in frames if one.start_seconds <= frame < one.end_seconds - _NEAR_SECONDS]
        for start, end in _cut(one.start_seconds, one.end_seconds, is_open=is_open):
            first_frame = next((frame for frame in own if start <= frame + _NEAR_SECONDS < end), None)
            if first_frame is None:
                is_last = one.end_seconds - end < _NEAR_SECONDS and not is_open
                # The frame before lasts until the end, and there is nothing to load. Elsewhere players would
                # count wrongly; while the piece is open, what was said stays.
                spans = spans if is_open or is_last else []
                break
            spans.append(PartSpan(number, start, end, not is_video or round(first_frame, 3) in keyframes))
            number += 1
        found.append(SegmentPiece(one, tuple(spans), is_open))
    return found


def cut_part(header: bytes, media: bytes, start_seconds: float, end_seconds: float, zero: float) -> bytes:
    """The frames of `[start_seconds, end_seconds)` as one fragment, to be played after the segment's header.

    `media` holds the whole fragments that they are in. `zero` is the media time of the segment's first
    frame. Raises `Unprocessable` where there is no such frame.
    """
    output_file = io.BytesIO()
    low, high = zero + start_seconds - _NEAR_SECONDS, zero + end_seconds - _NEAR_SECONDS
    options = {"movflags": _MP4_FLAGS, "frag_duration": "600000000"}
    with av.open(io.BytesIO(header + media), "r", format="mp4") as container:
        source = container.streams[0]
        with av.open(output_file, "w", format="mp4", options=options) as output:
            assert isinstance(source, av.VideoStream | av.AudioStream)
            stream = output.add_stream_from_template(source)
            time_base = source.time_base or Fraction(1, 1000)
            stream.time_base = time_base
            count = 0
            for packet in container.demux(source):
                if packet.pts is None or not packet.size or not low <= packet.pts * time_base < high:
                    continue
                packet.stream = stream
                output.mux_one(packet)
                count += 1
    if not count:
        raise Unprocessable("There is nothing in this stretch of time.")
    data = output_file.getvalue()
    return data[index_file(io.BytesIO(data)).init_length_bytes :]


def media_zero_seconds(file: BinaryIO) -> float:
    """The media time of a segment's first frame. Raises `Unprocessable` for a file without fragments."""
    tracks = {}
    for box in top_level_boxes(file):
        if box.kind == b"moov":
            tracks = movie_tracks(read_payload(file, box))
        elif box.kind == b"moof":
            run = track_runs(read_payload(file, box), tracks)[0]
            return run.decode_time / tracks[run.track_id].timescale_hz
    raise Unprocessable("The file holds no fragment.")


def _cut(start: float, end: float, *, is_open: bool) -> list[tuple[float, float]]:
    """`[start, end)` in stretches of `PART_SECONDS`; where it is closed the last one is what is left."""
    count = math.floor((end - start + _NEAR_SECONDS) / PART_SECONDS)
    edges = [start + number * PART_SECONDS for number in range(count + 1)]
    if not is_open and end - edges[-1] > _NEAR_SECONDS:
        edges.append(end)
    return list(pairwise(edges))
