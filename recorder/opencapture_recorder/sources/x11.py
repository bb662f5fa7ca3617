"""X11 screens: which monitors there are, and a thread that grabs one of them."""

import contextlib
import logging
import os
import threading
import time
from collections import deque
from dataclasses import dataclass
from math import ceil

import av
from Xlib import display as xdisplay
from Xlib import error as xerror

from opencapture_recorder.clock import SEND_DELAY_SECONDS
from opencapture_recorder.errors import SourceError

logger = logging.getLogger(__name__)

_GRAB_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Monitor:
    """One rectangle of one X screen, in pixels."""

    screen: int
    x: int
    y: int
    width: int
    height: int


def find_monitors(display_name: str | None = None) -> list[Monitor]:
    """Every active monitor of every X screen, the primary first. Raises SourceError without a display."""
    name = display_name or os.environ.get("DISPLAY", "")
    if not name:
        raise SourceError("DISPLAY is not set, so there is no X display to capture")
    try:
        connection = xdisplay.Display(name)
        try:
            return [
                monitor
                for screen in range(connection.screen_count())
                for monitor in _monitors_of(connection, screen)
            ]
        finally:
            connection.close()
    except (xerror.DisplayError, xerror.XError, OSError) as error:
        raise SourceError(f"the X display {name} cannot be used: {error}") from None


def _monitors_of(connection: xdisplay.Display, screen: int) -> list[Monitor]:
    whole = connection.screen(screen)
    found: list[tuple[bool, Monitor]] = []
    if connection.has_extension("RANDR"):
        # A server older than RandR 1.5 has the extension but not this request.
        with contextlib.suppress(xerror.XError):
            found = [
                (not m.primary, Monitor(screen, m.x, m.y, m.width_in_pixels, m.height_in_pixels))
                for m in whole.root.xrandr_get_monitors().monitors
                if m.width_in_pixels and m.height_in_pixels
            ]
    if not found:
        return [Monitor(screen, 0, 0, whole.width_in_pixels, whole.height_in_pixels)]
    return [monitor for _, monitor in sorted(found, key=lambda item: item[0])]


class ScreenGrab:
    """The newest pictures of one monitor, grabbed by FFmpeg's x11grab in a thread."""

    is_ended = False

    def __init__(self, monitor: Monitor, frame_rate: int, display_name: str | None = None) -> None:
        self.width, self.height = monitor.width, monitor.height
        display = (display_name or os.environ.get("DISPLAY", "")).partition(".")[0]
        self._url = f"{display}.{monitor.screen}+{monitor.x},{monitor.y}"
        self._frame_rate = frame_rate
        # Enough to look back to the moment that is being sent, and few: a 4K picture has 33 MB.
        self._frames: deque[tuple[float, av.VideoFrame]] = deque(
            maxlen=ceil(SEND_DELAY_SECONDS * frame_rate) + 2
        )
        self._origin = 0.0
        self._stopping = threading.Event()
        self._has_frame = threading.Event()
        self._failure: str | None = None
        self._thread = threading.Thread(target=self._run, name=f"x11 {self._url}", daemon=True)
        self._thread.start()
        if not self._has_frame.wait(_GRAB_TIMEOUT_SECONDS) or self._failure:
            self._stopping.set()
            raise SourceError(
                f"the screen {self._url} cannot be grabbed: {self._failure or 'no picture came'}"
            )

    def start(self, origin_monotonic: float) -> None:
        self._origin = origin_monotonic

    def frame_at(self, media_seconds: float) -> av.VideoFrame | None:
        frames = tuple(self._frames)
        moment = self._origin + media_seconds
        for grabbed_at, frame in reversed(frames):
            if grabbed_at <= moment:
                return frame
        return frames[0][1] if frames else None

    def close(self) -> None:
        self._stopping.set()
        self._thread.join(1.0)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._grab()
            except (OSError, av.FFmpegError) as error:
                self._failure = str(error)
                if not self._has_frame.is_set():
                    self._has_frame.set()
                    return
                logger.warning("lost the screen %s, trying again: %s", self._url, error)
            self._stopping.wait(1.0)

    def _grab(self) -> None:
        options = {
            "video_size": f"{self.width}x{self.height}",
            "framerate": str(self._frame_rate),
            "draw_mouse": "1",
        }
        with av.open(self._url, format="x11grab", options=options) as container:
            for frame in container.decode(video=0):
                self._frames.append((time.monotonic(), frame))
                self._failure = None
                self._has_frame.set()
                if self._stopping.is_set():
                    return
