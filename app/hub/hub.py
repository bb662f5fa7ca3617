"""The process's open sockets: every published event reaches those of its route once, in order."""

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from app.base.db import DATABASE_AWAY
from app.base.redis import FRAMES_CHANNEL, REVOKED_CHANNEL, subscribe
from app.base.tasks import end_task
from app.domain.outbox.published import (
    PublishedEvent,
    head_position,
    last_event_id,
    position_to_resume,
    read_published,
    read_published_to,
)
from app.hub.connections import GOING_AWAY, NORMAL, POLICY_VIOLATION, TRY_AGAIN_LATER, Connection
from app.process import Context

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0  # how late an event is at most when Redis does not bring it
START_SECONDS = 10.0
RETRY_SECONDS = 0.5
PAGE_EVENTS = 200
RECENT_EVENTS = 256  # kept in memory, so that sockets which resume at once need not all read the same rows
AHEAD_EVENTS = 1024
READERS = 4  # of what sockets missed, at once: a thousand that come back together leave the others room


@dataclass(slots=True)
class Counts:
    """Since the process began, but for `open_sockets`."""

    open_sockets: int = 0
    resumed: int = 0
    closed_as_too_slow: int = 0
    events_read_from_database: int = 0  # Redis had not brought them
    messages_not_understood: int = 0


class Hub:
    """Redis brings events at once; the database has them all, by positions without gaps.

    `position` is that of the last event that was passed on. The one that follows is passed on when Redis
    brings it; at any other the rows in between are read. Once every `POLL_SECONDS` the last position is
    compared, so that nothing is missed while Redis is silent or away.
    """

    def __init__(self, context: Context) -> None:
        self.counts = Counts()
        self.position = 0
        self._context = context
        self._started, self._behind = asyncio.Event(), asyncio.Event()
        self._connections: dict[str, dict[str, Connection]] = {}  # by account and id
        self._recent: deque[PublishedEvent] = deque(maxlen=RECENT_EVENTS)
        self._ahead: dict[int, PublishedEvent] = {}
        self._readers = asyncio.Semaphore(READERS)

    async def find_start(self, account_id: str, seen_event_id: str | None) -> tuple[int, str]:
        """From which position a socket goes on, and the id of the event before it, empty where there is none.

        `seen_event_id` is what a client that returns has seen last. Raises `NotFound` where it is not kept,
        `TimeoutError` or one of `DATABASE_AWAY` while the database does not answer.
        """
        async with asyncio.timeout(START_SECONDS):
            await self._started.wait()
            async with self._readers, self._context.db.transaction() as session:
                if seen_event_id is not None:
                    return await position_to_resume(session, account_id, seen_event_id), seen_event_id
                after = self.position
                return after, await last_event_id(session, account_id, after) or ""

    async def serve(self, connection: Connection, after: int, seen_event_id: str) -> None:
        """Send a socket what follows `after`, until it ends. It takes the place of one with its id."""
        connections = self._connections.setdefault(connection.granted.account_id, {})
        earlier = connections.get(connection.id)
        if earlier is not None:
            earlier.close(NORMAL, "another socket goes on with this connection id")
        connections[connection.id] = connection
        connection.after = after
        self.counts.open_sockets += 1
        catching_up = asyncio.create_task(self._catch_up(connection))
        try:
            await connection.serve(seen_event_id)
        finally:
            self.counts.open_sockets -= 1
            self.counts.closed_as_too_slow += connection.was_too_slow
            if connections.get(connection.id) is connection:
                del connections[connection.id]
            if not connections:
                self._connections.pop(connection.granted.account_id, None)
            await end_task(catching_up)

    def _close_revoked(self, credential_ids: Collection[str]) -> None:
        for connection in self._all():
            if connection.granted.credential_id in credential_ids:
                connection.close(POLICY_VIOLATION, "the key or token of this socket was revoked")

    def close_all(self) -> None:
        for connection in self._all():
            connection.close(GOING_AWAY, "the server is shutting down")

    async def hear(self) -> None:
        """Pass on what Redis brings, for ever."""
        while True:
            try:
                async for message in subscribe(self._context.redis, FRAMES_CHANNEL, REVOKED_CHANNEL):
                    if message is not None and "revoked" in message:
                        self._close_revoked(message["revoked"])
                    elif message is not None:
                        self._take(message)
                        await asyncio.sleep(0)  # the sockets' writers come in between
            except (RedisError, OSError) as error:
                logger.warning("live events come by polling, Redis is away: %s", type(error).__name__)
                await asyncio.sleep(RETRY_SECONDS)

    async def follow(self) -> None:
        """Read from the database whatever Redis has not brought, for ever."""
        while True:
            self._behind.clear()
            try:
                await self._read_what_is_missing()
            except DATABASE_AWAY as error:
                logger.warning("published events not read: %s", type(error).__name__)
                await asyncio.sleep(RETRY_SECONDS)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._behind.wait(), POLL_SECONDS)

    def _take(self, message: dict[str, Any]) -> None:
        try:
            event = PublishedEvent(**message)
            if event.position is None:
                self._dispatch(event)
            elif self._started.is_set() and event.position > self.position:
                self._take_in_order(event, event.position)
        except (KeyError, TypeError):
            # Another version of the relay may run for a while. What has a position is read all the same.
            self.counts.messages_not_understood += 1
            logger.error("a live message is not understood", exc_info=True)

    def _take_in_order(self, event: PublishedEvent, position: int) -> None:
        if len(self._ahead) < AHEAD_EVENTS:
            self._ahead[position] = event
        while (following := self._ahead.get(self.position + 1)) is not None:
            self._pass_on(following, self.position + 1)
        if self.position < position:
            self._behind.set()

    async def _read_what_is_missing(self) -> None:
        before = self.position
        async with self._context.db.transaction() as session:
            head = await head_position(session)
        if not self._started.is_set() or head < before:
            self._start_at(head)
        while self.position < head:
            async with self._context.db.transaction() as session:
                events = await read_published(session, after=self.position, limit=PAGE_EVENTS)
            for event in events:
                if event.position is not None and event.position > self.position:
                    self._pass_on(event, event.position)
                    self.counts.events_read_from_database += 1
                    await asyncio.sleep(0)
            if not events:  # so old that they are not kept any more
                self.position = max(self.position, head)
                self._ahead.clear()

    def _start_at(self, head: int) -> None:
        if self._started.is_set():
            logger.warning("the database went back to position %d: it was restored", head)
        self.position = head
        self._recent.clear()
        self._ahead.clear()
        for connection in self._all():
            connection.after = min(connection.after, head)
        self._started.set()

    def _pass_on(self, event: PublishedEvent, position: int) -> None:
        self.position = position
        self._ahead.pop(position, None)
        self._recent.append(event)
        self._dispatch(event)

    def _dispatch(self, event: PublishedEvent) -> None:
        targets = self._targets(event)
        if targets:
            texts = _texts(event)
            for connection in targets:
                connection.offer(texts, may_be_skipped=event.may_be_skipped)

    def _targets(self, event: PublishedEvent) -> list[Connection]:
        connections = self._connections.get(event.account_id, {})
        named = event.route["connection_id"]
        candidates = connections.values() if named is None else filter(None, [connections.get(named)])
        return [one for one in candidates if one.is_live and one.wants(event)]

    async def _catch_up(self, connection: Connection) -> None:
        """Send what it missed, then let it take part: nothing happens between the last look and that."""
        try:
            while connection.after < self.position:
                events, reached = await self._events_after(connection)
                for event in events:
                    if connection.wants(event):
                        await connection.feed(_texts(event))
                connection.after = reached
        except DATABASE_AWAY as error:
            logger.warning("a socket's missed events not read: %s", type(error).__name__)
            connection.close(TRY_AGAIN_LATER, "events cannot be read now")
            return
        connection.is_live = True

    async def _events_after(self, connection: Connection) -> tuple[list[PublishedEvent], int]:
        """Some of what follows where it is, and how far that reaches: no more than a page is in memory."""
        upto, after = self.position, connection.after
        if self._recent and (self._recent[0].position or 0) <= after + 1:
            return [event for event in self._recent if (event.position or 0) > after], upto
        async with self._readers, self._context.db.transaction() as session:
            events = await read_published_to(
                session, connection.granted.account_id, after=after, upto=upto, limit=PAGE_EVENTS
            )
        is_all = len(events) < PAGE_EVENTS
        return events, upto if is_all else events[-1].position or upto

    def _all(self) -> Iterator[Connection]:
        return (one for connections in self._connections.values() for one in connections.values())


@asynccontextmanager
async def open_hub(context: Context) -> AsyncIterator[Hub]:
    """Run the hub for the length of the block; at its end every socket is closed with 1001."""
    hub = Hub(context)
    tasks = [asyncio.create_task(hub.hear()), asyncio.create_task(hub.follow())]
    try:
        yield hub
    finally:
        hub.close_all()
        for task in tasks:
            await end_task(task)


def _texts(event: PublishedEvent) -> list[str]:
    return [json.dumps(frame) for frame in event.frames]
