"""The machine's cores, shared by all that decodes and infers in this process; live speech comes first."""

import asyncio
import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock

# Words are wanted while somebody speaks, pictures within two seconds: nothing starves longer than this.
PATIENCE_SECONDS = 1.0


class Cores:
    """Work begins with `async with cores:` when a core is free, and speech with `cores.speech()` at once.

    One piece of work a core: a second thread for one gains nothing (measured), and more of them than cores
    make every one of them late. Niceness alone does not keep the others from slowing speech down: not every
    machine heeds it. Who has waited `patience_seconds` goes on all the same. Usable from several event loops
    and threads at once.
    """

    def __init__(self, count: int, *, patience_seconds: float | None = PATIENCE_SECONDS) -> None:
        self._count = count
        self._patience_seconds = patience_seconds
        self._lock = Lock()
        self._busy = 0
        self._waiting: deque[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = deque()

    async def __aenter__(self) -> None:
        loop, turn = asyncio.get_running_loop(), asyncio.Event()
        with self._lock:
            if self._busy < self._count and not self._waiting:
                self._busy += 1
                return
            self._waiting.append((loop, turn))
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(turn.wait(), self._patience_seconds)
        except asyncio.CancelledError:
            if not self._left_the_line(loop, turn):
                self._leave()  # the core was given to it meanwhile
            raise
        if self._left_the_line(loop, turn):
            with self._lock:
                self._busy += 1

    async def __aexit__(self, *_: object) -> None:
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

    def _left_the_line(self, loop: asyncio.AbstractEventLoop, turn: asyncio.Event) -> bool:
        """True where it stood there still: no core was given to it."""
        with self._lock:
            if (loop, turn) not in self._waiting:
                return False
            self._waiting.remove((loop, turn))
            return True

    def _leave(self) -> None:
        with self._lock:
            self._busy -= 1
            if self._waiting and self._busy < self._count:
                self._busy += 1
                loop, turn = self._waiting.popleft()
                loop.call_soon_threadsafe(turn.set)


cores = Cores(os.cpu_count() or 1)
