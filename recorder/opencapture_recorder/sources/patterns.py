"""Made-up sources: a tone and a moving picture, for trying the path without a device or a file."""

import av
import numpy as np

from opencapture_recorder.sources.contract import SAMPLE_RATE_HZ, Samples

_LEVEL = 0.25 * 32767


class Tone:
    """A sine of constant pitch, in one channel."""

    channels = 1
    is_ended = False

    def __init__(self, tone_hz: float) -> None:
        self._tone_hz = tone_hz

    def start(self, origin_monotonic: float) -> None:
        pass

    def read(self, position: int, count: int) -> Samples:
        seconds = np.arange(position, position + count, dtype=np.float64) / SAMPLE_RATE_HZ
        wave = np.sin(2 * np.pi * self._tone_hz * seconds) * _LEVEL
        return wave.astype(np.int16).reshape(-1, 1)

    def close(self) -> None:
        pass


class MovingSquare:
    """A white square that crosses a grey picture once every four seconds."""

    width = 1280
    height = 720
    is_ended = False
    _SIDE = 160
    _PERIOD_SECONDS = 4.0

    def start(self, origin_monotonic: float) -> None:
        pass

    def frame_at(self, media_seconds: float) -> av.VideoFrame | None:
        picture = np.full((self.height, self.width), 96, np.uint8)
        phase = media_seconds % self._PERIOD_SECONDS / self._PERIOD_SECONDS
        left = int(phase * (self.width - self._SIDE))
        top = (self.height - self._SIDE) // 2
        picture[top : top + self._SIDE, left : left + self._SIDE] = 235
        return av.VideoFrame.from_ndarray(picture, format="gray")

    def close(self) -> None:
        pass
