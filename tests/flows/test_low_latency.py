"""Low-latency HLS of a real capture: parts while segments grow, and what players are promised about them."""

import asyncio
import io
import re
import time
from datetime import datetime
from pathlib import Path

import av
import httpx
import pytest

from app.media.frames import Codec
from tests.fixtures.capture import DISPLAY, MIC, SYSTEM_AUDIO, CaptureDriver, capture_driver
from tests.fixtures.chromium import open_chromium
from tests.fixtures.hls_playlist import ReadPlaylist, check_grown, check_media_playlist
from tests.fixtures.publisher import AudioTrack, VideoTrack
from tests.fixtures.stack import RunningStack

LIMIT_SECONDS = 40.0

pytestmark = pytest.mark.slow


async def live_urls(session: dict[str, object], client: httpx.AsyncClient) -> dict[str, str]:
    """The media playlists of a session's live playlist: `picture`, and each sound by its name."""
    url = str(session["live_stream_url"])
    deadline = time.monotonic() + LIMIT_SECONDS
    while (answer := await client.get(url)).status_code != 200:
        assert time.monotonic() < deadline, answer.text
        await asyncio.sleep(0.2)
    base = url.rpartition("/")[0]
    sounds = re.findall(r'NAME="(.+?)".*URI="(.+?)"', answer.text)
    urls = {name: f"{base}/{uri}" for name, uri in sounds}
    return urls | {"picture": f"{base}/{answer.text.splitlines()[-1]}"}


async def read(client: httpx.AsyncClient, url: str, **query: object) -> ReadPlaylist:
    answer = await client.get(url, params={key: str(value) for key, value in query.items()})
    assert answer.status_code == 200, answer.text
    return check_media_playlist(answer.text, gaps_keep_time="_HLS_skip" not in query)


async def ended_playlist(client: httpx.AsyncClient, url: str) -> ReadPlaylist:
    deadline = time.monotonic() + LIMIT_SECONDS
    while not (playlist := await read(client, url)).has_ended:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)
    return playlist


def next_part(playlist: ReadPlaylist) -> dict[str, int]:
    """The directives that wait for what comes next."""
    parts = len(playlist.open.parts) if playlist.open else 0
    return {"_HLS_msn": playlist.skipped + len(playlist.segments), "_HLS_part": parts}


async def status_of_next(client: httpx.AsyncClient, url: str, ahead: int, **more: int) -> int:
    """How a playlist answers who asks for so many segments ahead, while none of them ended meanwhile."""
    while True:
        closed = len((await read(client, url)).segments)
        answer = await client.get(url, params={"_HLS_msn": closed + ahead, **more})
        if len((await read(client, url)).segments) == closed:
            return answer.status_code


def frame_count(data: bytes) -> int:
    with av.open(io.BytesIO(data), "r", format="mp4") as container:
        return sum(1 for _ in container.decode())


async def follow(client: httpx.AsyncClient, url: str, seconds: float) -> tuple[ReadPlaylist, int]:
    """Reload as players do for so long; returns the last playlist, and how many parts of what grew it saw."""
    playlist, seen = await read(client, url), set[str]()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        newer = await read(client, url, **next_part(playlist))
        check_grown(playlist, newer)
        playlist = newer
        seen |= {part.uri for part in playlist.open.parts} if playlist.open else set()
    return playlist, len(seen)


async def end(driver: CaptureDriver, publications: list) -> None:  # type: ignore[type-arg]
    for publication in publications:
        publication.publisher.track.stop()
    await driver.stop()
    for publication in publications:
        await publication.publisher.close()


async def test_a_session_plays_in_parts_while_its_segments_grow(stack: RunningStack) -> None:
    async with capture_driver(stack) as driver, httpx.AsyncClient(timeout=30) as client:
        await driver.start(MIC, SYSTEM_AUDIO, DISPLAY)
        publications = [
            await driver.publish("mic:default", AudioTrack()),
            await driver.publish("system_audio:default", AudioTrack()),
            await driver.publish("display:1", VideoTrack(width=640, height=360)),
        ]
        session = await driver.wait_for("active")
        urls = await live_urls(session, client)
        assert set(urls) == {"picture", "All sound", "mic:default", "system_audio:default"}

        followed = await asyncio.gather(
            *(follow(client, urls[name], 9.0) for name in ("picture", "All sound", "mic:default"))
        )
        picture, heard, mic = (playlist for playlist, _ in followed)
        for playlist, seen in followed:
            assert playlist.part_target is not None
            assert seen >= 4  # in segments that were not whole
        assert all(part.is_independent for one in mic.segments for part in one.parts)
        assert all(one.parts[0].is_independent for one in picture.segments if one.parts and one.header)

        # The parts of a segment are the segment, and decode behind its header.
        base = urls["picture"].rpartition("/")[0]
        for playlist in (picture, mic):
            whole = next(one for one in reversed(playlist.segments) if one.parts)
            header_uri, _, at = re.fullmatch(r'URI="(.+?)"(,BYTERANGE="(.+?)")?', whole.header).groups()  # type: ignore[union-attr]
            length, offset = map(int, at.split("@"))
            header = (
                await client.get(
                    f"{base}/{header_uri}", headers={"Range": f"bytes={offset}-{offset + length - 1}"}
                )
            ).content
            length, offset = map(int, whole.byte_range.split("@"))
            got = await client.get(
                f"{base}/{whole.uri}", headers={"Range": f"bytes={offset}-{offset + length - 1}"}
            )
            assert got.status_code == 206
            parts = [(await client.get(f"{base}/{part.uri}")).content for part in whole.parts]
            counts = [frame_count(header + media) for media in (got.content, b"".join(parts))]
            assert counts[0] == counts[1] > 0
        for part in next(one for one in heard.segments if one.parts).parts:
            assert (await client.get(f"{base}/{part.uri}")).status_code == 200

        # What comes next may be asked for before it is there, and is waited for.
        newest = await read(client, urls["picture"])
        while newest.hint is None:
            newest = await read(client, urls["picture"], **next_part(newest))
        hinted = await client.get(f"{base}/{newest.hint}")
        assert hinted.status_code in (200, 404)  # 404 where the segment ended before
        for query in ({"_HLS_part": 1}, {"_HLS_msn": "x"}):
            assert (await client.get(urls["picture"], params=query)).status_code == 400, query
        for ahead, more in ((3, {}), (0, {"_HLS_part": 9})):
            assert await status_of_next(client, urls["picture"], ahead, **more) == 400, (ahead, more)

        await end(driver, publications)
        await driver.wait_for("stopped", "exported")
        for name, before in (("picture", newest), ("mic:default", mic), ("All sound", heard)):
            ended = await ended_playlist(client, urls[name])
            assert (await read(client, urls[name], _HLS_msn=9999)).has_ended
            assert ended.kind == "EVENT"
            assert ended.part_target is None
            check_grown(before, ended)


async def grows_to_its_end(client: httpx.AsyncClient, url: str) -> ReadPlaylist:
    """Read a playlist as often as one can until it has ended; nothing of it may ever be taken back."""
    before = await read(client, url)
    deadline = time.monotonic() + LIMIT_SECONDS
    while not before.has_ended:
        assert time.monotonic() < deadline, (len(before.segments), before.segments[-3:], before.open)
        after = await read(client, url)
        check_grown(before, after)
        before = after
    return before


async def test_nothing_is_taken_back_while_segments_move_and_streams_end(stack: RunningStack) -> None:
    async with capture_driver(stack) as driver, httpx.AsyncClient(timeout=30) as client:
        await driver.start(MIC, SYSTEM_AUDIO, DISPLAY)
        publications = [
            await driver.publish("mic:default", AudioTrack()),
            await driver.publish("system_audio:default", AudioTrack()),
            await driver.publish("display:1", VideoTrack(width=320, height=180)),
        ]
        urls = await live_urls(await driver.wait_for("active"), client)
        reading = [asyncio.create_task(grows_to_its_end(client, url)) for url in urls.values()]
        for publication in publications:  # one after the other: the mix goes on without them
            publication.publisher.track.stop()
            await driver.unpublish(publication)
            await publication.publisher.close()
            await asyncio.sleep(2.0)
        await driver.stop()
        ended = await asyncio.gather(*reading)
        assert all(len(playlist.segments) >= 2 for playlist in ended)


async def test_vp8_is_played_without_parts(stack: RunningStack) -> None:
    async with capture_driver(stack) as driver, httpx.AsyncClient(timeout=30) as client:
        await driver.start(DISPLAY)
        publication = await driver.publish("display:1", VideoTrack(Codec.VP8, width=320, height=180))
        urls = await live_urls(await driver.wait_for("active"), client)
        playlist = await read(client, urls["picture"])
        assert playlist.part_target is None
        assert not playlist.has_ended
        await end(driver, [publication])


async def test_a_browser_plays_close_to_the_live_edge(stack: RunningStack, tmp_path: Path) -> None:
    async with (
        capture_driver(stack) as driver,
        httpx.AsyncClient(timeout=30) as client,
        open_chromium(tmp_path) as page,
    ):
        await driver.start(MIC, SYSTEM_AUDIO, DISPLAY)
        publications = [
            await driver.publish("mic:default", AudioTrack()),
            await driver.publish("system_audio:default", AudioTrack()),
            await driver.publish("display:1", VideoTrack(width=640, height=360)),
        ]
        session = await driver.wait_for("active")
        urls = await live_urls(session, client)
        began = (await read(client, urls["picture"])).segments[0].clock
        assert isinstance(began, datetime)
        await page.look(width=1000, height=800)
        await page.goto(session["live_player_url"])
        await page.evaluate("window.video = document.querySelector('video')")
        await page.wait_for("video.readyState >= 2")
        await page.evaluate("video.play()")
        start = await page.evaluate("video.currentTime")
        await page.wait_for(f"video.currentTime > {start + 8}", seconds=LIMIT_SECONDS)
        behind = time.time() - began.timestamp() - await page.evaluate("video.currentTime")
        assert 0 < behind < 15, behind  # where players without parts stay
        asked = await page.evaluate("performance.getEntriesByType('resource').map(one => one.name).join(' ')")
        assert "_HLS_part=" in asked
        assert ".part.mp4" in asked
        assert re.search(r"mix-\d+-\d+\.clip\.mp4", asked)
        assert await page.evaluate("video.webkitAudioDecodedByteCount") > 0
        await page.screenshot(tmp_path / "live.png")
        with av.open(str(tmp_path / "live.png")) as shot:
            (picture,) = list(shot.decode(video=0))[:1]
            grey = picture.to_ndarray(format="gray")
        # The test pattern, and no black rectangle: the stage is the upper part of the page.
        assert grey[60:400, 100:700].std() > 10
        await end(driver, publications)
        await page.wait_for("video.ended", seconds=LIMIT_SECONDS)
        assert page.complaints == []
