"""Publishers that come back: after a cable was out for half a minute, in another size, in another codec."""

import asyncio
import io
import re
import time
from itertools import pairwise
from urllib.parse import urljoin

import av
import pytest

from app.media.frames import Codec
from tests.fixtures.capture import DISPLAY, MIC, CaptureDriver, Publication, capture_driver, download
from tests.fixtures.probing import assert_every_frame_decodes, assert_every_segment_decodes
from tests.fixtures.publisher import AudioTrack, Publisher, VideoTrack
from tests.fixtures.stack import RunningStack
from tests.fixtures.udp import Nat
from tests.flows.test_crashes import come_back
from tests.flows.test_recording import flashes_and_beeps, nearest

CUT_SECONDS = 30.0
PLAYED_SECONDS = 4.0
FRAME_SECONDS = 1 / 15
OFFSET_SECONDS = 0.04

pytestmark = pytest.mark.slow


async def test_a_display_that_was_cut_off_and_changed_is_one_stream(stack: RunningStack) -> None:
    async with capture_driver(stack) as driver:
        await driver.start(MIC, DISPLAY)
        mic = await driver.publish("mic:default", AudioTrack())
        first = Publisher(VideoTrack(Codec.H264))
        # Without candidates in the offer there is no way past the NAT.
        offer = re.sub(r"a=candidate:.*\r\n", "", await first.offer())
        answer = await driver.offer("display:1", offer)
        port = re.search(r"a=candidate:\S+ 1 udp \d+ \S+ (\d+)", answer.text)
        assert port is not None
        async with Nat(int(port[1])) as nat:
            await first.accept(nat.rewrite(answer.text))
            await driver.wait_for("active")
            await asyncio.sleep(PLAYED_SECONDS)
            cut_at, nat.is_cut = time.time(), True
            await asyncio.sleep(CUT_SECONDS)
            assert (await driver.read())["status"] == "active"
            # What a cut leaves is its publisher's to find out: it comes back as a new one, and larger.
            returned = await driver.publish("display:1", VideoTrack(Codec.H264, width=640, height=360))
            await first.close()
        await asyncio.sleep(PLAYED_SECONDS)
        await leave(driver, returned)
        last = await come_back(driver, "display:1", VideoTrack(Codec.VP8, width=320, height=180))
        await asyncio.sleep(PLAYED_SECONDS)
        for publication in (mic, last):
            publication.publisher.track.stop()
        assert (await driver.stop()).status_code == 200
        for publication in (mic, last):
            await publication.publisher.close()
        session = await driver.wait_for("exported", "failed")
        assert session["status"] == "exported"
        assert len({row["id"] for row in session["rtstreams"]}) == 2

        # The export keeps the gap in time, and picture and sound together behind it.
        began = mic.publisher.track.started_at
        video = await download(driver, session["exported_video_id"])
        assert_every_frame_decodes(video)
        flashes, beeps, duration, _ = flashes_and_beeps(io.BytesIO(video))
        assert duration == pytest.approx(time_of_last(last) - began, abs=1.5)
        assert max(abs(offset) for offset in nearest(flashes, beeps)) <= OFFSET_SECONDS
        zero = round(began + beeps[0]) - beeps[0]  # beeps are at whole seconds of the wall clock
        dark = max(pairwise(flashes), key=lambda pair: pair[1] - pair[0])
        assert zero + dark[0] == pytest.approx(int(cut_at), abs=1 + FRAME_SECONDS)
        assert dark[1] - dark[0] >= CUT_SECONDS - 1
        with av.open(io.BytesIO(video)) as container:
            widths = [frame.width for frame in container.decode(video=0)]
        assert [width for width, next_width in pairwise([*widths, 0]) if width != next_width] == [
            320,
            640,
            320,
        ]
        raw = next(row for row in session["rtstreams"] if row["name"] == "display:1")["exported_asset_id"]
        assert_every_frame_decodes(await download(driver, raw))

        # What was live plays it all, and says that a run begins.
        assert set(await assert_every_segment_decodes(session["live_stream_url"])) == {"video", "audio"}
        display = next(row["id"] for row in session["rtstreams"] if row["name"] == "display:1")
        stretch = await driver.http.get(
            f"/rtstream/{display}/stream", params={"start": began - 5, "end": time.time()}
        )
        url = stretch.json()["data"]["stream_url"]
        playlist = (await driver.http.get(urljoin(stack.base_url, url))).text
        assert playlist.count("#EXT-X-DISCONTINUITY\n") == 2
        assert (await assert_every_segment_decodes(url))["video"] >= 3


async def leave(driver: CaptureDriver, publication: Publication) -> None:
    """End a publication as a client that says so."""
    publication.publisher.track.stop()
    await driver.unpublish(publication)
    await publication.publisher.close()


def time_of_last(publication: Publication) -> float:
    """The wall clock at which the track had been played for as long as it was meant to."""
    return publication.publisher.track.started_at + PLAYED_SECONDS
