"""How old a picture is when a player has it: by parts of the segment that grows, and by whole segments.

The whole product runs, one session (display, microphone, system sound) is published over WHIP, and two
players read its live playlists at the same time. One waits for parts as low-latency players do, the other
reloads once a second and fetches segments. Age counts from the instant at which a frame was captured by the
publisher's clock to the end of the answer that holds it. The processor time of the web process, ingest
included, is taken for as long again while nobody watches.

    python -m bench.live [--seconds S]
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import httpx
import psutil

from tests.fixtures.capture import DISPLAY, MIC, SYSTEM_AUDIO, capture_driver
from tests.fixtures.hls_playlist import ReadPlaylist, check_media_playlist
from tests.fixtures.publisher import AudioTrack, VideoTrack
from tests.fixtures.stack import PROCESS_WORDS, RunningStack, running_stack

FRAME_SECONDS = 1 / 15
PLAYLIST_LIMIT_SECONDS = 40.0


async def watch_parts(client: httpx.AsyncClient, url: str, seconds: float) -> list[float]:
    """The ages of all frames, in seconds, of a player that waits for parts."""
    ages: list[float] = []
    base, known = url.rpartition("/")[0], set[str]()
    playlist = await read(client, url)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        parts = len(playlist.open.parts) if playlist.open else 0
        playlist = await read(client, url, _HLS_msn=len(playlist.segments), _HLS_part=parts)
        for one in [*playlist.segments[-1:], *([playlist.open] if playlist.open else [])]:
            assert one.clock is not None
            at = one.clock.timestamp()
            for part in one.parts:
                if part.uri not in known:
                    (await client.get(f"{base}/{part.uri}")).raise_for_status()
                    ages += frame_ages(at, part.seconds) if known else []
                    known.add(part.uri)
                at += part.seconds
    return ages


async def watch_segments(client: httpx.AsyncClient, url: str, seconds: float) -> list[float]:
    """The same of a player that fetches whole segments."""
    ages: list[float] = []
    base = url.rpartition("/")[0]
    known = len((await read(client, url)).segments)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        await asyncio.sleep(1.0)
        segments = (await read(client, url)).segments
        for one in segments[known:]:
            assert one.clock is not None
            length, offset = map(int, one.byte_range.split("@"))
            wanted = {"Range": f"bytes={offset}-{offset + length - 1}"}
            (await client.get(f"{base}/{one.uri}", headers=wanted)).raise_for_status()
            ages += frame_ages(one.clock.timestamp(), one.seconds)
        known = len(segments)
    return ages


def frame_ages(started_at: float, seconds: float) -> list[float]:
    """How old each frame of a stretch is now."""
    now = time.time()
    return [now - started_at - n * FRAME_SECONDS for n in range(round(seconds / FRAME_SECONDS))]


async def read(client: httpx.AsyncClient, url: str, **query: int) -> ReadPlaylist:
    answer = await client.get(url, params=query)
    answer.raise_for_status()
    return check_media_playlist(answer.text)


async def picture_url(client: httpx.AsyncClient, master: str) -> str:
    deadline = time.monotonic() + PLAYLIST_LIMIT_SECONDS
    while (answer := await client.get(master)).status_code != 200:
        if time.monotonic() > deadline:
            raise RuntimeError("nothing plays")
        await asyncio.sleep(0.2)
    return f"{master.rpartition('/')[0]}/{answer.text.splitlines()[-1]}"


def web_process(stack: RunningStack) -> psutil.Process:
    children = psutil.Process(stack.pid).children()
    return next(one for one in children if any(PROCESS_WORDS["web"] in word for word in one.cmdline()))


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def described(ages: list[float]) -> str:
    ordered = sorted(ages)
    late = ordered[round(len(ordered) * 0.95) - 1]
    return f"median {statistics.median(ordered):5.2f} s   p95 {late:5.2f} s   {len(ordered)} frames"


async def measure(stack: RunningStack, seconds: float) -> None:
    async with capture_driver(stack) as driver, httpx.AsyncClient(timeout=30) as client:
        await driver.start(MIC, SYSTEM_AUDIO, DISPLAY)
        publications = [
            await driver.publish("mic:default", AudioTrack()),
            await driver.publish("system_audio:default", AudioTrack()),
            await driver.publish("display:1", VideoTrack(width=640, height=360)),
        ]
        session = await driver.wait_for("active")
        url = await picture_url(client, session["live_stream_url"])
        await asyncio.sleep(5.0)  # a feed that was opened by this is closed again
        web = web_process(stack)
        before = cpu_seconds(web)
        await asyncio.sleep(seconds)
        unwatched = cpu_seconds(web) - before
        before = cpu_seconds(web)
        parts, segments = await asyncio.gather(
            watch_parts(client, url, seconds), watch_segments(client, url, seconds)
        )
        watched = cpu_seconds(web) - before
        print(f"by parts      {described(parts)}")
        print(f"by segments   {described(segments)}")
        print(
            f"web process   {unwatched / seconds:.3f} of a core unwatched, {watched / seconds:.3f} with both"
        )
        for publication in publications:
            publication.publisher.track.stop()
        await driver.stop()
        for publication in publications:
            await publication.publisher.close()
        await driver.wait_for("stopped", "exported")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=30.0)
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="capture-bench-") as folder,
        running_stack(Path(folder) / "data", "", "") as stack,
    ):
        asyncio.run(measure(stack, arguments.seconds))


if __name__ == "__main__":
    main()
