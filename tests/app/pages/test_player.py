import re
from pathlib import Path

import httpx
import pytest
from PIL import Image
from videodb import build_iframe_embed_code

from app.domain.assets.models import Asset
from app.media.copied_sound import OpusSound
from app.media.export import export_recording
from app.media.recorded import RecordedTrack
from app.pages.player import clock
from tests.app.pages.conftest import Library
from tests.fixtures.chromium import Page, open_chromium
from tests.fixtures.http_ranges import serve
from tests.fixtures.media import START_US, beeps, h264_frames, opus_packets, record, vp8_frames
from tests.fixtures.media import export_recording as mixed_recording

SECONDS = 12.0
PLACE = "(box => [box.left, box.top, box.width, box.height])(video.getBoundingClientRect())"
# Sound and picture are decoded at all, and where the player is.
SEEN = "({at: video.currentTime, width: video.videoWidth, sound: video.webkitAudioDecodedByteCount})"


@pytest.mark.parametrize(("seconds", "shown"), [(0.4, "0:00"), (62.6, "1:03"), (3725.0, "1:02:05")])
def test_durations_read_as_people_write_them(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


async def play(page: Page) -> None:
    await page.evaluate("window.video = document.querySelector('video')")
    await page.wait_for("video.readyState >= 2")
    await page.evaluate("video.play()")


async def test_watch_plays_in_a_browser(
    base_url: str, library: Library, video: Asset, tmp_path: Path
) -> None:
    await library.say(video, (1.0, "hello you there"), (8.0, "nearly at the end now"))
    async with open_chromium(tmp_path) as page:
        await page.goto(f"{base_url}/watch?v={video.playback_slug}")
        await play(page)
        assert await page.evaluate("video.duration") == pytest.approx(SECONDS, abs=0.1)
        await page.wait_for("video.currentTime > 1")
        seen = await page.evaluate(SEEN)
        assert seen["width"] == 640
        assert seen["sound"] > 0

        # The words that are being said are marked, and a click on another line goes there.
        said = "document.querySelector('li[aria-current] span[aria-current]')?.textContent"
        assert await page.wait_for(said) in ("hello", "you", "there")
        await page.evaluate("document.querySelectorAll('.transcript li button')[1].click()")
        await page.wait_for("!video.seeking && video.currentTime > 8.2 && !video.paused")
        assert await page.evaluate(
            "document.querySelector('li[aria-current]').textContent.includes('nearly')"
        )
        assert "t=8.0" in await page.evaluate("location.search")

        # To the end, by seeking near it.
        await page.evaluate("video.currentTime = 11.3")
        await page.wait_for("video.ended")
        captions = await page.evaluate("[...video.textTracks].map(track => track.kind)")
        assert captions == ["captions"]
        assert page.complaints == []


async def test_a_channels_own_sound_plays_as_it_was_recorded(
    base_url: str, library: Library, tmp_path: Path
) -> None:
    # Opus in MP4, with a gap that is longer than any player bridges by itself.
    packets = [one for one in opus_packets(beeps(12.0)) if not 3e6 <= one.captured_at_us - START_US < 9e6]
    track = record(packets, tmp_path, "mic")
    times = {"zero_us": START_US, "ends_at_us": START_US + 12_000_000}
    sound = OpusSound(track, zero_us=START_US)
    asset = await library.add(export_recording(None, sound, tmp_path / "out.m4a", **times))
    async with open_chromium(tmp_path) as page:
        await page.goto(f"{base_url}/watch?v={asset.playback_slug}")
        await play(page)
        assert await page.evaluate("video.duration") == pytest.approx(SECONDS, abs=0.1)
        await page.wait_for("video.currentTime > 0.5")
        assert (await page.evaluate(SEEN))["sound"] > 0
        await page.evaluate("video.currentTime = 5")
        await page.wait_for("!video.seeking && video.currentTime > 5.5")
        await page.evaluate("video.currentTime = 11.3")
        await page.wait_for("video.ended")
        assert page.complaints == []


async def test_a_display_of_two_codecs_and_sizes_is_seen(
    base_url: str, library: Library, tmp_path: Path
) -> None:
    runs = [
        vp8_frames(seconds=6.0, width=640, height=360, flash=False),
        h264_frames(seconds=6.0, width=320, height=180, flash=False, started_at_us=START_US + 6_000_000),
    ]
    tracks = [record(frames, tmp_path, f"display-{number}") for number, frames in enumerate(runs)]
    track = RecordedTrack([segment for one in tracks for segment in one.segments])
    audio = record(opus_packets(beeps(12.0)), tmp_path, "mic")
    asset = await library.add(mixed_recording(track, [audio], tmp_path / "out.mp4"))
    async with open_chromium(tmp_path) as page:
        await page.goto(f"{base_url}/watch?v={asset.playback_slug}")
        await play(page)
        for at, width in ((2.0, 640), (7.0, 320)):
            await page.evaluate(f"video.currentTime = {at}")
            await page.wait_for(f"!video.seeking && video.currentTime > {at} && video.videoWidth == {width}")
            await page.screenshot(tmp_path / f"{width}.png")
            left, top, wide, high = await page.evaluate(PLACE)
            with Image.open(tmp_path / f"{width}.png") as shot:
                seen = shot.convert("RGB").crop((left, top, left + wide, top + high))
            # The red block moves over the dark gradient: a black or green picture has neither.
            colours = seen.getcolors(seen.width * seen.height) or []
            assert len(colours) > 100
            reddest = max(red - max(green, blue) for _, (red, green, blue) in colours)
            assert reddest > 120
        await page.evaluate("video.currentTime = 11.3")
        await page.wait_for("video.ended")
        assert (await page.evaluate(SEEN))["sound"] > 0
        assert page.complaints == []


async def test_the_transcript_follows_until_it_is_scrolled(
    base_url: str, library: Library, video: Asset, tmp_path: Path
) -> None:
    await library.say(video, *((number * 0.5, f"line{number}") for number in range(24)))
    async with open_chromium(tmp_path) as page:
        await page.look(width=390, height=700, mobile=True)
        await page.goto(f"{base_url}/watch?v={video.playback_slug}&t=6.2")
        await page.wait_for("document.querySelector('li[aria-current]')?.innerText.includes('line12')")
        await page.evaluate("window.list = document.querySelector('.transcript ol')")
        await page.evaluate("window.back = document.querySelector('.back')")
        shown = "list.querySelector('[aria-current]').getBoundingClientRect().top"
        await page.wait_for(f"{shown} > list.getBoundingClientRect().top && {shown} < innerHeight")

        await page.evaluate("list.dispatchEvent(new WheelEvent('wheel')), list.scrollTo(0, 0)")
        assert await page.evaluate("!back.hidden")
        await page.evaluate("back.click()")
        assert await page.evaluate("back.hidden")
        await page.wait_for("list.scrollTop > 0")

        # One line is in the tab order; the arrow keys lead to the others.
        assert await page.evaluate("list.querySelectorAll('button[tabindex=\"0\"]').length") == 1
        await page.evaluate("list.querySelector('button').focus()")
        down = "new KeyboardEvent('keydown', {key: 'ArrowDown', bubbles: true})"
        await page.evaluate(f"document.activeElement.dispatchEvent({down})")
        assert await page.evaluate("document.activeElement.ariaLabel") == "Play from 0:00"
        assert await page.evaluate("document.activeElement.dataset.seconds") == "0.5"
        assert page.complaints == []


async def test_a_link_into_the_middle_starts_there(base_url: str, video: Asset, tmp_path: Path) -> None:
    async with open_chromium(tmp_path) as page:
        await page.goto(f"{base_url}/watch?v={video.playback_slug}&t=7.5")
        await play(page)
        await page.wait_for("video.currentTime > 7.7")
        assert await page.evaluate("video.currentTime") < SECONDS
        assert await page.evaluate("document.querySelector('.transcript').hidden")
        assert page.complaints == []


async def test_the_iframe_of_the_sdk_plays_on_another_site(
    base_url: str, library: Library, video: Asset, tmp_path: Path
) -> None:
    # A clip of 0.5 s, two seconds as they are, a clip of 1 s, and another part that is a clip alone.
    slug = await library.cut((video, 3.5, 7.0), (video, 0.0, 1.5))
    iframe = build_iframe_embed_code(f"{base_url}/watch?v={slug}")
    (tmp_path / "page.html").write_text(f'<!doctype html><link rel="icon" href="data:,">{iframe}')
    # One process and no border between the sites, so that this test may look into the frame.
    flags = ("--disable-site-isolation-trials", "--disable-web-security")
    with serve(tmp_path) as other_site:
        async with open_chromium(tmp_path, *flags) as page:
            await page.goto(f"{other_site}/page.html")
            inside = "document.querySelector('iframe').contentDocument"
            await page.wait_for(f"{inside}?.querySelector('video')?.readyState >= 2")
            await page.evaluate(f"window.video = {inside}.querySelector('video')")
            assert await page.evaluate("video.duration") == pytest.approx(5.0, abs=0.1)
            assert await page.evaluate("video.currentTime") == 0
            await page.evaluate("video.play()")
            await page.wait_for("video.ended && video.videoWidth")
            buffered = "[video.buffered.length, video.buffered.start(0), video.buffered.end(0)]"
            assert await page.evaluate(buffered) == pytest.approx([1, 0.0, 5.0], abs=0.1)
            assert page.complaints == []


async def test_titles_are_text(client: httpx.AsyncClient, library: Library, video: Asset) -> None:
    title = '"><script>alert(1)</script> $title & more'
    slug = await library.cut((video, 0.0, 5.0), title=title)
    for path in ("/watch", "/embed"):
        answer = await client.get(path, params={"v": slug})
        assert answer.status_code == 200
        assert "<script>alert" not in answer.text
        assert "&lt;script&gt;alert(1)&lt;/script&gt; $title &amp; more" in answer.text


async def test_pages_are_locked_down(client: httpx.AsyncClient, video: Asset) -> None:
    watch = await client.get("/watch", params={"v": video.playback_slug})
    embed = await client.get("/embed", params={"v": video.playback_slug})
    for answer in (watch, embed, await client.get("/")):
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'self'; media-src 'self' blob:;")
        assert "unsafe" not in policy
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert not re.search(r"<script(?![^>]* src=)|<style| style=| on[a-z]+=|https?://(?!127)", answer.text)
    assert "frame-ancestors 'none'" in watch.headers["content-security-policy"]
    assert "frame-ancestors" not in embed.headers["content-security-policy"]
    assert "x-frame-options" not in embed.headers


@pytest.mark.parametrize("path", ["/watch", "/embed", "/watch?v=", "/watch?v=unknown", "/embed?v=%00"])
async def test_nothing_to_play_is_said_on_a_page(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "nothing to play here" in answer.text


async def test_head_is_answered(client: httpx.AsyncClient, video: Asset) -> None:
    for path in ("/", f"/watch?v={video.playback_slug}", f"/embed?v={video.playback_slug}"):
        answer = await client.head(path)
        assert (answer.status_code, answer.content) == (200, b"")
