"""VP8 as H.264, run by run: a run is what decodes by itself, from one key frame that begins a segment on."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from app.media.fmp4 import SegmentMuxer
from app.media.frames import Codec, EncodedFrame
from app.media.picture import decodable
from app.media.recorded import RecordedTrack, TrackReader
from app.media.writing import KEYFRAME_SECONDS, VIDEO_TIME_BASE, X264_OPTIONS

_PART_FRAMES = 150  # so many pictures are held in memory before they are written


@dataclass(frozen=True, slots=True)
class ConvertedRun:
    """An H.264 segment in MP4, `started_at_us` being the wall clock of its first picture."""

    started_at_us: int
    duration_us: int
    damaged_packets: int


def convert_run(run: RecordedTrack, target: Path) -> ConvertedRun | None:
    """Write the pictures of a run of VP8 segments to `target` as one segment of H.264, each at its time.

    One thread does it. None, and nothing of use at `target`, where no picture can be decoded.
    """
    pictures = _Pictures(run)
    muxer = SegmentMuxer(Codec.H264)
    with target.open("wb") as file:
        for frame in _encoded(pictures):
            muxer.add(frame)
            if muxer.frame_count % _PART_FRAMES == 0:
                file.write(muxer.flush())
        if not muxer.frame_count:
            return None
        made = muxer.finish()
        file.write(made.data)
    return ConvertedRun(made.started_at_us, made.duration_us, pictures.damaged_packets)


class _Pictures:
    """A run's pictures and their wall clocks."""

    def __init__(self, run: RecordedTrack) -> None:
        self.damaged_packets = 0
        self._run = run

    def __iter__(self) -> Iterator[tuple[int, av.VideoFrame]]:
        decoder = av.CodecContext.create("vp8", "r")
        assert isinstance(decoder, av.VideoCodecContext)
        decoder.thread_count = 1
        for packet in decodable(TrackReader(self._run).packets(), 0):
            try:
                pictures = decoder.decode(av.Packet(packet.data))
            except av.FFmpegError:
                self.damaged_packets += 1  # the picture stands until the next good one
                continue
            yield from ((packet.at_us, picture) for picture in pictures)


def _encoded(pictures: _Pictures) -> Iterator[EncodedFrame]:
    encoder: av.VideoCodecContext | None = None
    at_us: dict[int, int] = {}
    zero_us = last = next_key = 0
    for shown_us, picture in pictures:
        if encoder is None:
            encoder, zero_us, last = _encoder(picture.width // 2 * 2, picture.height // 2 * 2), shown_us, -1
        ticks = max(round((shown_us - zero_us) / 1e6 / VIDEO_TIME_BASE), last + 1)
        frame = picture.reformat(width=encoder.width, height=encoder.height, format="yuv420p")
        frame.pts, frame.time_base, last = ticks, VIDEO_TIME_BASE, ticks
        frame.pict_type = av.video.frame.PictureType.NONE
        if ticks >= next_key:
            frame.pict_type = av.video.frame.PictureType.I
            next_key = ticks + round(KEYFRAME_SECONDS / VIDEO_TIME_BASE)
        at_us[ticks] = shown_us
        yield from _frames(encoder, frame, at_us)
    if encoder is not None:
        yield from _frames(encoder, None, at_us)


def _frames(
    encoder: av.VideoCodecContext, frame: av.VideoFrame | None, at_us: dict[int, int]
) -> Iterator[EncodedFrame]:
    for packet in encoder.encode(frame):
        ticks = packet.pts or 0
        yield EncodedFrame(Codec.H264, bytes(packet), ticks, at_us.pop(ticks), packet.is_keyframe)


def _encoder(width: int, height: int) -> av.VideoCodecContext:
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.framerate = VIDEO_TIME_BASE, Fraction(30)
    encoder.gop_size, encoder.thread_count = 1_000, 1
    encoder.options = X264_OPTIONS
    return encoder
