"""The worker's own broker for a test: a Valkey database that no running worker reads."""

import base64
import json
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import redis
from kombu import pools
from kombu.transport.redis import PRIORITY_STEPS

from tests.fixtures.servers import Servers
from workers.main import celery_app

DATABASE = 7  # the running stack of other tests works on 0
QUEUE = "capture"


class Broker:
    """What Celery was sent; `go_away` and `come_back` move its address."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)._replace(path=f"/{DATABASE}").geturl()
        self._redis = redis.Redis.from_url(self._url, decode_responses=True, socket_timeout=5)
        self._redis.flushdb()
        self.come_back()

    def rung(self) -> list[tuple[str, str]]:
        """Job and subject of each message, in the order in which a worker takes them."""
        queues = [QUEUE, *(f"{QUEUE}\x06\x16{priority}" for priority in PRIORITY_STEPS[1:])]
        waiting = [text for queue in queues for text in reversed(self._redis.lrange(queue, 0, -1))]
        found = []
        for text in waiting:
            message = json.loads(text)
            args, _, _ = json.loads(base64.b64decode(message["body"]))
            found.append((message["headers"]["task"], args[0]))
        return found

    def go_away(self) -> None:
        self._point_at("redis://127.0.0.1:1/0")

    def come_back(self) -> None:
        self._point_at(self._url)

    def close(self) -> None:
        self._redis.flushdb()
        self._redis.close()
        self.go_away()

    @staticmethod
    def _point_at(url: str) -> None:
        celery_app.conf.broker_url = url
        pools.reset()  # kombu keeps a pool for each address, closed ones too
        celery_app._pool = None
        celery_app.amqp._producer_pool = None


@pytest.fixture
def broker(servers: Servers) -> Iterator[Broker]:
    opened = Broker(servers.redis_url)
    yield opened
    opened.close()
