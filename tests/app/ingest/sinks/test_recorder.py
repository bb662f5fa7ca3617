import asyncio
import errno
import os
import shutil
from dataclasses import replace
from pathlib import Path

import av
import pytest

from app.domain.sessions.models import CaptureSession
from app.ingest.sinks import recorder as recorder_module
from app.ingest.spool import growing
from app.ingest.spool.uploads import open_uploads
from app.media.frames import Codec
from app.process import Context
from tests.fixtures.factories import detach, stop_session
from tests.fixtures.media import START_US, h264_frames, opus_packets, tone, vp8_frames
from tests.fixtures.recordings import Recording, offer, recording, until

PACKETS = opus_packets(tone(10.0))


@pytest.fixture(autouse=True)
def _short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "PART_SECONDS", 0.05)


async def decoded_seconds(made: Recording) -> float:
    """How much sound the stream's registered segments decode to."""
    samples = 0
    for segment in await made.segments():
        async with made.context.storage.local_path(segment.storage_key) as path:
            with av.open(str(path)) as container:
                samples += sum(frame.samples for frame in container.decode(audio=0))
    return samples / 48_000


async def test_segments_reach_storage_and_leave_the_spool(context: Context) -> None:
    async with recording(context) as (made, uploads):
        recorder = made.recorder(uploads)
        offer(recorder, PACKETS)
        await recorder.close()
        await until(lambda: uploads.backlog.segments == 0)
        segments = await made.segments()
        assert [segment.started_at_us - PACKETS[0].captured_at_us for segment in segments] == [
            0,
            4_000_000,
            8_000_000,
        ]
        assert [segment.discontinuity for segment in segments] == [True, False, False]
        assert sum(segment.frame_count for segment in segments) == len(PACKETS)
        for segment in segments:
            assert await context.storage.size_bytes(segment.storage_key) == segment.size_bytes
        assert await decoded_seconds(made) == pytest.approx(10.0, abs=0.021)
        assert made.spooled() == []
        await detach(context, made.stream_id)
        uploads.settle(made.stream_id)
        folder = context.settings.data_dir / "spool" / made.stream_id
        await until(lambda: not folder.exists())


@pytest.mark.parametrize("frames", [h264_frames(seconds=3), vp8_frames(seconds=3)], ids=["h264", "vp8"])
async def test_what_a_crash_leaves_is_registered_by_the_next_process(
    context: Context, tmp_path: Path, frames: list[recorder_module.EncodedFrame]
) -> None:
    async with recording(context) as (made, uploads):
        recorder = made.recorder(uploads, frames[0].codec)
        for third in (frames[:15], frames[15:30]):
            offer(recorder, third)
            size = sum(path.stat().st_size for path in made.spooled())
            await until(lambda before=size: sum(path.stat().st_size for path in made.spooled()) > before)
        # The disk as a kill would leave it: the process goes on, and holds its file.
        await asyncio.sleep(0.2)
        left = tmp_path / "left"
        await asyncio.to_thread(shutil.copytree, context.settings.data_dir, left)
        assert await uploads.spool.in_thread(uploads.spool.take_up, made.stream_id) == []
        with next(path for path in made.spooled(left) if path.suffix != ".json").open("ab") as file:
            file.write(b"\x00\x00\x07torn")
        after = replace(context, settings=context.settings.model_copy(update={"data_dir": left}))
        for _ in range(2):  # again, as after a crash while it was taking up
            async with open_uploads(after) as again:
                await until(lambda: not made.spooled(left) and not again.backlog.segments)
        (segment,) = await made.segments()
        assert segment.frame_count == 30  # the newest was written down while nothing came
        assert segment.duration_us == pytest.approx(2_000_000, abs=2_000)
        assert segment.started_at_us == START_US
        assert (segment.width, segment.height, segment.starts_with_keyframe) == (320, 180, True)
        async with context.storage.local_path(segment.storage_key) as path:
            with av.open(str(path)) as container:
                assert sum(1 for _ in container.decode(video=0)) == 30
        await recorder.close()


async def test_a_screen_that_stands_still_is_on_the_disk_and_keeps_its_time(context: Context) -> None:
    first, second, third = h264_frames(times_seconds=[0.0, 0.1, 3.0])
    async with recording(context) as (made, uploads):
        recorder = made.recorder(uploads, Codec.H264)
        offer(recorder, [first, second])

        def pictures() -> int:
            media = [path for path in made.spooled() if path.suffix == ".mp4"]
            if not media or not media[0].stat().st_size:
                return 0
            with av.open(str(media[0])) as container:
                return sum(1 for packet in container.demux(video=0) if packet.size)

        await until(lambda: pictures() == 2)
        offer(recorder, [third])
        await recorder.close()
        await until(lambda: uploads.backlog.segments == 0)
        (segment,) = await made.segments()
        async with context.storage.local_path(segment.storage_key) as path:
            with av.open(str(path)) as container:
                packets = [packet for packet in container.demux(video=0) if packet.size]
                assert [round(float(packet.pts * packet.time_base), 3) for packet in packets] == [0, 0.1, 3]
                assert float(packets[1].duration * packets[1].time_base) == pytest.approx(2.9, abs=0.001)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
async def test_a_disk_that_takes_no_more_fails_the_session_and_keeps_what_was_recorded(
    context: Context, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    room = 24_000
    write = os.pwrite

    def write_while_there_is_room(file: int, data: memoryview, offset: int) -> int:
        nonlocal room
        if room <= 0:
            raise OSError(number, os.strerror(number))
        written = write(file, data[:room], offset)
        room -= written
        return written

    monkeypatch.setattr(growing.os, "pwrite", write_while_there_is_room)
    async with recording(context) as (made, uploads):
        recorder = made.recorder(uploads)
        for start in range(0, len(PACKETS), 25):
            offer(recorder, PACKETS[start : start + 25])
            await asyncio.sleep(0.06)
        await recorder.close()
        await until(lambda: uploads.backlog.segments == 0)
        async with context.db.transaction() as session:
            capture = await session.get_one(CaptureSession, made.session_id)
        assert capture.status == "failed"
        assert capture.error is not None
        assert capture.error["code"] == ("disk_full" if number == errno.ENOSPC else "disk_failed")
        segments = await made.segments()
        kept = sum(segment.size_bytes for segment in segments)
        assert 0.7 * 24_000 < kept <= 24_000
        assert await decoded_seconds(made) == pytest.approx(
            sum(segment.duration_us for segment in segments) / 1e6, abs=0.05
        )
        assert recorder.unusable_frames > 0


async def test_recording_ends_before_the_disk_is_full_to_the_last_byte(context: Context) -> None:
    context.settings.disk_reserve_bytes = 1 << 60
    async with recording(context) as (made, uploads):
        recorder = made.recorder(uploads)
        offer(recorder, PACKETS)
        await recorder.close()
        async with context.db.transaction() as session:
            capture = await session.get_one(CaptureSession, made.session_id)
        assert capture.error is not None
        assert capture.error["code"] == "disk_full"
        assert made.spooled() == []
        assert await made.segments() == []


async def test_after_a_hole_only_a_key_frame_is_taken(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "QUEUE_FRAMES", 5)
    frames = h264_frames(seconds=2, keyframe_seconds=1)
    async with recording(context) as (made, uploads):
        recorder = made.recorder(uploads, Codec.H264)
        offer(recorder, frames[:10])  # half of them find no room
        await until(lambda: made.keyframe_requests > 0)
        offer(recorder, frames[10:20])
        await recorder.close()
        await until(lambda: uploads.backlog.segments == 0)
        (segment,) = await made.segments()
        assert segment.frame_count == 10  # and five from the key frame on
        await stop_session(context, made.session_id)
