"""The vendor's recorder, as recorder.md saw it, against the whole product."""

import asyncio
import io
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.fixtures.capture import CaptureDriver, Json, capture_driver
from tests.fixtures.media import read_speech
from tests.fixtures.recorder_media import AAC_RATE_HZ, SEI_UUID, TRAILER, Screen, Sound
from tests.fixtures.servers import Servers, cloned_database
from tests.fixtures.stack import RunningStack, running_stack
from tests.fixtures.vendor_recorder import Refused, RtspClient, VendorRecorder
from tests.flows.test_recording import (
    DURATION_SECONDS,
    OFFSET_SECONDS,
    download,
    flashes_and_beeps,
    nearest,
    stored_files,
)

RETURN_SECONDS = 40  # a web process starts, and the publishers of the one before are found to be lost

pytestmark = pytest.mark.slow


@pytest.fixture
def own_stack(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A product of this test's own, whose processes it may kill."""
    for database_url in cloned_database(servers):
        data_dir = tmp_path_factory.mktemp("rtsps") / "data"
        with running_stack(data_dir, database_url, servers.broker_of(3)) as up:
            yield up


@asynccontextmanager
async def recorder(
    stack: RunningStack, **options: Any
) -> AsyncIterator[tuple[CaptureDriver, VendorRecorder]]:
    async with capture_driver(stack) as driver:
        made = VendorRecorder(stack.base_url, driver.token, driver.session_id, **options)
        try:
            yield driver, made
        finally:
            await made.close()


async def told_of(driver: CaptureDriver, session: Json) -> tuple[list[float], list[float], float, int]:
    """Flashes, beeps, duration and pictures of what the session was exported as."""
    return flashes_and_beeps(io.BytesIO(await download(driver, session["exported_video_id"])))


@pytest.mark.parametrize("clock_ahead_seconds", [0.0, 3600.0])
async def test_what_the_recorder_publishes_is_exported_in_step(
    stack: RunningStack, clock_ahead_seconds: float
) -> None:
    async with recorder(stack, clock_ahead_seconds=clock_ahead_seconds) as (driver, made):
        await made.start(mic=Sound(), screen=Screen(), system_audio=Sound())
        await driver.wait_for("active")
        await asyncio.sleep(5)
        await made.stop()
        assert {name: channel.connections for name, channel in made.channels.items()} == dict.fromkeys(
            ("mic", "screen", "system_audio"), 1
        )
        session = await driver.wait_for("exported", "failed")
        assert session["status"] == "exported"
        flashes, beeps, duration, pictures = await told_of(driver, session)
        assert made.lasted(duration, DURATION_SECONDS)
        assert pictures >= 0.9 * (duration - 0.5) * 10
        assert_in_step(flashes, beeps)
        streams = {row["id"] for row in session["rtstreams"]}
        kept = [path for path in stored_files(stack) if streams & set(path.parts)]
        assert len(kept) >= 3
        assert not any(word in path.read_bytes() for path in kept for word in (TRAILER, SEI_UUID))


async def test_a_recorder_that_is_cut_off_comes_back_to_the_same_path(stack: RunningStack) -> None:
    async with recorder(stack) as (driver, made):
        await made.start(mic=Sound(), screen=Screen())
        await driver.wait_for("active")
        mic, screen = made.channels["mic"], made.channels["screen"]
        await asyncio.sleep(2)
        second = RtspClient(mic.url, mic.pin)
        await second.connect()
        with pytest.raises(Refused, match="455"):
            await second.publish(mic.track.sdp)
        second.die()
        for channel in (mic, screen):
            assert channel.client is not None
            channel.client.die()
        await asyncio.sleep(4)
        await made.stop()
        assert (mic.connections, screen.connections) == (2, 2)
        session = await driver.wait_for("exported", "failed")
        flashes, beeps, duration, _ = await told_of(driver, session)
        assert made.lasted(duration, DURATION_SECONDS)
        assert_in_step(flashes, beeps)


async def test_paused_and_idle_channels_keep_their_time(stack: RunningStack) -> None:
    async with recorder(stack) as (driver, made):
        await made.start(mic=Sound(), screen=Screen())
        await driver.wait_for("active")
        mic, screen = made.channels["mic"], made.channels["screen"]
        await asyncio.sleep(2)
        mic.paused = screen.idle = True
        await asyncio.sleep(3)
        mic.paused = screen.idle = False
        await asyncio.sleep(2.5)
        await made.stop()
        assert (mic.connections, screen.connections) == (1, 1)
        session = await driver.wait_for("exported", "failed")
        flashes, beeps, duration, _ = await told_of(driver, session)
        assert made.lasted(duration, DURATION_SECONDS)
        quiet = [at for at in beeps if 2.6 < at < 4.6]
        assert not quiet
        late = [flash for flash in flashes if 5.2 < flash < duration - 0.2]
        assert late
        assert max(abs(offset) for offset in nearest(late, beeps)) <= OFFSET_SECONDS


async def test_a_recorder_that_dies_without_a_word_is_noticed(stack: RunningStack) -> None:
    async with recorder(stack) as (driver, made):
        await made.start(mic=Sound())
        await driver.wait_for("active")
        mic = made.channels["mic"]
        mic.stop()
        assert mic.client is not None
        mic.client.die()
        await made.leave()
        again = RtspClient(mic.url, mic.pin)
        await again.connect()
        await publish_when_free(again, mic.track.sdp)
        again.die()
        assert (await driver.read())["status"] == "active"
        assert (await driver.stop()).status_code == 200
        await driver.wait_for("exported")


async def test_a_recorder_comes_back_to_an_ingest_that_was_killed(own_stack: RunningStack) -> None:
    async with recorder(own_stack) as (driver, made):
        await made.start(mic=Sound(), screen=Screen())
        await driver.wait_for("active")
        await asyncio.sleep(5)
        own_stack.kill("web")
        mic, screen = made.channels["mic"], made.channels["screen"]
        deadline = time.monotonic() + RETURN_SECONDS
        while (mic.connections, screen.connections) != (2, 2):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
        await asyncio.sleep(3)
        await made.stop()
        session = await driver.wait_for("exported", "failed")
        flashes, beeps, duration, _ = await told_of(driver, session)
        # The hole is kept in time; of what came before the kill at most one segment is missing.
        assert made.lasted(duration, DURATION_SECONDS)
        assert_in_step(flashes, beeps)


async def test_words_come_from_aac(stack: RunningStack) -> None:
    speech = read_speech("beckett.wav", rate_hz=AAC_RATE_HZ)[: 7 * AAC_RATE_HZ]
    async with recorder(stack) as (driver, made):
        await made.start(mic=Sound(speech))
        session = await driver.wait_for("active")
        stream_id = session["rtstreams"][0]["id"]
        started = await driver.http.post(f"/rtstream/{stream_id}/transcription", json={"action": "start"})
        assert started.status_code == 200
        await asyncio.sleep(len(speech) / AAC_RATE_HZ)
        await made.stop()
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline:
            found = (await driver.http.get(f"/rtstream/{stream_id}/transcription")).json()["data"]
            words = " ".join(row["text"] for row in found["transcription_records"]).lower()
            if "fail" in words:
                return
            await asyncio.sleep(0.5)
        raise AssertionError(f"no words, but {found['total_count']} utterances: {words!r}")


async def publish_when_free(client: RtspClient, sdp: str) -> None:
    """The server may need a moment to notice that the publisher before is gone."""
    deadline = time.monotonic() + 10
    while True:
        try:
            await client.publish(sdp)
            return
        except Refused:
            assert time.monotonic() < deadline
            client.die()
            await asyncio.sleep(0.2)
            await client.connect()


def assert_in_step(flashes: list[float], beeps: list[float]) -> None:
    """Every flash has its beep; one that fell into a hole, or before the sound began, has none near it."""
    both = [offset for offset in nearest(flashes, beeps) if abs(offset) < 0.5]
    assert len(both) >= 3
    assert max(abs(offset) for offset in both) <= OFFSET_SECONDS
