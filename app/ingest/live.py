"""The streams alive in this process, kept in step with what the database says about them."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from redis.exceptions import RedisError

from app.base.db import DATABASE_AWAY
from app.base.ids import new_id
from app.base.redis import CONTROL_CHANNEL, subscribe
from app.base.tasks import end_task
from app.domain.indexes.service import running_indexes
from app.domain.nodes.service import node_gone
from app.domain.streams.publishing import detach_publisher, lose_publisher, publishers_alive, wanted_streams
from app.domain.transcripts.service import running_on
from app.ingest.contract import Source
from app.ingest.pipeline import Pipeline, PublishedStream
from app.ingest.presence import forget, killed, present
from app.ingest.spool.uploads import Uploads, open_uploads
from app.process import Context

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 2.0
DETACH_ATTEMPTS = 5
LOOK_FOR_KILLED_SECONDS = 5.0


class Live:
    """Holds one pipeline for each stream that publishes to this process, `publisher_id`."""

    def __init__(self, context: Context, uploads: Uploads) -> None:
        self.publisher_id = new_id("ing")
        self.uploads = uploads
        self._context = context
        self._pipelines: dict[str, Pipeline] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._last_heartbeat = 0.0
        # A heartbeat takes back a stream that was thought lost, so it must not name one that is let go.
        self._rows = asyncio.Lock()

    def carry(self, source: Source, stream: PublishedStream) -> None:
        """Take over an attached publisher's source until it ends or its session stops."""
        pipeline = Pipeline(self._context, self.uploads, source, stream)
        self._pipelines[stream.stream_id] = pipeline
        task = asyncio.create_task(self._run(pipeline))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def publisher_count(self) -> int:
        """How many publishers this process carries."""
        return len(self._pipelines)

    def source_of(self, stream_id: str) -> Source | None:
        """What publishes this stream here and now; nothing once it has said goodbye."""
        pipeline = self._pipelines.get(stream_id)
        return pipeline.source if pipeline and not pipeline.said_goodbye else None

    def carried(self) -> list[tuple[PublishedStream, Source]]:
        """All streams that are published here and now, each with what publishes it."""
        return [(one.stream, one.source) for one in self._pipelines.values() if not one.said_goodbye]

    async def end(self, stream_id: str) -> None:
        """The stream's publisher said goodbye."""
        pipeline = self._pipelines.get(stream_id)
        if pipeline is not None:
            pipeline.said_goodbye = True
            await pipeline.close()

    async def follow(self) -> None:
        """Reconcile at every control message, and once a second without one, until cancelled."""
        while True:
            try:
                async for _ in subscribe(self._context.redis, CONTROL_CHANNEL):
                    await self._reconcile()
            except (RedisError, OSError) as error:
                logger.warning("control messages pause, Redis is away: %s", type(error).__name__)
                await self._reconcile()
                await asyncio.sleep(1.0)

    async def close(self) -> None:
        """End every pipeline and wait until each has stored what it holds; each bounds its own time."""
        for pipeline in list(self._pipelines.values()):
            await pipeline.close()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _run(self, pipeline: Pipeline) -> None:
        try:
            await pipeline.run()
        except Exception:
            logger.exception("the pipeline of %s broke", pipeline.stream.stream_id)
        if self._pipelines.get(pipeline.stream.stream_id) is pipeline:
            del self._pipelines[pipeline.stream.stream_id]
        await self._detach(pipeline)
        self.uploads.settle(pipeline.stream.stream_id)

    async def _detach(self, pipeline: Pipeline) -> None:
        for attempt in range(DETACH_ATTEMPTS):
            try:
                async with self._rows, self._context.db.transaction() as session:
                    await detach_publisher(
                        session,
                        pipeline.stream.stream_id,
                        pipeline.stream.publication,
                        ended=pipeline.said_goodbye,
                    )
                return
            except DATABASE_AWAY as error:
                logger.warning("%s not detached yet: %s", pipeline.stream.stream_id, type(error).__name__)
                await asyncio.sleep(0.2 * 2**attempt)
        logger.error("%s was not detached: housekeeping will", pipeline.stream.stream_id)

    async def _reconcile(self) -> None:
        """Make the pipelines what the rows say: closed with their session, listening where asked."""
        if not self._pipelines:
            return
        now = asyncio.get_running_loop().time()
        try:
            async with self._rows, self._context.db.transaction() as session:
                stream_ids = list(self._pipelines)
                publications = [pipeline.stream.publication for pipeline in self._pipelines.values()]
                wanted = await wanted_streams(session, stream_ids)
                heard = await running_on(session, stream_ids)
                heard |= (await running_indexes(session, "audio", stream_ids)).keys()
                watched = await running_indexes(session, "visual", stream_ids)
                if now - self._last_heartbeat >= HEARTBEAT_SECONDS:
                    await publishers_alive(session, self.publisher_id, publications)
                    self._last_heartbeat = now
        except DATABASE_AWAY as error:
            logger.warning("the database is away, capture goes on: %s", type(error).__name__)
            return
        for stream_id in stream_ids:
            pipeline = self._pipelines.get(stream_id)
            if pipeline is None:
                continue
            try:
                if stream_id in wanted:
                    pipeline.listen(stream_id in heard)
                    pipeline.watch(watched.get(stream_id, []))
                else:
                    await pipeline.close()
            except Exception:
                # The other streams' heartbeats hang on this loop.
                logger.exception("%s could not be kept in step", stream_id)


@asynccontextmanager
async def open_live(context: Context) -> AsyncIterator[Live]:
    """Hold this process's live streams for the length of the block."""
    folder = context.settings.data_dir / "spool"
    async with open_uploads(context) as uploads:
        live = Live(context, uploads)
        with present(folder, live.publisher_id):
            await _take_over(context, folder)
            tasks = [
                asyncio.create_task(live.follow()),
                asyncio.create_task(_look_for_killed(context, uploads)),
            ]
            try:
                yield live
            finally:
                await live.close()
                for task in tasks:
                    await end_task(task)


async def _look_for_killed(context: Context, uploads: Uploads) -> None:
    """Take over from processes of this data folder that are killed while this one lives, until cancelled."""
    folder = context.settings.data_dir / "spool"
    while True:
        await asyncio.sleep(LOOK_FOR_KILLED_SECONDS)
        try:
            if await _take_over(context, folder):
                await uploads.take_up()
        except OSError as error:
            logger.warning("the spool's folder cannot be looked at: %s", type(error).__name__)


async def _take_over(context: Context, folder: Path) -> bool:
    """Let the publishers of processes that were killed here come back without waiting for housekeeping.

    True where there were any: what they were recording lies in the spool.
    """
    found = await asyncio.to_thread(killed, folder)
    for publisher_id in found:
        try:
            async with context.db.transaction() as session:
                await lose_publisher(session, publisher_id)
                await node_gone(session, publisher_id)
            await asyncio.to_thread(forget, folder, publisher_id)
        except DATABASE_AWAY as error:
            logger.warning("publishers of %s are not lost yet: %s", publisher_id, type(error).__name__)
    return bool(found)
