"""Plays an HLS stream as a player does, to see and hear what is in it."""

from dataclasses import dataclass

import av
import numpy as np
from numpy.typing import NDArray

RATE_HZ = 16_000
CORNER_PIXELS = 12


@dataclass(frozen=True)
class Played:
    """`corner_rgb` is the mean colour of the lower right corner of the picture, `sound` mono at 16 kHz."""

    seconds: float
    kinds: list[str]
    size: tuple[int, int]
    corner_rgb: NDArray[np.float64]
    sound: NDArray[np.float32]

    def loudness(self, start_seconds: float, end_seconds: float) -> float:
        """Root mean square of the sound of a stretch, full scale 1."""
        stretch = self.sound[round(start_seconds * RATE_HZ) : round(end_seconds * RATE_HZ)]
        return float(np.sqrt(np.mean(np.square(stretch))))


def play(stream_url: str) -> Played:
    """Decode all of it."""
    blocks: list[NDArray[np.float32]] = []
    corners: list[NDArray[np.float64]] = []
    end_seconds, size = 0.0, (0, 0)
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE_HZ)
    with av.open(stream_url, timeout=30) as container:
        kinds = sorted(stream.type for stream in container.streams)
        for frame in container.decode():
            assert frame.time is not None
            if isinstance(frame, av.AudioFrame):
                if not blocks:
                    blocks.append(np.zeros(max(round(frame.time * RATE_HZ), 0), np.float32))
                blocks += [block.to_ndarray()[0] for block in resampler.resample(frame)]
            elif isinstance(frame, av.VideoFrame):
                end_seconds, size = max(end_seconds, frame.time), (frame.width, frame.height)
                if not len(corners) or frame.time >= len(corners):  # one picture a second is enough
                    rgb = frame.to_ndarray(format="rgb24")
                    corners.append(rgb[-CORNER_PIXELS:, -CORNER_PIXELS:].mean(axis=(0, 1)))
    sound = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    return Played(
        seconds=max(end_seconds, len(sound) / RATE_HZ),
        kinds=kinds,
        size=size,
        corner_rgb=np.mean(corners, axis=0),
        sound=sound,
    )
