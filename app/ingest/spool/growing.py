"""A segment that grows in the spool: each part is on the disk before the next one is taken."""

import errno
import fcntl
import os
from pathlib import Path


class GrowingFile:
    """A new file at `path`, held by a lock that the kernel drops with this process.

    `reserve_bytes` of the disk stay free: the database may live on it too. A part that was appended survives
    a kill, and where `sync` is on a power cut. Every method may raise `OSError`; what was appended before is
    then still whole.
    """

    def __init__(self, path: Path, *, reserve_bytes: int, sync: bool = True) -> None:
        self.size_bytes = 0
        self._written_bytes = 0  # with what is provisional
        self._sync = sync
        self._reserve_bytes = reserve_bytes
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def append(self, part: bytes, *, provisional: bool = False) -> None:
        """Write `part` at the end; a provisional one is written over by the next."""
        if not part:
            return
        try:
            self._check_room(len(part))
            _write_all(self._file, part, self.size_bytes)
            end = self.size_bytes + len(part)
            if end < self._written_bytes:  # a longer provisional part was there
                os.ftruncate(self._file, end)
            self._written_bytes = end
            if self._sync:
                os.fdatasync(self._file)
        except OSError:
            os.ftruncate(self._file, self.size_bytes)
            self._written_bytes = self.size_bytes
            raise
        if not provisional:
            self.size_bytes += len(part)

    def close(self) -> None:
        """Cut off what is provisional and let go of the file; harmless when already closed."""
        file, self._file = self._file, -1
        if file < 0:
            return
        try:
            os.ftruncate(file, self.size_bytes)
        finally:
            os.close(file)

    def _check_room(self, size_bytes: int) -> None:
        disk = os.fstatvfs(self._file)
        if disk.f_bavail * disk.f_frsize < self._reserve_bytes + size_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def is_held(path: Path) -> bool:
    """Whether a process is still writing the file at `path`. Raises `OSError`."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def is_disk_full(error: OSError) -> bool:
    """Whether `error` says that there is no room, rather than that the disk is broken."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def _write_all(file: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written
