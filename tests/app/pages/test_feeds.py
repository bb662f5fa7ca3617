"""Playbacks followed while they are recorded: of a source's picture and sound, and erased meanwhile."""

import asyncio
import io
import re
import time
from pathlib import Path

import av
import httpx
import pytest

from app.base.ids import new_id
from app.base.settings import Settings
from app.domain.assets.links import Links
from app.domain.erasure.service import erase_session
from app.domain.sessions.models import CaptureSession
from app.domain.streams.models import Stream
from app.domain.streams.playback import play_stream
from app.domain.streams.pulls import connect_stream
from app.domain.streams.service import zero_us_of
from app.domain.streams.spooled import Manifest, Recorded
from app.ingest.spool.spool import Spool
from app.media.fmp4 import SegmentMuxer
from app.media.frames import EncodedFrame
from app.process import Context
from tests.app.pages.test_broadcast import START_US, live_slug, slug_of, store
from tests.fixtures.eventually import eventually
from tests.fixtures.factories import Tenant, detach, make_active, make_tenant, say, stop_session
from tests.fixtures.hls_playlist import ReadPlaylist, check_grown, check_media_playlist
from tests.fixtures.media import aac_units, cut, h264_frames, tone
from tests.fixtures.web import running_web

LIMIT_SECONDS = 20


class Source:
    """Writes a pulled stream's frames into the spool as the recorder does."""

    def __init__(self, spool: Spool, stream: Stream, zero_us: int) -> None:
        self.stream = stream
        self._spool = spool
        self._zero_us = zero_us

    def record(self, frames: list[EncodedFrame]) -> None:
        """One whole segment, in parts of a second."""
        self.grow(frames)
        self.finish([])

    def grow(self, frames: list[EncodedFrame]) -> None:
        """A segment in parts of a second and a provisional one, which may grow on."""
        muxer = SegmentMuxer(frames[0].codec, zero_us=self._zero_us)
        manifest = Manifest(
            segment_id=new_id("seg"),
            account_id=self.stream.account_id,
            stream_id=self.stream.id,
            codec=frames[0].codec,
            container=muxer.container,
            started_at_us=frames[0].captured_at_us,
            discontinuity=False,
        )
        self._growing = (self._spool.begin(manifest), manifest, muxer)
        self._add(frames)
        self._growing[0].append(muxer.provisional(), provisional=True)

    def finish(self, frames: list[EncodedFrame]) -> None:
        """The rest of the segment that was last begun."""
        file, manifest, muxer = self._growing
        self._add(frames)
        segment = muxer.finish()
        file.append(segment.data)
        recorded = Recorded(
            size_bytes=file.size_bytes,
            duration_us=segment.duration_us,
            frame_count=segment.frame_count,
            starts_with_keyframe=segment.starts_with_keyframe,
            width=segment.width,
            height=segment.height,
        )
        file.close()
        self._spool.finish(manifest.model_copy(update={"recorded": recorded}))

    def _add(self, frames: list[EncodedFrame]) -> None:
        file, _, muxer = self._growing
        for number, frame in enumerate(frames):
            muxer.add(frame)
            if number and frame.captured_at_us // 1_000_000 > frames[number - 1].captured_at_us // 1_000_000:
                file.append(muxer.flush())


async def pulled(context: Context, tenant: Tenant) -> tuple[Stream, int, str]:
    """A stream of picture and sound, its zero, and the slug of all that comes of it."""
    async with context.db.transaction() as session:
        stream, _ = await connect_stream(
            session,
            tenant.account_id,
            tenant.collection_id,
            url="rtsp://camera.example/door",
            name="Door",
            media_types=["video", "audio"],
            store=True,
            sample_rate=None,
        )
        playback = await play_stream(session, stream, START_US, None, title="Door")
        return stream, await zero_us_of(session, stream), playback.slug


def frames_in(data: bytes) -> int:
    with av.open(io.BytesIO(data), "r", format="mp4") as container:
        return sum(1 for _ in container.decode())


async def test_picture_and_sound_of_one_source_play_in_parts(
    context: Context, settings: Settings, client: httpx.AsyncClient
) -> None:
    tenant = await make_tenant(context)
    stream, zero_us, slug = await pulled(context, tenant)
    picture = h264_frames(seconds=11.5, keyframe_seconds=4.0, started_at_us=START_US)
    sound = aac_units(tone(11.5, rate_hz=44_100), rate_hz=44_100, started_at_us=START_US)
    spool = Spool(settings.data_dir / "spool", reserve_bytes=0, sync=False)
    source = Source(spool, stream, zero_us)

    async def read(kind: str) -> ReadPlaylist:
        answer = await client.get(f"/media/{slug}/{stream.id}-{kind}.m3u8")
        assert answer.status_code == 200, answer.text
        return check_media_playlist(answer.text, gaps_keep_time=True)

    try:
        runs = [list(cut(frames, 4.0)) for frames in (picture, sound)]
        source.record(runs[0][0])
        # Players read once that there is sound too.
        assert (await client.get(f"/media/{slug}/stream.m3u8")).status_code == 404
        source.record(runs[1][0])
        for _, second, last in runs:
            source.record(second)
            source.grow(last[: len(last) * 4 // 5])
        master = await client.get(f"/media/{slug}/stream.m3u8")
        assert re.findall(r'NAME="(.+?)".*URI="(.+?)"', master.text) == [("Door", f"{stream.id}-audio.m3u8")]
        assert master.text.splitlines()[-1] == f"{stream.id}-video.m3u8"
        for kind, frames in (("video", runs[0]), ("audio", runs[1])):
            playlist = await read(kind)
            assert playlist.part_target is not None
            assert playlist.open is not None
            whole = [one for one in playlist.segments if one.parts]
            assert len(whole) == 2
            uri, length, offset = re.fullmatch(  # type: ignore[union-attr]
                r'URI="(.+?)",BYTERANGE="(\d+)@(\d+)"', whole[0].header
            ).groups()
            file = (await client.get(f"/media/{slug}/{uri}")).content
            header = file[int(offset) : int(offset) + int(length)]
            parts = [(await client.get(f"/media/{slug}/{part.uri}")).content for part in whole[0].parts]
            assert frames_in(header + b"".join(parts)) == frames_in(file) == len(frames[0])
        await say(context, stream.id, "Good morning.", at_us=START_US + 1_000_000)
        words = (await client.get(f"/media/{slug}/transcript.json")).json()["data"]["utterances"]
        assert len(words) == 1  # of two playlists

        before = await read("audio")
        assert before.open is not None
        last = runs[1][2]
        source.finish(last[len(last) * 4 // 5 :])

        async def is_whole() -> bool:
            after = await read("audio")
            check_grown(before, after)
            return after.open is None

        await eventually(is_whole)
    finally:
        spool.close()


async def test_what_is_erased_plays_no_more(
    context: Context, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    tenant = await make_tenant(context)
    session_id, opened = await make_active(context, tenant, ("display:1",))
    frames = h264_frames(seconds=8.0, keyframe_seconds=4.0, started_at_us=START_US)
    ids = await store(context, tenant, opened["display:1"], frames, tmp_path)
    slugs = [await live_slug(context, session_id), await slug_of(context, opened["display:1"], 0.0, None)]
    paths = [f"/media/{slug}/{name}" for slug in slugs for name in ("stream.m3u8", f"{ids[0]}.mp4")]
    for path in paths:
        assert (await client.get(path)).status_code == 200
    await stop_session(context, session_id)
    await detach(context, opened["display:1"])
    async with context.db.transaction() as session:
        await erase_session(session, await session.get_one(CaptureSession, session_id))
    deadline = time.monotonic() + LIMIT_SECONDS  # a look lasts for a second
    while {(await client.get(path)).status_code for path in paths} != {404}:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
    assert {(await client.get(path)).status_code for path in paths * 3} == {404}


async def test_a_link_is_looked_at_though_another_opened_the_same(
    context: Context, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lifetime = 600
    tenant = await make_tenant(context)
    session_id, opened = await make_active(context, tenant, ("display:1",))
    started_at_us = time.time_ns() // 1000
    frames = h264_frames(seconds=8.0, keyframe_seconds=4.0, started_at_us=started_at_us)
    await store(context, tenant, opened["display:1"], frames, tmp_path)
    slug = await live_slug(context, session_id)
    async with (
        running_web(settings.model_copy(update={"media_url_seconds": lifetime})) as web,
        web.client() as anybody,
    ):
        links = Links(web.context.settings)
        link = links.stream_url(slug).removeprefix(web.context.settings.base_url)
        granted = link.split("/")[2]
        other = "1" if granted[-1] == "0" else "0"
        forged = link.replace(granted, f"{granted[:-1]}{other}")

        async def statuses() -> list[int]:
            return [(await anybody.get(url)).status_code for url in (link, forged)]

        assert await statuses() == [200, 404]
        late = time.time() + 2 * lifetime
        monkeypatch.setattr(time, "time", lambda: late)
        assert await statuses() == [200, 404]  # it goes on
        await stop_session(context, session_id)
        await detach(context, opened["display:1"])
        assert await statuses() == [200, 404]  # it ended just now
        monkeypatch.setattr(time, "time", lambda: late + 4000)
        deadline = time.monotonic() + LIMIT_SECONDS
        while await statuses() != [410, 404]:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
        fresh = links.stream_url(slug).removeprefix(web.context.settings.base_url)
        assert (await anybody.get(fresh)).status_code == 200
