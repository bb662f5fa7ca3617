"""What plays while it is captured: playlists that grow, ranges that are exact, holes that are said."""

import asyncio
import re
import time
from itertools import pairwise
from pathlib import Path

import av
import httpx
import pytest

from app.media.frames import Codec
from tests.fixtures.capture import DISPLAY, MIC, SYSTEM_AUDIO, CaptureDriver, capture_driver
from tests.fixtures.chromium import open_chromium
from tests.fixtures.hls_playlist import check_grown, check_media_playlist
from tests.fixtures.publisher import AudioTrack, VideoTrack
from tests.fixtures.stack import RunningStack

FRAME_SECONDS = 1 / 15
LIMIT_SECONDS = 40.0

pytestmark = pytest.mark.slow


async def read_playlist(url: str) -> str | None:
    """The playlist at `url`; None while nothing is recorded."""
    async with httpx.AsyncClient(timeout=20) as client:
        answer = await client.get(url)
    assert answer.status_code in (200, 404)
    return answer.text if answer.status_code == 200 else None


async def playlist_with(url: str, segments: int) -> str:
    """The playlist once it has so many segments."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while (text := await read_playlist(url)) is None or text.count("#EXTINF") < segments:
        assert time.monotonic() < deadline, text
        await asyncio.sleep(0.2)
    return text


async def ended_playlist(url: str) -> str:
    """The playlist once players are told that nothing more comes."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while (text := await read_playlist(url)) is None or not text.endswith("#EXT-X-ENDLIST\n"):
        assert time.monotonic() < deadline, text
        await asyncio.sleep(0.2)
    return text


async def stream_of(driver: CaptureDriver, name: str) -> str:
    session = await driver.read()
    found: str = next(row["id"] for row in session["rtstreams"] if row["name"] == name)
    return found


async def generate_stream(driver: CaptureDriver, stream_id: str, start: float, end: float) -> str:
    answer = await driver.http.get(f"/rtstream/{stream_id}/stream", params={"start": start, "end": end})
    assert answer.status_code == 200, answer.text
    url: str = answer.json()["data"]["stream_url"]
    return url


def decoded(url: str) -> tuple[list[float], list[float], list[float]]:
    """Times of pictures, of those at which it turns white, and of sounds."""
    pictures, flashes, sounds, was_white = [], [], [], False
    with av.open(url, format="hls", timeout=20.0) as container:
        for frame in container.decode():
            assert frame.time is not None
            if isinstance(frame, av.VideoFrame):
                white = bool(frame.to_ndarray(format="gray").mean() > 200)
                pictures.append(frame.time)
                if white and not was_white:
                    flashes.append(frame.time)
                was_white = white
            else:
                sounds.append(frame.time)
    return pictures, flashes, sounds


@pytest.mark.parametrize("codec", [Codec.H264, Codec.VP8])
async def test_a_session_plays_while_it_is_recorded_and_its_ranges_are_exact(
    stack: RunningStack, codec: Codec
) -> None:
    async with capture_driver(stack) as driver:
        await driver.start(MIC, DISPLAY)
        mic = await driver.publish("mic:default", AudioTrack())
        display = await driver.publish("display:1", VideoTrack(codec, width=640, height=360))
        session = await driver.wait_for("active")
        assert session["live_player_url"].replace("/watch?v=", "/media/") in session["live_stream_url"]
        stream_id = await stream_of(driver, "display:1")

        master = await playlist_with(session["live_stream_url"], 0)
        assert re.search(r'TYPE=AUDIO,GROUP-ID="sound",NAME="mic:default",DEFAULT=YES', master)
        base = session["live_stream_url"].rpartition("/")[0]
        picture_url = f"{base}/{master.splitlines()[-1]}"
        early = await playlist_with(picture_url, 1)
        assert "#EXT-X-PLAYLIST-TYPE:EVENT" in early
        assert "#EXT-X-ENDLIST" not in early

        # A range that ends in what is still to come; its start lies within a segment.
        began = display.publisher.track.started_at
        # Both are half a second from the next flash, so it is clear which ones belong to it.
        start, end = int(began) + 1.55, int(began) + 6.45
        url = await generate_stream(driver, stream_id, start, end)
        grown = await playlist_with(picture_url, early.count("#EXTINF") + 1)
        check_grown(check_media_playlist(early), check_media_playlist(grown))

        track = display.publisher.track
        await asyncio.sleep(max(0.0, began + 7.5 - time.time()))
        for publication in (mic, display):
            publication.publisher.track.stop()
        assert track.started_at == began
        assert (await driver.stop()).status_code == 200
        for publication in (mic, display):
            await publication.publisher.close()
        await driver.wait_for("stopped", "exported")

        ended = await ended_playlist(picture_url)
        check_grown(check_media_playlist(grown), check_media_playlist(ended))
        assert "DISCONTINUITY" not in ended
        clock = re.findall(r"#EXT-X-PROGRAM-DATE-TIME:(\S+)", ended)
        assert len(clock) == ended.count("#EXTINF")

        cut = await ended_playlist(url)
        lengths = sum(float(one) for one in re.findall(r"#EXTINF:([\d.]+),", cut))
        assert lengths == pytest.approx(end - start, abs=FRAME_SECONDS)
        pictures, flashes, _ = await asyncio.to_thread(decoded, url)
        zero = pictures[0] - start  # media time counts from the session's zero
        whole_seconds = list(range(int(start) + 1, int(end) + 1))
        assert [at - zero for at in flashes] == pytest.approx(whole_seconds, abs=FRAME_SECONDS)
        assert pictures[-1] - zero == pytest.approx(end - FRAME_SECONDS / 2, abs=FRAME_SECONDS)
        assert max(later - sooner for sooner, later in pairwise(pictures)) < 3 * FRAME_SECONDS

        # Picture and sound of the session, on one timeline.
        pictures, flashes, sounds = await asyncio.to_thread(decoded, session["live_stream_url"])
        assert len(pictures) >= 7 * 15
        assert abs(pictures[0] - sounds[0]) < 0.1


async def test_a_browser_plays_a_session_while_it_is_recorded(stack: RunningStack, tmp_path: Path) -> None:
    async with capture_driver(stack) as driver, open_chromium(tmp_path) as page:
        await driver.start(MIC, DISPLAY, SYSTEM_AUDIO)
        publications = [
            await driver.publish("mic:default", AudioTrack()),
            await driver.publish("system_audio:default", AudioTrack()),
            await driver.publish("display:1", VideoTrack(width=640, height=360)),
        ]
        session = await driver.wait_for("active")
        master = await playlist_with(session["live_stream_url"], 0)
        assert re.findall(r'NAME="(.+?)",DEFAULT=YES', master) == ["All sound"]
        assert master.count("TYPE=AUDIO") == 3
        await page.goto(session["live_player_url"])
        await page.evaluate("window.video = document.querySelector('video')")
        await page.wait_for("video.readyState >= 2 && video.buffered.length")
        await page.evaluate("video.play()")
        assert await page.evaluate("document.querySelector('.facts span').innerText") == "Live"
        # What is seen in the end was not recorded when the page was opened.
        # It is emptied where the player changes its sound.
        await page.wait_for("video.buffered.length && (window.length = video.buffered.end(0))")
        length = await page.evaluate("window.length")
        await page.wait_for(f"video.currentTime > {length + 1}", seconds=LIMIT_SECONDS)
        assert await page.evaluate("video.videoWidth") == 640
        assert await page.evaluate("video.webkitAudioDecodedByteCount") > 0
        await page.wait_for("video.buffered.length === 1")
        for publication in publications:
            publication.publisher.track.stop()
        await driver.stop()
        for publication in publications:
            await publication.publisher.close()
        await page.wait_for("video.ended", seconds=LIMIT_SECONDS)
        assert page.complaints == []


async def test_a_publisher_that_comes_back_leaves_a_discontinuity(
    stack: RunningStack, tmp_path: Path
) -> None:
    async with capture_driver(stack) as driver:
        await driver.start(MIC, DISPLAY)
        mic = await driver.publish("mic:default", AudioTrack())
        display = await driver.publish("display:1", VideoTrack(width=320, height=180))
        session = await driver.wait_for("active")
        await asyncio.sleep(3.0)
        left = time.time()
        display.publisher.track.stop()
        await driver.unpublish(display)
        await display.publisher.close()
        await asyncio.sleep(2.5)
        again = await driver.publish("display:1", VideoTrack(width=640, height=360))
        stream_id = await stream_of(driver, "display:1")
        await asyncio.sleep(3.0)
        for publication in (mic, again):
            publication.publisher.track.stop()
        await driver.stop()
        for publication in (mic, again):
            await publication.publisher.close()
        await driver.wait_for("stopped", "exported")

        began, ended = display.publisher.track.started_at, time.time()
        url = await generate_stream(driver, stream_id, began - 60, ended)
        playlist = await read_playlist(url)
        assert playlist is not None
        check_media_playlist(playlist)
        assert playlist.count("#EXT-X-DISCONTINUITY\n") == 1
        assert playlist.count("#EXT-X-MAP") == 2
        assert "#EXT-X-GAP" not in playlist

        # Together with the sound the hole keeps its time.
        master = await read_playlist(session["live_stream_url"])
        assert master is not None
        base = session["live_stream_url"].rpartition("/")[0]
        picture = await read_playlist(f"{base}/{master.splitlines()[-1]}")
        assert picture is not None
        check_media_playlist(picture, gaps_keep_time=True)
        assert "#EXT-X-DISCONTINUITY" not in picture
        gaps = re.findall(r"#EXT-X-GAP\n#EXTINF:([\d.]+),", picture)
        hole = again.publisher.track.started_at - left
        assert sum(map(float, gaps)) == pytest.approx(hole, abs=0.3)
        async with open_chromium(tmp_path) as page:
            for played in (url, session["live_stream_url"]):
                slug = played.split("/")[-2]
                await page.goto(f"{stack.base_url}/watch?v={slug}")
                await page.evaluate("window.video = document.querySelector('video')")
                await page.wait_for("video.readyState >= 2")
                await page.evaluate("video.play()")
                await page.wait_for("video.ended && video.videoWidth == 640", seconds=LIMIT_SECONDS)
