"""Clips made while somebody watches, and kept in memory for the next who asks, up to a number of bytes."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends
from fastapi.requests import HTTPConnection

from app.base.errors import Unavailable
from app.process import Context

MADE_AT_ONCE = 2  # each encodes on two threads, beside whatever else this process does
WAITING = 32
KEPT_BYTES = 128 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ClipSource:
    """How to make one clip: `read` gets recorded bytes, `make` takes what it returns, in a thread.

    Clips of the same `identity` have the same bytes.
    """

    identity: str
    read: Callable[[Context], Awaitable[Any]]
    make: Callable[[Any], bytes]


class Clips:
    """The clips of one web process. Whoever asks for one that is being made waits for the same work."""

    def __init__(self, context: Context, *, kept_bytes: int = KEPT_BYTES) -> None:
        self._context = context
        self._kept_bytes = kept_bytes
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._making: dict[str, asyncio.Task[bytes]] = {}
        self._turns = asyncio.Semaphore(MADE_AT_ONCE)
        self.refused = 0

    async def get(self, source: ClipSource) -> bytes:
        """The clip. Raises `Unavailable` while too many others wait to be made."""
        if source.identity in self._kept:
            self._kept.move_to_end(source.identity)
            return self._kept[source.identity]
        task = self._making.get(source.identity)
        if task is None:
            if len(self._making) >= WAITING:
                self.refused += 1
                raise Unavailable("too many clips are being made: try again in a moment")
            task = asyncio.create_task(self._make(source))
            self._making[source.identity] = task
            task.add_done_callback(lambda _: self._making.pop(source.identity, None))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """End what is being made."""
        tasks = list(self._making.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _make(self, source: ClipSource) -> bytes:
        async with self._turns:
            recorded = await source.read(self._context)
            clip = await asyncio.to_thread(source.make, recorded)
        self._kept[source.identity] = clip
        while sum(map(len, self._kept.values())) > self._kept_bytes and len(self._kept) > 1:
            self._kept.popitem(last=False)
        return clip


def _clips(connection: HTTPConnection) -> Clips:
    clips: Clips = connection.app.state.clips
    return clips


AppClips = Annotated[Clips, Depends(_clips)]
