"""What was published is what is exported: as long, in step, decodable, and nothing that was not stored."""

import asyncio
import io
import math
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
import pytest

from app.media.frames import Codec
from tests.fixtures.capture import DISPLAY, MIC, SYSTEM_AUDIO, CaptureDriver, capture_driver, download
from tests.fixtures.probing import assert_every_frame_decodes, assert_every_segment_decodes
from tests.fixtures.publisher import AudioTrack, VideoTrack
from tests.fixtures.stack import RunningStack

DURATION_SECONDS = 0.2
# Of each flash and its beep, at the 95th percentile; ITU-R BT.1359 puts the threshold of noticing at 45 ms.
OFFSET_SECONDS = 0.04
PUBLISHED_SECONDS = 24.0

pytestmark = pytest.mark.slow


async def publish_for(driver: CaptureDriver, codec: Codec, seconds: float) -> float:
    """Publish a flashing display and two beeping sounds, the display 0.7 s late; returns how long in all."""
    first = await driver.publish("mic:default", AudioTrack())
    others = [await driver.publish("system_audio:default", AudioTrack())]
    await asyncio.sleep(0.7)
    others.append(await driver.publish("display:1", VideoTrack(codec, width=640, height=360)))
    began = first.publisher.track.started_at
    await asyncio.sleep(max(0.0, began + seconds - time.time()) if began else seconds)
    began = first.publisher.track.started_at
    published = time.time() - began
    for publication in (first, *others):
        publication.publisher.track.stop()
    assert (await driver.stop()).status_code == 200
    for publication in (first, *others):
        await publication.publisher.close()
    return published


async def test_exports_are_as_long_as_the_capture_in_step_and_decode(stack: RunningStack) -> None:
    await asyncio.gather(*(check_an_export(stack, codec) for codec in (Codec.H264, Codec.VP8)))


async def check_an_export(stack: RunningStack, codec: Codec) -> None:
    async with capture_driver(stack) as driver:
        await driver.start(MIC, DISPLAY, SYSTEM_AUDIO)
        published = await publish_for(driver, codec, PUBLISHED_SECONDS)
        session = await driver.wait_for("exported", "failed")
        assert session["status"] == "exported"
        video = await download(driver, session["exported_video_id"])
        flashes, beeps, duration, pictures = flashes_and_beeps(io.BytesIO(video))
        assert duration == pytest.approx(published, abs=DURATION_SECONDS)
        assert pictures >= 0.9 * (published - 1.5) * 15
        assert_in_step(flashes, beeps)
        # What a player makes of the playlists: the exported one, and the one that was live.
        asset = (await driver.http.get(f"/video/{session['exported_video_id']}")).json()["data"]
        for url in (asset["stream_url"], session["live_stream_url"]):
            flashes, beeps, *_ = await asyncio.to_thread(flashes_and_beeps, url)
            assert_in_step(flashes, beeps)
            segments = await assert_every_segment_decodes(url)
            assert min(segments["video"], segments["audio"]) >= PUBLISHED_SECONDS / 6 - 1

        by_name = {row["name"]: row for row in session["rtstreams"]}
        assert by_name["mic:default"]["exported_asset_id"].startswith("a-")
        assert by_name["display:1"]["exported_asset_id"].startswith("m-")
        assert set(assert_every_frame_decodes(video)) == {"video", "audio"}
        for row in by_name.values():
            raw = await download(driver, row["exported_asset_id"])
            kind = "video" if row["name"] == "display:1" else "audio"
            assert set(assert_every_frame_decodes(raw)) == {kind}


async def test_channels_that_are_not_stored_leave_nothing(stack: RunningStack) -> None:
    async with capture_driver(stack) as driver:
        await driver.start(
            {**MIC, "store": False}, {**DISPLAY, "store": False}, SYSTEM_AUDIO | {"store": True}
        )
        await publish_for(driver, Codec.H264, 3.0)
        session = await driver.wait_for("exported", "failed")
        streams = {row["name"]: row for row in session["rtstreams"]}
        assert streams["mic:default"]["exported_asset_id"] is None
        assert streams["display:1"]["exported_asset_id"] is None
        kept = {path.parent.name for path in stored_files(stack) if path.parent.parent.name == "segments"}
        assert streams["system_audio:default"]["id"] in kept
        assert not {streams["mic:default"]["id"], streams["display:1"]["id"]} & kept


async def test_without_a_stored_channel_the_session_stays_stopped(stack: RunningStack) -> None:
    async with capture_driver(stack) as driver:
        await driver.start({**MIC, "store": False})
        publication = await driver.publish("mic:default", AudioTrack())
        await driver.wait_for("active")
        await driver.stop()
        await publication.publisher.close()
        session = await driver.wait_for("stopped")
        assert (session["export_status"], session["exported_video_id"]) == (None, None)


def stored_files(stack: RunningStack) -> list[Path]:
    return [path for path in (stack.data_dir / "objects").rglob("*") if path.is_file()]


def flashes_and_beeps(source: BinaryIO | str) -> tuple[list[float], list[float], float, int]:
    """When pictures turn white and when sound begins, in seconds; how long it is and its pictures.

    `source` is a file, or the URL of a playlist.
    """
    bright: list[tuple[float, bool]] = []
    loud: list[tuple[float, float]] = []
    begin, end = math.inf, 0.0
    options: dict[str, Any] = {"format": "hls", "timeout": 60.0} if isinstance(source, str) else {}
    with av.open(source, **options) as container:
        for frame in container.decode():
            assert frame.time is not None
            begin = min(begin, frame.time)
            if isinstance(frame, av.VideoFrame):
                bright.append((frame.time, float(frame.to_ndarray(format="gray").mean()) > 200))
                end = max(end, frame.time)
            elif isinstance(frame, av.AudioFrame):
                samples = np.abs(frame.to_ndarray()).mean(axis=0)
                for start in range(0, len(samples), 240):  # 5 ms
                    at = frame.time + start / frame.sample_rate
                    loud.append((at, float(samples[start : start + 240].mean())))
                end = max(end, frame.time + frame.samples / frame.sample_rate)
    flashes = [at for (_, was), (at, now) in pairwise(bright) if now and not was]
    level = max(value for _, value in loud) / 3
    beeps, last = [], -1.0
    for at, value in loud:
        if value > level:
            if at - last > 0.5:
                beeps.append(at)
            last = at
    return flashes, beeps, end - begin, len(bright)


def assert_in_step(flashes: Sequence[float], beeps: Sequence[float]) -> None:
    """Hold each flash against its beep."""
    offsets = sorted(abs(offset) for offset in nearest(flashes, beeps))
    assert len(offsets) >= PUBLISHED_SECONDS - 4
    assert offsets[math.ceil(0.95 * len(offsets)) - 1] <= OFFSET_SECONDS, offsets


def nearest(flashes: Sequence[float], beeps: Sequence[float]) -> list[float]:
    """For each flash how much later its beep comes."""
    return [min((beep - flash for beep in beeps), key=abs) for flash in flashes]
