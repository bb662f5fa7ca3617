"""Clips of an editor timeline as layers: a picture for every instant, and sound."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

import av
import numpy as np
from numpy.typing import NDArray

from app.base.errors import Unprocessable
from app.media.sound import RATE_HZ, Block

Fit = Literal["crop", "cover", "contain"] | None
Plane = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Clip:
    """Shows and sounds `duration_seconds` of the file at `path` from `asset_start_seconds` on.

    `fit`: `crop` fills the canvas and cuts what juts out, `cover` stretches, `contain` shows all of it,
    None keeps its size. `volume` 1 is as recorded; `opacity` goes from 0 to 1.
    """

    kind: Literal["video", "audio"]
    path: Path
    start_seconds: float
    duration_seconds: float
    asset_start_seconds: float = 0.0
    volume: float = 1.0
    opacity: float = 1.0
    fit: Fit = "crop"

    @property
    def end_seconds(self) -> float:
        return self.start_seconds + self.duration_seconds


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """Planes of 4:2:0 video (luma, then two of half the sides), to lie centred on the canvas."""

    planes: tuple[Plane, Plane, Plane]
    opacity: float


class Layer(Protocol):
    """What can be laid on the canvas. Implementers: `VideoLayer`."""

    clip: Clip

    def picture_at(self, seconds: float) -> Picture | None:
        """The picture at this instant of the timeline, the same object while it does not change.

        Calls must go forward in time."""

    def close(self) -> None:
        """Let go of files. The layer is asked no more."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What a media file holds."""

    duration_seconds: float
    has_video: bool
    has_audio: bool


def probe(path: Path) -> Probe:
    """Look into the file at `path`. Raises `Unprocessable` when it cannot be read."""
    try:
        with av.open(str(path)) as container:
            return Probe(
                (container.duration or 0) / 1_000_000,
                bool(container.streams.video),
                bool(container.streams.audio),
            )
    except av.FFmpegError as error:
        raise Unprocessable("A clip's media file cannot be read.") from error


def clamped(clip: Clip, found: Probe) -> Clip:
    """`clip` no longer than its file lasts; its duration is 0 where it begins after the file's end."""
    left_seconds = max(found.duration_seconds - clip.asset_start_seconds, 0.0)
    return replace(clip, duration_seconds=min(clip.duration_seconds, left_seconds))


class VideoLayer:
    """A video file's pictures, decoded forward and scaled once each."""

    def __init__(self, clip: Clip, canvas_width: int, canvas_height: int) -> None:
        self.clip = clip
        self._canvas = canvas_width, canvas_height
        self._container: av.container.InputContainer | None = None
        self._frames: Iterator[av.VideoFrame] = iter(())
        self._upcoming: av.VideoFrame | None = None
        self._shown: Picture | None = None

    def picture_at(self, seconds: float) -> Picture | None:
        """The last picture that began at or before this instant; the first one until then."""
        if self._container is None:
            self._open()
        wanted = self.clip.asset_start_seconds + seconds - self.clip.start_seconds
        newest: av.VideoFrame | None = None
        while self._upcoming is not None:
            is_first = self._shown is None and newest is None
            if (self._upcoming.time or 0.0) > wanted and not is_first:
                break
            newest, self._upcoming = self._upcoming, next(self._frames, None)
        if newest is not None:
            size = scaled_size(newest.width, newest.height, *self._canvas, self.clip.fit)
            self._shown = Picture(planes(newest, *size), self.clip.opacity)
        return self._shown

    def close(self) -> None:
        """Close the file."""
        self._frames, self._upcoming = iter(()), None
        if self._container is not None:
            self._container.close()

    def _open(self) -> None:
        self._container = av.open(str(self.clip.path))
        if self.clip.asset_start_seconds > 0:
            self._container.seek(int(self.clip.asset_start_seconds * 1_000_000))
        self._frames = self._decoded(self._container)
        self._upcoming = next(self._frames, None)

    @staticmethod
    def _decoded(container: av.container.InputContainer) -> Iterator[av.VideoFrame]:
        for packet in container.demux(video=0):
            try:
                yield from (frame for frame in packet.decode() if isinstance(frame, av.VideoFrame))
            except av.FFmpegError:
                continue  # a damaged frame: the one before it stays


def clip_sound(clip: Clip) -> Iterator[tuple[int, Block]]:
    """Yield the clip's sound as `sound.Sound` takes it, at its place on the timeline and its volume."""
    first = round(clip.start_seconds * RATE_HZ)
    end = round(clip.end_seconds * RATE_HZ)
    offset_seconds = clip.start_seconds - clip.asset_start_seconds
    position = first
    with av.open(str(clip.path)) as container:
        if clip.asset_start_seconds > 0:
            container.seek(int(clip.asset_start_seconds * 1_000_000))
        stream = container.streams.audio[0]
        layout = "mono" if stream.channels == 1 else "stereo"
        resampler = av.AudioResampler(format="fltp", layout=layout, rate=RATE_HZ)
        for frame in _audio_frames(container, stream):
            begins = round(((frame.time or 0.0) + offset_seconds) * RATE_HZ)
            for part in resampler.resample(frame):
                # Mono goes to both sides at full level, where FFmpeg's own mix would halve its power.
                channels = np.asarray(part.to_ndarray(), np.float32) * np.float32(clip.volume)
                samples = np.repeat(channels, 2, axis=0).T if len(channels) == 1 else channels.T
                # What comes within a frame of the last sample follows on it: times are rounded.
                at = position if abs(begins - position) <= len(samples) and position > first else begins
                skip = max(position - at, 0)
                samples, at = samples[skip : max(end - at, 0)], at + skip
                if len(samples):
                    yield at, samples
                    position = at + len(samples)
                begins += len(channels[0])
            if position >= end:
                return


def _audio_frames(container: av.container.InputContainer, stream: av.AudioStream) -> Iterator[av.AudioFrame]:
    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except av.FFmpegError:
            continue


def planes(frame: av.VideoFrame, width: int, height: int) -> tuple[Plane, Plane, Plane]:
    """The frame in 4:2:0, scaled to these even sides."""
    packed = np.asarray(frame.reformat(width=width, height=height, format="yuv420p").to_ndarray(), np.uint8)
    chroma = packed[height:].reshape(2, height // 2, width // 2)
    return packed[:height], chroma[0], chroma[1]


def scaled_size(width: int, height: int, canvas_width: int, canvas_height: int, fit: Fit) -> tuple[int, int]:
    """Even sides, in pixels, of a picture laid on a canvas with `fit`."""
    if fit == "cover":
        return canvas_width, canvas_height
    factor = 1.0
    if fit == "crop":
        factor = max(canvas_width / width, canvas_height / height)
    elif fit == "contain":
        factor = min(canvas_width / width, canvas_height / height)
    return max(round(width * factor / 2) * 2, 2), max(round(height * factor / 2) * 2, 2)
