"""What is recorded over a line that loses, delays and reorders: whole frames, most sound, short freezes."""

import asyncio
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest

from tests.fixtures.capture import DISPLAY, MIC, capture_driver
from tests.fixtures.publisher import AudioTrack, Impairment, VideoTrack
from tests.fixtures.stack import RunningStack
from tests.flows.test_recording import stored_files

PACKET_SECONDS = 0.02
FREEZE_SECONDS = 1.0
AUDIO_PRESENCE = 0.98
PUBLISHED_SECONDS = 12.0

pytestmark = pytest.mark.slow


def shown_at(segments: list[Path]) -> list[Fraction]:
    """When each frame is shown, in seconds; every packet is a frame that decodes without a complaint."""
    times = []
    for path in segments:
        with av.open(str(path)) as container:
            stream = container.streams[0]
            stream.codec_context.options = {"err_detect": "explode"}
            packets = 0
            for packet in container.demux(stream):
                packets += bool(packet.size)
                for frame in packet.decode():
                    assert not frame.is_corrupt
                    assert frame.pts is not None
                    assert frame.time_base is not None
                    times.append(frame.pts * frame.time_base)
                    packets -= 1
            assert packets == 0
    return sorted(times)


@pytest.mark.parametrize("loss", [0.01, 0.05])
async def test_a_lossy_line_costs_short_freezes_and_hardly_any_sound(
    stack: RunningStack, loss: float
) -> None:
    picture_line = Impairment(loss=loss, jitter_seconds=0.05, seed=3)
    sound_line = Impairment(loss=loss, jitter_seconds=0.05, seed=4)
    async with capture_driver(stack) as driver:
        await driver.start(MIC, DISPLAY)
        picture = VideoTrack(width=640, height=360)
        publications = [
            await driver.publish("display:1", picture, impairment=picture_line),
            await driver.publish("mic:default", AudioTrack(), impairment=sound_line),
        ]
        await driver.wait_for("active")
        await asyncio.sleep(PUBLISHED_SECONDS / 3)
        picture_line.lose_a_keyframe()
        picture.force_keyframe()
        await asyncio.sleep(2 * PUBLISHED_SECONDS / 3)
        for publication in publications:
            publication.publisher.track.stop()
        assert (await driver.stop()).status_code == 200
        session = await driver.wait_for("exported", "failed")
        for publication in publications:
            await publication.publisher.close()
    assert session["status"] == "exported"
    assert (picture_line.lost_keyframes, picture_line.lost > 0, sound_line.lost > 0) == (1, True, True)
    assert picture_line.retransmitted > 0
    segments = {
        row["name"]: sorted(path for path in stored_files(stack) if path.parent.name == row["id"])
        for row in session["rtstreams"]
    }
    shown = shown_at(segments["display:1"])
    freezes = [float(later - earlier) for earlier, later in pairwise(shown)]
    assert max(freezes) <= FREEZE_SECONDS
    heard = shown_at(segments["mic:default"])
    span_seconds = float(heard[-1] - heard[0]) + PACKET_SECONDS
    assert len(heard) * PACKET_SECONDS / span_seconds >= AUDIO_PRESENCE
