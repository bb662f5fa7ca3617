"""The product documents' own flow on the unmodified SDK: capture, live words, export, search, checked."""

import asyncio
import importlib.util
import json
import os
import tempfile
import time
import wave
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import videodb
from videodb.capture import CaptureClient

from app.base.errors import Unavailable
from app.demo.backend import WebhookReceiver
from app.demo.screen import render_screen

CAPTURE_SECONDS = 25.0
SCREEN_SECONDS = 8
QUERY = "the age of wisdom"

Show = Callable[[str], None]


@dataclass
class Verdict:
    """What the demo promised, and whether each of it came true."""

    show: Show
    checks: list[tuple[str, bool]] = field(default_factory=list)

    def check(self, what: str, holds: bool) -> None:
        self.checks.append((what, bool(holds)))
        self.show(f"{'  ok  ' if holds else ' FAIL '} {what}")

    @property
    def holds(self) -> bool:
        return bool(self.checks) and all(holds for _, holds in self.checks)


async def tell(base_url: str, api_key: str, show: Show) -> bool:
    """Run the whole story against a ready server; True when every check held."""
    verdict = Verdict(show)
    with tempfile.TemporaryDirectory(prefix="capture-demo-") as folder:
        show("drawing a screen, picking two voices")
        sources = await asyncio.to_thread(_make_sources, Path(folder))
        # The recorder is a child of the SDK: it reads what to capture from the environment.
        os.environ["OPENCAPTURE_SOURCES"] = json.dumps(sources)  # noqa: TID251
        await _capture_and_check(base_url, api_key, verdict)
    passed = sum(holds for _, holds in verdict.checks)
    show(f"\n{passed} of {len(verdict.checks)} checks hold")
    return verdict.holds


async def _capture_and_check(base_url: str, api_key: str, verdict: Verdict) -> None:
    show = verdict.show
    connection = await asyncio.to_thread(videodb.connect, api_key=api_key, base_url=base_url)
    collection = await asyncio.to_thread(connection.get_collection)
    receiver = WebhookReceiver(show)
    heard: list[dict[str, Any]] = []
    async with _socket(connection, show, heard) as connection_id:
        session = await asyncio.to_thread(
            connection.create_capture_session,
            end_user_id="demo-user",
            callback_url=receiver.url,
            ws_connection_id=connection_id,
        )
        token = await asyncio.to_thread(connection.generate_client_token, expires_in=600)
        show(f"session     {session.id}")
        await _capture(base_url, token, session.id, connection, receiver, show, connection_id)
        exported = await receiver.wait_for("capture_session.exported", 60)
    finals = [frame for frame in heard if _is_final(frame)]
    verdict.check("live transcript events came from mic and system audio", len(_names(finals)) == 2)
    verdict.check("they carry wall-clock milliseconds", all(_is_now(frame) for frame in finals))
    screens = [frame["data"]["text"] for frame in heard if frame.get("channel") == "visual_index"]
    verdict.check("visual index events say what the screen shows", any("Notes" in text for text in screens))
    video = await asyncio.to_thread(collection.get_video, exported["data"]["exported_video_id"])
    verdict.check(
        f"the export lasts as long as the capture ({float(video.length):.1f} s)",
        abs(float(video.length) - CAPTURE_SECONDS) < 3,
    )
    pictures, seconds = await asyncio.to_thread(_play, video.stream_url)
    verdict.check(f"its HLS stream plays: {pictures} pictures, {seconds:.1f} s of sound", pictures > 50)
    show("\nindexing the recording's words")
    await asyncio.to_thread(video.index_spoken_words)
    found = await asyncio.to_thread(video.search, QUERY)
    shots = found.get_shots()
    # Said about 5 s into the voice, which begins 2 s after the capture does.
    found_it = bool(shots) and "wisdom" in shots[0].text.lower() and 6 < shots[0].start < 9
    verdict.check(f"search finds {QUERY!r} where it was said", found_it)
    if shots:
        show(f"search      {shots[0].start:.1f} s to {shots[0].end:.1f} s: {shots[0].text}")
    show(f"\nwatch it    {video.player_url}")
    show(f"HLS         {video.stream_url}")
    receiver.close()


async def _capture(
    base_url: str,
    token: str,
    session_id: str,
    connection: Any,
    receiver: WebhookReceiver,
    show: Show,
    connection_id: str,
) -> None:
    client = CaptureClient(client_token=token, base_url=base_url)
    try:
        await client.request_permission("microphone")
        await client.request_permission("screen_capture")
        channels = await client.list_channels()
        chosen = [channels.mics.default, channels.displays.default, channels.system_audio.default]
        for channel in chosen:
            channel.store = True
        await client.start_session(
            capture_session_id=session_id,
            channels=chosen,
            primary_video_channel_id=channels.displays.default.id,
        )
        active = await receiver.wait_for("capture_session.active", 30)
        started = time.monotonic()
        capture = await asyncio.to_thread(connection.get_capture_session, active["capture_session_id"])
        for category in ("mic", "system_audio"):
            for stream in capture.get_rtstream(category):
                await asyncio.to_thread(stream.start_transcript, ws_connection_id=connection_id)
        (display,) = capture.get_rtstream("screen")
        await asyncio.to_thread(
            display.index_visuals,
            prompt="What is being written?",
            batch_config={"type": "time", "value": SCREEN_SECONDS, "frame_count": 2},
            ws_connection_id=connection_id,
        )
        show(f"capturing for {CAPTURE_SECONDS:.0f} s: {', '.join(one.id for one in chosen)}\n")
        await asyncio.sleep(CAPTURE_SECONDS - (time.monotonic() - started))
        await client.stop_session()
    finally:
        await client.shutdown()


def _is_final(frame: dict[str, Any]) -> bool:
    return frame.get("channel") == "transcript" and bool(frame.get("is_final"))


@asynccontextmanager
async def _socket(connection: Any, show: Show, heard: list[dict[str, Any]]) -> AsyncIterator[str]:
    wrapper = await asyncio.to_thread(connection.connect_websocket)
    socket = await wrapper.connect()

    async def listen() -> None:
        async for frame in socket.receive():
            heard.append(frame)
            if _is_final(frame):
                show(f"transcript  {frame['rtstream_name']:<22}{frame['data']['text']}")
            if frame.get("channel") == "visual_index":
                show(f"screen      {frame['rtstream_name']:<22}{frame['data']['text']}")

    listener = asyncio.create_task(listen())
    try:
        yield socket.connection_id
    finally:
        await socket.close()
        listener.cancel()
        await asyncio.wait({listener})


def _make_sources(folder: Path) -> dict[str, Any]:
    screen = folder / "screen.mp4"
    render_screen(screen, CAPTURE_SECONDS + 5)
    return {
        "mic:default": {"file": str(_say(folder, "two_cities.wav", after_seconds=2.0, seconds=10.5))},
        "system_audio:default": {"file": str(_say(folder, "beckett.wav", after_seconds=13.5, seconds=10.0))},
        "display:1": {"file": str(screen)},
    }


def _say(folder: Path, name: str, *, after_seconds: float, seconds: float) -> Path:
    """A sound file with `seconds` of a voice after a silence: the two take turns, as in a call."""
    target = folder / name
    with wave.open(str(_voice(name))) as voice, wave.open(str(target), "wb") as turn:
        turn.setparams(voice.getparams())
        frame_bytes = voice.getsampwidth() * voice.getnchannels()
        turn.writeframes(bytes(round(after_seconds * voice.getframerate()) * frame_bytes))
        turn.writeframes(voice.readframes(round(seconds * voice.getframerate())))
    return target


def _voice(name: str) -> Path:
    """Read speech that a package carries as data; the package itself is never imported."""
    package = importlib.util.find_spec("moonshine_voice")
    if package is None or package.origin is None:
        raise Unavailable("the demo's voices are not installed: run `python3 run.py demo`")
    return Path(package.origin).parent / "assets" / name


def _play(url: str) -> tuple[int, float]:
    """Decode the whole stream as a player does: pictures, and seconds of sound."""
    pictures, samples, rate = 0, 0, 1
    with av.open(url, timeout=30) as container:
        for frame in container.decode():
            if isinstance(frame, av.VideoFrame):
                pictures += 1
            elif isinstance(frame, av.AudioFrame):
                samples, rate = samples + frame.samples, frame.sample_rate
    return pictures, samples / rate


def _names(frames: list[dict[str, Any]]) -> set[str]:
    return {frame["rtstream_name"] for frame in frames}


def _is_now(frame: dict[str, Any]) -> bool:
    now_ms = time.time() * 1000
    start, end = frame["data"]["start"], frame["data"]["end"]
    return isinstance(start, int) and now_ms - 300_000 < start < end <= now_ms
