"""The S3 backend in front of a store that misbehaves."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.storage.contract import ObjectExists, Storage, StorageUnavailable
from app.storage.s3 import PART_BYTES, READ_BYTES
from tests.fixtures.faulty_proxy import Fault, FaultyProxy, faulty_proxy
from tests.fixtures.s3 import S3Server, s3_storage

TIMEOUT_SECONDS = 0.5


@pytest.fixture
async def proxy(s3_server: S3Server) -> AsyncIterator[FaultyProxy]:
    async with faulty_proxy(s3_server.port) as running:
        yield running


@pytest.fixture
def storage(s3_server: S3Server, proxy: FaultyProxy) -> Storage:
    bucket = f"faults-{secrets.token_hex(4)}"
    s3_server.make_bucket(bucket)
    url = s3_server.url(bucket, port=proxy.port)
    return s3_storage(s3_server, url, timeout_seconds=TIMEOUT_SECONDS)


async def content(storage: Storage, key: str) -> bytes:
    return b"".join([block async for block in storage.read(key)])


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.BUSY, Fault.RESET])
async def test_a_store_that_fails_is_unavailable_for_every_call(
    storage: Storage, proxy: FaultyProxy, tmp_path: Path, fault: Fault
) -> None:
    await storage.put_bytes("acc/there", b"stays")
    file = tmp_path / "file"
    file.write_bytes(b"waits")
    proxy.fault = fault
    for attempt in (
        storage.put_bytes("acc/1", b"x"),
        storage.put_file("acc/2", file),
        storage.size_bytes("acc/there"),
        content(storage, "acc/there"),
        storage.list_keys("acc/"),
    ):
        with pytest.raises(StorageUnavailable) as refused:
            await attempt
        assert refused.value.retryable
        assert str(proxy.port) not in refused.value.message
    assert proxy.faults_shown >= 5
    assert file.read_bytes() == b"waits"
    proxy.fault = Fault.NONE
    await storage.put_file("acc/2", file)
    assert await content(storage, "acc/2") == b"waits"
    assert await content(storage, "acc/there") == b"stays"


async def test_a_put_whose_answer_is_lost_is_no_stranger_to_itself(
    storage: Storage, proxy: FaultyProxy
) -> None:
    proxy.fault = Fault.LOST_ANSWER
    with pytest.raises(StorageUnavailable):
        await storage.put_bytes("acc/1", b"once")
    proxy.fault = Fault.NONE
    with pytest.raises(ObjectExists):  # another put, if of the same bytes
        await storage.put_bytes("acc/1", b"once")
    assert await content(storage, "acc/1") == b"once"


async def test_a_repeated_request_that_meets_its_own_object_has_worked(
    storage: Storage, proxy: FaultyProxy
) -> None:
    proxy.fault, proxy.faults_left = Fault.LATE_BUSY, 1
    await storage.put_bytes("acc/1", b"once")
    assert proxy.faults_shown == 1
    assert await content(storage, "acc/1") == b"once"


async def test_large_files_go_up_in_parts_and_come_down_in_ranges(storage: Storage, tmp_path: Path) -> None:
    data = secrets.token_bytes(1024) * ((PART_BYTES + READ_BYTES) // 1024) + b"tail"
    file = tmp_path / "export.mp4"
    file.write_bytes(data)
    await storage.put_file("acc/export.mp4", file)
    assert not file.exists()
    assert await storage.size_bytes("acc/export.mp4") == len(data)
    assert await content(storage, "acc/export.mp4") == data
    async with storage.local_path("acc/export.mp4") as path:
        assert path.read_bytes() == data
    assert not path.exists()
    file.write_bytes(data)
    with pytest.raises(ObjectExists):
        await storage.put_file("acc/export.mp4", file)
    assert file.exists()
