"""The unmodified Python SDK drives the recorder against a real WHIP endpoint."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorder_media import RATE_HZ, brightness, loudest_hz, write_beeps, write_flashes
from videodb.capture import CaptureClient, Channels
from whip_endpoint import TOKEN, CaptureServer, Received, SetSources, capture_server, until

# Stamps of sending vary with the event loop of a busy machine; a frame of 15 a second is 67 ms.
SYNC_SECONDS = 0.05
TONE_AND_PATTERN = {"mic:default": {"tone_hz": 440}, "display:1": {"pattern": True}}


class Client:
    """The SDK's client with its events collected."""

    def __init__(self, sdk: CaptureClient) -> None:
        self.sdk = sdk
        self.events: list[dict[str, Any]] = []

    def names(self) -> list[str]:
        while not self.sdk._event_queue.empty():
            self.events.append(self.sdk._event_queue.get_nowait())
        return [event["event"] for event in self.events]

    def payload(self, name: str) -> dict[str, Any]:
        return next(event["payload"] for event in self.events if event["event"] == name)

    async def start(self, session_id: str = "s1") -> Channels:
        channels = await self.sdk.list_channels()
        await self.sdk.start_session(session_id, channels.all())
        return channels


@contextlib.asynccontextmanager
async def _client(server: CaptureServer, token: str = TOKEN) -> AsyncIterator[Client]:
    client = Client(CaptureClient(token, server.url))
    try:
        yield client
    finally:
        await client.sdk.shutdown()
        await asyncio.sleep(0)


def _run(test: Callable[[CaptureServer, Client], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(60), capture_server() as server, _client(server) as client:
            await test(server, client)

    asyncio.run(run())


def _steps(received: Received) -> set[int]:
    return set(np.diff([frame.pts for frame in received.frames]).tolist())


def _sound_onsets(received: Received) -> list[float]:
    """Sender time of the first loud sample of every beep, in seconds."""
    loud = np.flatnonzero(np.abs(received.sound().astype(np.int32)) > 3000)
    firsts = loud[np.diff(loud, prepend=-RATE_HZ) > RATE_HZ // 2]
    begin = received.sender_seconds(received.frames[0])
    return [begin + first / RATE_HZ for first in firsts.tolist()]


def _flash_onsets(received: Received) -> list[float]:
    bright = [brightness(frame) > 150 for frame in received.frames]
    return [
        received.sender_seconds(frame)
        for frame, now, before in zip(received.frames[1:], bright[1:], bright, strict=False)
        if now and not before
    ]


@pytest.mark.slow
def test_files_arrive_whole_in_step_and_in_real_time(
    tmp_path: Path, set_sources: SetSources, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "videodb.capture")
    set_sources(
        {
            "mic:default": {"file": str(write_beeps(tmp_path / "a.wav", 5.0))},
            "display:1": {"file": str(write_flashes(tmp_path / "a.mp4", 5.0))},
        }
    )

    async def test(server: CaptureServer, client: Client) -> None:
        channels = await client.sdk.list_channels()
        assert await client.sdk.request_permission("microphone")
        assert await client.sdk.request_permission("screen_capture")
        mic, display = channels.mics[0], channels.displays[0]
        display.store = display.is_primary = True
        await client.sdk.start_session("s1", [mic, display])
        sound, pictures = (server.received[name][0] for name in ("mic:default", "display:1"))
        await until(lambda: client.names().count("source:ended") == 2)
        await client.sdk.stop_session()

        assert server.starts[0]["primary_video_channel_id"] == "display:1"
        rows = {row["channel_id"]: row for row in server.starts[0]["channels"]}
        assert (rows["mic:default"]["store"], rows["display:1"]["store"]) == (False, True)
        assert rows["display:1"] | {"store": None} == {
            "channel_id": "display:1",
            "type": "video",
            "channel_name": "display:1",
            "store": None,
            "is_primary": True,
        }
        assert all(received.reports for received in (sound, pictures))
        assert (_steps(sound), _steps(pictures)) == ({960}, {6000})
        for received in (sound, pictures):
            (first_ntp, first_rtp), (last_ntp, last_rtp) = received.reports[0], received.reports[-1]
            sent_seconds = ((last_rtp - first_rtp) & 0xFFFFFFFF) / received.clock_rate_hz
            assert sent_seconds == pytest.approx(last_ntp - first_ntp, abs=SYNC_SECONDS)
        beeps, flashes = _sound_onsets(sound), _flash_onsets(pictures)
        assert len(beeps) == len(flashes) == 4
        assert flashes == pytest.approx(beeps, abs=SYNC_SECONDS)
        # The first beep is one second in: nothing of the file was lost while connecting.
        begin = sound.sender_seconds(sound.frames[0])
        assert [beep - begin for beep in beeps] == pytest.approx([1.0, 2.0, 3.0, 4.0], abs=SYNC_SECONDS)
        assert [stop["id"] for stop in server.stops] == ["cap-s1"]
        assert server.stops[0]["deleted_before"] == 0
        assert sorted(server.deleted) == ["display:1", "mic:default"]
        assert client.names()[-3:] == ["recording:stopped", "upload:complete", "recording-complete"]
        assert client.names()[0] == "recording:started"
        assert "upload:progress" in client.names()

    _run(test)
    assert "Capture Binary" in caplog.text
    assert TOKEN not in caplog.text


def test_offers_hold_only_what_a_server_can_keep(set_sources: SetSources) -> None:
    set_sources(TONE_AND_PATTERN)

    async def test(server: CaptureServer, client: Client) -> None:
        await client.start()
        video, audio = server.offers["display:1"][0], server.offers["mic:default"][0]
        codecs = {line.split()[1] for line in (video + audio).splitlines() if line.startswith("a=rtpmap:")}
        assert codecs == {"H264/90000", "opus/48000/2"}
        assert (video.count("m="), audio.count("m=")) == (1, 1)
        assert "a=sendonly" in video
        assert "a=candidate" in video

    _run(test)


def test_a_picture_loss_report_brings_a_key_frame(set_sources: SetSources) -> None:
    set_sources(TONE_AND_PATTERN)

    async def test(server: CaptureServer, client: Client) -> None:
        await client.start()
        frames = server.received["display:1"][0].frames
        await until(lambda: len(frames) > 15)
        assert sum(frame.key_frame for frame in frames) == 1
        await server.ask_key_frame("display:1")
        await until(lambda: sum(frame.key_frame for frame in frames) == 2)

    _run(test)


def test_pause_sends_silence_and_black_and_resume_brings_both_back(set_sources: SetSources) -> None:
    set_sources(TONE_AND_PATTERN)

    async def test(server: CaptureServer, client: Client) -> None:
        channels = await client.start()
        sound, pictures = (server.received[name][0] for name in ("mic:default", "display:1"))

        def is_heard(count: int = 10) -> bool:
            tail = [frame.to_ndarray() for frame in sound.frames[-count:]]
            return bool(np.abs(np.concatenate(tail, axis=1)).max() > 1000)

        def is_seen() -> bool:
            return brightness(pictures.frames[-1]) > 60

        await until(lambda: len(sound.frames) > 20 and is_heard() and is_seen())
        await channels.mics[0].pause()
        await channels.displays[0].pause()
        await until(lambda: not is_heard() and not is_seen())
        paused_at = len(pictures.frames)
        await until(lambda: len(pictures.frames) > paused_at + 5)
        await channels.mics[0].resume()
        await channels.displays[0].resume()
        await until(lambda: is_heard() and is_seen())
        assert (_steps(sound), _steps(pictures)) == ({960}, {6000})
        assert loudest_hz(sound.sound()[:RATE_HZ]) == pytest.approx(440, abs=3)

    _run(test)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["closed", "silent", "moved"])
def test_a_lost_connection_is_made_again(how: str, set_sources: SetSources) -> None:
    set_sources(TONE_AND_PATTERN)

    async def test(server: CaptureServer, client: Client) -> None:
        await client.start()
        first = server.received["display:1"][0]
        await until(lambda: first.reports and len(first.frames) > 15)
        server.whip_status = [503, 409]
        if how == "moved":
            server.moved_to = server.url.replace("127.0.0.1", "localhost")
        if how != "silent":
            await server.peers["display:1"].close()
        else:
            # The path stays open and the server says nothing more, as after a kill behind a relay.
            await until(lambda: first.feedback_count >= 2)
            first.is_mute = True
        await until(lambda: len(server.received["display:1"]) == 2, 40)
        second = server.received["display:1"][1]
        await until(lambda: second.reports and len(second.frames) > 15)
        assert _steps(second) == {6000}
        assert len(server.received["mic:default"]) == 1
        assert server.published_at[2:] == ["localhost" if how == "moved" else "127.0.0.1"]
        # Both connections tell time by the same clock: the gap is a whole number of frames.
        gap = second.sender_seconds(second.frames[0]) - first.sender_seconds(first.frames[0])
        assert gap * 15 == pytest.approx(round(gap * 15), abs=SYNC_SECONDS * 15)
        await client.sdk.stop_session()
        assert len(server.stops) == 1
        client.names()
        rows = {row["channel_id"]: row for row in client.payload("recording:stopped")["channels"]}
        assert (rows["display:1"]["connections"], rows["mic:default"]["connections"]) == (2, 1)

    _run(test)


def test_a_channel_the_server_ends_is_reported_and_the_last_one_ends_the_recording(
    set_sources: SetSources,
) -> None:
    set_sources(TONE_AND_PATTERN)

    async def test(server: CaptureServer, client: Client) -> None:
        await client.start()
        for number, channel in enumerate(("mic:default", "display:1"), start=1):
            server.whip_status = [404]
            await server.peers[channel].close()
            await until(lambda number=number: client.names().count("recording:error") == number)
        await until(lambda: "recording-complete" in client.names())
        assert client.payload("recording:error")["channel_id"] == "mic:default"
        assert client.names().count("error") == 2
        await client.sdk.stop_session()
        assert len(server.stops) == 1
        await client.start("s2")
        assert server.starts[-1]["session_id"] == "s2"

    _run(test)


@pytest.mark.parametrize(
    ("start_status", "whip_status", "reason"),
    [(401, [], "401"), (500, [], "500"), (200, [410, 410], "refused every channel")],
)
def test_a_start_that_fails_is_an_error_and_leaves_nothing_behind(
    start_status: int, whip_status: list[int], reason: str, set_sources: SetSources
) -> None:
    set_sources(TONE_AND_PATTERN)

    async def test(server: CaptureServer, client: Client) -> None:
        server.start_status, server.whip_status = start_status, whip_status
        with pytest.raises(RuntimeError, match=reason):
            await client.start()
        server.start_status, server.whip_status = 200, []
        await client.start("again")
        assert client.names().count("recording:started") == 1

    _run(test)
