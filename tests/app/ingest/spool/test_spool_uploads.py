from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import delete, text

from app.domain.streams.models import Stream
from app.ingest.sinks import recorder as recorder_module
from app.ingest.spool import uploads as uploads_module
from app.ingest.spool.uploads import open_uploads
from app.process import Context
from app.storage.contract import ObjectMissing
from tests.fakes.storage import FailingStorage
from tests.fixtures.factories import detach, status_of, stop_session
from tests.fixtures.media import opus_packets, tone
from tests.fixtures.recordings import Recording, offer, recording, until

PACKETS = opus_packets(tone(6.0))


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "PART_SECONDS", 0.05)
    monkeypatch.setattr(uploads_module, "SHORTEST_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(uploads_module, "LONGEST_PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(uploads_module, "SETTLE_SECONDS", 0.05)
    monkeypatch.setattr(uploads_module, "CLOSE_SECONDS", 0.3)


@pytest.fixture
def storage(tmp_path: Path) -> FailingStorage:
    return FailingStorage(tmp_path / "store")


@pytest.fixture
def failing(context: Context, storage: FailingStorage) -> Context:
    return replace(context, storage=storage)


async def record(made: Recording, uploads: uploads_module.Uploads) -> None:
    recorder = made.recorder(uploads)
    offer(recorder, PACKETS)
    await recorder.close()


async def test_a_store_that_is_away_holds_up_the_stop_and_loses_nothing(
    failing: Context, storage: FailingStorage
) -> None:
    storage.failures = float("inf")
    async with recording(failing) as (made, uploads):
        await record(made, uploads)
        await until(lambda: uploads.failed_attempts >= 3)
        assert uploads.backlog.segments == 2
        assert uploads.backlog.size_bytes > 10_000
        await stop_session(failing, made.session_id)
        await detach(failing, made.stream_id)
        uploads.settle(made.stream_id)
        assert await status_of(failing, made.session_id) == "stopping"
        assert await made.segments() == []
        storage.failures = 0
        await until(lambda: uploads.backlog.segments == 0)
        while await status_of(failing, made.session_id) != "stopped":
            await until(lambda: not uploads._unsettled)
        assert sum(segment.frame_count for segment in await made.segments()) == len(PACKETS)
        assert uploads.lost_segments == 0


async def test_what_a_process_could_not_deliver_is_delivered_by_the_next(
    failing: Context, storage: FailingStorage
) -> None:
    storage.failures = float("inf")
    async with recording(failing) as (made, uploads):
        await record(made, uploads)
        name = uploads.spool_name
    assert len(made.spooled()) == 4
    await detach(failing, made.stream_id, ended=False)
    await stop_session(failing, made.session_id)
    assert await status_of(failing, made.session_id) == "stopping"
    storage.failures = 1
    async with open_uploads(failing) as again:
        assert again.spool_name == name
        await until(lambda: not made.spooled())
        await until(lambda: not again._unsettled)
    assert await status_of(failing, made.session_id) == "stopped"
    assert len(await made.segments()) == 2


async def test_a_crash_between_object_and_row_leaves_one_of_each(
    failing: Context, storage: FailingStorage
) -> None:
    storage.failures = float("inf")
    async with recording(failing) as (made, uploads):
        await record(made, uploads)
        manifests = [manifest for manifest, _ in uploads._waiting.values()]
    storage.failures = 0
    first, second = manifests
    await storage.put_file(first.storage_key, uploads.spool.path(first))  # the spool's file is gone with that
    await storage.put_bytes(second.storage_key, uploads.spool.path(second).read_bytes())
    async with open_uploads(failing) as again:
        await until(lambda: not made.spooled())
        assert again.failed_attempts == 0
    assert [segment.id for segment in await made.segments()] == [first.segment_id, second.segment_id]
    for manifest in manifests:
        assert manifest.recorded is not None
        assert await storage.size_bytes(manifest.storage_key) == manifest.recorded.size_bytes


async def test_a_manifest_without_its_segment_is_counted_as_lost_and_ends(
    failing: Context, storage: FailingStorage
) -> None:
    storage.failures = float("inf")
    async with recording(failing) as (made, uploads):
        await record(made, uploads)
    for path in made.spooled():
        if path.suffix == ".mp4":
            path.unlink()
    async with open_uploads(failing) as again:
        await until(lambda: not made.spooled())
        assert again.lost_segments == 2
    assert await made.segments() == []


async def test_segments_of_a_deleted_stream_leave_nothing(failing: Context, storage: FailingStorage) -> None:
    storage.failures = float("inf")
    async with recording(failing) as (made, uploads):
        await record(made, uploads)
        keys = [manifest.storage_key for manifest, _ in uploads._waiting.values()]
        async with failing.db.transaction() as session:
            await session.execute(delete(Stream).where(Stream.id == made.stream_id))
        storage.failures = 0
        await until(lambda: uploads.backlog.segments == 0)
        await until(lambda: not uploads._unsettled)
    for key in keys:
        with pytest.raises(ObjectMissing):
            await storage.size_bytes(key)
    assert made.spooled() == []


async def test_a_database_that_is_away_is_waited_for(failing: Context) -> None:
    async with recording(failing) as (made, uploads):
        async with failing.db.transaction() as session:
            await session.execute(text("alter table segments rename to segments_away"))
        await record(made, uploads)
        await until(lambda: uploads.failed_attempts >= 2)
        async with failing.db.transaction() as session:
            await session.execute(text("alter table segments_away rename to segments"))
        await until(lambda: uploads.backlog.segments == 0)
        assert len(await made.segments()) == 2
