"""The machine's cores, shared by all that decodes and infers in this process."""

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

# Work that can wait gets one turn after so many of other work, so that it is slow under load, and not stuck.
TURNS_BEFORE_SPARE = 8


class Cores:
    """Lets so many pieces of work run at a time, in the order in which they came; `async with cores:`."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._patient: deque[asyncio.Future[None]] = deque()
        self._passed_over = 0

    async def __aenter__(self) -> None:
        await self._enter(self._waiting)

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    @asynccontextmanager
    async def turn(self, *, can_wait: bool) -> AsyncIterator[None]:
        """The same; whatever else comes goes before what can wait."""
        await self._enter(self._patient if can_wait else self._waiting)
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, queue: deque[asyncio.Future[None]]) -> None:
        if self._free:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._leave()  # it had just been given
            raise

    def _leave(self) -> None:
        is_due = self._passed_over >= TURNS_BEFORE_SPARE
        queues = (self._patient, self._waiting) if is_due else (self._waiting, self._patient)
        for queue in queues:
            while queue:
                turn = queue.popleft()
                if not turn.done():  # one that was cancelled wants nothing any more
                    self._passed_over = 0 if queue is self._patient else self._passed_over + 1
                    turn.set_result(None)
                    return
        self._free += 1


# One piece of work a core: a second thread for one gains nothing (measured), and more of them than cores
# make every one of them late.
cores = Cores(os.cpu_count() or 1)
