"""How much CPU recording a session takes, beside other servers that are fed by the same publisher.

One session is a 720p15 H.264 screen of about 1.2 Mbit/s and two Opus tracks, each over a connection of its
own, from one publisher process that encoded everything beforehand. The figure is CPU-seconds of the server's
process per second of media in its files. Rounds of the servers take turns, so that other work on the machine
falls on all of them, and the median round counts. Every server has one core, the publisher the others; only
MediaRecorder, which needs more than one from ten sessions on, has all.

* OpenCapture: the product's receiver and recorder. MP4, each second of it flushed to the disk.
* aiortc's MediaRecorder, as its documentation shows it: decodes, encodes with libx264 and AAC. To 10
  sessions.
* GStreamer's webrtcbin to mp4mux, nothing decoded or flushed. To 40 sessions.
  apt-get install gstreamer1.0-nice gstreamer1.0-plugins-base gstreamer1.0-plugins-good \\
      gstreamer1.0-plugins-bad python3-gi gir1.2-gst-plugins-bad-1.0
* Janus's recordplay plugin: RTP packets as they come into .mjr files, no MP4, nothing flushed.
  apt-get install janus

A server that is not installed is left out, and the table says so.

    python -m bench.ingest [--sessions N] [--seconds S] [--rounds R] [--servers ours,janus]
"""

import argparse
import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.child import ROOT, Child
from bench.ingest_files import recorded_frames

SETTLE_SECONDS = 4.0  # the first key frame and the wait for sender reports stay outside
DRAIN_SECONDS = 0.5
CONNECTING_AT_ONCE = 12
SYSTEM_PYTHON = "/usr/bin/python3"


@dataclass(frozen=True, slots=True)
class Server:
    title: str
    most_sessions: int
    goals: dict[int, float] = field(default_factory=dict)  # most of its CPU that ours takes, by sessions


SERVERS = {
    "ours": Server("OpenCapture (MP4, flushed)", 1000),
    "mediarecorder": Server("aiortc MediaRecorder (decode, encode)", 10, {1: 1 / 25, 10: 1 / 45}),
    "gstreamer": Server("GStreamer webrtcbin ! mp4mux", 40),
    "janus": Server("Janus recordplay (.mjr)", 1000, {1: 1.5, 40: 1.0}),
}


@dataclass(slots=True)
class Measured:
    """What the rounds of one server came to."""

    cpu_per_media_second: list[float] = field(default_factory=list)
    core_share: list[float] = field(default_factory=list)
    peak_megabytes: float = 0.0
    sent: int = 0
    lost: int = 0
    refused_datagrams: int = 0
    latest_seconds: float = 0.0
    said: dict[str, int] = field(default_factory=dict)


def unavailable(which: str) -> str | None:
    """Why the server cannot be run here, if it cannot."""
    if which == "janus" and shutil.which("janus") is None:
        return "janus is not installed"
    if which == "gstreamer":
        check = "import gi; gi.require_version('GstWebRTC', '1.0'); gi.require_version('Gst', '1.0')"
        if subprocess.run([SYSTEM_PYTHON, "-c", check], capture_output=True, check=False).returncode:
            return "GStreamer's Python bindings are not installed"
    return None


async def start_server(which: str, folder: Path, cores: Sequence[int]) -> Child:
    """Run one of `SERVERS`, recording into `folder`."""
    if which == "gstreamer":
        script = str(ROOT / "bench" / "ingest_gstreamer.py")
        return await Child.run([SYSTEM_PYTHON, script, str(folder)], cores=cores)
    if which == "janus":
        return await Child.start("bench.ingest_janus", str(folder), cores=cores)
    return await Child.start("bench.ingest_server", which, str(folder), cores=cores)


async def connect(server: Child, publisher: Child, sessions: int) -> None:
    """Have all tracks answered, some at a time; each is sent from then on."""
    offers: list[dict[str, Any]] = await publisher.ask("offers", sessions=sessions)
    for first in range(0, len(offers), CONNECTING_AT_ONCE):
        some = offers[first : first + CONNECTING_AT_ONCE]
        answers = [await server.ask("answer", **offer) for offer in some]
        await publisher.ask("accept", first=first, answers=answers)


async def run_round(
    which: str, measured: Measured, publisher: Child, sessions: int, seconds: float, cores: Sequence[int]
) -> None:
    """One server's turn: connect, settle, measure, close, count."""
    refused_before = refused_datagrams()
    with tempfile.TemporaryDirectory(prefix="bench-ingest-") as name:
        server = await start_server(which, Path(name), cores)
        try:
            await connect(server, publisher, sessions)
            processes: list[int] = await server.ask("processes")
            await asyncio.sleep(SETTLE_SECONDS)
            began_at, used_before = time.monotonic(), cpu_seconds(processes)
            await asyncio.sleep(seconds)
            used = cpu_seconds(processes) - used_before
            passed = time.monotonic() - began_at
            peak = sum(peak_megabytes(process) for process in processes)
            sent: dict[str, Any] = await publisher.ask("stop")
            await asyncio.sleep(DRAIN_SECONDS)
            said: dict[str, int] = await server.ask("close")
            await publisher.ask("close")
        finally:
            await server.stop()
        kept = await asyncio.to_thread(recorded_frames, Path(name))
    frames = sent["pictures"] + sent["sounds"]
    lost = frames - kept["pictures"] - kept["sounds"]
    measured.cpu_per_media_second.append(used / passed / sessions / (kept["pictures"] / sent["pictures"]))
    measured.core_share.append(used / passed)
    measured.peak_megabytes = max(measured.peak_megabytes, peak)
    measured.sent += frames
    measured.lost += lost
    measured.refused_datagrams += refused_datagrams() - refused_before
    measured.latest_seconds = max(measured.latest_seconds, sent["latest_seconds"])
    for key, count in said.items():
        measured.said[key] = measured.said.get(key, 0) + count


async def measure(names: Sequence[str], sessions: int, seconds: float, rounds: int) -> dict[str, Measured]:
    """Run all rounds, the servers taking turns."""
    results = {name: Measured() for name in names}
    cores = sorted(os.sched_getaffinity(0))
    publisher = await Child.start("bench.ingest_publisher", cores=cores[:-1])
    try:
        for _ in range(rounds):
            for name, measured in results.items():
                own = () if name == "mediarecorder" else cores[-1:]
                await run_round(name, measured, publisher, sessions, seconds, own)
    finally:
        await publisher.stop()
    return results


def cpu_seconds(processes: Sequence[int]) -> float:
    """CPU time of other processes with all their threads, by the kernel's clocks of them."""
    # clock_getcpuclockid(3) makes the same number; Python has it for threads only.
    return sum(time.clock_gettime(~process << 3 | 2) for process in processes)


def peak_megabytes(process: int) -> float:
    """Most memory that the process ever had."""
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def refused_datagrams() -> int:
    """Datagrams that came to a full socket buffer or a full queue of the loopback device, of any process.

    The kernel's totals miss some: a server that knows better says so itself.
    """
    softnet = Path("/proc/net/softnet_stat").read_text(encoding="ascii").splitlines()
    names, values = (
        line.split()
        for line in Path("/proc/net/snmp").read_text(encoding="ascii").splitlines()
        if line.startswith("Udp:")
    )
    return int(values[names.index("RcvbufErrors")]) + sum(int(line.split()[1], 16) for line in softnet)


def print_table(results: dict[str, Measured], sessions: int) -> dict[str, float]:
    """Print what was measured, and return how much of each server's CPU ours took."""
    rounds = len(results["ours"].cpu_per_media_second)
    ours = statistics.median(results["ours"].cpu_per_media_second)
    print(f"{sessions} session(s), each 720p15 H.264 + 2 Opus; median of {rounds} interleaved round(s)")
    print(
        f"{'server':<38} {'CPU-s/media-s':>13} {'x ours':>7} {'core':>6} {'peak MB':>8} "
        f"{'sent':>8} {'lost':>6} {'refused':>7} {'late s':>6}"
    )
    shares = {}
    for name, found in results.items():
        cpu = statistics.median(found.cpu_per_media_second)
        shares[name] = ours / cpu
        print(
            f"{SERVERS[name].title:<38} {cpu:>13.5f} {cpu / ours:>7.2f} "
            f"{statistics.median(found.core_share):>6.1%} {found.peak_megabytes:>8.0f} {found.sent:>8} "
            f"{found.lost:>6} {found.refused_datagrams:>7} {found.latest_seconds:>6.2f}"
        )
    print("sent, lost: frames; refused: datagrams, by full buffers; late: the publisher at its worst")
    print(f"load of the machine over the last five minutes: {os.getloadavg()[1]:.1f}, with the bench itself")
    print(f"OpenCapture says: {results['ours'].said}")
    return shares


def print_goals(shares: dict[str, float], sessions: int) -> bool:
    """Print the goals at so many sessions; return whether all are met."""
    met = True
    for name, share in shares.items():
        if (goal := SERVERS[name].goals.get(sessions)) is not None:
            verdict = "met" if share <= goal else "MISSED"
            print(f"{share:.3f} of {SERVERS[name].title}; goal {goal:.3f}: {verdict}")
            met = met and share <= goal
    return met


def main() -> int:
    """Exit status 0 where the goals are met, 1 where not."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sessions", type=int, default=1, help="at once; goals are for 1, 10, 40 and 150")
    parser.add_argument("--seconds", type=float, default=6.0, help="measured in each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--servers", default=",".join(SERVERS), help="which to run; `ours` has to be there")
    options = parser.parse_args()
    names = []
    for name in options.servers.split(","):
        reason = unavailable(name)
        if reason is None and options.sessions > SERVERS[name].most_sessions:
            reason = f"not run with more than {SERVERS[name].most_sessions} sessions"
        if reason is None:
            names.append(name)
        else:
            print(f"{SERVERS[name].title}: {reason}")
    results = asyncio.run(measure(names, options.sessions, options.seconds, options.rounds))
    met = print_goals(print_table(results, options.sessions), options.sessions)
    lost = results["ours"].lost
    print(f"frames lost by OpenCapture: {lost} of {results['ours'].sent}")
    return 0 if met and not lost else 1


if __name__ == "__main__":
    sys.exit(main())
