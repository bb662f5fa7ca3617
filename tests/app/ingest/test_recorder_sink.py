"""The recorder sink with real encoded frames: what it leaves in storage and in the database."""

import asyncio
import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import av
import pytest

from app.domain.streams.models import Segment
from app.domain.streams.service import list_segments
from app.ingest.sinks import recorder as recorder_module
from app.ingest.sinks.recorder import Recorder
from app.media.frames import Codec, EncodedFrame
from app.process import Context
from app.storage.keys import stream_prefix
from tests.fakes.storage import FailingStorage
from tests.fixtures.eventually import eventually
from tests.fixtures.factories import Tenant, make_active, make_tenant
from tests.fixtures.media import START_US, h264_frames, opus_packets, tone, vp8_frames

LIMIT_SECONDS = 30


@dataclass
class Recording:
    """A recorder on a stream of its own, with two-second segments and storage that can fail."""

    context: Context
    storage: FailingStorage
    tenant: Tenant
    stream_id: str
    keyframe_requests: int = 0

    def recorder(self, codec: Codec) -> Recorder:
        def request_keyframe() -> None:
            self.keyframe_requests += 1

        return Recorder(
            self.context,
            account_id=self.tenant.account_id,
            stream_id=self.stream_id,
            codec=codec,
            zero_us=START_US,
            request_keyframe=request_keyframe,
        )

    async def of(self, frames: Sequence[EncodedFrame]) -> Recorder:
        """Everything offered at once, and closed."""
        recorder = self.recorder(frames[0].codec)
        for frame in frames:
            recorder.offer(frame)
        async with asyncio.timeout(LIMIT_SECONDS):
            await recorder.close()
        return recorder

    async def rows(self) -> list[Segment]:
        async with self.context.db.transaction() as session:
            return await list_segments(session, self.stream_id)

    async def keys(self) -> list[str]:
        return await self.storage.list_keys(stream_prefix(self.tenant.account_id, self.stream_id))


@pytest.fixture
async def recording(context: Context, monkeypatch: pytest.MonkeyPatch) -> Recording:
    monkeypatch.setattr(recorder_module, "COLLECT_SECONDS", 0.01)
    monkeypatch.setattr(recorder_module, "STORE_ATTEMPTS", 3)
    tenant = await make_tenant(context)
    _, opened = await make_active(context, tenant)
    storage = FailingStorage(context.settings.data_dir / "objects")
    settings = context.settings.model_copy(update={"segment_seconds": 2.0})
    with_storage = Context(settings, context.db, context.redis, storage)
    return Recording(with_storage, storage, tenant, opened["mic:default"])


async def content(recording: Recording, key: str) -> bytes:
    return b"".join([block async for block in recording.storage.read(key)])


@pytest.mark.parametrize("frames", [h264_frames, vp8_frames], ids=["h264", "vp8"])
async def test_pictures_are_cut_at_key_frames(recording: Recording, frames: object) -> None:
    sent = frames(seconds=5.0, keyframe_seconds=1.0)  # type: ignore[operator]
    recorder = await recording.of(sent)
    rows = await recording.rows()
    assert [(row.started_at_us - START_US) / 1e6 for row in rows] == [0.0, 2.0, 4.0]
    assert all(row.starts_with_keyframe for row in rows)
    assert [(row.width, row.height) for row in rows] == [(320, 180)] * 3
    assert sum(row.frame_count for row in rows) == len(sent)
    assert sorted(row.storage_key for row in rows) == await recording.keys()
    assert (recorder.lost_segments, recorder.unusable_frames) == (0, 0)
    for row in rows:
        data = await content(recording, row.storage_key)
        assert row.size_bytes == len(data)
        with av.open(io.BytesIO(data)) as container:
            assert sum(1 for _ in container.decode(video=0)) == row.frame_count


async def test_sound_is_cut_anywhere_and_leaves_no_hole(recording: Recording) -> None:
    sent = opus_packets(tone(5.0))
    await recording.of(sent)
    rows = await recording.rows()
    assert len(rows) == 3
    assert sum(row.frame_count for row in rows) == len(sent)
    for row, following in pairwise(rows):
        assert abs(row.started_at_us + row.duration_us - following.started_at_us) <= 20_000
        assert row.codec == "opus"


async def test_a_publisher_that_sends_no_key_frame_is_asked_for_one_and_cut_without(
    recording: Recording,
) -> None:
    sent = h264_frames(seconds=9.0, keyframe_seconds=100.0, width=64, height=64)
    recorder = recording.recorder(Codec.H264)
    for frame in sent[:60]:
        recorder.offer(frame)
    # Four seconds, and no key frame to cut at.
    await eventually(lambda: recording.keyframe_requests > 0)
    async with asyncio.timeout(LIMIT_SECONDS):
        for frame in sent[60:]:
            recorder.offer(frame)
        await recorder.close()
    rows = await recording.rows()
    assert [row.starts_with_keyframe for row in rows] == [True, False]
    assert sum(row.frame_count for row in rows) == len(sent)


async def test_pictures_before_the_first_key_frame_are_left_out(recording: Recording) -> None:
    sent = h264_frames(seconds=3.0, keyframe_seconds=1.0, width=64, height=64)
    recorder = await recording.of(sent[5:])
    (first, *_) = await recording.rows()
    assert first.started_at_us == START_US + 1_000_000
    assert recorder.unusable_frames == 10


async def test_a_full_recorder_goes_on_at_a_key_frame(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "QUEUE_FRAMES", 20)
    sent = h264_frames(seconds=4.0, keyframe_seconds=1.0, width=64, height=64)
    recorder = recording.recorder(Codec.H264)
    for frame in sent[:25]:  # more than it holds
        recorder.offer(frame)
    await eventually(lambda: not recorder._batches._frames)
    async with asyncio.timeout(LIMIT_SECONDS):
        for frame in sent[25:45]:
            recorder.offer(frame)
        await recorder.close()
    rows = await recording.rows()
    assert sum(row.frame_count for row in rows) == 20 + 15  # until it was full, and from 2.0 s on
    for row in rows:
        with av.open(io.BytesIO(await content(recording, row.storage_key))) as container:
            container.streams.video[0].codec_context.options = {"err_detect": "explode"}
            assert sum(1 for _ in container.decode(video=0)) == row.frame_count


async def test_a_new_picture_size_begins_a_new_segment(recording: Recording) -> None:
    small = h264_frames(seconds=1.0, width=64, height=64)
    large = h264_frames(seconds=1.0, width=128, height=64, started_at_us=START_US + 1_000_000)
    await recording.of([*small, *large])
    assert [(row.width, row.frame_count) for row in await recording.rows()] == [(64, 15), (128, 15)]


async def test_a_frame_that_is_none_costs_itself_alone(recording: Recording) -> None:
    sent = opus_packets(tone(1.0))
    empty = EncodedFrame(Codec.OPUS, b"", 0, START_US + 100_000, is_keyframe=True)
    recorder = await recording.of([*sent[:5], empty, *sent[5:]])
    (row,) = await recording.rows()
    assert (row.frame_count, recorder.unusable_frames) == (len(sent), 1)


async def test_storage_that_fails_and_comes_back_loses_nothing(recording: Recording) -> None:
    recording.storage.failures = 2
    recorder = await recording.of(opus_packets(tone(3.0)))
    assert recorder.lost_segments == 0
    assert len(await recording.rows()) == 2
    assert len(await recording.keys()) == 2


async def test_storage_that_is_dead_costs_segments_that_are_counted(recording: Recording) -> None:
    recording.storage.failures = float("inf")
    recorder = await recording.of(opus_packets(tone(3.0)))
    assert recorder.lost_segments == 2
    assert await recording.rows() == []


async def test_a_database_that_comes_back_gets_its_rows(recording: Recording) -> None:
    async def rename(name: str, other: str) -> None:
        async with recording.context.db.transaction() as session:
            await (await session.connection()).exec_driver_sql(f"alter table {name} rename to {other}")

    await rename("segments", "hidden")
    recorder = recording.recorder(Codec.OPUS)
    for frame in opus_packets(tone(3.0)):
        recorder.offer(frame)
    closing = asyncio.create_task(recorder.close())
    await eventually(lambda: recording.storage.puts > 0)
    async with asyncio.timeout(LIMIT_SECONDS):
        await rename("hidden", "segments")
        await closing
    assert recorder.lost_segments == 0
    assert len(await recording.rows()) == 2
