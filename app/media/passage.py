"""Packets of a pulled source as encoded frames: copied where they are what is recorded, else made anew.

Copied are H.264 whose pictures come in the order they are shown in, AAC-LC and Opus, of one or two channels.
Everything else that FFmpeg decodes becomes H.264 without reordering, or AAC-LC.
"""

import logging
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

import av
from av.bitstream import BitStreamFilterContext
from av.video.frame import PictureType

from app.base.errors import Unprocessable
from app.media.aac import SAMPLES_PER_UNIT, read_aac_format
from app.media.annexb import parameter_sets
from app.media.frames import Codec

logger = logging.getLogger(__name__)

KEYFRAME_SECONDS = 2.0
SOUND_RATE_HZ = 48_000
_ENCODER_OPTIONS = {
    "preset": "veryfast",
    "tune": "zerolatency",
    "crf": "23",
    "profile": "main",
    "forced-idr": "1",
}
_COPIED_FORMATS = ("yuv420p", "yuvj420p")  # what every player decodes
_VIDEO_TIME_BASE = Fraction(1, 90_000)
_ADTS_RATES = 13
_SOUND_JUMP_US = 200_000

Packet: TypeAlias = "av.Packet[Any]"


@dataclass(frozen=True, slots=True)
class Passed:
    """One frame; `at_us` is the source's own media time, `description` as in `EncodedFrame`."""

    codec: Codec
    data: bytes
    at_us: int
    is_keyframe: bool
    description: bytes = b""


class CopiedVideo:
    """H.264 as it is, in Annex B, its parameter sets in front of each key frame.

    Raises `Reordered` from `take` once a picture is shown before one that was sent earlier.
    """

    def __init__(self, stream: av.VideoStream) -> None:
        extradata = stream.codec_context.extradata or b""
        is_avcc = extradata[:1] == b"\x01"
        self._to_annexb = BitStreamFilterContext("h264_mp4toannexb", stream) if is_avcc else None
        self._parameter_sets = b"" if is_avcc else parameter_sets(extradata)
        self._last_us: int | None = None

    def take(self, packet: Packet) -> Iterator[Passed]:
        at_us = media_us(packet)
        # Further back is another timeline, not another order.
        if at_us is not None and self._last_us is not None and 0 < self._last_us - at_us < 1_000_000:
            raise Reordered
        self._last_us = at_us if at_us is not None else self._last_us
        for made in self._to_annexb.filter(packet) if self._to_annexb else [packet]:
            at_us, data = media_us(made), bytes(made)
            if at_us is None or not data:
                continue
            if made.is_keyframe and not parameter_sets(data):
                data = self._parameter_sets + data
            yield Passed(Codec.H264, data, at_us, made.is_keyframe)


class Reordered(Exception):
    """The pictures are not sent in the order in which they are shown."""


class EncodedVideo:
    """Any picture as H.264 without reordering, a key frame every `KEYFRAME_SECONDS`."""

    def __init__(self, stream: av.VideoStream) -> None:
        self.damaged_packets = 0
        self._decoder = stream.codec_context
        self._decoder.thread_count = 1
        self._encoder: av.VideoCodecContext | None = None
        self._last_pts = -1
        self._keyframe_due_pts = 0

    def take(self, packet: Packet) -> Iterator[Passed]:
        try:
            frames = self._decoder.decode(packet)
        except av.FFmpegError:
            self.damaged_packets += 1
            return
        for frame in frames:
            if frame.pts is None or frame.time_base is None:
                continue
            yield from self._encoded(frame, round(frame.pts * frame.time_base / _VIDEO_TIME_BASE))

    def _encoded(self, frame: av.VideoFrame, pts: int) -> Iterator[Passed]:
        size = frame.width & ~1, frame.height & ~1
        encoder = self._encoder
        if encoder is None or (encoder.width, encoder.height) != size or pts <= self._last_pts:
            encoder = self._encoder = _open_encoder(*size)
            self._keyframe_due_pts = pts
        picture = frame.reformat(*size, format="yuv420p")
        picture.pts, picture.time_base, self._last_pts = pts, _VIDEO_TIME_BASE, pts
        is_due = pts >= self._keyframe_due_pts
        picture.pict_type = PictureType.I if is_due else PictureType.NONE
        if is_due:
            self._keyframe_due_pts = pts + round(KEYFRAME_SECONDS / _VIDEO_TIME_BASE)
        for made in encoder.encode(picture):
            at_us = round((made.pts or 0) * _VIDEO_TIME_BASE * 1_000_000)
            yield Passed(Codec.H264, bytes(made), at_us, made.is_keyframe)


class VideoPassage:
    """A picture track, copied until that turns out to be impossible."""

    def __init__(self, stream: av.VideoStream) -> None:
        self._stream = stream
        context = stream.codec_context
        fits = context.name == "h264" and context.pix_fmt in _COPIED_FORMATS and not context.has_b_frames
        self._way: CopiedVideo | EncodedVideo = CopiedVideo(stream) if fits else EncodedVideo(stream)
        self._awaits_keyframe = True

    @property
    def is_copied(self) -> bool:
        return isinstance(self._way, CopiedVideo)

    def take(self, packet: Packet) -> list[Passed]:
        """The frames that the packet completes; none before the first key frame."""
        if self._awaits_keyframe and not packet.is_keyframe:
            return []
        self._awaits_keyframe = False
        try:
            return list(self._way.take(packet))
        except Reordered:
            logger.info("a source's pictures are reordered: they are encoded anew from here")
            self._way = EncodedVideo(self._stream)
            self._awaits_keyframe = True
            return []


class AudioPassage:
    """A sound track."""

    def __init__(self, stream: av.AudioStream) -> None:
        self._stream = stream
        self._description = stream.codec_context.extradata or b""
        self._encoding: _EncodedAudio | None = None
        name, channels = stream.codec_context.name, stream.codec_context.channels
        self._is_aac = name in ("aac", "aac_fixed")
        self._is_opus = name in ("opus", "libopus") and channels <= 2

    @property
    def is_copied(self) -> bool:
        return self._encoding is None

    def take(self, packet: Packet) -> list[Passed]:
        """The frames that the packet completes."""
        at_us, data = media_us(packet), bytes(packet)
        if at_us is None or not data:
            return []
        if self._encoding is None and self._is_opus:
            return [Passed(Codec.OPUS, data, at_us, True)]
        if self._encoding is None and self._is_aac:
            try:
                return [self._copied_aac(data, at_us)]
            except Unprocessable:
                pass  # another profile, or more channels
        if self._encoding is None:
            self._encoding = _EncodedAudio(self._stream)
        return list(self._encoding.take(packet))

    def _copied_aac(self, data: bytes, at_us: int) -> Passed:
        if data[:1] == b"\xff":
            self._description, header_bytes = _read_adts(data)
            data = data[header_bytes:]
        read_aac_format(self._description)
        return Passed(Codec.AAC, data, at_us, True, self._description[:2])


class _EncodedAudio:
    """Any sound as AAC-LC at `SOUND_RATE_HZ`, mono or stereo."""

    def __init__(self, stream: av.AudioStream) -> None:
        self.damaged_packets = 0
        self._decoder = stream.codec_context
        self._layout = "mono" if stream.codec_context.channels == 1 else "stereo"
        encoder = av.CodecContext.create("aac", "w")
        assert isinstance(encoder, av.AudioCodecContext)
        encoder.sample_rate, encoder.layout, encoder.format = SOUND_RATE_HZ, self._layout, "fltp"
        encoder.time_base = Fraction(1, SOUND_RATE_HZ)
        encoder.bit_rate = 64_000 if self._layout == "mono" else 128_000
        encoder.open()
        self._encoder = encoder
        self._description = bytes(encoder.extradata or b"")[:2]
        self._encoded_samples = 0
        self._starts: deque[int] = deque()  # of what the encoder holds, microseconds
        self._restart(0)

    def _restart(self, at_us: int) -> None:
        self._resampler = av.AudioResampler("fltp", self._layout, SOUND_RATE_HZ, frame_size=SAMPLES_PER_UNIT)
        self._from_us, self._taken_us, self._made_samples = at_us, 0.0, 0

    def take(self, packet: Packet) -> Iterator[Passed]:
        try:
            frames = self._decoder.decode(packet)
        except av.FFmpegError:
            self.damaged_packets += 1
            return
        for frame in frames:
            if frame.pts is None or frame.time_base is None:
                continue
            at_us = round(frame.pts * frame.time_base * 1_000_000)
            # Sound is counted: the times of packets jitter by their rounding.
            if abs(at_us - self._from_us - self._taken_us) > _SOUND_JUMP_US:
                self._restart(at_us)
            self._taken_us += frame.samples * 1e6 / frame.sample_rate
            frame.pts = None
            for part in self._resampler.resample(frame):
                yield from self._encode(part)

    def _encode(self, part: av.AudioFrame) -> Iterator[Passed]:
        self._starts.append(self._from_us + self._made_samples * 1_000_000 // SOUND_RATE_HZ)
        self._made_samples += part.samples
        part.pts, part.time_base = self._encoded_samples, Fraction(1, SOUND_RATE_HZ)
        self._encoded_samples += part.samples
        for made in self._encoder.encode(part):
            # What a packet decodes to begins one unit before the samples that it was made with.
            at_us = self._starts.popleft() - SAMPLES_PER_UNIT * 1_000_000 // SOUND_RATE_HZ
            yield Passed(Codec.AAC, bytes(made), at_us, True, self._description)


def media_us(packet: Packet) -> int | None:
    """The packet's presentation time in microseconds of its source's clock; None where it has none."""
    if packet.pts is None or packet.time_base is None:
        return None
    return round(packet.pts * packet.time_base * 1_000_000)


def _read_adts(data: bytes) -> tuple[bytes, int]:
    """The AudioSpecificConfig that an ADTS header stands for, and its length (ISO/IEC 13818-7 clause 6.2)."""
    if len(data) < 7 or data[1] & 0xF6 != 0xF0:
        raise Unprocessable("The AAC frame has no ADTS header.")
    profile, rate = data[2] >> 6, data[2] >> 2 & 0xF
    channels = (data[2] & 1) << 2 | data[3] >> 6
    if rate >= _ADTS_RATES or data[6] & 3:
        raise Unprocessable("The AAC frame's ADTS header is not one that is taken.")
    config = (profile + 1) << 11 | rate << 7 | channels << 3
    return config.to_bytes(2, "big"), 7 if data[1] & 1 else 9


def _open_encoder(width: int, height: int) -> av.VideoCodecContext:
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base = _VIDEO_TIME_BASE
    encoder.framerate = Fraction(30)
    encoder.gop_size = 600
    encoder.thread_count = 1
    encoder.options = _ENCODER_OPTIONS
    return encoder
