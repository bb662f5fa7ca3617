"""How a task is ended by its owner."""

import asyncio
from typing import Any

AGAIN_SECONDS = 0.2


async def end_task(task: "asyncio.Task[Any]") -> None:
    """Cancel `task` and wait until it has ended; what it raised is not raised here.

    One cancellation is not always enough: redis-py takes one that arrives while it connects for a timeout
    of its own, and goes on.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=AGAIN_SECONDS)
