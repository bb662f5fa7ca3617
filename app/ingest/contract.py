"""What the ingest door's parts promise each other: a source gives encoded frames, a sink takes them."""

from collections.abc import AsyncIterator
from typing import Protocol

from app.media.frames import EncodedFrame


class Source(Protocol):
    """One publisher's one track, or the picture and sound of one pulled source.

    Implementers: `whip.peer.WhipPeer`, `rtsp.publisher.RtspPublisher`, `pull.source.PulledSource`.
    """

    def frames(self) -> AsyncIterator[EncodedFrame]:
        """Yield frames in decoding order until the publisher is gone or the source is closed.

        One reader only. A reader that falls behind loses frames: they are counted, and the next one
        says `after_gap`; video resumes at a key frame.
        """

    def request_keyframe(self) -> None:
        """Ask the publisher for a key frame, again and again until one comes; no effect on audio."""

    async def close(self) -> None:
        """End the connection and `frames`; harmless when already closed."""


class Sink(Protocol):
    """One consumer of one track's frames."""

    def offer(self, frame: EncodedFrame) -> None:
        """Take a frame without ever blocking; a full sink drops it and counts the drop."""

    async def close(self) -> None:
        """Finish what was taken, within a bounded time."""
