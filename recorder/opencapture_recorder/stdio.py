"""The pipes to the parent: a reader and a writer thread, and the rule to die with the parent."""

import asyncio
import contextlib
import ctypes
import logging
import os
import queue
import signal
import threading
from collections.abc import Callable

from opencapture_recorder.protocol import LineSplitter

logger = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
_READ_BYTES = 65_536
_MAX_PENDING_LINES = 1000


def die_with_parent() -> None:
    """Ask the kernel for SIGTERM when the thread that started this process ends."""
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        # The parent died between the two calls, so no signal will come.
        os.kill(os.getpid(), signal.SIGTERM)


def claim_stdout() -> int:
    """A private descriptor for the protocol; everything else that prints goes to stderr from now on."""
    descriptor = os.dup(1)
    os.dup2(2, 1)
    return descriptor


class LineReader:
    """Reads stdin in a thread, which works for pipes, files and /dev/null alike."""

    def __init__(self, on_line: Callable[[bytes], None], on_end: Callable[[], None]) -> None:
        self._on_line = on_line
        self._on_end = on_end
        self._splitter = LineSplitter()
        self._loop = asyncio.get_running_loop()

    def start(self) -> None:
        """Begin; the callbacks run on the event loop that made this reader."""
        threading.Thread(target=self._run, name="stdin", daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                data = os.read(0, _READ_BYTES)
            except OSError:
                data = b""
            dropped = self._splitter.dropped_lines
            lines = self._splitter.feed(data)
            if self._splitter.dropped_lines > dropped:
                logger.warning("dropped a line from the SDK that was too long")
            # The loop is closed while this thread still waits for input at shutdown.
            with contextlib.suppress(RuntimeError):
                for line in lines:
                    self._loop.call_soon_threadsafe(self._on_line, line)
                if not data:
                    self._loop.call_soon_threadsafe(self._on_end)
            if not data:
                return


class LineWriter:
    """Writes whole lines in a thread, so that a parent that does not read never stops the media."""

    def __init__(self, descriptor: int) -> None:
        self.dropped_lines = 0
        self._descriptor = descriptor
        self._queue: queue.Queue[bytes | None] = queue.Queue(_MAX_PENDING_LINES)
        self._thread = threading.Thread(target=self._run, name="stdout", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def send(self, line: bytes) -> None:
        """Queue one line; with the queue full it is dropped and counted."""
        try:
            self._queue.put_nowait(line)
        except queue.Full:
            self.dropped_lines += 1
            logger.warning("the parent does not read: %d lines dropped", self.dropped_lines)

    def close(self, timeout_seconds: float = 1.0) -> None:
        """Write what is queued, for at most this long."""
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(None)
            self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while (line := self._queue.get()) is not None:
            view = memoryview(line)
            try:
                while view:
                    view = view[os.write(self._descriptor, view) :]
            except OSError:
                # The parent is gone; the end of stdin ends the process.
                return
