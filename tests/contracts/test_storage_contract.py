"""What every storage backend does, each through the same cases."""

import asyncio
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from app.base.errors import CaptureError, InvalidRequest
from app.storage.contract import ObjectExists, ObjectMissing, Storage, StorageUnavailable
from app.storage.local import READ_BYTES, LocalStorage
from app.storage.registry import open_storage
from app.storage.s3 import S3Storage
from tests.fixtures.s3 import S3Server, s3_storage

BACKENDS: dict[str, Callable[[pytest.FixtureRequest, Path], Storage]] = {
    "local": lambda _, folder: LocalStorage(folder / "objects"),
    "s3": lambda request, _: bucket_storage(request.getfixturevalue("s3_server")),
    "s3 without conditional put": lambda request, _: bucket_storage(
        request.getfixturevalue("s3_server"), "&conditional_put=off"
    ),
    "swift": lambda request, _: bucket_storage(request.getfixturevalue("swift_server")),
}
NOT_KEYS = ["", "/etc/passwd", "a/../../b", "..", "a/./b", "a//b", "a/", ".incoming/x", "a/.hidden"]


@pytest.fixture(
    params=[pytest.param(name, marks=[pytest.mark.slow] * (name == "swift")) for name in BACKENDS]
)
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return BACKENDS[request.param](request, tmp_path)


def bucket_storage(server: S3Server, more: str = "") -> Storage:
    bucket = f"contract-{secrets.token_hex(4)}"
    server.make_bucket(bucket)
    return s3_storage(server, server.url(bucket, more=more))


def files_in(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


async def content(storage: Storage, key: str, start: int = 0, length: int | None = None) -> bytes:
    return b"".join([block async for block in storage.read(key, start, length)])


async def test_what_was_put_is_read_sized_and_found(storage: Storage) -> None:
    await storage.put_bytes("acc/a/1.bin", b"hello")
    assert await content(storage, "acc/a/1.bin") == b"hello"
    assert await storage.size_bytes("acc/a/1.bin") == 5
    async with storage.local_path("acc/a/1.bin") as path:
        assert await asyncio.to_thread(path.read_bytes) == b"hello"


async def test_an_object_may_be_empty(storage: Storage) -> None:
    await storage.put_bytes("acc/empty", b"")
    assert await storage.size_bytes("acc/empty") == 0
    assert await content(storage, "acc/empty") == b""


async def test_keys_are_written_once(storage: Storage, tmp_path: Path) -> None:
    await storage.put_bytes("acc/1", b"first")
    with pytest.raises(ObjectExists):
        await storage.put_bytes("acc/1", b"second")
    file = tmp_path / "file"
    file.write_bytes(b"third")
    with pytest.raises(ObjectExists):
        await storage.put_file("acc/1", file)
    assert await content(storage, "acc/1") == b"first"


async def test_of_puts_at_the_same_time_exactly_one_wins(
    storage: Storage, request: pytest.FixtureRequest
) -> None:
    if request.node.callspec.id in ("swift", "s3 without conditional put"):
        pytest.skip("a store without a conditional put that is atomic promises no more than a look before")
    bodies = [bytes([number]) * 100_000 for number in range(12)]
    ended = await asyncio.gather(
        *(storage.put_bytes("acc/race", body) for body in bodies), return_exceptions=True
    )
    won = [number for number, end in enumerate(ended) if end is None]
    assert len(won) == 1
    assert all(isinstance(end, ObjectExists) for end in ended if end is not None)
    assert await content(storage, "acc/race") == bodies[won[0]]
    assert await storage.list_keys("") == ["acc/race"]


async def test_a_file_is_taken_over_whole(storage: Storage, tmp_path: Path) -> None:
    file = tmp_path / "export.mp4"
    file.write_bytes(bytes(range(256)) * 4096)
    await storage.put_file("acc/export.mp4", file)
    assert await content(storage, "acc/export.mp4") == bytes(range(256)) * 4096
    assert not file.exists()


async def test_ranges(storage: Storage) -> None:
    data = bytes(range(256)) * (READ_BYTES // 256) * 2 + b"tail"
    await storage.put_bytes("acc/big", data)
    for start, length in [(0, 1), (0, 0), (5, READ_BYTES), (READ_BYTES - 1, 2), (len(data) - 4, None)]:
        end = None if length is None else start + length
        assert await content(storage, "acc/big", start, length) == data[start:end]
    assert await content(storage, "acc/big", len(data) - 2, 100) == b"il"
    assert await content(storage, "acc/big", len(data) + 5, 100) == b""


async def test_what_is_not_there(storage: Storage) -> None:
    with pytest.raises(ObjectMissing):
        await content(storage, "acc/none")
    with pytest.raises(ObjectMissing):
        await storage.size_bytes("acc/none")
    with pytest.raises(ObjectMissing):
        async with storage.local_path("acc/none"):
            pass
    await storage.delete("acc/none")
    assert await storage.list_keys("acc/") == []


async def test_delete_takes_one_object_away_and_frees_its_key(storage: Storage) -> None:
    await storage.put_bytes("acc/1", b"first")
    await storage.put_bytes("acc/2", b"stays")
    await storage.delete("acc/1")
    assert await storage.list_keys("acc/") == ["acc/2"]
    await storage.put_bytes("acc/1", b"again")
    assert await content(storage, "acc/1") == b"again"


async def test_list_finds_every_key_of_a_prefix_sorted_and_nothing_else(storage: Storage) -> None:
    keys = ["a/x/2.mp4", "a/x/1.mp4", "a/xy/1.mp4", "b/x/1.mp4", "a/z"]
    for key in keys:
        await storage.put_bytes(key, b".")
    assert await storage.list_keys("") == sorted(keys)
    assert await storage.list_keys("a/x/") == ["a/x/1.mp4", "a/x/2.mp4"]
    assert await storage.list_keys("a/x") == ["a/x/1.mp4", "a/x/2.mp4", "a/xy/1.mp4"]
    assert await storage.list_keys("c/") == []


@pytest.mark.parametrize("key", NOT_KEYS)
async def test_what_is_no_key_is_refused_everywhere(storage: Storage, tmp_path: Path, key: str) -> None:
    outside = files_in(tmp_path)
    file = tmp_path / "file"
    file.write_bytes(b"x")
    for attempt in (
        storage.put_bytes(key, b"x"),
        storage.put_file(key, file),
        storage.size_bytes(key),
        storage.delete(key),
        content(storage, key),
    ):
        with pytest.raises(CaptureError) as refused:
            await attempt
        assert not refused.value.retryable
    assert file.read_bytes() == b"x"
    assert files_in(tmp_path) - {file} == outside


async def test_storage_that_cannot_be_written_is_unavailable_and_says_so_without_its_path(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_bytes(b"")
    storage = LocalStorage(tmp_path / "file" / "objects")  # a file is no folder, whoever asks: root too
    with pytest.raises(StorageUnavailable) as refused:
        await storage.put_bytes("acc/1", b"x")
    assert refused.value.retryable
    assert str(tmp_path) not in refused.value.message


async def test_half_written_objects_are_never_seen(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    await storage.put_bytes("acc/1", b"x")
    (tmp_path / ".incoming" / "left-by-a-crash").write_bytes(b"half")
    assert await storage.list_keys("") == ["acc/1"]


def test_a_url_names_its_backend(tmp_path: Path) -> None:
    assert isinstance(open_storage((tmp_path / "with space").as_uri()), LocalStorage)
    assert isinstance(open_storage("s3://bucket/some/folder?region=eu-central-1"), S3Storage)
    wrong = [
        "ftp://bucket",
        "s3:///folder",
        "s3://key:secret@bucket",
        "s3://bucket?zone=1",
        "/just/a/path",
        "",
    ]
    for url in wrong:
        with pytest.raises(InvalidRequest, match="CAPTURE_STORAGE_URL"):
            open_storage(url)
