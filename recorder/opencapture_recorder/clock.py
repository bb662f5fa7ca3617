"""The one clock of a recording: every channel's media time is seconds since the same instant."""

import asyncio
import time

# How long after its moment a frame leaves. aiortc stamps sender reports with the time of sending, so a
# delay that is equal for all channels, and longer than capturing and encoding take, keeps them in step.
SEND_DELAY_SECONDS = 0.15


class MediaClock:
    """Starts once, when the channels are connected, so that none loses its beginning."""

    def __init__(self) -> None:
        self._origin = 0.0
        self._started = asyncio.Event()

    @property
    def origin(self) -> float:
        """`time.monotonic()` at media time 0; 0.0 before the start."""
        return self._origin

    @property
    def is_started(self) -> bool:
        return self._started.is_set()

    def start(self) -> None:
        if not self._started.is_set():
            self._origin = time.monotonic()
            self._started.set()

    async def wait_started(self) -> None:
        await self._started.wait()

    def now(self) -> float:
        """Media time in seconds; 0.0 before the start."""
        return time.monotonic() - self._origin if self._started.is_set() else 0.0

    async def sleep_until(self, media_seconds: float) -> None:
        """Return at this media time, at once if it has passed."""
        remaining = media_seconds - self.now()
        if remaining > 0:
            await asyncio.sleep(remaining)
