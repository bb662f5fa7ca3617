"""What every process of the product works with, web or worker."""

from dataclasses import dataclass

from redis.asyncio import Redis

from app.base.db import Database
from app.base.errors import Unavailable
from app.base.redis import connect_redis
from app.base.settings import Settings
from app.domain import models as _all_tables  # noqa: F401 - foreign keys need every table
from app.storage.contract import Storage
from app.storage.registry import open_storage


@dataclass(frozen=True, slots=True)
class Context:
    """Settings and connections; made once a process, on the event loop that uses it."""

    settings: Settings
    db: Database
    redis: Redis
    storage: Storage

    async def close(self) -> None:
        await self.redis.aclose()
        await self.db.close()


def open_context(settings: Settings) -> Context:
    """Raises `Unavailable` when the database or Redis URL is not set."""
    if not settings.database_url or not settings.redis_url:
        raise Unavailable("DATABASE_URL and REDIS_URL are not set: `capture up` sets them for its processes")
    return Context(
        settings,
        Database(settings.database_url),
        connect_redis(settings.redis_url),
        open_storage(settings.effective_storage_url, settings),
    )
