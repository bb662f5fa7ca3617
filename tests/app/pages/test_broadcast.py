"""Playbacks of streams whose segments are already there, by the real app; `tests/flows` captures them."""

import asyncio
import re
import time
from itertools import pairwise
from pathlib import Path

import av
import httpx
import pytest

from app.base.errors import InvalidRequest
from app.base.ids import new_id
from app.domain.sessions.models import CaptureSession
from app.domain.streams.models import Segment, Stream
from app.domain.streams.playback import play_session, play_stream
from app.domain.streams.recording import add_segment
from app.media.fmp4 import SegmentMuxer
from app.media.frames import EncodedFrame
from app.media.hls import index_segment
from app.process import Context
from app.storage.keys import segment_key
from tests.fixtures.factories import Tenant, detach, make_active, make_tenant, stop_session
from tests.fixtures.media import beeps, cut, h264_frames, opus_packets, vp8_frames

# A whole second, and after the sessions of these tests are created.
START_US = (int(time.time()) + 3600) * 1_000_000  # after the tests' sessions, whenever they run
CHANNELS = ("display:1", "mic", "system_audio")


async def store(
    context: Context, tenant: Tenant, stream_id: str, frames: list[EncodedFrame], folder: Path
) -> list[str]:
    """Store frames as the recorder does, their segments made in `folder`; returns the segments' ids."""
    ids = []
    async with context.db.transaction() as session:
        stream = await session.get_one(Stream, stream_id)
        capture = await session.get_one(CaptureSession, stream.capture_session_id)
    for run in cut(frames, 4.0):
        muxer = SegmentMuxer(run[0].codec, zero_us=capture.zero_us)
        for frame in run:
            muxer.add(frame)
        segment = muxer.finish()
        ids.append(new_id("seg"))
        path = folder / f"{ids[-1]}.{segment.container}"
        path.write_bytes(segment.data)
        index, digest = index_segment(path) if segment.container == "mp4" else (None, None)
        key = segment_key(tenant.account_id, stream_id, ids[-1], segment.container)
        await context.storage.put_bytes(key, segment.data)
        row = Segment(
            id=ids[-1],
            stream_id=stream_id,
            storage_key=key,
            codec=segment.codec.value,
            started_at_us=segment.started_at_us,
            duration_us=segment.duration_us,
            size_bytes=len(segment.data),
            frame_count=segment.frame_count,
            starts_with_keyframe=segment.starts_with_keyframe,
            width=segment.width,
            height=segment.height,
            hls_index=index.to_json() if index else None,
            header_digest=digest,
        )
        async with context.db.transaction() as session:
            await add_segment(session, row)
    return ids


async def slug_of(context: Context, stream_id: str, start: float, end: float | None) -> str:
    """The playback of a stretch, in seconds from the first frame."""
    async with context.db.transaction() as session:
        stream = await session.get_one(Stream, stream_id)
        end_us = None if end is None else START_US + round(end * 1e6)
        playback = await play_stream(
            session, stream, START_US + round(start * 1e6), end_us, title="A stretch"
        )
        return playback.slug


async def live_slug(context: Context, session_id: str) -> str:
    async with context.db.transaction() as session:
        capture = await session.get_one(CaptureSession, session_id)
        await play_session(session, capture)
        assert capture.live_slug
        return capture.live_slug


def picture_times(url: str) -> list[float]:
    with av.open(url, format="hls", timeout=10.0) as container:
        return [float(frame.time or 0) for frame in container.decode(video=0)]


@pytest.mark.parametrize("make", [h264_frames, vp8_frames])
async def test_a_stretch_plays_to_the_frame_and_leads_to_nothing_else(  # type: ignore[no-untyped-def]
    make, context: Context, base_url: str, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    tenant = await make_tenant(context)
    _, opened = await make_active(context, tenant, CHANNELS)
    frames = make(seconds=12.0, keyframe_seconds=4.0, started_at_us=START_US)
    ids = await store(context, tenant, opened["display:1"], frames, tmp_path)
    slug = await slug_of(context, opened["display:1"], 4.5, 7.0)
    text = (await client.get(f"/media/{slug}/stream.m3u8")).text
    assert re.findall(r"^seg.+", text, re.MULTILINE) == [f"{ids[1]}.clip.mp4"]
    assert "#EXTINF:2.500000," in text
    assert text.endswith("#EXT-X-ENDLIST\n")  # what it asks for is recorded, though the stream goes on
    times = await asyncio.to_thread(picture_times, f"{base_url}/media/{slug}/stream.m3u8")
    assert times[-1] - times[0] == pytest.approx(2.5 - 1 / 15, abs=0.04)
    assert len(times) == pytest.approx(2.5 * 15, abs=1)
    for other in (ids[0], ids[2]):
        for kind in ("mp4", "clip.mp4", "init.mp4"):
            assert (await client.get(f"/media/{slug}/{other}.{kind}")).status_code == 404


async def test_vp8_plays_as_h264_without_a_seam(context: Context, base_url: str, tmp_path: Path) -> None:
    tenant = await make_tenant(context)
    session_id, opened = await make_active(context, tenant, CHANNELS)
    await store(
        context,
        tenant,
        opened["display:1"],
        vp8_frames(seconds=12.0, keyframe_seconds=4.0, started_at_us=START_US),
        tmp_path,
    )
    await stop_session(context, session_id)
    slug = await slug_of(context, opened["display:1"], -60.0, 60.0)
    times = await asyncio.to_thread(picture_times, f"{base_url}/media/{slug}/stream.m3u8")
    assert len(times) == 180
    assert max(later - sooner for sooner, later in pairwise(times)) < 0.1


async def test_what_is_not_recorded_yet_is_not_found(context: Context, client: httpx.AsyncClient) -> None:
    _, opened = await make_active(context, await make_tenant(context), CHANNELS)
    slug = await slug_of(context, opened["mic:default"], 0.0, 10.0)
    for name in ("stream.m3u8", "transcript.json"):
        assert (await client.get(f"/media/{slug}/{name}")).status_code == 404
    assert (await client.get("/watch", params={"v": slug})).status_code == 404


async def test_the_stretch_must_be_one(context: Context) -> None:
    _, opened = await make_active(context, await make_tenant(context))
    with pytest.raises(InvalidRequest):
        await slug_of(context, opened["mic:default"], 5.0, 5.0)


async def test_several_sounds_are_mixed(
    context: Context, base_url: str, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    tenant = await make_tenant(context)
    session_id, opened = await make_active(context, tenant, CHANNELS)
    await store(
        context,
        tenant,
        opened["display:1"],
        h264_frames(seconds=12.0, keyframe_seconds=4.0, started_at_us=START_US),
        tmp_path,
    )
    for name, hz in (("mic:default", 440.0), ("system_audio:default", 1000.0)):
        packets = opus_packets(beeps(12.0, hz=hz), started_at_us=START_US)
        await store(context, tenant, opened[name], packets, tmp_path)
    slug = await live_slug(context, session_id)
    master = (await client.get(f"/media/{slug}/stream.m3u8")).text
    assert re.findall(r'NAME="(.+?)",DEFAULT=(\w+)', master) == [
        ("All sound", "YES"),
        ("mic:default", "NO"),
        ("system_audio:default", "NO"),
    ]
    mix = (await client.get(f"/media/{slug}/mix.m3u8")).text
    assert re.findall(r"^mix.+", mix, re.MULTILINE) == ["mix-0.clip.mp4", "mix-1.clip.mp4"]
    assert mix.count("#EXT-X-MAP") == 1
    assert "#EXT-X-ENDLIST" not in mix

    await stop_session(context, session_id)
    for stream_id in opened.values():
        await detach(context, stream_id)
    deadline = time.monotonic() + 20  # players are told some seconds later
    while "#EXT-X-ENDLIST" not in (ended := (await client.get(f"/media/{slug}/mix.m3u8")).text):
        assert time.monotonic() < deadline
        assert ended.startswith(mix)
        await asyncio.sleep(0.1)
    assert ended.startswith(mix)
    assert ended.endswith("mix-2.clip.mp4\n#EXT-X-ENDLIST\n")
    assert (await client.get(f"/media/{slug}/mix-3.clip.mp4")).status_code == 404

    def loud() -> list[float]:
        with av.open(f"{base_url}/media/{slug}/mix.m3u8", format="hls", timeout=10.0) as container:
            blocks = [(frame.time, abs(frame.to_ndarray()).max()) for frame in container.decode(audio=0)]
        found = [float(at or 0) for at, level in blocks if level > 0.3]
        return [after for before, after in pairwise([-1.0, *found]) if after - before > 0.3]

    async with context.db.transaction() as session:
        zero_us = (await session.get_one(CaptureSession, session_id)).zero_us
    beeped = await asyncio.to_thread(loud)
    assert len(beeped) == 12
    assert beeped == pytest.approx([(START_US - zero_us) / 1e6 + n for n in range(12)], abs=0.05)
