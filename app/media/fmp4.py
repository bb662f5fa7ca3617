"""Encoded frames to self-contained recording segments, part by part, never decoding them."""

import io
from dataclasses import dataclass
from fractions import Fraction

import av

from app.base.errors import InvalidRequest, Unprocessable
from app.media.aac import read_aac_format
from app.media.annexb import length_prefixed
from app.media.fragments import Sample, fragment
from app.media.frames import Codec, EncodedFrame
from app.media.parts import PROVISIONAL_FRAGMENT, Container, part_ends
from app.media.templates import audio_template, video_template

# Without delay_moov a header describes no stream whose description is in its first frame, and without
# frag_discont that frame's time goes into an edit list that players of fragments do not read.
_MP4_FLAGS = "empty_moov+delay_moov+default_base_moof+frag_discont+skip_trailer"
_FRAGMENT_SECONDS = 1  # a part that took longer is several fragments
_LONE_FRAME_US = {Codec.H264: 66_667, Codec.VP8: 66_667, Codec.OPUS: 20_000, Codec.AAC: 21_333}
_LONGEST_LAST_FRAME_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Segment:
    """A finished segment. `container` is `webm` for VP8, which FFmpeg's MP4 muxer refuses, else `mp4`.

    `data` is what `SegmentMuxer.flush` has not given before: the whole segment where it was never called.
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


@dataclass(frozen=True, slots=True)
class _Timed:
    """A frame at its place on the segment's clock."""

    frame: EncodedFrame
    ticks: int


class SegmentMuxer:
    """Makes one track's frames into one segment on the wall clock.

    A segment is a header and parts, each of which decodes once those before it are there: its bytes so far
    are always a whole file. A video segment takes its description (picture size, parameter sets) from its
    first frame, or from `previous` where it has to start without a key frame. Times inside count from
    `zero_us`, or else from its first frame: segments of a track with a common zero play one after the other
    as one stream.
    """

    def __init__(
        self, codec: Codec, *, previous: "SegmentMuxer | None" = None, zero_us: int | None = None
    ) -> None:
        self._codec = codec
        self._zero_us = zero_us
        self._template: av.VideoStream | None = previous._template if previous else None
        self._sound: tuple[av.AudioStream, bytes] | None = None
        # FFmpeg's header counts AAC by its own rate, whatever it is asked for.
        self._ticks_per_second = codec.clock_rate_hz
        # Those that are in no part yet. The newest stays here: its duration is known when the next one comes.
        self._frames: list[_Timed] = []
        self._first: EncodedFrame | None = None
        self._last_gap_us = _LONE_FRAME_US[codec]
        self._frame_count = 0
        self._fragment_count = 0

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
        return self._frames[-1].frame.captured_at_us if self._frames else None

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
        if frame.codec is Codec.AAC and frame.data[0] == 0xFF:
            # An access unit begins with a syntactic element, and 7 is the end of one; FFmpeg refuses it.
            raise InvalidRequest("An AAC frame must be a bare access unit, without ADTS.", field="data")
        if self._first is None:
            self._describe(frame)
            self._first = frame
            self._zero_us = frame.captured_at_us if self._zero_us is None else self._zero_us
        ticks = max(self._ticks(frame.captured_at_us), 0)  # an MP4 has no time before its zero
        if self._frames:
            newest = self._frames[-1]
            gap_us = frame.captured_at_us - newest.frame.captured_at_us
            self._last_gap_us = gap_us if gap_us > 0 else self._last_gap_us
            ticks = max(ticks, newest.ticks + 1)
        self._frames.append(_Timed(frame, ticks))
        self._frame_count += 1

    def flush(self) -> bytes:
        """The next part: every frame that is in none yet, but for the newest. Empty where that is all."""
        if len(self._frames) < 2:
            return b""
        *ready, newest = self._frames
        part, fragments = self._part(ready, newest.ticks)
        self._frames = [newest]
        self._fragment_count += fragments
        return part

    def provisional(self) -> bytes:
        """What the next part would be if no frame came after the newest, which is kept for `flush` still.

        Its fragment has a number of its own, by which readers of the file tell that it will be replaced.
        """
        if not self._frames:
            return b""
        return self._part(self._frames, self._end_ticks(), first_number=PROVISIONAL_FRAGMENT)[0]

    def finish(self) -> Segment:
        """Close the segment. Raises `Unprocessable` when no frame was added."""
        if self._first is None:
            raise Unprocessable("A segment without frames cannot be finished.")
        size = self._template
        return Segment(
            data=self._part(self._frames, self._end_ticks())[0],
            codec=self._codec,
            started_at_us=self._first.captured_at_us,
            duration_us=max(self._ended_at_us() - self._first.captured_at_us, 1),
            frame_count=self._frame_count,
            starts_with_keyframe=self._first.is_keyframe,
            width=size.width if size else None,
            height=size.height if size else None,
            container=self.container,
        )

    def _describe(self, frame: EncodedFrame) -> None:
        if not self._codec.is_video:
            self._sound = audio_template(self._codec, frame.description)
            if self._codec is Codec.AAC:
                self._ticks_per_second = read_aac_format(frame.description).rate_hz
            return
        try:
            self._template = video_template(frame)
        except Unprocessable:
            if self._template is None:
                raise

    def _part(
        self, frames: list[_Timed], end_ticks: int, *, first_number: int | None = None
    ) -> tuple[bytes, int]:
        """The frames' fragments or clusters, behind the header where they are the first, and how many."""
        if self.container == "webm":
            return self._clusters(frames, end_ticks)
        shown = [(timed, data) for timed in frames if (data := _sample_data(timed.frame))]
        if not shown:  # frames without a picture
            return b"", 0
        parts = [] if self._fragment_count else [self._mp4_header(shown[0][0])]
        number, count, samples = first_number or self._fragment_count + 1, 0, list[Sample]()
        began = shown[0][0].ticks
        for n, (timed, data) in enumerate(shown, 1):
            ends_at = shown[n][0].ticks if n < len(shown) else end_ticks
            is_sync = timed.frame.is_keyframe or not self._codec.is_video
            samples.append(Sample(data, max(ends_at - timed.ticks, 1), is_sync))
            if ends_at - began >= _FRAGMENT_SECONDS * self._ticks_per_second or n == len(shown):
                parts.append(fragment(number + count, began, samples))
                count, samples, began = count + 1, [], ends_at
        return b"".join(parts), count

    def _mp4_header(self, first: _Timed) -> bytes:
        """FFmpeg's, which knows how each codec is described."""
        file = self._muxed([first], [first.ticks + 1], {"movflags": _MP4_FLAGS})
        return file.getvalue()[: part_ends(file, "mp4")[0]]

    def _clusters(self, frames: list[_Timed], end_ticks: int) -> tuple[bytes, int]:
        """A muxer's whole run: PyAV cannot tell FFmpeg to end a cluster."""
        # WebM that is live has no index and no length: nothing before a cluster tells of what comes after.
        file = self._muxed(frames, [*(later.ticks for later in frames[1:]), end_ticks], {"live": "1"})
        ends = part_ends(file, "webm")
        if not ends:  # frames without a picture, which the muxer leaves out
            return b"", 0
        return file.getvalue()[ends[0] if self._fragment_count else 0 :], len(ends) - 1

    def _muxed(self, frames: list[_Timed], ends: list[int], options: dict[str, str]) -> io.BytesIO:
        file = io.BytesIO()
        time_base = Fraction(1, self._ticks_per_second)
        with av.open(file, "w", format=self.container, options=options) as output:
            template, kept_aside = self._sound or (self._template, b"")
            assert template is not None
            stream = output.add_stream_from_template(template)
            stream.time_base = time_base
            if kept_aside:
                stream.codec_context.extradata = kept_aside
            for timed, ends_at in zip(frames, ends, strict=True):
                packet = av.Packet(timed.frame.data)
                packet.stream, packet.time_base = stream, time_base
                packet.pts = packet.dts = timed.ticks
                packet.duration = max(ends_at - timed.ticks, 1)
                packet.is_keyframe = timed.frame.is_keyframe or not self._codec.is_video
                output.mux_one(packet)
        return file

    def _ticks(self, at_us: int) -> int:
        assert self._zero_us is not None
        return round((at_us - self._zero_us) * self._ticks_per_second / 1_000_000)

    def _end_ticks(self) -> int:
        return self._ticks(self._ended_at_us())

    def _ended_at_us(self) -> int:
        """A picture is taken to last as long as the one before, sound as long as its packet says."""
        newest = self._frames[-1].frame
        if self._codec is Codec.OPUS:
            return newest.captured_at_us + opus_duration_us(newest.data)
        if self._codec is Codec.AAC:
            return newest.captured_at_us + read_aac_format(newest.description).unit_us
        return newest.captured_at_us + min(self._last_gap_us, _LONGEST_LAST_FRAME_US)


def _sample_data(frame: EncodedFrame) -> bytes:
    return length_prefixed(frame.data) if frame.codec is Codec.H264 else frame.data


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
