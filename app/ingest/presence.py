"""Which ingest processes of one data folder are alive: each holds the lock on a file named after it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_SUFFIX = ".ingest"


@contextmanager
def present(folder: Path, publisher_id: str) -> Iterator[None]:
    """Be known as alive for the length of the block; a kill ends it too. Raises `OSError`."""
    path = folder / f"{publisher_id}{_SUFFIX}"
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
        path.unlink(missing_ok=True)
    finally:
        os.close(file)


def killed(folder: Path) -> list[str]:
    """The ids of processes that died without leaving. Raises `OSError`."""
    return [path.name.removesuffix(_SUFFIX) for path in folder.glob(f"*{_SUFFIX}") if not _is_alive(path)]


def forget(folder: Path, publisher_id: str) -> None:
    """What the process held has been seen to."""
    (folder / f"{publisher_id}{_SUFFIX}").unlink(missing_ok=True)


def _is_alive(path: Path) -> bool:
    with suppress(FileNotFoundError), path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
