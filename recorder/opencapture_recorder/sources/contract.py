"""What a channel's source gives: sound or pictures as a function of media time.

A source is read from worker threads, one call at a time, with times that grow. It never waits for
the future: asked for a moment it has nothing for, it gives silence or the last picture.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import av
import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 48_000

Samples = NDArray[np.int16]


class AudioSource(Protocol):
    """Signed 16-bit sound at 48 kHz."""

    @property
    def channels(self) -> int:
        """1 or 2."""

    @property
    def is_ended(self) -> bool:
        """True once only silence will follow."""

    def start(self, origin_monotonic: float) -> None:
        """Media time 0 is this `time.monotonic()`. Called once, before the first read."""

    def read(self, position: int, count: int) -> Samples:
        """`count` samples from `position` (both in samples of 48 kHz); shape (count, channels)."""

    def close(self) -> None: ...


@runtime_checkable
class VideoSource(Protocol):
    """Pictures of one size, in any pixel format."""

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    @property
    def is_ended(self) -> bool:
        """True once the picture will not change again."""

    def start(self, origin_monotonic: float) -> None:
        """Media time 0 is this `time.monotonic()`. Called once, before the first read."""

    def frame_at(self, media_seconds: float) -> av.VideoFrame | None:
        """The newest picture at this media time; None before the first."""

    def close(self) -> None: ...


Source = AudioSource | VideoSource


@dataclass(frozen=True, slots=True)
class FoundChannel:
    """A channel that can be captured now. Its name is its id: the SDKs compare either."""

    channel_id: str
    is_default: bool

    @property
    def kind(self) -> str:
        return "video" if self.channel_id.startswith("display:") else "audio"


def silence(count: int, channels: int) -> Samples:
    return np.zeros((count, channels), np.int16)
