"""One OpenCapture per data folder: an exclusive lock that the kernel drops with its holder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.base.errors import Conflict


@contextmanager
def hold_data_folder(data_dir: Path) -> Iterator[None]:
    """Hold `data_dir` for this process; raises Conflict where another holds it, naming that process."""
    path = data_dir / "lock"
    # Not inherited by children (PEP 446): an orphan must not hold the folder.
    with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = file.read().strip() or "unknown"
            raise Conflict(
                f"another OpenCapture is running with this data folder (pid {holder}): "
                "stop it or set CAPTURE_DATA_DIR"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def is_held(data_dir: Path) -> bool:
    """Whether another process runs on this data folder now."""
    try:
        with open(data_dir / "lock", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
