"""An event loop and a set of connections for a worker process's jobs, whatever Celery's pool is, and another
for its live speech."""

import asyncio
import concurrent.futures
import logging
import os
import sys
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

from app.base.settings import Settings, get_settings
from app.process import open_context

logger = logging.getLogger(__name__)

LONGEST_JOB_SECONDS = 6 * 3600


GIVES_WAY = 10  # of Unix's niceness


def _give_way() -> None:
    """Let live speech go before this thread: on Linux niceness is a thread's."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        niceness = os.getpriority(os.PRIO_PROCESS, thread) + GIVES_WAY
        os.setpriority(os.PRIO_PROCESS, thread, min(niceness, 19))


class Runtime:
    """An event loop in a thread of its own.

    The threads of one that `gives_way` leave the cores to those of others.
    Asyncpg's connections belong to one loop: a loop per task, as `asyncio.run` would make, breaks pooling.
    """

    def __init__(self, settings: Settings, *, gives_way: bool) -> None:
        self._loop = asyncio.new_event_loop()
        if gives_way:
            threads = ThreadPoolExecutor(thread_name_prefix="job", initializer=_give_way)
            self._loop.set_default_executor(threads)
        threading.Thread(target=self._loop.run_forever, name="worker-loop", daemon=True).start()
        self.context = open_context(settings)

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine on the loop and wait for its end, from one of Celery's threads."""
        asyncio.run_coroutine_threadsafe(work, self._loop).result(LONGEST_JOB_SECONDS)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine on the loop for as long as the process lives; its end is logged."""

        def ended(future: "concurrent.futures.Future[None]") -> None:
            if not future.cancelled() and (error := future.exception()) is not None:
                logger.error("what runs beside the jobs has ended", exc_info=error)

        asyncio.run_coroutine_threadsafe(work, self._loop).add_done_callback(ended)


@cache
def get_runtime() -> Runtime:
    """The runtime of this process's jobs; made on first use, so after a prefork pool has forked."""
    return Runtime(get_settings(), gives_way=True)
