"""Folders for files under way, which a worker that was killed leaves to the next one to sweep."""

import asyncio
import fcntl
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from app.base.ids import new_id
from app.process import Context


@asynccontextmanager
async def scratch_folder(context: Context) -> AsyncIterator[Path]:
    """An empty folder, on the disk of the data, for as long as the block lasts.

    Those of processes that are gone are removed first: the kernel has dropped their locks.
    """
    root = context.settings.data_dir / "scratch"
    await asyncio.to_thread(_sweep, root)
    folder, lock = await asyncio.to_thread(_made, root)
    try:
        yield folder
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        os.close(lock)


def _made(root: Path) -> tuple[Path, int]:
    """A folder and the handle that holds it."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Locked before it has a name that a sweep looks at.
    new, folder = root / f".{(name := new_id('tmp'))}", root / name
    new.mkdir(mode=0o700)
    lock = os.open(new, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(lock, fcntl.LOCK_EX)
    new.rename(folder)
    return folder, lock


def _sweep(root: Path) -> None:
    if not root.is_dir():
        return
    for folder in root.iterdir():
        if folder.name.startswith("."):
            continue
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            continue  # another sweep was sooner
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)
