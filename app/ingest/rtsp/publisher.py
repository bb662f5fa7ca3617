"""One RTSPS publisher seen as a source of encoded frames."""

from collections.abc import AsyncIterator

from app.ingest.whip.frame_queue import FrameQueue
from app.media.frames import Codec, EncodedFrame


class RtspPublisher:
    """A `Source`, fed by the connection that it belongs to."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.is_closed = False
        self._queue = FrameQueue()

    def offer(self, frame: EncodedFrame) -> bool:
        """Take a frame that arrived; False where the reader is too far behind."""
        return self._queue.offer(frame)

    async def frames(self) -> AsyncIterator[EncodedFrame]:
        """Yield frames in decoding order until the publisher is gone or closed."""
        while frames := await self._queue.take():
            for frame in frames:
                yield frame

    def request_keyframe(self) -> None:
        """Does nothing: a recorder cannot be asked over RTSP, and sends key frames by itself."""

    async def close(self) -> None:
        """Take no more; the connection then waits a little for the publisher's goodbye."""
        self.is_closed = True
        self._queue.close()
