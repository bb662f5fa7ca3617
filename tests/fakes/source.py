"""A source of frames in memory, fed by the test."""

import asyncio
from collections.abc import AsyncIterator, Iterable

from app.media.frames import Codec, EncodedFrame


class MemorySource:
    """What a publisher would be: frames are sent, and it ends when told."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.keyframe_requests = 0
        self._queue: asyncio.Queue[EncodedFrame | None] = asyncio.Queue()
        self._closed = False

    def send(self, frames: Iterable[EncodedFrame]) -> None:
        for frame in frames:
            self._queue.put_nowait(frame)

    def vanish(self) -> None:
        """The publisher is gone without a word."""
        self._queue.put_nowait(None)

    async def frames(self) -> AsyncIterator[EncodedFrame]:
        while (frame := await self._queue.get()) is not None:
            yield frame

    def request_keyframe(self) -> None:
        self.keyframe_requests += 1

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            self.vanish()

    @property
    def is_closed(self) -> bool:
        return self._closed
