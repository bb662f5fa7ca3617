"""Carries finished segments from the spool into storage: object first, row second, tried until it works."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from app.base.db import DATABASE_AWAY
from app.base.errors import NotFound
from app.domain.streams.recording import add_segment, spool_emptied
from app.domain.streams.spooled import Manifest
from app.ingest.spool.spool import Spool
from app.process import Context
from app.storage.contract import ObjectExists, ObjectMissing

logger = logging.getLogger(__name__)

AT_ONCE = 4
ATTEMPT_SECONDS = 120.0
SHORTEST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 5.0
SETTLE_SECONDS = 1.0
CLOSE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Backlog:
    """What storage does not have yet; `oldest_seconds` since the first of it was finished or found."""

    segments: int
    size_bytes: int
    oldest_seconds: float
    failed_attempts: int
    lost_segments: int


class Uploads:
    """Delivers what is submitted; the queue is as long as the disk has room, and outlives the process."""

    def __init__(self, context: Context, spool: Spool, spool_name: str) -> None:
        self.spool = spool
        self.spool_name = spool_name
        self.failed_attempts = 0
        self.lost_segments = 0
        self._context = context
        self._waiting: dict[str, tuple[Manifest, float]] = {}
        self._queue: asyncio.Queue[Manifest] = asyncio.Queue()
        self._failures_in_a_row = 0
        self._unsettled: set[str] = set()
        self._settle_now = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._tasks = [asyncio.create_task(self._work()) for _ in range(AT_ONCE)]
        self._tasks.append(asyncio.create_task(self._settle()))

    def submit(self, manifest: Manifest) -> None:
        """Take a finished segment that lies in the spool, once."""
        if manifest.segment_id in self._waiting:
            return
        self._waiting[manifest.segment_id] = manifest, time.monotonic()
        self._idle.clear()
        self._queue.put_nowait(manifest)

    def settle(self, stream_id: str) -> None:
        """The stream is recorded here no longer: say so in the database as soon as all of it is stored."""
        self._unsettled.add(stream_id)
        self._idle.clear()
        self._settle_now.set()

    @property
    def backlog(self) -> Backlog:
        """What waits for storage now."""
        waiting = list(self._waiting.values())
        oldest = min((since for _, since in waiting), default=time.monotonic())
        return Backlog(
            segments=len(waiting),
            size_bytes=sum(manifest.recorded.size_bytes for manifest, _ in waiting if manifest.recorded),
            oldest_seconds=round(time.monotonic() - oldest, 1),
            failed_attempts=self.failed_attempts,
            lost_segments=self.lost_segments,
        )

    async def take_up(self) -> None:
        """Submit what processes that are gone left in the spool.

        Finished segments of one that lives are submitted too: each is stored and registered once anyway.
        """
        for stream_id in await self.spool.in_thread(self.spool.stream_ids):
            try:
                left = await self.spool.in_thread(self.spool.take_up, stream_id)
            except FileNotFoundError:
                continue  # another process has emptied it
            for manifest in left:
                logger.info("segment %s of %s was left in the spool", manifest.segment_id, stream_id)
                self.submit(manifest)
            self.settle(stream_id)

    async def close(self) -> None:
        """Give what waits a moment; the rest stays in the spool for the next process."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), CLOSE_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        if self._waiting:
            logger.warning("%d segments stay in the spool until the next start", len(self._waiting))

    async def _work(self) -> None:
        while True:
            manifest = await self._queue.get()
            try:
                async with asyncio.timeout(ATTEMPT_SECONDS):
                    await self._deliver(manifest)
            except Exception as error:  # whatever it was, the segment is still in the spool
                await self._pause(manifest, error)
                self._queue.put_nowait(manifest)
                continue
            del self._waiting[manifest.segment_id]
            if self._failures_in_a_row:
                self._failures_in_a_row = 0
                logger.warning("storage answers again: %d segments to go", len(self._waiting))
            self.settle(manifest.stream_id)

    async def _pause(self, manifest: Manifest, error: Exception) -> None:
        self.failed_attempts += 1
        pause = min(LONGEST_PAUSE_SECONDS, SHORTEST_PAUSE_SECONDS * 2 ** min(self._failures_in_a_row, 10))
        self._failures_in_a_row += 1
        # A store that is away for long must not fill the log.
        loud = self._failures_in_a_row in (1, 10) or self._failures_in_a_row % 100 == 0
        logger.log(
            logging.WARNING if loud else logging.DEBUG,
            "segment %s of %s is not stored yet (%s): %d wait in the spool",
            manifest.segment_id,
            manifest.stream_id,
            type(error).__name__,
            len(self._waiting),
        )
        await asyncio.sleep(pause)

    def _note_idle(self) -> None:
        if not self._waiting and not self._settle_now.is_set():
            self._idle.set()

    async def _deliver(self, manifest: Manifest) -> None:
        try:
            await self._put(manifest)
            async with self._context.db.transaction() as session:
                await add_segment(session, manifest.row())
        except ObjectMissing:
            self.lost_segments += 1
            logger.error("segment %s is neither in the spool nor in storage", manifest.segment_id)
        except NotFound:
            logger.info("the stream of segment %s was deleted", manifest.segment_id)
            await self._context.storage.delete(manifest.storage_key)
        await self.spool.in_thread(self.spool.remove, manifest)

    async def _put(self, manifest: Manifest) -> None:
        path, storage = self.spool.path(manifest), self._context.storage
        if not await self.spool.in_thread(path.exists):
            await storage.size_bytes(manifest.storage_key)  # taken over by storage just before a crash
            return
        try:
            await storage.put_file(manifest.storage_key, path)
        except ObjectExists:
            logger.info("segment %s is stored already: an earlier try got that far", manifest.segment_id)

    async def _settle(self) -> None:
        while True:
            with suppress(TimeoutError):
                limit = SETTLE_SECONDS if self._unsettled else None
                await asyncio.wait_for(self._settle_now.wait(), limit)
            self._settle_now.clear()
            for stream_id in list(self._unsettled):
                try:
                    if await self._is_settled(stream_id):
                        self._unsettled.discard(stream_id)
                except DATABASE_AWAY as error:
                    logger.warning("%s is not settled yet: %s", stream_id, type(error).__name__)
            self._note_idle()

    async def _is_settled(self, stream_id: str) -> bool:
        """Whether nothing is left to do for now: what is still here calls for it again when it is stored."""
        if await self.spool.in_thread(self.spool.holds, stream_id):
            return True
        async with self._context.db.transaction() as session:
            if not await spool_emptied(session, stream_id, self.spool_name):
                return False
        await self.spool.in_thread(self.spool.forget, stream_id)
        return True


@asynccontextmanager
async def open_uploads(context: Context) -> AsyncIterator[Uploads]:
    """Take up what the spool holds, and deliver for the length of the block."""
    settings = context.settings
    spool = Spool(
        settings.data_dir / "spool",
        reserve_bytes=settings.disk_reserve_bytes,
        sync=settings.disk_sync,
    )
    try:
        uploads = Uploads(context, spool, await spool.in_thread(spool.name))
        taking_up = asyncio.create_task(uploads.take_up())
        try:
            yield uploads
        finally:
            await asyncio.wait({taking_up}, timeout=CLOSE_SECONDS)
            taking_up.cancel()
            await uploads.close()
    finally:
        spool.close()
