"""Tells players what comes next while it comes: one look at the spool serves all who wait for a playback.

Nobody is looked after while nobody waits, and recording knows nothing of either.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Annotated, TypeVar

from fastapi import Depends
from fastapi.requests import HTTPConnection

from app.base.db import DATABASE_AWAY
from app.base.errors import CaptureError, Unavailable
from app.base.tasks import end_task
from app.pages.broadcast import Broadcast
from app.pages.opening import read_slug
from app.pages.playing import Playing
from app.pages.spooled import Spooled
from app.process import Context

logger = logging.getLogger(__name__)

T = TypeVar("T")

LOOK_SECONDS = 0.05
# What the spool does not tell: gaps that pass, a session that ends, segments of another machine.
REOPEN_SECONDS = 1.0
LINGER_SECONDS = 3.0  # the next request of a player comes at once
OPEN_SECONDS = 10.0
MOST_WAITING = 2000


class Feeds:
    """The playbacks that somebody waits for in this web process."""

    def __init__(self, context: Context, spooled: Spooled) -> None:
        self.waiting = 0
        self._context = context
        self._spooled = spooled
        self._feeds: dict[str, _Feed] = {}

    async def current(self, slug: str) -> Playing | Broadcast:
        """What the slug plays by now, as old as a look at most where it is watched. Raises `NotFound`."""
        feed = self._feeds.get(slug)
        if feed is not None and feed.is_fresh:
            # Also while it opens: what a player was told must not be taken back by an older look.
            found = await feed.until(lambda broadcast: broadcast, OPEN_SECONDS)
            if found is not None:
                return found
        return await read_slug(self._context, self._spooled, slug)

    async def until(self, slug: str, find: Callable[[Broadcast], T | None], seconds: float) -> T | None:
        """What `find` finds in the playback of streams once it finds something; None after `seconds`.

        Raises `Unavailable` where too many wait, and what opening the slug raises.
        """
        if self.waiting >= MOST_WAITING:
            raise Unavailable("too many players wait here: try again in a moment")
        feed = self._feeds.get(slug)
        if feed is None or feed.has_ended:
            feed = self._feeds[slug] = _Feed(self._context, self._spooled, slug)
        self.waiting += 1
        try:
            return await feed.until(find, seconds)
        finally:
            self.waiting -= 1
            for other, one in list(self._feeds.items()):
                if one.has_ended:
                    del self._feeds[other]

    async def close(self) -> None:
        """End all waiting."""
        for feed in self._feeds.values():
            await feed.close()


class _Feed:
    """One playback while it is waited for."""

    def __init__(self, context: Context, spooled: Spooled, slug: str) -> None:
        self.broadcast: Broadcast | None = None
        self._context = context
        self._spooled = spooled
        self._slug = slug
        self._failure: CaptureError | None = None
        self._changed = asyncio.Event()
        self._watchers = 0
        self._left_at = time.monotonic()
        self._opened_at = time.monotonic() - REOPEN_SECONDS
        self._task = asyncio.create_task(self._run())

    @property
    def has_ended(self) -> bool:
        return self._task.done()

    @property
    def is_fresh(self) -> bool:
        """Whether the spool is being looked at."""
        return not self._task.done() and time.monotonic() - self._opened_at < 2 * REOPEN_SECONDS

    async def until(self, find: Callable[[Broadcast], T | None], seconds: float) -> T | None:
        deadline = time.monotonic() + seconds
        self._watchers += 1
        try:
            while True:
                changed = self._changed
                if self._failure is not None:
                    raise self._failure
                if self.broadcast is not None:
                    found = await asyncio.to_thread(find, self.broadcast)
                    if found is not None:
                        return found
                left = deadline - time.monotonic()
                if left <= 0 or self._task.done():
                    return None
                try:
                    await asyncio.wait_for(changed.wait(), left)
                except TimeoutError:
                    return None
        finally:
            self._watchers -= 1
            self._left_at = time.monotonic()

    async def close(self) -> None:
        await end_task(self._task)
        self._tell()

    async def _run(self) -> None:
        seen: object = None
        try:
            while self._watchers or time.monotonic() - self._left_at < LINGER_SECONDS:
                # Before opening, so that what comes meanwhile is seen the next time.
                streams = self.broadcast.stream_ids if self.broadcast else []
                signature = await asyncio.to_thread(self._spooled.signature, streams)
                if signature != seen or time.monotonic() - self._opened_at >= REOPEN_SECONDS:
                    await self._open()
                    seen = signature
                    self._tell()
                await asyncio.sleep(LOOK_SECONDS)
        except CaptureError as error:
            self._failure = error
        except Exception:
            logger.exception("a live playback is no longer followed")
            self._failure = Unavailable("this cannot be followed now: try again in a moment")
        finally:
            self._tell()

    async def _open(self) -> None:
        try:
            opened = await read_slug(self._context, self._spooled, self._slug)
        except DATABASE_AWAY as error:
            raise Unavailable("the database is away: try again in a moment") from error
        self.broadcast = opened if isinstance(opened, Broadcast) else None
        self._opened_at = time.monotonic()

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def _feeds(connection: HTTPConnection) -> Feeds:
    feeds: Feeds = connection.app.state.feeds
    return feeds


AppFeeds = Annotated[Feeds, Depends(_feeds)]
