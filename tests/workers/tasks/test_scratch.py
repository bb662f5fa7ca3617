import asyncio
import os
import signal
import sys
from pathlib import Path

from app.process import Context
from workers.tasks.scratch import scratch_folder

HOLDS_ONE = """
import asyncio, os, signal
from app.base.settings import get_settings
from app.process import open_context
from workers.tasks.scratch import scratch_folder

async def main():
    async with scratch_folder(open_context(get_settings())) as folder:
        (folder / "half.mp4").write_bytes(b"half")
        print(folder, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_a_folder_is_there_for_its_block_and_stays_while_it_is_held(context: Context) -> None:
    async with scratch_folder(context) as one:
        (one / "file").write_bytes(b"1")
        async with scratch_folder(context) as other:
            assert other != one
            assert (one / "file").read_bytes() == b"1"
        assert sorted(one.parent.iterdir()) == [one]
    assert not one.exists()


async def test_what_a_killed_process_left_is_swept(context: Context) -> None:
    environment = os.environ | {
        "CAPTURE_DATA_DIR": str(context.settings.data_dir),
        "DATABASE_URL": context.settings.database_url or "",
        "REDIS_URL": context.settings.redis_url or "",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDS_ONE, env=environment, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    left = Path((await asyncio.wait_for(process.stdout.readline(), 30)).decode().strip())
    async with scratch_folder(context):
        assert (left / "half.mp4").exists()
    process.send_signal(signal.SIGKILL)
    await process.wait()
    async with scratch_folder(context) as folder:
        assert list(folder.parent.iterdir()) == [folder]
