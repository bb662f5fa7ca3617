import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.exceptions import RedisError

from app.base.ids import new_id
from app.base.redis import connect_redis, publish, subscribe
from tests.fixtures.servers import Servers

Messages = AsyncIterator[dict[str, Any] | None]


async def next_message(messages: Messages) -> dict[str, Any]:
    async with asyncio.timeout(10):
        async for message in messages:
            if message is not None:
                return message
    raise AssertionError("the subscription ended")


async def test_what_is_published_reaches_each_subscriber_of_its_channel(servers: Servers) -> None:
    redis = connect_redis(servers.redis_url)
    channel, other = new_id("channel"), new_id("channel")
    first, second = subscribe(redis, channel), subscribe(redis, channel, other)
    # An idle subscription says so once a second: so it stands.
    assert await anext(first) is None
    assert await anext(second) is None
    await publish(redis, channel, {"n": 1, "text": "ü"})
    assert await next_message(first) == await next_message(second) == {"n": 1, "text": "ü"}
    await publish(redis, other, {"n": 2})
    assert await next_message(second) == {"n": 2}
    await first.aclose()  # type: ignore[attr-defined]
    await second.aclose()  # type: ignore[attr-defined]
    await redis.aclose()


async def test_a_broker_that_is_away_loses_a_live_message_and_nothing_else() -> None:
    redis = connect_redis("redis://127.0.0.1:1")
    await publish(redis, "channel", {"n": 1})
    with pytest.raises(RedisError):
        await anext(subscribe(redis, "channel"))
    await redis.aclose()
