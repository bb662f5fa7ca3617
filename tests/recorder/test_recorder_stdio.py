"""The executable itself, driven by hand: every command answered, and gone when its parent is."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from opencapture_recorder.protocol import PREFIX
from videodb_capture_bin import get_binary_path
from whip_endpoint import TOKEN, SetSources, capture_server, until

LIMIT_SECONDS = 20


def _line(command: str, params: Any = None, command_id: str | None = None) -> str:
    return (
        PREFIX + json.dumps({"command": command, "commandId": command_id or command, "params": params}) + "\n"
    )


def _talk(
    text: str, answers: int, environment: dict[str, str] | None = None
) -> tuple[dict[str, tuple[str, Any]], str, int]:
    """The answers to these lines by command id, then stdin closes; stderr and the exit code."""
    with subprocess.Popen(
        [get_binary_path()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **(environment or {})},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(text.encode())
        process.stdin.flush()
        lines = [process.stdout.readline().decode() for _ in range(answers)]
        rest, errors = process.communicate(timeout=LIMIT_SECONDS)
    assert rest == b""
    replies = [json.loads(line.removeprefix(PREFIX)) for line in lines]
    return (
        {reply["commandId"]: (reply["status"], reply["result"]) for reply in replies},
        errors.decode(),
        process.returncode,
    )


def test_the_executable_runs_without_an_activated_environment() -> None:
    done = subprocess.run(
        [get_binary_path()],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=LIMIT_SECONDS,
        env={},
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, b"")


def test_every_command_is_answered() -> None:
    commands = {
        "init": {"apiUrl": "http://127.0.0.1:9"},
        "ping": {},
        "getChannels": None,
        "requestPermission": {"permission": "screen_capture"},
        "startRecording": {"sessionId": "cap-1", "uploadToken": "t", "channels": []},
        "stopRecording": {"sessionId": "current"},
        "pauseTracks": {"tracks": ["mic"]},
        "resumeTracks": {"tracks": ["camera"]},
        "makeCoffee": {},
    }
    sources = json.dumps({"display:2": {"pattern": True}, "display:1": {"pattern": True}})
    text = "".join(_line(name, params) for name, params in commands.items())
    text = "noise\n" + PREFIX + "{broken\n" + PREFIX + "x" * 70_000 + "\n" + text
    answers, _, code = _talk(text, len(commands), {"OPENCAPTURE_SOURCES": sources})
    assert code == 0
    assert answers["init"][0] == answers["ping"][0] == "success"
    assert answers["requestPermission"] == ("success", {"status": "granted"})
    assert answers["stopRecording"] == ("success", {"recording": False})
    assert [channel["channel_id"] for channel in answers["getChannels"][1]["channels"]] == [
        "display:1",
        "display:2",
    ]
    assert all(channel["name"] == channel["channel_id"] for channel in answers["getChannels"][1]["channels"])
    for name, reason in {
        "startRecording": "channels",
        "pauseTracks": "Nothing is being recorded",
        "resumeTracks": "tracks",
        "makeCoffee": "Unknown command",
    }.items():
        status, message = answers[name]
        assert status == "error"
        assert reason in message
    assert set(answers) == set(commands)


def test_shutdown_is_answered_and_ends_it() -> None:
    answers, _, code = _talk(_line("shutdown"), 1)
    assert (answers["shutdown"][0], code) == ("success", 0)


def test_missing_devices_are_left_out_with_a_reason() -> None:
    text = _line("getChannels") + _line("requestPermission", {"permission": "microphone"})
    answers, errors, _ = _talk(text, 2)
    assert answers["getChannels"] == ("success", {"channels": []})
    assert answers["requestPermission"] == ("success", {"status": "denied"})
    assert "mic:default is not listed" in errors
    assert "DISPLAY is not set" in errors


def test_a_wrong_setting_is_told_to_the_sdk() -> None:
    answers, _, code = _talk(_line("getChannels"), 1, {"OPENCAPTURE_SOURCES": "{"})
    status, message = answers["getChannels"]
    assert (status, code) == ("error", 0)
    assert "OPENCAPTURE_SOURCES" in message


def test_a_server_that_is_not_there_is_an_answer() -> None:
    start = {"sessionId": "c", "uploadToken": "secret-t", "channels": [{"channel_id": "mic:default"}]}
    text = _line("init", {"apiUrl": "http://127.0.0.1:9"}) + _line("startRecording", start)
    answers, errors, _ = _talk(text, 2, {"OPENCAPTURE_SOURCES": '{"mic:default": {"tone_hz": 440}}'})
    status, message = answers["startRecording"]
    assert status == "error"
    assert "cannot be reached" in message
    assert "secret-t" not in errors


_PARENT = """
import subprocess, sys, time
recorder = subprocess.Popen([sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
keeper = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL, pass_fds=[recorder.stdin.fileno()])
recorder.stdin.write(sys.stdin.readline().encode())
recorder.stdin.write(sys.stdin.readline().encode())
recorder.stdin.flush()
print(recorder.pid, keeper.pid, flush=True)
for line in recorder.stdout:
    if b"recording:started" in line:
        print("started", flush=True)
        break
time.sleep(60)
"""


@pytest.mark.parametrize("how", ["stdin closes", "parent is killed"])
def test_it_stops_cleanly_and_dies_with_its_parent(how: str, set_sources: SetSources, tmp_path: Path) -> None:
    set_sources({"mic:default": {"tone_hz": 440}})
    asyncio.run(_orphan(how, tmp_path))


def _has_ended(pid: int) -> bool:
    """True once the process is gone, or a zombie that nobody has waited for (proc(5), stat)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def _orphan(how: str, tmp_path: Path) -> None:
    start = {"sessionId": "s1", "uploadToken": TOKEN, "channels": [{"channel_id": "mic:default"}]}
    async with capture_server() as server:
        lines = (_line("init", {"apiUrl": server.url}) + _line("startRecording", start)).encode()
        # With a second process holding the pipe open, a killed parent is noticed by signal alone.
        command = [sys.executable, "-c", _PARENT, get_binary_path()]
        parent = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert parent.stdin is not None
        assert parent.stdout is not None
        parent.stdin.write(lines)
        async with asyncio.timeout(LIMIT_SECONDS):
            pids = [int(pid) for pid in (await parent.stdout.readline()).split()]
            assert await parent.stdout.readline() == b"started\n"
        recorder, keeper = pids
        if how == "stdin closes":
            os.kill(keeper, signal.SIGKILL)
        parent.kill()
        await parent.wait()
        await until(lambda: _has_ended(recorder))
        if how == "parent is killed":
            os.kill(keeper, signal.SIGKILL)
        assert [stop["session_id"] for stop in server.stops] == ["s1"]
        assert server.deleted == ["mic:default"]
