"""Hands the sound of the utterance that is going on to whoever makes interim words of it."""

import asyncio
import logging
from contextlib import suppress

from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.base.ids import new_id
from app.base.speaking import OpenUtterance, add_sound, end_sound
from app.base.tasks import end_task
from app.media.pcm import SAMPLE_RATE_HZ, Speaking, in_16_bits

logger = logging.getLogger(__name__)

# A decode costs the same for one second as for ten: more often gives a listener little.
EVERY_SAMPLES = SAMPLE_RATE_HZ
SAMPLE_BYTES = 2
REDIS_SECONDS = 0.5  # finals do not wait longer for a broker that is away


class Interims:
    """Of one stream. It never waits: while one piece is under way, or the broker is away, the next one
    takes along what came meanwhile."""

    def __init__(self, redis: Redis, stream_id: str) -> None:
        self._redis = redis
        self._stream_id = stream_id
        self._open: OpenUtterance | None = None
        self._given = 0  # samples of it that are in Redis
        self._sending: asyncio.Task[None] | None = None

    def offer(self, speaking: Speaking) -> None:
        """Pass on what is new, once it is a second of sound, or all there is before a pause."""
        if self._open is None or self._open.started_at_us != speaking.started_at_us:
            self._open = OpenUtterance(new_id("utt"), self._stream_id, speaking.started_at_us)
            self._given = 0
        new = len(speaking.samples) - self._given
        is_due = new >= EVERY_SAMPLES or (speaking.has_paused and new > 0)
        if is_due and (self._sending is None or self._sending.done()):
            self._sending = asyncio.create_task(self._send(self._open, speaking))

    async def end(self, started_at_us: int) -> str | None:
        """The id under which the utterance that began then was heard so far, if it was."""
        if self._sending is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._sending), REDIS_SECONDS)
            await end_task(self._sending)
            self._sending = None
        ended, self._open = self._open, None
        if ended is None:
            return None
        try:
            async with asyncio.timeout(REDIS_SECONDS):
                await end_sound(self._redis, ended)
        except (RedisError, OSError, TimeoutError) as error:
            logger.warning("interim sound of %s not removed: %s", self._stream_id, type(error).__name__)
        return ended.utterance_id if ended.started_at_us == started_at_us else None

    async def _send(self, utterance: OpenUtterance, speaking: Speaking) -> None:
        given, total = self._given, len(speaking.samples)
        sound = in_16_bits(speaking.samples[given:]).tobytes()
        try:
            await add_sound(
                self._redis, utterance, sound, given * SAMPLE_BYTES, is_urgent=speaking.has_paused
            )
        except (RedisError, OSError) as error:
            logger.warning("interim sound of %s not passed on: %s", self._stream_id, type(error).__name__)
            return
        if self._open is utterance:
            self._given = total
