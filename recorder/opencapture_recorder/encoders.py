"""H.264 and Opus for one track: frames in, packets with media-time stamps out."""

from __future__ import annotations  # av.Packet is generic in its stubs only.

from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.frame import PictureType

from opencapture_recorder.sources.contract import SAMPLE_RATE_HZ, Samples

SAMPLES_PER_PACKET = 960  # 20 ms

_OPUS_BITS_PER_SECOND = {1: 48_000, 2: 96_000}
_KEY_FRAME_SECONDS = 10
_BLACK_YUV = (16, 128, 128)


def fit_size(width: int, height: int, max_width: int, max_height: int) -> tuple[int, int]:
    """The largest even size within the limits that keeps the shape; never larger than the picture."""
    scale = min(1.0, max_width / width, max_height / height)
    return max(2, int(width * scale) // 2 * 2), max(2, int(height * scale) // 2 * 2)


class VideoEncoder:
    """Constrained Baseline H.264 with parameter sets in band, for pictures of any size and format.

    Own settings rather than aiortc's: x264 "superfast" on one thread takes 3 ms for a 1280x720 screen
    picture, and a quality target with a rate cap spends next to nothing on a still screen.
    """

    def __init__(self, width: int, height: int, frame_rate: int, bits_per_second: int) -> None:
        self.width, self.height = width, height
        self._codec = av.CodecContext.create("libx264", "w")
        self._codec.width, self._codec.height = width, height
        self._codec.pix_fmt = "yuv420p"
        self._codec.framerate = Fraction(frame_rate, 1)
        self._codec.time_base = Fraction(1, frame_rate)
        self._codec.thread_count = 1
        self._codec.options = {
            "preset": "superfast",
            "tune": "zerolatency",
            "profile": "baseline",
            "crf": "24",
            "maxrate": str(bits_per_second),
            "bufsize": str(bits_per_second),
            "g": str(frame_rate * _KEY_FRAME_SECONDS),
        }

    def encode(self, frame: av.VideoFrame, slot: int, *, key_frame: bool) -> av.Packet[Any] | None:
        """The packet of this picture; `slot` counts frame intervals and becomes its time stamp."""
        picture = frame.reformat(self.width, self.height, format="yuv420p")
        picture.pts, picture.time_base = slot, self._codec.time_base
        picture.pict_type = PictureType.I if key_frame else PictureType.NONE
        return next(iter(self._codec.encode(picture)), None)

    def black(self) -> av.VideoFrame:
        """A black picture of the encoded size."""
        frame = av.VideoFrame(self.width, self.height, "yuv420p")
        for plane, value in zip(frame.planes, _BLACK_YUV, strict=True):
            plane.update(bytes([value]) * plane.buffer_size)
        return frame


class AudioEncoder:
    """Opus in packets of 20 ms. A packet's time stamp already counts the encoder's look-ahead."""

    def __init__(self, channels: int) -> None:
        self._layout = "mono" if channels == 1 else "stereo"
        self._codec = av.CodecContext.create("libopus", "w")
        self._codec.sample_rate = SAMPLE_RATE_HZ
        self._codec.layout = self._layout
        self._codec.format = "s16"
        self._codec.bit_rate = _OPUS_BITS_PER_SECOND[channels]
        self._codec.time_base = Fraction(1, SAMPLE_RATE_HZ)

    def encode(self, samples: Samples, position: int) -> av.Packet[Any] | None:
        """The packet of these 960 samples, whose first is at `position`."""
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples).reshape(1, -1), "s16", self._layout)
        frame.sample_rate, frame.time_base, frame.pts = SAMPLE_RATE_HZ, Fraction(1, SAMPLE_RATE_HZ), position
        return next(iter(self._codec.encode(frame)), None)
