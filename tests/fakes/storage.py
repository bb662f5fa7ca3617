"""Storage that answers as long as it is told to."""

from pathlib import Path

from app.storage.contract import StorageUnavailable
from app.storage.local import LocalStorage


class FailingStorage(LocalStorage):
    """Real storage whose next `failures` puts fail; `puts` counts all that were tried."""

    def __init__(self, root: Path, failures: float = 0) -> None:
        super().__init__(root)
        self.failures = failures
        self.puts = 0

    async def put_bytes(self, key: str, data: bytes) -> None:
        self._try()
        await super().put_bytes(key, data)

    async def put_file(self, key: str, path: Path) -> None:
        self._try()
        await super().put_file(key, path)

    def _try(self) -> None:
        self.puts += 1
        if self.failures > 0:
            self.failures -= 1
            raise StorageUnavailable("the store is away")
