"""The bounded queue between a track's media path and its one reader."""

import asyncio
from collections.abc import Collection

from app.ingest.turns import call_next_turn
from app.media.frames import EncodedFrame

MAX_QUEUED_FRAMES = 1024  # 20 s of audio, 34 s of a screen at 30 fps
MAX_QUEUED_BYTES = 16 * 1024 * 1024
READ_SECONDS = 0.1  # the reader is woken so often: a wake-up for each frame would cost more than the frame


class FrameQueue:
    """Full means: the frame is refused, and the caller says so in the next one.

    A reader that waits gets a frame up to `READ_SECONDS` after it was offered, together with those between.
    """

    def __init__(self) -> None:
        self._frames: list[EncodedFrame] = []
        self._bytes = 0
        self._closed = False
        self._changed = asyncio.Event()
        self._reader_waits = False
        self._is_waking = False

    def offer(self, frame: EncodedFrame) -> bool:
        """Take `frame`, or return False where the queue is full or closed."""
        full = len(self._frames) >= MAX_QUEUED_FRAMES or self._bytes + len(frame.data) > MAX_QUEUED_BYTES
        if self._closed or full:
            return False
        self._frames.append(frame)
        self._bytes += len(frame.data)
        if self._reader_waits and not self._is_waking:
            self._is_waking = True
            call_next_turn(READ_SECONDS, self._wake)
        return True

    def close(self) -> None:
        """Nothing more will come; what is queued can still be taken."""
        self._closed = True
        self._wake()

    async def take(self) -> Collection[EncodedFrame]:
        """Return all that is queued, at least one frame; none once the queue is closed and empty."""
        while not self._frames:
            if self._closed:
                return ()
            self._changed.clear()
            self._reader_waits = True
            await self._changed.wait()
        taken, self._frames, self._bytes = self._frames, [], 0
        return taken

    def _wake(self) -> None:
        self._is_waking = False
        self._reader_waits = False
        self._changed.set()
