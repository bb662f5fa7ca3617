"""A sink's bounded queue of frames, read in batches so that a thread is entered once for many frames."""

import asyncio
import logging

from app.ingest.turns import next_turn
from app.media.frames import EncodedFrame

logger = logging.getLogger(__name__)


class FrameBatches:
    """Holds up to `limit` frames; more are dropped and counted in `dropped_frames`."""

    def __init__(self, name: str, *, limit: int) -> None:
        self.dropped_frames = 0
        self._name = name
        self._limit = limit
        self._frames: list[EncodedFrame] = []
        self._closed = False

    def offer(self, frame: EncodedFrame) -> bool:
        """Take a frame without blocking; False when it was dropped."""
        if self._closed or len(self._frames) >= self._limit:
            self.dropped_frames += 1
            if self.dropped_frames in (1, 10, 100) or self.dropped_frames % 1000 == 0:
                logger.warning("%s is full: %d frames dropped so far", self._name, self.dropped_frames)
            return False
        self._frames.append(frame)
        return True

    def close(self) -> None:
        """No more frames come; what is queued is still read."""
        self._closed = True

    async def next(self, *, collect_seconds: float, idle_seconds: float) -> list[EncodedFrame] | None:
        """The frames of up to `collect_seconds`; empty after `idle_seconds` of none; None at the end.

        All readers with the same `collect_seconds` read at the same instants, and share the wake-up.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + idle_seconds
        while not self._closed:
            now = loop.time()
            await asyncio.sleep(next_turn(now, collect_seconds) - now)
            if self._frames or now >= until:
                break
        batch, self._frames = self._frames, []
        return batch or (None if self._closed else [])
