"""A recorded H.264 track as packets on a timeline; VP8 has been converted before (`media.conversion`)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av

from app.base.errors import Unprocessable
from app.media.annexb import SPS, avcc_parameter_sets, length_prefixed_units, nal_type
from app.media.recorded import OPEN_OPTIONS, RecordedPacket, RecordedTrack, TrackReader
from app.media.writing import VIDEO_TIME_BASE

_HEADER_BYTES = 4096  # of a segment: its boxes `ftyp` and `moov` take less than 1 kB


class CopiedPicture:
    """H.264 packets as recorded. Where parameter sets change on the way, they travel in band (`avc3`).

    Raises `Unprocessable` if no segment of the track can be read.
    """

    def __init__(self, track: RecordedTrack, zero_us: int, ends_at_us: int) -> None:
        self._reader = TrackReader(track)
        self._zero_us, self._ends_at_us = zero_us, ends_at_us
        self._template, differ = _described(track)
        self._several = differ or self._template.codec_context.codec_tag == "avc3"
        self.width, self.height = self._template.width, self._template.height

    @property
    def skipped_segments(self) -> int:
        return self._reader.skipped_segments

    def add_stream(self, output: av.container.OutputContainer) -> av.VideoStream:
        """Add the track to `output`."""
        stream = output.add_stream_from_template(self._template)
        stream.time_base = VIDEO_TIME_BASE
        if self._several:
            stream.codec_context.codec_tag = "avc3"
        return stream

    def packets(self, stream: av.VideoStream) -> "Iterator[av.Packet[Any]]":
        """Yield the packets in order; the first is shown from zero on, the last until the end."""
        held: RecordedPacket | None = None
        last_ticks = -1
        for packet in decodable(self._reader.packets(), self._zero_us):
            if held is not None:
                made = self._made(held, packet.at_us, last_ticks, stream)
                last_ticks = made.pts or 0
                yield made
            held = packet
        if held is not None:
            end_us = max(held.at_us + held.duration_us, self._ends_at_us)
            yield self._made(held, end_us, last_ticks, stream)

    def _made(
        self, packet: RecordedPacket, until_us: int, last_ticks: int, stream: av.VideoStream
    ) -> "av.Packet[Any]":
        data = packet.data
        if self._several and packet.is_keyframe and not _has_parameter_sets(data):
            data = avcc_parameter_sets(packet.description) + data
        ticks = 0 if last_ticks < 0 else max(_ticks(packet.at_us - self._zero_us), last_ticks + 1)
        made = av.Packet(data)
        made.stream, made.time_base = stream, VIDEO_TIME_BASE
        made.pts = made.dts = ticks
        made.duration = max(_ticks(until_us - self._zero_us) - ticks, 1)
        made.is_keyframe = packet.is_keyframe
        return made


def decodable(packets: Iterator[RecordedPacket], zero_us: int) -> Iterator[RecordedPacket]:
    """Leave out what no decoder could use: frames before the first key frame, or after a hole.

    Of the frames before `zero_us` only those from the last key frame on are kept.
    """
    waiting = True
    early: list[RecordedPacket] = []
    for packet in packets:
        waiting = (waiting or packet.after_hole) and not packet.is_keyframe
        if waiting:
            continue
        if packet.at_us < zero_us:
            early = [packet] if packet.is_keyframe else [*early, packet]
            continue
        if early and not (packet.is_keyframe and packet.at_us == zero_us):
            yield from early
        early = []
        yield packet
    yield from early


def _described(track: RecordedTrack) -> tuple[av.VideoStream, bool]:
    """The description of the first readable segment, and whether a later one has another."""
    first: av.VideoStream | None = None
    for segment in track.segments:
        if first is not None:
            if _avcc(segment.path) not in (b"", first.codec_context.extradata):
                return first, True
            continue
        try:
            first = av.open(str(segment.path), options=OPEN_OPTIONS).streams.video[0]
        except (av.FFmpegError, IndexError):
            continue
    if first is None:
        raise Unprocessable("No segment of the video can be read.")
    return first, False


def _avcc(path: Path) -> bytes:
    """The decoder configuration that a segment's header holds, read without opening the segment for demuxing:
    an hour has 900. Empty where there is none and where it is cut off."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER_BYTES)
    except OSError:
        return b""
    at = head.find(b"avcC")
    size = int.from_bytes(head[at - 4 : at], "big") - 8 if at >= 4 else 0
    return head[at + 4 : at + 4 + size] if len(head) >= at + 4 + size else b""


def _has_parameter_sets(sample: bytes) -> bool:
    return any(nal_type(unit) == SPS for unit in length_prefixed_units(sample))


def _ticks(microseconds: int) -> int:
    return round(microseconds * 9 / 100)
