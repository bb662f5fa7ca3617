"""One connection to a pulled source, seen as a source of encoded frames."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

from app.base.errors import CaptureError
from app.base.outbound import Network
from app.domain.streams.pulls import ClaimedPull
from app.domain.streams.source_urls import read_source_url
from app.ingest.pull.entrance import open_entrance
from app.ingest.pull.reader import Outcome, SourceReader
from app.ingest.whip.frame_queue import FrameQueue
from app.media.frames import Codec, EncodedFrame

MAX_UNSEEN_FRAMES = 512  # given by the thread and not yet taken by the event loop
PATIENCE_SECONDS = (
    0.5  # the thread waits so long for each, and the source's TCP with it, before one is dropped
)


class PulledSource:
    """A `Source`: it connects when its frames are read. `on_end` hears how it ended before `frames` does."""

    def __init__(
        self,
        pull: ClaimedPull,
        networks: Iterable[Network],
        on_end: Callable[[Outcome], Awaitable[None]],
    ) -> None:
        self.dropped_frames = 0
        self._pull = pull
        self._networks = networks
        self._on_end = on_end
        self._queue = FrameQueue()
        self._closed = asyncio.Event()
        self._reader: SourceReader | None = None
        self._loop = asyncio.get_running_loop()
        self._room = threading.Semaphore(MAX_UNSEEN_FRAMES)
        self._after_drop: set[Codec] = set()

    async def frames(self) -> AsyncIterator[EncodedFrame]:
        """Connect, and yield frames in decoding order until the source ends or is closed."""
        outcome = Outcome()
        try:
            source = read_source_url(self._pull.url)
            async with open_entrance(source, self._networks) as (entrance, doorway):
                self._reader = SourceReader(
                    entrance, self._pull.stream.media_types, self._give, has_begun=self._pull.has_begun
                )
                ended = asyncio.create_task(self._read(self._reader))
                try:
                    while not self._closed.is_set() and (frames := await self._queue.take()):
                        for frame in frames:
                            yield frame
                finally:
                    self._reader.stop()
                if not self._closed.is_set():
                    outcome = await ended
                    if outcome.error is not None and doorway.refusal is not None:
                        outcome.error = doorway.refusal
                else:
                    ended.cancel()
        except (CaptureError, OSError) as error:
            outcome.error = error.message if isinstance(error, CaptureError) else "no connection can be made"
        finally:
            await self._on_end(outcome)

    def request_keyframe(self) -> None:
        """Does nothing: sources are not asked for key frames, and send them by themselves."""

    async def close(self) -> None:
        """Take no more. The thread ends at its next packet, or when its connection is gone."""
        self._closed.set()
        if self._reader is not None:
            self._reader.stop()
        self._queue.close()

    async def _read(self, reader: SourceReader) -> Outcome:
        ended: asyncio.Future[Outcome] = self._loop.create_future()

        def run() -> None:
            outcome = reader.run()
            self._call(lambda: None if ended.done() else ended.set_result(outcome))
            self._call(self._queue.close)

        # A daemon: one that hangs in FFmpeg must not keep the process from ending.
        threading.Thread(target=run, name=f"pull {self._pull.stream.id}", daemon=True).start()
        return await ended

    def _give(self, frame: EncodedFrame) -> None:
        """Called in the thread."""
        if not self._room.acquire(timeout=PATIENCE_SECONDS):
            self.dropped_frames += 1
            self._after_drop.add(frame.codec)
            return
        self._call(self._take, frame)

    def _take(self, frame: EncodedFrame) -> None:
        self._room.release()
        if frame.codec in self._after_drop and frame.codec.is_video and not frame.is_keyframe:
            self.dropped_frames += 1
        elif self._queue.offer(frame):
            self._after_drop.discard(frame.codec)
        elif not self._closed.is_set():
            self.dropped_frames += 1
            self._after_drop.add(frame.codec)

    def _call(self, work: Callable[..., object], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(work, *arguments)
        except RuntimeError:  # the loop is closed: nobody reads any more
            if self._reader is not None:
                self._reader.stop()
