"""Who may ask an engine next, where only so many may at once."""

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

from app.engines.contract import EngineFailed


class Turns:
    """`at_once` go on, `most_waiting` wait, who has the least time first. For one event loop at a time."""

    def __init__(self, at_once: int, most_waiting: int) -> None:
        self._free = at_once
        self._most_waiting = most_waiting
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = count()

    @asynccontextmanager
    async def turn(self, limit_seconds: float) -> AsyncIterator[None]:
        """Wait for a turn; the caller bounds the time. Raises `EngineFailed` where too many wait."""
        if self._free:
            self._free -= 1
        else:
            await self._wait(limit_seconds)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, limit_seconds: float) -> None:
        if len(self._waiting) >= self._most_waiting:
            raise EngineFailed("Too much waits for the language model.")
        given = asyncio.get_running_loop().create_future()
        place = (limit_seconds, next(self._numbers), given)
        heapq.heappush(self._waiting, place)
        try:
            await given
        except asyncio.CancelledError:
            if place in self._waiting:
                self._waiting.remove(place)
                heapq.heapify(self._waiting)
            else:
                self._pass_on()  # it was given the turn while it gave up
            raise

    def _pass_on(self) -> None:
        if self._waiting:
            heapq.heappop(self._waiting)[2].set_result(None)
        else:
            self._free += 1
