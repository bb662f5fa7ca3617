"""Storage in a folder of the local disk: each object a file, put in place by an atomic link."""

import asyncio
import errno
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

from app.storage.contract import ObjectExists, ObjectMissing, StorageUnavailable
from app.storage.keys import key_parts

P = ParamSpec("P")
T = TypeVar("T")

READ_BYTES = 256 * 1024


class LocalStorage:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / ".incoming"

    async def put_bytes(self, key: str, data: bytes) -> None:
        await self._in_thread(self._put, key, lambda incoming: incoming.write_bytes(data))

    async def put_file(self, key: str, path: Path) -> None:
        await self._in_thread(self._put_file, key, path)

    async def size_bytes(self, key: str) -> int:
        path = self._path(key)
        return await self._in_thread(lambda: path.stat().st_size)

    async def read(self, key: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        # Nothing stays open between blocks: a reader that goes away in the middle leaves nothing behind.
        path = self._path(key)
        left = length
        while left is None or left > 0:
            size = READ_BYTES if left is None else min(READ_BYTES, left)
            block = await self._in_thread(_read_block, path, start, size)
            if not block:
                return
            start += len(block)
            if left is not None:
                left -= len(block)
            yield block

    @asynccontextmanager
    async def local_path(self, key: str) -> AsyncIterator[Path]:
        path = self._path(key)
        if not await asyncio.to_thread(path.is_file):
            raise ObjectMissing(f"no object at {key}")
        yield path

    async def delete(self, key: str) -> None:
        await self._in_thread(lambda: self._path(key).unlink(missing_ok=True))

    async def list_keys(self, prefix: str) -> list[str]:
        def walk() -> list[str]:
            # The folder part narrows the walk; the rest of the prefix may end inside a file's name.
            folder = self._path(prefix + "x").parent
            found = (path.relative_to(self._root).as_posix() for path in folder.rglob("*") if path.is_file())
            # What begins with a dot is no key: it is still being written.
            return sorted(key for key in found if key.startswith(prefix) and not key.startswith("."))

        return await self._in_thread(walk)

    def _path(self, key: str) -> Path:
        return self._root.joinpath(*key_parts(key))

    def _put_file(self, key: str, path: Path) -> None:
        target = self._path(key)
        _flush(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            # The file keeps its name until it has the other: no crash and no full disk loses it.
            os.link(path, target)
        except FileExistsError:
            raise ObjectExists(f"{key} is already stored") from None
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            self._put(key, lambda incoming: shutil.copyfile(path, incoming))
        else:
            _flush(target.parent)
        path.unlink()

    def _put(self, key: str, write: Callable[[Path], object]) -> None:
        target = self._path(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        self._incoming.mkdir(parents=True, exist_ok=True)
        incoming = self._incoming / secrets.token_hex(16)
        try:
            write(incoming)
            _flush(incoming)
            # A link, unlike a rename, refuses to replace what is there: keys are write-once.
            os.link(incoming, target)
            _flush(target.parent)
        except FileExistsError:
            raise ObjectExists(f"{key} is already stored") from None
        finally:
            incoming.unlink(missing_ok=True)

    async def _in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await asyncio.to_thread(work, *args, **kwargs)
        except FileNotFoundError as error:
            raise ObjectMissing("no such object") from error
        except OSError as error:
            raise StorageUnavailable(f"local storage: {error.strerror or type(error).__name__}") from error


def _read_block(path: Path, start: int, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(size)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
