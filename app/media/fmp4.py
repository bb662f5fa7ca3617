"""Encoded frames to self-contained recording segments, never decoding them."""

import hashlib
import io
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import av

from app.base.errors import InvalidRequest, Unprocessable
from app.media.frames import Codec, EncodedFrame
from app.media.hls import FragmentIndex, index_file
from app.media.templates import OPUS_HEAD, opus_template, video_template

Container = Literal["mp4", "webm"]

# Without delay_moov a track whose first frame comes late is moved to zero, and without frag_discont its
# lateness goes into an edit list that players of fragments do not read. The trailing random access table
# would only help a reader that seeks within one segment of a few seconds.
_MP4_OPTIONS = {
    "movflags": "empty_moov+delay_moov+default_base_moof+frag_discont+skip_trailer",
    "frag_duration": "1000000",
}
_LONE_FRAME_US = {Codec.H264: 66_667, Codec.VP8: 66_667, Codec.OPUS: 20_000}


@dataclass(frozen=True, slots=True)
class Segment:
    """A finished segment. `container` is `webm` for VP8, which FFmpeg's MP4 muxer refuses, else `mp4`.

    `index` says where the fragments of an MP4 lie; segments of one `header_digest` have the same header.
    """

    data: bytes
    codec: Codec
    started_at_us: int
    duration_us: int
    frame_count: int
    starts_with_keyframe: bool
    width: int | None
    height: int | None
    container: Container = "mp4"
    index: FragmentIndex | None = None
    header_digest: str | None = None


class SegmentMuxer:
    """Collects one track's frames into one segment on the wall clock.

    A video segment takes its description (picture size, parameter sets) from its first frame, or from
    `previous` where it has to start without a key frame. Times inside count from `zero_us`, or else from its
    first frame: segments of a track with a common zero play one after the other as one stream.
    """

    def __init__(
        self, codec: Codec, *, previous: "SegmentMuxer | None" = None, zero_us: int | None = None
    ) -> None:
        self._codec = codec
        self._zero_us = zero_us
        self._template: av.VideoStream | None = previous._template if previous else None
        self._file = io.BytesIO()
        self._held: EncodedFrame | None = None  # its duration is known when the next one comes
        self._first: EncodedFrame | None = None
        self._output: av.container.OutputContainer | None = None
        self._stream: av.VideoStream | av.AudioStream | None = None
        self._last_ticks = -1
        self._last_gap_us = _LONE_FRAME_US[codec]
        self._frame_count = 0

    @property
    def frame_count(self) -> int:
        return self._frame_count

    @property
    def started_at_us(self) -> int | None:
        """Wall clock of the first frame; None while there is none."""
        return self._first.captured_at_us if self._first else None

    @property
    def last_at_us(self) -> int | None:
        """Wall clock of the newest frame; None while there is none."""
        return self._held.captured_at_us if self._held else None

    @property
    def container(self) -> Container:
        return "webm" if self._codec is Codec.VP8 else "mp4"

    def fits(self, frame: EncodedFrame) -> bool:
        """False for a key frame of another picture size or other parameter sets: start a new segment."""
        if self._template is None or not frame.is_keyframe or not self._codec.is_video:
            return True
        try:
            return video_template(frame) is self._template
        except Unprocessable:
            return True  # a key frame that relies on the parameter sets sent before

    def add(self, frame: EncodedFrame) -> None:
        """Append `frame`; one whose wall clock does not advance is placed one tick after the one before.

        Raises `InvalidRequest` for another codec or no data, `Unprocessable` where the first video frame
        describes no stream and there is no previous segment.
        """
        if not frame.data:
            raise InvalidRequest("A frame without data cannot be recorded.", field="data")
        if frame.codec is not self._codec:
            raise InvalidRequest(f"A {self._codec} segment takes no {frame.codec} frame.", field="codec")
        if self._first is None:
            self._open(frame)
            self._first = frame
            self._zero_us = frame.captured_at_us if self._zero_us is None else self._zero_us
        if self._held is not None:
            gap_us = frame.captured_at_us - self._held.captured_at_us
            if gap_us > 0:
                self._last_gap_us = gap_us
            self._write(self._held, until_us=frame.captured_at_us)
        self._held = frame
        self._frame_count += 1

    def finish(self) -> Segment:
        """Close the segment. Raises `Unprocessable` when no frame was added."""
        if self._first is None or self._held is None or self._output is None or self._stream is None:
            raise Unprocessable("A segment without frames cannot be finished.")
        last_duration_us = self._last_duration_us(self._held)
        ended_at_us = self._held.captured_at_us + last_duration_us
        self._write(self._held, until_us=ended_at_us)
        self._output.close()
        size = self._stream if isinstance(self._stream, av.VideoStream) else None
        index = index_file(self._file) if self.container == "mp4" else None
        data = self._file.getvalue()
        header = data[: index.init_length_bytes] if index else b""
        return Segment(
            data=data,
            codec=self._codec,
            started_at_us=self._first.captured_at_us,
            duration_us=max(ended_at_us - self._first.captured_at_us, 1),
            frame_count=self._frame_count,
            starts_with_keyframe=self._first.is_keyframe,
            width=size.width if size else None,
            height=size.height if size else None,
            container=self.container,
            index=index,
            header_digest=hashlib.sha256(header).hexdigest()[:32] if index else None,
        )

    def _open(self, frame: EncodedFrame) -> None:
        if self._codec.is_video:
            template: av.VideoStream | av.AudioStream = self._described(frame)
        else:
            template = opus_template()
        options = _MP4_OPTIONS if self.container == "mp4" else {}
        self._output = av.open(self._file, "w", format=self.container, options=options)
        self._stream = self._output.add_stream_from_template(template)
        self._stream.time_base = Fraction(1, self._codec.clock_rate_hz)
        if not self._codec.is_video:
            self._stream.codec_context.extradata = OPUS_HEAD

    def _described(self, frame: EncodedFrame) -> av.VideoStream:
        try:
            self._template = video_template(frame)
        except Unprocessable:
            if self._template is None:
                raise
        return self._template

    def _write(self, frame: EncodedFrame, *, until_us: int) -> None:
        assert self._output is not None
        assert self._stream is not None
        ticks = max(self._ticks(frame.captured_at_us), self._last_ticks + 1)
        packet = av.Packet(frame.data)
        packet.stream = self._stream
        packet.time_base = Fraction(1, self._codec.clock_rate_hz)
        packet.pts = packet.dts = ticks
        packet.duration = max(self._ticks(until_us) - ticks, 1)
        packet.is_keyframe = frame.is_keyframe or not self._codec.is_video
        self._output.mux_one(packet)
        self._last_ticks = ticks

    def _ticks(self, at_us: int) -> int:
        assert self._zero_us is not None
        return round((at_us - self._zero_us) * self._codec.clock_rate_hz / 1_000_000)

    def _last_duration_us(self, frame: EncodedFrame) -> int:
        """A picture is taken to last as long as the one before, an Opus packet as long as its header says."""
        if self._codec is Codec.OPUS:
            return opus_duration_us(frame.data)
        return min(self._last_gap_us, 1_000_000)


def opus_duration_us(packet: bytes) -> int:
    """Length of the sound in an Opus packet, from its table-of-contents byte (RFC 6716 clause 3.1)."""
    if not packet:
        return _LONE_FRAME_US[Codec.OPUS]
    config, code = packet[0] >> 3, packet[0] & 3
    if config < 12:
        frame_us = (10_000, 20_000, 40_000, 60_000)[config & 3]
    elif config < 16:
        frame_us = (10_000, 20_000)[config & 1]
    else:
        frame_us = (2_500, 5_000, 10_000, 20_000)[config & 3]
    frames = {0: 1, 1: 2, 2: 2}.get(code, packet[1] & 0x3F if len(packet) > 1 else 1)
    return min(frame_us * frames, 120_000) or _LONE_FRAME_US[Codec.OPUS]
