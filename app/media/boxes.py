"""ISO base media file boxes (ISO/IEC 14496-12), as far as finding fragments needs them."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from app.base.errors import Unprocessable

_NON_SYNC_SAMPLE = 0x10000  # sample_is_non_sync_sample of clause 8.8.3.1
_LARGEST_HEADER_BYTES = 16 * 1024 * 1024  # a moov or moof beyond this is not ours


@dataclass(frozen=True, slots=True)
class Box:
    """A box in a file: `offset` and `size` include its header."""

    kind: bytes
    offset: int
    size: int
    header_bytes: int

    @property
    def end(self) -> int:
        return self.offset + self.size


@dataclass(frozen=True, slots=True)
class MovieTrack:
    """What the movie header says of a track: its clock and the length of a sample that says nothing."""

    timescale_hz: int
    is_video: bool
    default_duration: int
    default_flags: int


@dataclass(slots=True)
class TrackRun:
    """One track in one movie fragment, in its timescale."""

    track_id: int
    decode_time: int = 0
    durations: list[int] = field(default_factory=list)
    starts_with_keyframe: bool = True

    @property
    def end(self) -> int:
        return self.decode_time + sum(self.durations)


def top_level_boxes(file: BinaryIO) -> Iterator[Box]:
    """Yield the boxes of `file`; a box cut off by the end of the file ends the walk.

    Raises `Unprocessable` for what is no box.
    """
    file.seek(0, 2)
    file_bytes, offset = file.tell(), 0
    while offset + 8 <= file_bytes:
        file.seek(offset)
        head = file.read(16)
        size, header_bytes = int.from_bytes(head[:4], "big"), 8
        if size == 1 and len(head) == 16:
            size, header_bytes = int.from_bytes(head[8:16], "big"), 16
        elif size == 0:
            size = file_bytes - offset
        if size < header_bytes:
            raise Unprocessable("The file is not an MP4: a box is smaller than its own header.")
        if offset + size > file_bytes:
            return
        yield Box(head[4:8], offset, size, header_bytes)
        offset += size


def read_payload(file: BinaryIO, box: Box) -> bytes:
    """The bytes inside a top-level box. Raises `Unprocessable` when they are implausibly many."""
    if box.size > _LARGEST_HEADER_BYTES:
        raise Unprocessable("The file's header is too large.")
    file.seek(box.offset + box.header_bytes)
    return file.read(box.size - box.header_bytes)


def movie_tracks(moov: bytes) -> dict[int, MovieTrack]:
    """Tracks by id from a `moov` payload (clauses 8.4.2, 8.4.3 and 8.8.3)."""
    defaults: dict[int, tuple[int, int]] = {}
    for trex in _all(_first(moov, b"mvex"), b"trex"):
        track_id, _, duration, _, flags = struct.unpack_from(">IIIII", trex, 4)
        defaults[track_id] = duration, flags
    tracks = {}
    for trak in _all(moov, b"trak"):
        tkhd, mdia = _first(trak, b"tkhd"), _first(trak, b"mdia")
        (track_id,) = struct.unpack_from(">I", tkhd, 20 if tkhd[:1] == b"\x01" else 12)
        mdhd = _first(mdia, b"mdhd")
        (timescale_hz,) = struct.unpack_from(">I", mdhd, 20 if mdhd[:1] == b"\x01" else 12)
        is_video = _first(mdia, b"hdlr")[8:12] == b"vide"
        tracks[track_id] = MovieTrack(timescale_hz, is_video, *defaults.get(track_id, (0, 0)))
    return tracks


def fragment_number(moof: bytes) -> int:
    """The `sequence_number` of a `moof` payload (clause 8.8.5)."""
    return _number(_first(moof, b"mfhd"), 4)


def track_runs(moof: bytes, tracks: dict[int, MovieTrack]) -> list[TrackRun]:
    """Runs of a `moof` payload that hold samples (clauses 8.8.7, 8.8.8 and 8.8.12)."""
    runs = []
    for traf in _all(moof, b"traf"):
        tfhd, tfdt = _first(traf, b"tfhd"), _first(traf, b"tfdt")
        track_id = _number(tfhd, 4)
        duration, sample_flags = _fragment_defaults(tfhd, tracks[track_id])
        run = TrackRun(track_id, int.from_bytes(tfdt[4 : 12 if tfdt[:1] == b"\x01" else 8], "big"))
        for trun in _all(traf, b"trun"):
            durations, first_flags = _samples(trun, duration, sample_flags)
            if durations and not run.durations:
                run.starts_with_keyframe = not first_flags & _NON_SYNC_SAMPLE
            run.durations += durations
        if run.durations:
            runs.append(run)
    return runs


def _fragment_defaults(tfhd: bytes, track: MovieTrack) -> tuple[int, int]:
    """Default sample duration and flags of a fragment; optional fields stand in the order of their bits."""
    present, at = _number(tfhd, 0) & 0xFFFFFF, 8
    found = {}
    for bit, size in ((0x01, 8), (0x02, 4), (0x08, 4), (0x10, 4), (0x20, 4)):
        if present & bit:
            found[bit] = int.from_bytes(tfhd[at : at + size], "big")
            at += size
    return found.get(0x08, track.default_duration), found.get(0x20, track.default_flags)


def _samples(trun: bytes, duration: int, sample_flags: int) -> tuple[list[int], int]:
    """Durations of a run's samples, and the flags of the first one."""
    present, count, at = _number(trun, 0) & 0xFFFFFF, _number(trun, 4), 8
    at += 4 if present & 0x01 else 0
    if present & 0x04:
        sample_flags, at = _number(trun, at), at + 4
    columns = [bit for bit in (0x100, 0x200, 0x400, 0x800) if present & bit]
    if not columns:
        return [duration] * count, sample_flags
    width = 4 * len(columns)
    rows = list(struct.iter_unpack(f">{len(columns)}I", trun[at : at + width * count]))
    if 0x400 in columns and not present & 0x04 and rows:
        sample_flags = rows[0][columns.index(0x400)]
    return [row[0] for row in rows] if present & 0x100 else [duration] * count, sample_flags


def _children(payload: bytes) -> Iterator[tuple[bytes, bytes]]:
    offset = 0
    while offset + 8 <= len(payload):
        size = int.from_bytes(payload[offset : offset + 4], "big")
        if size < 8:
            return
        yield payload[offset + 4 : offset + 8], payload[offset + 8 : offset + size]
        offset += size


def _all(payload: bytes, kind: bytes) -> Iterator[bytes]:
    return (inner for name, inner in _children(payload) if name == kind)


def _first(payload: bytes, kind: bytes) -> bytes:
    return next(_all(payload, kind), b"")


def _number(payload: bytes, offset: int) -> int:
    return int.from_bytes(payload[offset : offset + 4], "big")
