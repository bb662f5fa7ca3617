"""Live streams that speak and that show screens, and when a socket hears what was understood of them."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import websockets
from numpy.typing import NDArray

from app.media.frames import Codec, EncodedFrame
from app.media.pcm import SAMPLE_RATE_HZ, Utterance, UtteranceCutter
from bench.traced import rows_waiting
from tests.fixtures.capture import DISPLAY, MIC, CaptureDriver, Publication, capture_driver
from tests.fixtures.desktops import Picture, desktop
from tests.fixtures.media import OPUS_RATE_HZ, opus_packets, read_speech, video_frames
from tests.fixtures.publisher import EncodedTrack
from tests.fixtures.stack import RunningStack

SPEECH = ("beckett.wav", "two_cities.wav")
SCREEN_SECONDS = 5.0  # so long each screen is shown
WINDOW = {"time": 5, "frame_count": 2}
FRAMES_PER_SECOND = 5
# Of silence, in which the last utterance ends.
AFTERWARDS_SECONDS = 4.0
UNDERSTOOD_SECONDS = 60.0  # until all that was said and shown is understood, however late
PROMPT = "What is the person working on?"
SCREENS = (
    ("Terminal - make test", ("Build failed", "error: cannot find module foo", "3 tests failed, 21 passed")),
    ("Mail - Inbox", ("Messages", "Lunch on Friday?", "Your invoice is ready", "Welcome to the team")),
    ("Calendar", ("This week", "Monday 9:00 Planning", "Tuesday 14:00 Review", "Thursday 11:00 Interview")),
    ("Orders - Dashboard", ("Revenue today", "41 orders", "3 refunds", "Conversion 2.4 %")),
    ("README.md - Editor", ("Installation", "Run pip install opencapture", "Then start the server")),
    ("Chat - #support", ("Customer cannot log in", "Ana: looking into it", "Ben: password was expired")),
)
# Each screen has so many lines more, of its own words: reading takes its time by the line.
LINES_MORE = 12
RULES = (
    "The mailbox is open",
    "A build or test run fails",
    "The calendar is open",
    "A dashboard with revenue is shown",
    "Somebody cannot log in",
    "A password is typed in the clear",
    "A credit card number is visible",
    "The video call has ended",
    "A file is being deleted",
    "The battery is low",
)
Json = dict[str, Any]
Sound = NDArray[np.float32]


@dataclass
class Speaker:
    """A microphone, what is said into it, and on which clock."""

    stream_id: str
    track: EncodedTrack
    said: list[Utterance]


@dataclass
class Heard:
    """What a socket received, with the Unix time at which it did."""

    speakers: list[Speaker] = field(default_factory=list)
    displays: list[str] = field(default_factory=list)
    frames: list[tuple[float, Json]] = field(default_factory=list)

    def of(self, stream_id: str, channel: str) -> list[tuple[float, Json]]:
        return [
            (at, frame)
            for at, frame in self.frames
            if frame.get("rtstream_id") == stream_id and frame["channel"] == channel
        ]


async def run_streams(stack: RunningStack, *, speaking: int, showing: int, seconds: float) -> Heard:
    """Publish on so many streams at once for `seconds`, with transcripts, indexes and alerts of them."""
    heard = Heard()
    # Encoded before anything runs: publishers share this process.
    said = [_said(number / speaking, seconds) for number in range(speaking)]
    shown = [EncodedTrack(*_shown(number)) for number in range(showing)]
    async with AsyncExitStack() as opened, _listening(stack, heard) as connection_id:
        drivers = [await opened.enter_async_context(capture_driver(stack)) for _ in range(speaking + showing)]
        for number, driver in enumerate(drivers):
            if number < speaking:
                publication = await _speak(driver, heard, *said[number], connection_id)
            else:
                publication = await _show(driver, heard, shown[number - speaking], connection_id)
            opened.push_async_callback(publication.publisher.close)
        await asyncio.sleep(seconds + AFTERWARDS_SECONDS)
        for driver in drivers:
            await driver.stop()
        for driver in drivers:
            await driver.wait_for("stopped", "exported")
        await _until_understood(stack)
    return heard


async def _until_understood(stack: RunningStack) -> None:
    for _ in range(round(UNDERSTOOD_SECONDS)):
        if not await rows_waiting(stack.database_url):
            break
        await asyncio.sleep(1.0)


@asynccontextmanager
async def _listening(stack: RunningStack, heard: Heard) -> AsyncIterator[str]:
    with stack.client() as http:
        url = http.get("/collection/default/websocket").json()["data"]["websocket_url"]
    async with websockets.connect(url) as socket:
        connection_id: str = json.loads(await socket.recv())["connection_id"]

        async def listen() -> None:
            async for text in socket:
                heard.frames.append((time.time(), json.loads(text)))

        listening = asyncio.create_task(listen())
        try:
            yield connection_id
        finally:
            listening.cancel()


async def _speak(
    driver: CaptureDriver, heard: Heard, track: EncodedTrack, said: list[Utterance], connection_id: str
) -> Publication:
    stream_id, publication = await _published(driver, MIC, track)
    body = {"action": "start", "ws_connection_id": connection_id}
    (await driver.http.post(f"/rtstream/{stream_id}/transcription", json=body)).raise_for_status()
    heard.speakers.append(Speaker(stream_id, track, said))
    return publication


async def _show(driver: CaptureDriver, heard: Heard, track: EncodedTrack, connection_id: str) -> Publication:
    stream_id, publication = await _published(driver, DISPLAY, track)
    body = {"extraction_type": "time", "extraction_config": WINDOW, "prompt": PROMPT}
    made = await driver.http.post(
        f"/rtstream/{stream_id}/index/scene", json=body | {"ws_connection_id": connection_id}
    )
    index_id = made.raise_for_status().json()["data"]["rtstream_index_id"]
    for rule in RULES:
        event = await driver.http.post("/rtstream/event", json={"event_prompt": rule, "label": "bench"})
        wanted = {
            "event_id": event.raise_for_status().json()["data"]["event_id"],
            "callback_url": "",
            "ws_connection_id": connection_id,
        }
        alert = await driver.http.post(f"/rtstream/{stream_id}/index/{index_id}/alert", json=wanted)
        alert.raise_for_status()
    heard.displays.append(stream_id)
    return publication


async def _published(driver: CaptureDriver, channel: Json, track: EncodedTrack) -> tuple[str, Publication]:
    await driver.start(channel)
    publication = await driver.publish(channel["channel_id"], track)
    session = await driver.wait_for("active")
    stream_id: str = session["rtstreams"][0]["rtstream_id"]
    return stream_id, publication


def _said(shift: float, seconds: float) -> tuple[EncodedTrack, list[Utterance]]:
    """Read speech, over and over, from `shift` of it on, and its utterances; then silence, which ends the
    last of them."""
    silence = np.zeros(round(3 * AFTERWARDS_SECONDS * OPUS_RATE_HZ), np.float32)
    sound = np.concatenate([_speech(OPUS_RATE_HZ, shift, seconds), silence])
    cutter = UtteranceCutter()
    said = cutter.feed(_speech(SAMPLE_RATE_HZ, shift, seconds), 0) + cutter.flush()
    return EncodedTrack(opus_packets(sound), 3600.0), said


def _speech(rate_hz: int, shift: float, seconds: float) -> Sound:
    whole = np.concatenate([read_speech(name, rate_hz=rate_hz) for name in SPEECH])
    return np.resize(np.roll(whole, -round(shift * len(whole))), round(seconds * rate_hz))


@cache
def _shown(turn: int) -> tuple[list[EncodedFrame], float]:
    """All screens once, the one of this turn first, and for how many seconds."""
    seconds = SCREEN_SECONDS * len(SCREENS)

    def draw(at: float, width: int, height: int) -> Picture:
        return drawn((int(at / SCREEN_SECONDS) + turn) % len(SCREENS))

    frames = video_frames(
        Codec.H264,
        seconds=seconds,
        frames_per_second=FRAMES_PER_SECOND,
        width=1280,
        height=720,
        keyframe_seconds=1.0,
        draw=draw,
        bit_rate=4_000_000,
    )
    return frames, seconds


@cache
def drawn(number: int) -> Picture:
    """One of the screens."""
    title, lines = SCREENS[number]
    words = [word for line in (title, *lines) for word in line.split()]
    more = [
        f"{row} {words[row % len(words)]} of {words[(row * 3 + 1) % len(words)]}" for row in range(LINES_MORE)
    ]
    return desktop(title, [*lines, *more])
