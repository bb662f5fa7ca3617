"""Records one stream: encoded frames into segments in storage, never decoded."""

import asyncio
import logging
from collections.abc import Callable

from app.base.ids import new_id
from app.domain.streams.models import Segment as SegmentRow
from app.domain.streams.service import add_segment
from app.ingest.batches import FrameBatches
from app.media.fmp4 import Segment, SegmentMuxer
from app.media.frames import Codec, EncodedFrame
from app.process import Context
from app.storage.contract import StorageUnavailable
from app.storage.keys import segment_key

logger = logging.getLogger(__name__)

QUEUE_FRAMES = 3000  # a minute of Opus: storage may pause for so long
COLLECT_SECONDS = 0.5
STORE_ATTEMPTS = 5
# A publisher that answers no key frame request gets a cut without one after so many segment lengths.
PATIENCE = 3


class Recorder:
    """A `Sink`. Segments end at key frames once they are `segment_seconds` long, audio at any packet."""

    def __init__(
        self,
        context: Context,
        *,
        account_id: str,
        stream_id: str,
        codec: Codec,
        request_keyframe: Callable[[], None],
    ) -> None:
        self.lost_segments = 0
        self._context = context
        self._account_id = account_id
        self._stream_id = stream_id
        self._codec = codec
        self._request_keyframe = request_keyframe
        self._segment_us = round(context.settings.segment_seconds * 1e6)
        self._batches = FrameBatches(f"recorder of {stream_id}", limit=QUEUE_FRAMES)
        self._muxer: SegmentMuxer | None = None
        self._task = asyncio.create_task(self._run())

    def offer(self, frame: EncodedFrame) -> None:
        self._batches.offer(frame)

    async def close(self) -> None:
        """Store what is left; the caller bounds the time."""
        self._batches.close()
        await self._task

    async def _run(self) -> None:
        while (
            batch := await self._batches.next(collect_seconds=COLLECT_SECONDS, idle_seconds=5.0)
        ) is not None:
            for segment in await asyncio.to_thread(self._mux, batch):
                await self._store(segment)
            if self._wants_keyframe():
                self._request_keyframe()
        if self._muxer is not None and self._muxer.frame_count:
            await self._store(await asyncio.to_thread(self._muxer.finish))

    def _mux(self, batch: list[EncodedFrame]) -> list[Segment]:
        finished = []
        for frame in batch:
            if self._muxer is not None and self._is_cut(self._muxer, frame):
                finished.append(self._muxer.finish())
                self._muxer = SegmentMuxer(self._codec, previous=self._muxer)
            self._muxer = self._muxer or SegmentMuxer(self._codec)
            self._muxer.add(frame)
        return finished

    def _is_cut(self, muxer: SegmentMuxer, frame: EncodedFrame) -> bool:
        length_us = frame.captured_at_us - (muxer.started_at_us or frame.captured_at_us)
        if not self._codec.is_video:
            return length_us >= self._segment_us
        if frame.is_keyframe:
            return length_us >= self._segment_us or not muxer.fits(frame)
        return length_us >= PATIENCE * self._segment_us

    def _wants_keyframe(self) -> bool:
        muxer = self._muxer
        if muxer is None or not self._codec.is_video:
            return False
        return (muxer.last_at_us or 0) - (muxer.started_at_us or 0) >= self._segment_us

    async def _store(self, segment: Segment) -> None:
        """Object first, row second: a row never points at nothing."""
        segment_id = new_id("seg")
        key = segment_key(self._account_id, self._stream_id, segment_id, segment.container)
        for attempt in range(STORE_ATTEMPTS):
            try:
                await self._context.storage.put_bytes(key, segment.data)
                break
            except StorageUnavailable as error:
                logger.warning("segment of %s not stored yet: %s", self._stream_id, error.message)
                await asyncio.sleep(0.2 * 2**attempt)
        else:
            self.lost_segments += 1
            logger.error("segment of %s lost: storage does not answer", self._stream_id)
            return
        async with self._context.db.transaction() as session:
            await add_segment(
                session,
                SegmentRow(
                    id=segment_id,
                    stream_id=self._stream_id,
                    storage_key=key,
                    codec=segment.codec.value,
                    started_at_us=segment.started_at_us,
                    duration_us=segment.duration_us,
                    size_bytes=len(segment.data),
                    frame_count=segment.frame_count,
                    starts_with_keyframe=segment.starts_with_keyframe,
                    width=segment.width,
                    height=segment.height,
                ),
            )
