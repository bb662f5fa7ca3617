"""Connects to the sources whose turn it is, as long as this process may carry more."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from redis.exceptions import RedisError

from app.base.db import DATABASE_AWAY
from app.base.redis import CONTROL_CHANNEL, subscribe
from app.base.tasks import end_task
from app.domain.streams.pulls import ClaimedPull, attempt_ended, claim_pulls, source_finished
from app.ingest.live import Live
from app.ingest.pipeline import PublishedStream
from app.ingest.pull.reader import Outcome
from app.ingest.pull.source import PulledSource
from app.process import Context

logger = logging.getLogger(__name__)

AT_ONCE = 8  # in one round: connecting starts a thread, and many at once would hold up media


class Puller:
    """Claims due pulls for `live`, which carries each like a publisher's stream."""

    def __init__(self, context: Context, live: Live) -> None:
        self._context = context
        self._live = live

    async def follow(self) -> None:
        """Look at every control message, and once a second without one, until cancelled."""
        while True:
            try:
                async for _ in subscribe(self._context.redis, CONTROL_CHANNEL):
                    await self._claim()
            except (RedisError, OSError):
                await self._claim()
                await asyncio.sleep(1.0)

    async def _claim(self) -> None:
        limit = min(AT_ONCE, self._context.settings.max_publishers - self._live.publisher_count)
        if limit <= 0:
            return
        try:
            async with self._context.db.transaction() as session:
                claimed = await claim_pulls(session, self._live.publisher_id, limit=limit)
        except DATABASE_AWAY as error:
            logger.warning("no source is connected to, the database is away: %s", type(error).__name__)
            return
        except Exception:
            logger.exception("no source could be claimed")
            return
        for pull in claimed:
            self._carry(pull)

    def _carry(self, pull: ClaimedPull) -> None:
        stream = pull.stream
        logger.info("connecting to the source of %s", stream.id)
        source = PulledSource(pull, self._context.settings.allowed_networks, partial(self._ended, stream.id))
        self._live.carry(
            source,
            PublishedStream(
                account_id=stream.account_id,
                session_id=None,
                stream_id=stream.id,
                publication=stream.publication or "",
                store=stream.store,
                zero_us=pull.zero_us,
                has_sound="audio" in stream.media_types,
            ),
        )

    async def _ended(self, stream_id: str, outcome: Outcome) -> None:
        """Said while this process still holds the stream, so that nobody else connects too early."""
        if outcome.error is not None:
            logger.warning("the source of %s is gone: %s", stream_id, outcome.error)
        try:
            async with self._context.db.transaction() as session:
                if outcome.finished:
                    await source_finished(session, stream_id)
                else:
                    await attempt_ended(
                        session, stream_id, error=outcome.error, media_seconds=outcome.media_seconds
                    )
        except DATABASE_AWAY as error:
            logger.warning("the end of %s is not noted: %s", stream_id, type(error).__name__)


def forget_proxy_exceptions() -> None:
    """Take `no_proxy` from this process's C libraries, not from Python.

    FFmpeg reads it, and connects by itself to the hosts in it, whatever proxy it was given.
    """
    os.unsetenv("no_proxy")


@asynccontextmanager
async def open_puller(context: Context, live: Live) -> AsyncIterator[Puller]:
    """Pull for the length of the block; what it connected to, `live` ends."""
    forget_proxy_exceptions()
    puller = Puller(context, live)
    follower = asyncio.create_task(puller.follow())
    try:
        yield puller
    finally:
        await end_task(follower)
