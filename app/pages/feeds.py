"""Follows what is live for its players: one look at a time serves all of them, and none goes back in time.

Nobody is looked after while nobody asks, and recording knows nothing of either.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, TypeVar

from fastapi import Depends
from fastapi.requests import HTTPConnection

from app.base.db import DATABASE_AWAY
from app.base.errors import NotFound, Unavailable
from app.domain.assets.links import read_media_grant
from app.pages.broadcast import Broadcast
from app.pages.followed import Followed
from app.pages.opening import check_grant, read_slug
from app.pages.playing import Playing
from app.pages.spooled import Spooled
from app.process import Context

T = TypeVar("T")

LOOK_SECONDS = 0.05
# What the spool does not tell: gaps that pass, a session that ends or is erased, segments of another machine.
REOPEN_SECONDS = 1.0
# Longer than the pause between two reloads of any player.
KEPT_SECONDS = 60.0
MOST_FEEDS = 500
MOST_WAITING = 2000


class Feeds:
    """The live playbacks that somebody has asked for lately in this web process.

    What is `granted` is a slug with until when its link is good, which is looked at each time: who has
    another link to the same shares what is followed, not the right to it.
    """

    def __init__(self, context: Context, spooled: Spooled) -> None:
        self.waiting = 0
        self._context = context
        self._spooled = spooled
        self._feeds: dict[str, _Feed] = {}

    async def current(self, granted: str) -> Playing | Broadcast:
        """What the link plays by now.

        Raises `NotFound`, `Gone` for a link that has expired, and `Unavailable` while the database is away.
        """
        grant = read_media_grant(self._context.settings, granted)
        feed = self._feed(grant.slug)
        try:
            opened = await feed.look()
        finally:
            if not feed.is_followed and not feed.watchers:
                self._feeds.pop(grant.slug, None)
        check_grant(grant, opened)
        return opened

    async def until(self, granted: str, find: Callable[[Broadcast], T | None], seconds: float) -> T | None:
        """What `find` finds in the playback of streams once it finds something; None after `seconds`.

        A link that is good when it is asked for is good until then.

        Raises `Unavailable` where too many wait, and what `current` raises.
        """
        await self.current(granted)
        slug = read_media_grant(self._context.settings, granted).slug
        if self.waiting >= MOST_WAITING:
            raise Unavailable("too many players wait here: try again in a moment")
        self.waiting += 1
        try:
            return await self._feed(slug).until(find, seconds)
        finally:
            self.waiting -= 1

    async def close(self) -> None:
        """End all looking."""
        for feed in self._feeds.values():
            feed.close()

    def _feed(self, slug: str) -> "_Feed":
        feed = self._feeds.pop(slug, None) or _Feed(self._context, self._spooled, slug)
        self._feeds[slug] = feed  # the last of all
        feed.asked_at = time.monotonic()
        for other, one in list(self._feeds.items()):
            is_old = feed.asked_at - one.asked_at > KEPT_SECONDS
            if not is_old and len(self._feeds) <= MOST_FEEDS:
                break
            if not one.watchers and one is not feed:
                del self._feeds[other]
        return feed


class _Feed:
    """One playback, and what is known of it from looking."""

    def __init__(self, context: Context, spooled: Spooled, slug: str) -> None:
        self.asked_at = time.monotonic()
        self.watchers = 0
        self._context = context
        self._spooled = spooled
        self._slug = slug
        self._followed = Followed()
        self._opened: Playing | Broadcast | None = None
        self._seen: object = None
        self._looked_at = self._opened_at = -KEPT_SECONDS
        self._looking = asyncio.Lock()
        self._change: asyncio.Task[None] | None = None

    @property
    def is_followed(self) -> bool:
        """Whether there is something that must stay true for a while, also when it has ended."""
        return isinstance(self._opened, Broadcast)

    @property
    def goes_on(self) -> bool:
        return isinstance(self._opened, Broadcast) and not self._opened.says_ended

    async def look(self) -> Playing | Broadcast:
        """What is played, at most a look old."""
        async with self._looking:
            if self._opened is None or time.monotonic() - self._looked_at >= LOOK_SECONDS:
                self._opened = await self._look()
            return self._opened

    async def until(self, find: Callable[[Broadcast], T | None], seconds: float) -> T | None:
        deadline = time.monotonic() + seconds
        self.watchers += 1
        try:
            while True:
                opened = await self.look()
                found = await asyncio.to_thread(find, opened) if isinstance(opened, Broadcast) else None
                left = deadline - time.monotonic()
                if found is not None or left <= 0 or not self.goes_on:
                    return found
                if self._change is None or self._change.done():
                    self._change = asyncio.create_task(self._until_change(opened))
                await asyncio.wait({self._change}, timeout=left)
        finally:
            self.watchers -= 1
            self.asked_at = time.monotonic()

    def close(self) -> None:
        if self._change is not None:
            self._change.cancel()

    async def _until_change(self, known: Playing | Broadcast) -> None:
        while self.watchers:
            await asyncio.sleep(LOOK_SECONDS)
            # Who waits looks for themselves, and is told what is wrong.
            with suppress(Exception):
                if await self.look() is known:
                    continue
            return

    async def _look(self) -> Playing | Broadcast:
        # Before opening, so that what comes meanwhile is seen the next time.
        self._looked_at = time.monotonic()
        streams = self._opened.stream_ids if isinstance(self._opened, Broadcast) else []
        seen = await asyncio.to_thread(self._spooled.signature, streams)
        is_due = self._looked_at - self._opened_at >= REOPEN_SECONDS
        if self._opened is not None and seen == self._seen and not is_due:
            return self._opened
        try:
            opened = await read_slug(self._context, self._spooled, self._slug, self._followed)
        except NotFound:
            # Erased: nothing that was known of it is given to anybody any more.
            self._opened, self._followed = None, Followed()
            raise
        except DATABASE_AWAY as error:
            raise Unavailable("the database is away: try again in a moment") from error
        self._seen, self._opened_at = seen, self._looked_at
        return opened


def _feeds(connection: HTTPConnection) -> Feeds:
    feeds: Feeds = connection.app.state.feeds
    return feeds


AppFeeds = Annotated[Feeds, Depends(_feeds)]


async def _from_path(slug: str, feeds: AppFeeds) -> Playing | Broadcast:
    return await feeds.current(slug)


PathPlaying = Annotated[Playing | Broadcast, Depends(_from_path)]
