"""Opens the storage backend that a URL names."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from app.base.errors import InvalidRequest
from app.storage.contract import Storage


def open_storage(url: str) -> Storage:
    """`file:///folder` opens local storage there. Raises `InvalidRequest` for another scheme."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        from app.storage.local import LocalStorage

        return LocalStorage(Path(unquote(parts.path)))
    raise InvalidRequest(f"CAPTURE_STORAGE_URL: no storage backend for {parts.scheme or 'no'}://")
