"""Records one stream: encoded frames into segments in storage, never decoded."""

import asyncio
import logging
from collections.abc import Callable

from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from app.base.errors import CaptureError
from app.base.ids import new_id
from app.domain.streams.models import Segment as SegmentRow
from app.domain.streams.service import add_segment
from app.ingest.batches import FrameBatches
from app.media.fmp4 import Segment, SegmentMuxer
from app.media.frames import Codec, EncodedFrame
from app.process import Context
from app.storage.contract import ObjectExists, StorageUnavailable
from app.storage.keys import segment_key

logger = logging.getLogger(__name__)

QUEUE_FRAMES = 3000  # a minute of Opus: storage may pause for so long
COLLECT_SECONDS = 0.5
STORE_ATTEMPTS = 8
LONGEST_PAUSE_SECONDS = 8.0
# A publisher that answers no key frame request gets a cut without one after so many segment lengths.
PATIENCE = 3


class Recorder:
    """A `Sink`. Segments end at key frames once they are `segment_seconds` long, audio at any packet.

    `zero_us` is the Unix time that all segments of a capture count their media time from, so that players
    can put one after the other.
    """

    def __init__(
        self,
        context: Context,
        *,
        account_id: str,
        stream_id: str,
        codec: Codec,
        zero_us: int,
        request_keyframe: Callable[[], None],
    ) -> None:
        self.lost_segments = 0
        self.unusable_frames = 0
        self._context = context
        self._account_id = account_id
        self._stream_id = stream_id
        self._codec = codec
        self._zero_us = zero_us
        self._request_keyframe = request_keyframe
        self._segment_us = round(context.settings.segment_seconds * 1e6)
        self._batches = FrameBatches(f"recorder of {stream_id}", limit=QUEUE_FRAMES)
        self._muxer: SegmentMuxer | None = None
        # Pictures are built on the ones before: after a hole only a key frame makes sense.
        self._awaits_keyframe = codec.is_video
        self._task = asyncio.create_task(self._run())

    def offer(self, frame: EncodedFrame) -> None:
        if self._awaits_keyframe and not frame.is_keyframe:
            self.unusable_frames += 1
        elif self._batches.offer(frame):
            self._awaits_keyframe = False
        else:
            self._awaits_keyframe = self._codec.is_video

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
            if self._awaits_keyframe or self._is_overdue():
                self._request_keyframe()
        if (last := await asyncio.to_thread(self._finish)) is not None:
            await self._store(last)

    def _mux(self, batch: list[EncodedFrame]) -> list[Segment]:
        finished: list[Segment] = []
        for frame in batch:
            if self._muxer is not None and self._is_cut(self._muxer, frame):
                ended, before = self._finish(), self._muxer
                finished += [ended] if ended else []
                self._muxer = SegmentMuxer(self._codec, previous=before, zero_us=self._zero_us)
            self._muxer = self._muxer or SegmentMuxer(self._codec, zero_us=self._zero_us)
            try:
                self._muxer.add(frame)
            except CaptureError as error:
                self.unusable_frames += 1
                logger.warning("frame of %s left out: %s", self._stream_id, error.message)
        return finished

    def _finish(self) -> Segment | None:
        return self._muxer.finish() if self._muxer is not None and self._muxer.frame_count else None

    def _is_cut(self, muxer: SegmentMuxer, frame: EncodedFrame) -> bool:
        length_us = frame.captured_at_us - (muxer.started_at_us or frame.captured_at_us)
        if not self._codec.is_video:
            return length_us >= self._segment_us
        if frame.is_keyframe:
            return length_us >= self._segment_us or not muxer.fits(frame)
        return length_us >= PATIENCE * self._segment_us

    def _is_overdue(self) -> bool:
        muxer = self._muxer
        if muxer is None or not self._codec.is_video:
            return False
        return (muxer.last_at_us or 0) - (muxer.started_at_us or 0) >= self._segment_us

    async def _store(self, segment: Segment) -> None:
        """Object first, row second: a row never points at nothing. Both are tried again for a while."""
        segment_id = new_id("seg")
        key = segment_key(self._account_id, self._stream_id, segment_id, segment.container)
        row = SegmentRow(
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
            hls_index=segment.index.to_json() if segment.index else None,
            header_digest=segment.header_digest,
        )
        for attempt in range(STORE_ATTEMPTS):
            try:
                await self._put(key, segment.data, row)
                return
            except (StorageUnavailable, SQLAlchemyError, OSError) as error:
                logger.warning("segment of %s not stored yet: %s", self._stream_id, type(error).__name__)
                await asyncio.sleep(min(LONGEST_PAUSE_SECONDS, 0.2 * 2**attempt))
        self.lost_segments += 1
        logger.error("segment of %s lost: nowhere to put it", self._stream_id)

    async def _put(self, key: str, data: bytes, row: SegmentRow) -> None:
        try:
            await self._context.storage.put_bytes(key, data)
        except ObjectExists:
            logger.info("%s is stored already: an earlier try got that far", key)
        try:
            async with self._context.db.transaction() as session:
                await add_segment(session, row)
        except IntegrityError:
            logger.info("%s is registered already: an earlier try got that far", key)
