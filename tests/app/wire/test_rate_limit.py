import asyncio
from collections.abc import AsyncIterator

import pytest

from app.base.errors import TooManyRequests
from app.base.redis import connect_redis
from app.base.settings import Settings
from app.process import Context
from app.wire.rate_limit import RateLimit
from tests.fixtures.factories import make_tenant
from tests.fixtures.web import Web, running_web


@pytest.fixture
async def strict(settings: Settings) -> AsyncIterator[Web]:
    """Three requests at once, then one in a hundred seconds."""
    limits = {"rate_limit_per_second": 0.01, "rate_limit_burst": 3}
    async with running_web(settings.model_copy(update=limits)) as running:
        yield running


async def test_each_key_has_so_many_requests(strict: Web) -> None:
    tenant, other = await make_tenant(strict.context), await make_tenant(strict.context)
    async with strict.client(tenant.api_key) as client:
        answers = [await client.get("/collection") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert answers[3].json()["error_code"] == "rate_limited"
    assert 90 <= int(answers[3].headers["retry-after"]) <= 100
    async with strict.client(tenant.client_token) as client:
        assert (await client.get("/collection/default/websocket")).status_code == 200
    async with strict.client(other.api_key) as client:
        assert (await client.get("/collection")).status_code == 200
    async with strict.client() as client:
        assert (await client.get("/readyz")).json()["data"]["rate_limit"] == {"refused": 2, "unchecked": 0}


async def test_a_bucket_fills_again(context: Context) -> None:
    limit = RateLimit(context.redis, per_second=20.0, burst=2)
    passed, told = 0, set()
    async with asyncio.timeout(10):
        while passed < 6:
            try:
                await limit.take("key-1")
                passed += 1
            except TooManyRequests as error:
                told.add(error.retry_after_seconds)
                await asyncio.sleep(0.01)
    assert told == {1}
    assert await context.redis.pttl("capture:rate:key-1") <= 1100


async def test_two_processes_share_a_bucket(context: Context) -> None:
    one, two = (RateLimit(context.redis, per_second=0.001, burst=4) for _ in range(2))
    for limit in (one, two, one, two):
        await limit.take("key-2")
    for limit in (one, two):
        with pytest.raises(TooManyRequests):
            await limit.take("key-2")


async def test_without_redis_all_pass_and_are_counted() -> None:
    redis = connect_redis("redis://127.0.0.1:1/0")
    limit = RateLimit(redis, per_second=0.001, burst=1)
    for _ in range(50):
        await limit.take("key-3")
    assert limit.describe() == {"refused": 0, "unchecked": 50}
    await redis.aclose()


async def test_no_limit_asks_nobody() -> None:
    redis = connect_redis("redis://127.0.0.1:1/0")
    limit = RateLimit(redis, per_second=0, burst=1)
    await limit.take("key-4")
    assert limit.unchecked == 0
    await redis.aclose()
