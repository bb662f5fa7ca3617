from pathlib import Path
from app.media.export import export_recording
from tests.app.pages.conftest import Library, spoken
from app.domain.transcripts.service import replace_asset_utterances
from tests.fixtures.chromium import open_chromium
from tests.fixtures.media import h264_frames, opus_packets, read_speech, record, beeps
from tests.fixtures.spoken_words import TWO_CITIES
import re
OUT = Path("/tmp/shots")

async def test_shots(base_url: str, library: Library, tmp_path: Path) -> None:
    video = record(h264_frames(seconds=44.0, width=1280, height=720, frames_per_second=5, flash=False), tmp_path, "d")
    audio = record(opus_packets(read_speech("two_cities.wav", rate_hz=48000)), tmp_path, "m")
    a = await library.add(export_recording(video, [audio], tmp_path / "o.mp4"), name="Weekly planning: search, captions and the <new> exporter")
    lines, at = [], 0.6
    for part in re.split(r"(?<=[,.])\s+", " ".join(TWO_CITIES.split())):
        n = len(part.split())
        s = spoken(at, part)
        lines.append(s); at += n * 0.38 if False else n*0.5 + 0.3
    async with library.context.db.transaction() as session:
        await replace_asset_utterances(session, a.id, "op", lines)
    s = record(opus_packets(beeps(10)), tmp_path, "s")
    b = await library.add(export_recording(None, [s], tmp_path / "s.m4a"), name="mic:default")
    async with open_chromium(tmp_path) as page:
        for name, w, h, dark, mobile in [("desk", 1440, 900, False, False), ("desk-dark", 1440, 900, True, False), ("phone", 390, 844, False, True), ("phone-dark", 390, 844, True, True), ("land", 844, 390, True, True)]:
            await page.look(width=w, height=h, dark=dark, mobile=mobile)
            await page.goto(f"{base_url}/watch?v={a.playback_slug}&t=14.2")
            await page.evaluate("document.querySelector('video').play()")
            import asyncio
            for _ in range(8):
                await asyncio.sleep(1); print(await page.evaluate("(v=>JSON.stringify([v.currentTime,v.readyState,v.paused,v.networkState,v.duration,v.buffered.length && v.buffered.start(0), v.buffered.length && v.buffered.end(0), v.seeking, v.error]))(document.querySelector(\"video\"))"), page.complaints)
            await page.screenshot(OUT / f"watch-{name}.png")
            await page.goto(f"{base_url}/")
            await page.wait_for("document.querySelectorAll('.checks li').length > 1")
            await page.screenshot(OUT / f"home-{name}.png")
            await page.goto(f"{base_url}/watch?v=no")
            await page.screenshot(OUT / f"missing-{name}.png")
            await page.goto(f"{base_url}/embed?v={a.playback_slug}")
            await page.wait_for("document.querySelector('video').readyState > 1")
            await page.screenshot(OUT / f"embed-{name}.png")
            await page.goto(f"{base_url}/watch?v={b.playback_slug}")
            await page.wait_for("document.querySelector('video').readyState > 1")
            await page.screenshot(OUT / f"audio-{name}.png")
        print(page.complaints)
