"""How often one credential may ask: a token bucket for each, kept in Redis for all processes together."""

import asyncio
import logging
import math
import time

from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.base.errors import TooManyRequests

logger = logging.getLogger(__name__)

ANSWER_SECONDS = 0.25
AWAY_SECONDS = 5.0  # how long nobody is made to wait for a Redis that did not answer

# Returns how many seconds are missing until the next request; 0: this one may pass. The time is Redis's own,
# so that processes whose clocks differ fill the bucket alike.
_TAKE = """
local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1e6
local kept = redis.call('HMGET', KEYS[1], 'left', 'at')
local left, at = tonumber(kept[1]) or burst, tonumber(kept[2]) or now
left = math.min(burst, left + math.max(0, now - at) * rate)
local missing = 0
if left >= 1 then left = left - 1 else missing = (1 - left) / rate end
redis.call('HSET', KEYS[1], 'left', tostring(left), 'at', tostring(now))
redis.call('PEXPIRE', KEYS[1], math.ceil(burst / rate * 1000) + 1000)
return tostring(missing)
"""


class RateLimit:
    """The limit of one process's requests. Where Redis does not answer, everything passes and is counted."""

    def __init__(self, redis: Redis, *, per_second: float, burst: int) -> None:
        self._take = redis.register_script(_TAKE)
        self._per_second = per_second
        self._burst = burst
        self._away_until = 0.0
        self.refused = 0
        self.unchecked = 0

    async def take(self, credential_id: str) -> None:
        """Count one request of a credential. Raises `TooManyRequests`."""
        if not self._per_second:
            return
        if time.monotonic() < self._away_until:
            self.unchecked += 1
            return
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await self._take(
                    keys=[f"capture:rate:{credential_id}"], args=[self._per_second, self._burst]
                )
        except (RedisError, OSError, TimeoutError) as error:
            self.unchecked += 1
            self._away_until = time.monotonic() + AWAY_SECONDS
            logger.warning("requests pass without a rate limit for now: %s", type(error).__name__)
            return
        missing_seconds = float(answer)
        if missing_seconds:
            self.refused += 1
            raise TooManyRequests(
                f"too many requests: at most {self._per_second:g} a second, or {self._burst} at once",
                retry_after_seconds=math.ceil(missing_seconds),
            )

    def describe(self) -> dict[str, int]:
        """What `/readyz` tells."""
        return {"refused": self.refused, "unchecked": self.unchecked}
