import asyncio
import os
import sys
import threading

import pytest

from app.base.settings import Settings
from workers.runtime import GIVES_WAY, Runtime


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere niceness is the process's")
@pytest.mark.parametrize("gives_way", [True, False])
def test_a_jobs_threads_give_way_and_the_process_does_not(settings: Settings, gives_way: bool) -> None:
    runtime, found = Runtime(settings, gives_way=gives_way), []

    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    async def work() -> None:
        found.extend([await asyncio.to_thread(niceness), niceness()])
        await runtime.context.close()

    before = niceness()
    runtime.run(work())
    assert found == [before + GIVES_WAY * gives_way, before]
