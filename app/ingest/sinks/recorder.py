"""Records one stream: encoded frames into segments that grow in the spool, never decoded."""

import asyncio
import logging
from collections.abc import Callable

from app.base.db import DATABASE_AWAY
from app.base.errors import CaptureError
from app.base.ids import new_id
from app.domain.streams.recording import fail_recording
from app.domain.streams.spooled import Manifest, Recorded
from app.ingest.batches import FrameBatches
from app.ingest.spool.growing import GrowingFile, is_disk_full
from app.ingest.spool.uploads import Uploads
from app.media.fmp4 import SegmentMuxer
from app.media.frames import Codec, EncodedFrame
from app.process import Context

logger = logging.getLogger(__name__)

QUEUE_FRAMES = 3000  # a minute of Opus: the disk may pause for so long
# What came in this time is one part. A kill costs this, the write, and what the receiver still puts in order.
PART_SECONDS = 0.7
# A publisher that answers no key frame request gets a cut without one after so many segment lengths.
PATIENCE = 3
TELL_ATTEMPTS = 8


class Recorder:
    """A `Sink`. Segments end at key frames once they are `segment_seconds` long, audio at any packet.

    `zero_us` is the Unix time that all segments of a capture count their media time from, so that players
    can put one after the other. A disk that takes no more fails the session; what is on it stays.
    """

    def __init__(
        self,
        context: Context,
        uploads: Uploads,
        *,
        account_id: str,
        stream_id: str,
        codec: Codec,
        zero_us: int,
        request_keyframe: Callable[[], None],
    ) -> None:
        self.unusable_frames = 0
        self._context = context
        self._uploads = uploads
        self._account_id = account_id
        self._stream_id = stream_id
        self._codec = codec
        self._zero_us = zero_us
        self._request_keyframe = request_keyframe
        self._segment_us = round(context.settings.segment_seconds * 1e6)
        self._batches = FrameBatches(f"recorder of {stream_id}", limit=QUEUE_FRAMES)
        self._muxer: SegmentMuxer | None = None
        self._manifest: Manifest | None = None  # of the segment that grows, with its file
        self._file: GrowingFile | None = None
        self._begun_segments = 0
        self._provisional_frames = 0  # how many the segment had when its newest was last written
        self._finished: list[Manifest] = []
        self._failed = False
        # Pictures are built on the ones before: after a hole only a key frame makes sense.
        self._awaits_keyframe = codec.is_video
        self._task = asyncio.create_task(self._run())

    def offer(self, frame: EncodedFrame) -> None:
        if self._failed or (self._awaits_keyframe and not frame.is_keyframe):
            self.unusable_frames += 1
        elif self._batches.offer(frame):
            self._awaits_keyframe = False
        else:
            self._awaits_keyframe = self._codec.is_video

    async def close(self) -> None:
        """Finish the segment that grows; the caller bounds the time."""
        self._batches.close()
        await self._task

    async def _run(self) -> None:
        while (
            batch := await self._batches.next(collect_seconds=PART_SECONDS, idle_seconds=PART_SECONDS)
        ) is not None:
            await self._in_thread(self._record, batch)
            if self._awaits_keyframe or self._is_overdue():
                self._request_keyframe()
        await self._in_thread(self._end_segment)

    async def _in_thread(self, work: Callable[..., None], *arguments: object) -> None:
        """Do `work` on the disk; pass on what it finished, and fail the session where it could not."""
        if self._failed:
            return
        spool, refusal = self._uploads.spool, None
        try:
            await spool.in_thread(work, *arguments)
        except OSError as error:
            self._failed, refusal = True, error
            await spool.in_thread(self._abandon)
        for manifest in self._finished:
            self._uploads.submit(manifest)
        self._finished.clear()
        if refusal is not None:
            await self._tell(refusal)

    def _record(self, batch: list[EncodedFrame]) -> None:
        for frame in batch:
            if self._muxer is not None and self._is_cut(self._muxer, frame):
                before = self._muxer
                self._end_segment()
                self._muxer = SegmentMuxer(self._codec, previous=before, zero_us=self._zero_us)
            self._muxer = self._muxer or SegmentMuxer(self._codec, zero_us=self._zero_us)
            try:
                self._muxer.add(frame)
            except CaptureError as error:
                self.unusable_frames += 1
                logger.warning("frame of %s left out: %s", self._stream_id, error.message)
        if self._muxer is None or not self._muxer.frame_count:
            return
        if batch:
            self._append(self._muxer.flush())
        elif self._muxer.frame_count != self._provisional_frames:
            # A screen that stands still: its last picture must not wait for the next one.
            self._append(self._muxer.provisional(), provisional=True)
            self._provisional_frames = self._muxer.frame_count

    def _append(self, part: bytes, *, provisional: bool = False) -> None:
        if not part:
            return
        if self._file is None:
            assert self._muxer is not None
            self._manifest = Manifest(
                segment_id=new_id("seg"),
                account_id=self._account_id,
                stream_id=self._stream_id,
                codec=self._codec,
                container=self._muxer.container,
                started_at_us=self._muxer.started_at_us or 0,
                discontinuity=not self._begun_segments,
            )
            self._file = self._uploads.spool.begin(self._manifest)
            self._begun_segments += 1
        self._file.append(part, provisional=provisional)

    def _end_segment(self) -> None:
        if self._muxer is None or not self._muxer.frame_count:
            return
        segment = self._muxer.finish()
        self._append(segment.data)
        self._muxer = None
        if self._file is None or self._manifest is None:
            return  # not one frame held a picture
        recorded = Recorded(
            size_bytes=self._file.size_bytes,
            duration_us=segment.duration_us,
            frame_count=segment.frame_count,
            starts_with_keyframe=segment.starts_with_keyframe,
            width=segment.width,
            height=segment.height,
        )
        self._file.close()
        manifest = self._manifest.model_copy(update={"recorded": recorded})
        self._finished.append(self._uploads.spool.finish(manifest))
        self._file = self._manifest = None
        self._provisional_frames = 0

    def _abandon(self) -> None:
        """Keep what is whole of the segment that cannot grow on."""
        if self._file is None or self._manifest is None:
            return
        try:
            self._file.close()
            if (manifest := self._uploads.spool.salvage(self._manifest)) is not None:
                self._finished.append(manifest)
        except OSError as error:
            logger.error("%s is left in the spool: %s", self._manifest.segment_id, type(error).__name__)
        self._muxer = self._file = self._manifest = None

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

    async def _tell(self, error: OSError) -> None:
        code = "disk_full" if is_disk_full(error) else "disk_failed"
        message = (
            "the server's disk is full" if is_disk_full(error) else "the server's disk cannot be written"
        )
        logger.error("%s can no longer be recorded: %s", self._stream_id, code)
        for attempt in range(TELL_ATTEMPTS):
            try:
                async with self._context.db.transaction() as session:
                    await fail_recording(session, self._stream_id, code, message)
                return
            except DATABASE_AWAY as refusal:
                logger.warning(
                    "the session of %s is not failed yet: %s", self._stream_id, type(refusal).__name__
                )
                await asyncio.sleep(0.2 * 2**attempt)
