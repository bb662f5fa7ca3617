"""The sound of utterances that are still going on, in Redis: for interim words, and lossy by design.

Each utterance has a list of its sound so far, which grows, and stands at most once in the line of those that
wait to be heard: a worker that is late hears all of it at once. When an utterance ends its sound goes, and
with it the leave to publish anything interim about it.
"""

import json
import time
from base64 import b64decode, b64encode
from dataclasses import asdict, dataclass
from typing import Any

from redis.asyncio import Redis

from app.base.redis import FRAMES_CHANNEL

SPEAKING_CHANNEL = "capture:speaking"  # ingest to workers: somebody waits to be heard
_SOUND_SECONDS = 60  # longer than any utterance, and than `ABANDONED_SECONDS`
# A living ingest process ends an utterance a second after its last sound.
ABANDONED_SECONDS = 15.0
_WAITING = "capture:speaking:waiting"  # members by the time since which they wait
_HEARD = "capture:speaking:heard"  # members by the time of their last sound
_PUBLISH = "return redis.call('exists', KEYS[1]) == 1 and redis.call('publish', KEYS[2], ARGV[1])"


@dataclass(frozen=True, slots=True)
class OpenUtterance:
    """An utterance that is going on."""

    utterance_id: str
    stream_id: str
    started_at_us: int

    @property
    def sound_key(self) -> str:
        return f"capture:speaking:sound:{self.utterance_id}"


async def add_sound(
    redis: Redis, utterance: OpenUtterance, sound: bytes, offset: int, *, is_urgent: bool
) -> None:
    """Let it be heard with `sound`, which begins `offset` bytes into it; an urgent one is heard first.

    Raises `redis.exceptions.RedisError`.
    """
    member, now = json.dumps(asdict(utterance)), time.time()
    async with redis.pipeline(transaction=True) as pipeline:
        pipeline.rpush(utterance.sound_key, f"{offset}:{b64encode(sound).decode()}")
        pipeline.expire(utterance.sound_key, _SOUND_SECONDS)
        pipeline.zadd(_WAITING, {member: 0 if is_urgent else now}, nx=not is_urgent)
        pipeline.zadd(_HEARD, {member: now})
        pipeline.publish(SPEAKING_CHANNEL, "{}")
        await pipeline.execute()


async def end_sound(redis: Redis, utterance: OpenUtterance) -> None:
    """It has ended: from here on nothing interim of it is published. Raises `RedisError`."""
    member = json.dumps(asdict(utterance))
    async with redis.pipeline(transaction=True) as pipeline:
        pipeline.delete(utterance.sound_key)
        pipeline.zrem(_WAITING, member)
        pipeline.zrem(_HEARD, member)
        await pipeline.execute()


async def take_waiting(redis: Redis, *, urgent_only: bool = False) -> OpenUtterance | None:
    """The one that has waited longest, out of the line: any, or an urgent one. Raises `RedisError`."""
    if not urgent_only:
        taken = await redis.zpopmin(_WAITING)
        return _read(taken[0][0]) if taken else None
    for member in map(str, await redis.zrangebyscore(_WAITING, 0, 0)):
        if await redis.zrem(_WAITING, member):
            return _read(member)
    return None


async def sound_of(redis: Redis, utterance: OpenUtterance) -> bytes:
    """All of its sound so far; nothing when it has ended or some of it was lost. Raises `RedisError`."""
    sound = b""
    for part in await redis.lrange(utterance.sound_key, 0, -1):
        offset, _, encoded = str(part).partition(":")
        if int(offset) != len(sound):
            return b""
        sound += b64decode(encoded)
    return sound


async def publish_interim(redis: Redis, utterance: OpenUtterance, message: dict[str, Any]) -> bool:
    """Send the frames of `message` to the sockets, unless the utterance has ended; in one step, so that no
    interim follows its final. Raises `RedisError`."""
    sent = await redis.eval(_PUBLISH, 2, utterance.sound_key, FRAMES_CHANNEL, json.dumps(message))
    return sent is not None


async def abandoned(redis: Redis) -> list[OpenUtterance]:
    """Those whose ingest process died while they were said. Raises `RedisError`."""
    members = await redis.zrangebyscore(_HEARD, 0, time.time() - ABANDONED_SECONDS)
    return [_read(member) for member in members]


def _read(member: Any) -> OpenUtterance:
    return OpenUtterance(**json.loads(member))
