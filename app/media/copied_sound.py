"""A finished file's sound: the mix, another file's own, one channel's; copied where it can be."""

from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import av

from app.media.fmp4 import opus_duration_us
from app.media.frames import Codec
from app.media.recorded import RecordedTrack, TrackReader
from app.media.sound import RATE_HZ, PlacedTrack, Sound, mixed
from app.media.templates import audio_template
from app.media.windows import FRAME_SAMPLES, aac_silence, frame_at, mixed_frames
from app.media.writing import add_aac_stream, encoded

_TIME_BASE = Fraction(1, RATE_HZ)
_PACKET_SAMPLES = RATE_HZ // 50
# RFC 6716 clause 3.1: 20 ms of full-band CELT in one frame, which an empty range coder fills with silence.
_OPUS_SILENCE = b"\xf8\xff\xfe"


class CopiedSound(Protocol):
    """An audio track of encoded packets.

    Implementers: `MixedSound`, `FileSound`, `OpusSound`, `EncodedSound`.
    """

    @property
    def skipped_segments(self) -> int:
        """Recorded segments that could not be read to their end."""

    def add_stream(self, output: av.container.OutputContainer) -> av.AudioStream:
        """Add the track to `output`."""

    def packets(self, stream: av.AudioStream) -> "Iterator[av.Packet[Any]]":
        """Yield the packets in order, from time zero on, without gaps."""


class MixedSound:
    """The windows of a mix from `zero_us`, where one of its frames begins, to the end of the recording."""

    skipped_segments = 0

    def __init__(self, windows: Mapping[int, Path], *, zero_us: int, ends_at_us: int) -> None:
        self._windows = windows
        self._first, self._end = frame_at(zero_us), frame_at(ends_at_us - 1) + 1

    def add_stream(self, output: av.container.OutputContainer) -> av.AudioStream:
        """Add the track to `output`."""
        return _added(output, aac_silence()[0])

    def packets(self, stream: av.AudioStream) -> "Iterator[av.Packet[Any]]":
        """Yield the frames of the windows; silence where there is no window."""
        for number, data in enumerate(mixed_frames(self._windows, self._first, self._end)):
            yield _made(data, number * FRAME_SAMPLES, FRAME_SAMPLES, stream)


class FileSound:
    """The audio track of a finished file; `sound_of_file` opens one."""

    skipped_segments = 0

    def __init__(self, container: av.container.InputContainer) -> None:
        self._container = container
        self._source = container.streams.audio[0]

    def add_stream(self, output: av.container.OutputContainer) -> av.AudioStream:
        """Add the track to `output`."""
        return _added(output, self._source)

    def packets(self, stream: av.AudioStream) -> "Iterator[av.Packet[Any]]":
        """Yield the packets with the times that they have in the file."""
        with self._container:
            for packet in self._container.demux(self._source):
                if packet.size:
                    yield _made(bytes(packet), packet.pts or 0, packet.duration or 0, stream)


def sound_of_file(path: Path) -> FileSound | None:
    """The sound of the finished file at `path`; None where it has none."""
    container = av.open(str(path))
    if container.streams.audio:
        return FileSound(container)
    container.close()
    return None


class OpusSound:
    """One channel's Opus packets as recorded, where their wall clock puts them.

    Packets of silence fill the gaps, so that players which count samples keep time too; of what overlaps, as
    after a publisher's return, the first is kept.
    """

    def __init__(self, track: RecordedTrack, *, zero_us: int) -> None:
        assert track.codecs <= {Codec.OPUS}
        self._reader = TrackReader(track)
        self._zero_us = zero_us

    @property
    def skipped_segments(self) -> int:
        return self._reader.skipped_segments

    def add_stream(self, output: av.container.OutputContainer) -> av.AudioStream:
        """Add the track to `output`."""
        template, kept_aside = audio_template(Codec.OPUS, b"")
        stream = _added(output, template)
        stream.codec_context.extradata = kept_aside
        return stream

    def packets(self, stream: av.AudioStream) -> "Iterator[av.Packet[Any]]":
        """Yield the packets; two of them may be a millisecond closer or further apart than they last."""
        last, end = -1, 0
        for packet in self._reader.packets():
            at = round((packet.at_us - self._zero_us) * RATE_HZ / 1_000_000)
            if at < 0 or end - at >= _PACKET_SAMPLES:
                continue
            while at - end >= _PACKET_SAMPLES:
                yield _made(_OPUS_SILENCE, end, _PACKET_SAMPLES, stream)
                last, end = end, end + _PACKET_SAMPLES
            duration = opus_duration_us(packet.data) * RATE_HZ // 1_000_000
            last = max(at, last + 1)
            yield _made(packet.data, last, duration, stream)
            end = last + duration


class EncodedSound:
    """One channel's sound, encoded anew: AAC packets have no silence of one size to fill a gap with."""

    def __init__(self, track: RecordedTrack, *, zero_us: int, ends_at_us: int) -> None:
        self._placed = PlacedTrack(track, zero_us)
        self._samples = round((ends_at_us - zero_us) * RATE_HZ / 1_000_000)

    @property
    def skipped_segments(self) -> int:
        return self._placed.skipped_segments

    def add_stream(self, output: av.container.OutputContainer) -> av.AudioStream:
        """Add the track to `output`."""
        return add_aac_stream(output)

    def packets(self, stream: av.AudioStream) -> "Iterator[av.Packet[Any]]":
        """Yield the packets, silence in the gaps."""
        yield from encoded(mixed([Sound(self._placed.blocks())], self._samples), stream)


def _added(output: av.container.OutputContainer, template: av.AudioStream) -> av.AudioStream:
    stream = output.add_stream_from_template(template)
    stream.time_base = _TIME_BASE
    return stream


def _made(data: bytes, at: int, duration: int, stream: av.AudioStream) -> "av.Packet[Any]":
    packet = av.Packet(data)
    packet.stream, packet.time_base = stream, _TIME_BASE
    packet.pts = packet.dts = at
    packet.duration, packet.is_keyframe = duration, True
    return packet
