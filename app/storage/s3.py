"""Storage in a bucket of any store that speaks S3, by the `obstore` client."""

import asyncio
import secrets
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import S3Store

from app.storage.contract import ObjectExists, ObjectMissing, StorageUnavailable
from app.storage.keys import key_parts

if TYPE_CHECKING:
    from obstore.store import S3Config

READ_BYTES = 4 * 1024 * 1024
PART_BYTES = 8 * 1024 * 1024  # what is larger goes up in parts of this size
PARTS_AT_ONCE = 2
CONNECT_SECONDS = 5.0
# Within one call; who calls knows better how long to go on after that.
RETRIES = 2
_PUT_ID = "put-id"


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where objects lie. `endpoint` is None for AWS; without keys the client finds a role of the machine.

    `has_conditional_put` says that the store knows `If-None-Match: *`; without, write-once is a look before.
    """

    name: str
    prefix: str
    endpoint: str | None
    region: str
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    has_conditional_put: bool = True


class S3Storage:
    """Each request ends within `timeout_seconds`, each call within a few of them."""

    def __init__(self, bucket: Bucket, *, timeout_seconds: float) -> None:
        self._bucket = bucket
        self._call_seconds = timeout_seconds * (RETRIES + 1)
        config: S3Config = {"region": bucket.region, "virtual_hosted_style_request": False}
        if bucket.endpoint:
            config["endpoint"] = bucket.endpoint
        if bucket.access_key_id:
            config["access_key_id"] = bucket.access_key_id
        if bucket.secret_access_key:
            config["secret_access_key"] = bucket.secret_access_key
        if bucket.session_token:
            config["session_token"] = bucket.session_token
        self._store = S3Store(
            bucket.name,
            prefix=bucket.prefix or None,
            config=config,
            client_options={
                "allow_http": (bucket.endpoint or "").startswith("http://"),
                "connect_timeout": timedelta(seconds=min(CONNECT_SECONDS, timeout_seconds)),
                "timeout": timedelta(seconds=timeout_seconds),
            },
            retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=timeout_seconds)},
        )

    async def put_bytes(self, key: str, data: bytes) -> None:
        _check(key)
        await self._put(key, data)

    async def put_file(self, key: str, path: Path) -> None:
        _check(key)
        size_bytes = (await asyncio.to_thread(path.stat)).st_size
        if size_bytes <= PART_BYTES:
            await self._put(key, await asyncio.to_thread(path.read_bytes))
        else:
            await self._put_parts(key, path, size_bytes)
        await asyncio.to_thread(path.unlink)

    async def size_bytes(self, key: str) -> int:
        _check(key)
        async with self._call(key):
            meta = await obstore.head_async(self._store, key)
        return int(meta["size"])

    async def read(self, key: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        # In ranges, each a request with its own limit: a limit for all would depend on the object's length.
        end = await self.size_bytes(key)
        if length is not None:
            end = min(end, start + length)
        while start < end:
            async with self._call(key):
                block = await obstore.get_range_async(
                    self._store, key, start=start, end=min(start + READ_BYTES, end)
                )
            start += len(block)
            yield block.to_bytes()

    @asynccontextmanager
    async def local_path(self, key: str) -> AsyncIterator[Path]:
        with tempfile.TemporaryDirectory(prefix="capture-object-") as folder:
            path = Path(folder) / key.rpartition("/")[2]
            blocks = self.read(key)
            file = await asyncio.to_thread(path.open, "wb")
            try:
                async for block in blocks:
                    await asyncio.to_thread(file.write, block)
            finally:
                await asyncio.to_thread(file.close)
            yield path

    async def delete(self, key: str) -> None:
        _check(key)
        async with self._call(key):
            await obstore.delete_async(self._store, key)

    async def list_keys(self, prefix: str) -> list[str]:
        _check(prefix + "x")
        # S3 lists by any prefix, the client by whole folders only.
        folder = prefix.rpartition("/")[0]
        found: list[str] = []
        pages = obstore.list(self._store, folder or None)
        while True:
            async with self._call(prefix):
                page = await anext(pages, None)
            if page is None:
                return sorted(key for key in found if key.startswith(prefix))
            found += [meta["path"] for meta in page]

    async def _put(self, key: str, data: bytes) -> None:
        if not self._bucket.has_conditional_put:
            await self._refuse_taken(key)
        put_id = secrets.token_hex(8)
        try:
            async with self._call(key):
                await obstore.put_async(
                    self._store,
                    key,
                    data,
                    attributes={_PUT_ID: put_id},
                    mode="create" if self._bucket.has_conditional_put else "overwrite",
                    use_multipart=False,
                )
        except ObjectExists:
            # The client repeats a request whose answer was lost, and is then told of its own object.
            if await self._put_id(key) != put_id:
                raise

    async def _put_parts(self, key: str, path: Path, size_bytes: int) -> None:
        """S3 has no condition for an upload in parts that this client can set: look before."""
        await self._refuse_taken(key)
        async with self._call(key, requests=1 + size_bytes // PART_BYTES):
            await obstore.put_async(
                self._store,
                key,
                path,
                mode="overwrite",
                use_multipart=True,
                chunk_size=PART_BYTES,
                max_concurrency=PARTS_AT_ONCE,
            )

    async def _refuse_taken(self, key: str) -> None:
        try:
            await self.size_bytes(key)
        except ObjectMissing:
            return
        raise ObjectExists(f"{key} is already stored")

    async def _put_id(self, key: str) -> str | None:
        async with self._call(key):
            found = await obstore.get_async(self._store, key, options={"head": True})
        return found.attributes.get(_PUT_ID)

    @asynccontextmanager
    async def _call(self, key: str, *, requests: int = 1) -> AsyncIterator[None]:
        """Bound a call, and say what went wrong in our words: the client's name hosts and quote answers."""
        try:
            async with asyncio.timeout(self._call_seconds * requests):
                yield
        except FileNotFoundError:
            raise ObjectMissing("no such object") from None
        except (AlreadyExistsError, PreconditionError):
            raise ObjectExists(f"{key} is already stored") from None
        except (BaseError, OSError) as error:
            raise StorageUnavailable(f"S3 storage: {type(error).__name__}") from None


def _check(key: str) -> None:
    key_parts(key)
