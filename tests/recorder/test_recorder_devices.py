"""A real X server and a real sound server: what is on the screen and in the speaker arrives."""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from recorder_media import RATE_HZ, loudest_hz
from videodb.capture import CaptureClient
from whip_endpoint import TOKEN, CaptureServer, capture_server, until
from Xlib import display as xdisplay

MISSING = [program for program in ("Xvfb", "pulseaudio") if shutil.which(program) is None]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed here: {', '.join(MISSING)}"),
]

SPEAKER_HZ, MICROPHONE_HZ = 440, 1000
_SOUND = f"""
load-module module-native-protocol-unix socket=SOCKET auth-anonymous=1
load-module module-null-sink sink_name=speaker
load-module module-null-sink sink_name=room
load-module module-remap-source source_name=headset master=room.monitor
set-default-sink speaker
set-default-source headset
load-module module-sine sink=speaker frequency={SPEAKER_HZ}
load-module module-sine sink=room frequency={MICROPHONE_HZ}
"""


@pytest.fixture
def x_display(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An X server with two screens, 800x600 and 640x480."""
    reading, writing = os.pipe()
    screens = ("-screen", "0", "800x600x24", "-screen", "1", "640x480x24")
    command = ["Xvfb", "-displayfd", str(writing), *screens, "-nolisten", "tcp", "-noreset"]
    with subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL) as process:
        os.close(writing)
        try:
            with os.fdopen(reading) as numbers:
                name = f":{int(numbers.readline())}"
            monkeypatch.setenv("DISPLAY", name)
            yield name
        finally:
            process.send_signal(signal.SIGTERM)


@pytest.fixture
def sound_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A sound server with a tone in its speaker and another one in its microphone."""
    # A socket's path may have 107 bytes, fewer than pytest's own folders take.
    folder = Path(tempfile.mkdtemp(prefix="pulse"))
    script = folder / "script.pa"
    script.write_text(_SOUND.replace("SOCKET", f"{folder}/native"))
    options = ("--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "--realtime=no")
    environment = {**os.environ, "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)}
    environment.pop("PULSE_SERVER")
    command = ["pulseaudio", "-n", f"--file={script}", *options]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 10
            while not (folder / "native").exists():
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            monkeypatch.setenv("PULSE_SERVER", f"unix:{folder}/native")
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(10)
            shutil.rmtree(folder)


def _paint(name: str, screen: int, colour: int) -> None:
    """Fill one screen with 0xRRGGBB."""
    connection = xdisplay.Display(name)
    root = connection.screen(screen).root
    root.change_attributes(background_pixel=colour)
    root.clear_area()
    connection.sync()
    connection.close()


def _shows(server: CaptureServer, channel: str, colour: int) -> bool:
    frames = server.received[channel][0].frames
    if not frames:
        return False
    mean = frames[-1].to_ndarray(format="rgb24").reshape(-1, 3).mean(axis=0)
    return bool(np.abs(mean - [colour >> 16, colour >> 8 & 255, colour & 255]).max() < 30)


def test_screens_and_sounds_of_this_machine_arrive(x_display: str, sound_server: None) -> None:
    asyncio.run(_capture(x_display))


async def _capture(x_display: str) -> None:
    async with asyncio.timeout(60), capture_server() as server:
        client = CaptureClient(TOKEN, server.url)
        channels = await client.list_channels()
        assert [channel.id for channel in channels.all()] == [
            "mic:default",
            "display:1",
            "display:2",
            "system_audio:default",
        ]
        _paint(x_display, 0, 0xC02020)
        _paint(x_display, 1, 0x20C020)
        await client.start_session("s1", channels.all())
        await until(lambda: _shows(server, "display:1", 0xC02020) and _shows(server, "display:2", 0x20C020))
        _paint(x_display, 0, 0x2020C0)
        await until(lambda: _shows(server, "display:1", 0x2020C0))
        assert _shows(server, "display:2", 0x20C020)
        sizes = {name: server.received[name][0].frames[-1] for name in ("display:1", "display:2")}
        assert [(frame.width, frame.height) for frame in sizes.values()] == [(800, 600), (640, 480)]
        tones = {"system_audio:default": SPEAKER_HZ, "mic:default": MICROPHONE_HZ}
        await until(lambda: all(len(server.received[name][0].frames) > 200 for name in tones))
        for name, tone_hz in tones.items():
            received = server.received[name][0]
            sound = received.sound()[RATE_HZ : 4 * RATE_HZ]
            assert loudest_hz(sound) == pytest.approx(tone_hz, abs=2)
            assert set(np.diff([frame.pts for frame in received.frames]).tolist()) == {960}
            # A dropout would leave a quiet stretch: no 20 ms of the tone are without it.
            assert np.abs(sound.reshape(-1, 960).astype(np.int32)).max(axis=1).min() > 1000
        await client.stop_session()
        await client.shutdown()
        assert sorted(server.deleted) == sorted(channel.id for channel in channels.all())
