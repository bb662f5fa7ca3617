"""What every storage backend does: whole objects at write-once keys."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from app.base.errors import CaptureError


class ObjectMissing(CaptureError):
    status = 404
    code = "object_missing"


class ObjectExists(CaptureError):
    """The key is taken: finished media is never overwritten."""

    status = 409
    code = "object_exists"


class StorageUnavailable(CaptureError):
    status = 503
    code = "storage_unavailable"
    retryable = True


class Storage(Protocol):
    """Implementers: `local.LocalStorage`, `s3.S3Storage`. Every method may raise `StorageUnavailable`."""

    async def put_bytes(self, key: str, data: bytes) -> None:
        """Store `data` durably at a new key. Raises `ObjectExists`."""

    async def put_file(self, key: str, path: Path) -> None:
        """Store the finished file at `path` durably at a new key; the file may be moved away.

        Raises `ObjectExists`."""

    async def size_bytes(self, key: str) -> int:
        """Raises `ObjectMissing`."""

    def read(self, key: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Yield the object's bytes, or `length` bytes from `start`. Raises `ObjectMissing`."""

    def local_path(self, key: str) -> AbstractAsyncContextManager[Path]:
        """A readable local file with the object's bytes for the length of the block.

        Raises `ObjectMissing`."""

    async def delete(self, key: str) -> None:
        """Remove the object; a missing one is no error."""

    async def list_keys(self, prefix: str) -> list[str]:
        """Keys that start with `prefix`, sorted."""
