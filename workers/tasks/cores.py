"""The machine's cores, shared by all that decodes and infers in this process; live speech comes first."""

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from threading import Lock

# Words are wanted while somebody speaks, pictures within two seconds: nothing live starves longer than this.
PATIENCE_SECONDS = 1.0
# Work that can wait gets one turn after so many of other work, so that it is slow under load, and not stuck.
TURNS_BEFORE_SPARE = 8

_Turn = tuple[asyncio.AbstractEventLoop, asyncio.Event]


class Cores:
    """Work begins with `async with cores:` when a core is free, and speech with `cores.speech()` at once.

    One piece of work a core: a second thread for one gains nothing (measured), and more of them than cores
    make every one of them late. Niceness alone does not keep the others from slowing speech down: not every
    machine heeds it. Live work that has waited `patience_seconds` goes on all the same. Usable from several
    event loops and threads at once.
    """

    def __init__(self, count: int, *, patience_seconds: float | None = PATIENCE_SECONDS) -> None:
        self._count = count
        self._patience_seconds = patience_seconds
        self._lock = Lock()
        self._busy = 0
        self._waiting: deque[_Turn] = deque()
        self._sparing: deque[_Turn] = deque()
        self._passed_over = 0

    async def __aenter__(self) -> None:
        await self._enter(self._waiting, self._patience_seconds)

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    @asynccontextmanager
    async def turn(self, *, can_wait: bool) -> AsyncIterator[None]:
        """The same; whatever else comes goes before what can wait."""
        if can_wait:
            await self._enter(self._sparing, None)
        else:
            await self._enter(self._waiting, self._patience_seconds)
        try:
            yield
        finally:
            self._leave()

    @contextmanager
    def speech(self) -> Iterator[None]:
        """A core for a piece of live speech."""
        with self._lock:
            self._busy += 1
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, line: deque[_Turn], patience_seconds: float | None) -> None:
        one = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            if self._busy < self._count and not self._waiting and not self._sparing:
                self._busy += 1
                return
            line.append(one)
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(one[1].wait(), patience_seconds)
        except asyncio.CancelledError:
            if not self._left(line, one):
                self._leave()  # the core was given to it meanwhile
            raise
        if self._left(line, one):
            with self._lock:
                self._busy += 1

    def _left(self, line: deque[_Turn], one: _Turn) -> bool:
        """True where it stood there still: no core was given to it."""
        with self._lock:
            if one not in line:
                return False
            line.remove(one)
            return True

    def _leave(self) -> None:
        with self._lock:
            self._busy -= 1
            if self._busy >= self._count:
                return
            is_due = self._passed_over >= TURNS_BEFORE_SPARE
            line = self._sparing if self._sparing and (is_due or not self._waiting) else self._waiting
            if not line:
                return
            self._passed_over = 0 if line is self._sparing else self._passed_over + 1
            self._busy += 1
            loop, turn = line.popleft()
            loop.call_soon_threadsafe(turn.set)


cores = Cores(os.cpu_count() or 1)
