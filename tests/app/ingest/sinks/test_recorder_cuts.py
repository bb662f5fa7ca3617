import asyncio
from collections.abc import Callable, Sequence

import av
import pytest

from app.domain.streams.models import Segment
from app.ingest.sinks import recorder as recorder_module
from app.ingest.sinks.recorder import Recorder
from app.ingest.spool.uploads import Uploads
from app.media.frames import Codec, EncodedFrame
from app.process import Context
from tests.fixtures.media import START_US, h264_frames, opus_packets, tone, vp8_frames
from tests.fixtures.recordings import WAIT_SECONDS, Recording, offer, recording, until


@pytest.fixture(autouse=True)
def _short_parts_and_segments(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "PART_SECONDS", 0.02)
    context.settings.segment_seconds = 2.0


async def stored(made: Recording, uploads: Uploads, recorder: Recorder) -> list[Segment]:
    """The segments once the recorder is closed and storage has all that it made."""
    async with asyncio.timeout(WAIT_SECONDS):
        await recorder.close()
    await until(lambda: uploads.backlog.segments == 0)
    return await made.segments()


async def record(context: Context, frames: Sequence[EncodedFrame]) -> tuple[list[Segment], Recorder]:
    """Everything offered at once."""
    async with recording(context) as (made, uploads):
        recorder = made.recorder(uploads, frames[0].codec)
        offer(recorder, frames)
        return await stored(made, uploads, recorder), recorder


@pytest.mark.parametrize("make", [h264_frames, vp8_frames], ids=["h264", "vp8"])
async def test_pictures_are_cut_at_key_frames(
    context: Context, make: Callable[..., list[EncodedFrame]]
) -> None:
    sent = make(seconds=5.0, keyframe_seconds=1.0)
    segments, recorder = await record(context, sent)
    assert [(segment.started_at_us - START_US) / 1e6 for segment in segments] == [0.0, 2.0, 4.0]
    assert all(segment.starts_with_keyframe for segment in segments)
    assert [(segment.width, segment.height) for segment in segments] == [(320, 180)] * 3
    assert sum(segment.frame_count for segment in segments) == len(sent)
    assert recorder.unusable_frames == 0
    for segment in segments:
        async with context.storage.local_path(segment.storage_key) as path:
            with av.open(str(path)) as container:
                container.streams.video[0].codec_context.options = {"err_detect": "explode"}
                assert sum(1 for _ in container.decode(video=0)) == segment.frame_count


async def test_a_publisher_that_sends_no_key_frame_is_asked_for_one_and_cut_without(context: Context) -> None:
    sent = h264_frames(seconds=9.0, keyframe_seconds=100.0, width=64, height=64)
    async with recording(context) as (made, uploads):
        recorder = made.recorder(uploads, Codec.H264)
        offer(recorder, sent[:60])  # four seconds, and no key frame to cut at
        await until(lambda: made.keyframe_requests > 0)
        offer(recorder, sent[60:])
        segments = await stored(made, uploads, recorder)
    assert [segment.starts_with_keyframe for segment in segments] == [True, False]
    assert [segment.frame_count for segment in segments] == [90, 45]


async def test_pictures_before_the_first_key_frame_are_left_out(context: Context) -> None:
    sent = h264_frames(seconds=3.0, keyframe_seconds=1.0, width=64, height=64)
    (first, *_), recorder = await record(context, sent[5:])
    assert first.started_at_us == START_US + 1_000_000
    assert recorder.unusable_frames == 10


async def test_a_new_picture_size_begins_a_new_segment(context: Context) -> None:
    small = h264_frames(seconds=1.0, width=64, height=64)
    large = h264_frames(seconds=1.0, width=128, height=64, started_at_us=START_US + 1_000_000)
    segments, _ = await record(context, [*small, *large])
    assert [(segment.width, segment.frame_count) for segment in segments] == [(64, 15), (128, 15)]


async def test_a_frame_that_is_none_costs_itself_alone(context: Context) -> None:
    sent = opus_packets(tone(1.0))
    empty = EncodedFrame(Codec.OPUS, b"", 0, START_US + 100_000, is_keyframe=True)
    (segment,), recorder = await record(context, [*sent[:5], empty, *sent[5:]])
    assert (segment.frame_count, recorder.unusable_frames) == (len(sent), 1)
