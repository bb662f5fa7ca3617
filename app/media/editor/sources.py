"""Where a clip's pictures come from: a video file, decoded forward, or one still picture."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import av
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from app.base.errors import Unprocessable

MAX_IMAGE_PIXELS = 64_000_000


class Source(Protocol):
    """Implementers: `VideoSource`, `StillSource`."""

    has_alpha: bool

    def frame_at(self, seconds: float) -> av.VideoFrame | None:
        """The frame at this second of the asset, the same object while it does not change.

        Calls must go forward in time."""

    def close(self) -> None:
        """Let go of files."""


class VideoSource:
    """A video file's pictures, from `start_seconds` on."""

    has_alpha = False

    def __init__(self, path: Path, start_seconds: float) -> None:
        self._path = path
        self._start_seconds = start_seconds
        self._zero_seconds = 0.0
        self._container: av.container.InputContainer | None = None
        self._frames: Iterator[av.VideoFrame] = iter(())
        self._upcoming: av.VideoFrame | None = None
        self._shown: av.VideoFrame | None = None

    def frame_at(self, seconds: float) -> av.VideoFrame | None:
        """The last frame that began at or before this second; the first one until then."""
        if self._container is None:
            self._open()
        while self._upcoming is not None:
            if (self._upcoming.time or 0.0) - self._zero_seconds > seconds and self._shown is not None:
                break
            self._shown, self._upcoming = self._upcoming, next(self._frames, None)
        return self._shown

    def close(self) -> None:
        """Close the file."""
        self._frames, self._upcoming = iter(()), None
        if self._container is not None:
            self._container.close()

    def _open(self) -> None:
        self._container = av.open(str(self._path))
        self._container.streams.video[0].thread_type = "AUTO"
        self._zero_seconds = (self._container.start_time or 0) / 1_000_000
        if self._start_seconds > 0:
            self._container.seek(int((self._zero_seconds + self._start_seconds) * 1_000_000))
        self._frames = self._decoded(self._container)
        self._upcoming = next(self._frames, None)

    @staticmethod
    def _decoded(container: av.container.InputContainer) -> Iterator[av.VideoFrame]:
        for packet in container.demux(video=0):
            try:
                yield from (frame for frame in packet.decode() if isinstance(frame, av.VideoFrame))
            except av.FFmpegError:
                continue  # a damaged frame: the one before it stays


class StillSource:
    """One picture, drawn when it is first asked for, for as long as it is asked for."""

    has_alpha = True

    def __init__(self, draw: Callable[[], Image.Image]) -> None:
        self._draw = draw
        self._frame: av.VideoFrame | None = None

    def frame_at(self, seconds: float) -> av.VideoFrame | None:
        """The picture in RGBA."""
        if self._frame is None:
            self._frame = rgba_frame(self._draw())
        return self._frame

    def close(self) -> None:
        """Forget the picture."""
        self._frame = None


def rgba_frame(picture: Image.Image) -> av.VideoFrame:
    """The picture as a frame."""
    pixels = np.ascontiguousarray(np.asarray(picture.convert("RGBA"), np.uint8))
    frame = av.VideoFrame.from_ndarray(pixels, format="rgba")
    frame.pts, frame.time_base = 0, Fraction(1, 30)
    return frame


def read_image(path: Path) -> Image.Image:
    """The picture in an image file, turned upright. Raises `Unprocessable`."""
    try:
        with Image.open(path) as opened:
            if opened.width * opened.height > MAX_IMAGE_PIXELS:
                raise Unprocessable(f"An image may have {MAX_IMAGE_PIXELS} pixels.")
            return ImageOps.exif_transpose(opened).convert("RGBA")
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise Unprocessable("The image file cannot be read.") from error
