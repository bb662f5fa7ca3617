"""Redis carries live messages between processes; whatever must not be lost is a row in Postgres."""

import json
import logging
from collections.abc import AsyncIterator
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

FRAMES_CHANNEL = "capture:frames"  # relay to hub: frames for sockets
CONTROL_CHANNEL = "capture:control"  # api to ingest: look at your streams again
REVOKED_CHANNEL = "capture:revoked"  # api to hub: ids of keys and tokens whose sockets must go
WORKER_HEARTBEAT_KEY = "capture:worker-heartbeat"
WORKER_HEARTBEAT_SECONDS = 10


def connect_redis(url: str) -> Redis:
    """Return a client whose every command has a time limit and one quick retry."""
    return Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=5,
        socket_connect_timeout=2,
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), 1),
        health_check_interval=15,
    )


async def publish(redis: Redis, channel: str, *messages: dict[str, Any]) -> None:
    """Send live messages, all in one trip; losing one is allowed, so a broker that is away is logged and
    forgotten."""
    try:
        async with redis.pipeline(transaction=False) as pipeline:
            for message in messages:
                pipeline.publish(channel, json.dumps(message))
            await pipeline.execute()
    except RedisError as error:
        logger.warning("live message not published on %s: %s", channel, type(error).__name__)


async def subscribe(redis: Redis, *channels: str) -> AsyncIterator[dict[str, Any] | None]:
    """Yield each message on `channels`, and `None` about once a second when there is none.

    Raises `redis.exceptions.RedisError` when the connection is lost; the caller subscribes again.
    """
    async with redis.pubsub(ignore_subscribe_messages=True) as pubsub:
        await pubsub.subscribe(*channels)
        while True:
            message = await pubsub.get_message(timeout=1.0)
            yield _read(message["data"]) if message else None


def _read(text: str) -> dict[str, Any] | None:
    try:
        message = json.loads(text)
    except ValueError:
        message = None
    if not isinstance(message, dict):
        logger.error("a live message is not a JSON object")
        return None
    return message
