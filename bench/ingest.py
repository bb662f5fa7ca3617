"""How much CPU recording a session takes, beside the named baseline, in one interleaved run.

One session is a 720p15 H.264 screen of about 1.2 Mbit/s and two Opus tracks, each over a connection of its
own, from one publisher process that encoded everything beforehand. The figure is CPU-seconds of the server
process per second of media; segments are muxed and written, in batches and threads as in the product. Rounds
of the two servers take turns, so that other work on the machine falls on both, and the median round counts:
with one session our server mostly sleeps, and what it takes depends on who used the caches meanwhile.

    python -m bench.ingest [--sessions N] [--seconds S] [--rounds R] [--goal RATIO]
"""

import argparse
import asyncio
import statistics
import sys
from dataclasses import dataclass, field
from typing import Any

from bench.child import Child

BASELINE = "aiortc MediaRecorder (decode, x264, AAC)"
ARMS = {"mediarecorder": BASELINE, "ours": "OpenCapture (no decoding, fMP4)"}
SETTLE_SECONDS = 4.0  # connecting, the first key frame and the wait for sender reports stay outside
DEFAULT_GOAL = 12.0


@dataclass
class Arm:
    """What the rounds of one server came to."""

    cpu_per_media_second: list[float] = field(default_factory=list)
    peak_megabytes: float = 0.0
    pictures_per_second: list[float] = field(default_factory=list)
    lost_packets: int = 0


async def run_round(which: str, arm: Arm, publisher: Child, sessions: int, seconds: float) -> None:
    """One server's turn: connect, settle, measure, close."""
    server = await Child.start("bench.ingest_server", which)
    try:
        offers: list[dict[str, Any]] = await publisher.ask("offers", sessions=sessions)
        answers = [await server.ask("answer", **offer) for offer in offers]
        await publisher.ask("accept", answers=answers)
        await asyncio.sleep(SETTLE_SECONDS)
        before = await server.ask("usage")
        await asyncio.sleep(seconds)
        after = await server.ask("usage")
        await publisher.ask("close")
        totals = await server.ask("close")
    finally:
        await server.stop()
    passed = after["at_seconds"] - before["at_seconds"]
    used = after["cpu_seconds"] - before["cpu_seconds"]
    arm.cpu_per_media_second.append(used / passed / sessions)
    arm.peak_megabytes = max(arm.peak_megabytes, after["peak_megabytes"])
    arm.pictures_per_second.append(totals["pictures"] / (passed + SETTLE_SECONDS) / sessions)
    arm.lost_packets += totals["lost_packets"]


async def measure(sessions: int, seconds: float, rounds: int) -> dict[str, Arm]:
    """Run all rounds, the servers taking turns."""
    arms = {which: Arm() for which in ARMS}
    publisher = await Child.start("bench.ingest_publisher")
    try:
        for _ in range(rounds):
            for which, arm in arms.items():
                await run_round(which, arm, publisher, sessions, seconds / rounds)
    finally:
        await publisher.stop()
    return arms


def print_table(arms: dict[str, Arm], sessions: int) -> float:
    """Print what was measured and return how many times less CPU ours took than the baseline."""
    baseline = statistics.median(arms["mediarecorder"].cpu_per_media_second)
    rounds = len(arms["ours"].cpu_per_media_second)
    print(
        f"sessions at once: {sessions} (each: 720p15 H.264 + 2 Opus); median of {rounds} interleaved rounds"
    )
    print(f"{'server':<44} {'CPU-s per media-s':>18} {'ratio':>8} {'peak MB':>8} {'frames/s':>9} {'lost':>5}")
    for which, arm in arms.items():
        cpu = statistics.median(arm.cpu_per_media_second)
        print(
            f"{ARMS[which]:<44} {cpu:>18.5f} {baseline / cpu:>7.1f}x {arm.peak_megabytes:>8.0f} "
            f"{statistics.median(arm.pictures_per_second):>9.1f} {arm.lost_packets:>5}"
        )
    return baseline / statistics.median(arms["ours"].cpu_per_media_second)


def main() -> int:
    """Exit status 0 where the goal is met, 1 where not."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sessions", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=42.0, help="measured time per server (default 42)")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--goal", type=float, default=DEFAULT_GOAL, help="least ratio to the baseline")
    options = parser.parse_args()
    arms = asyncio.run(measure(options.sessions, options.seconds, options.rounds))
    ratio = print_table(arms, options.sessions)
    met = ratio >= options.goal
    print(f"{ratio:.1f} times less CPU than {BASELINE}; goal {options.goal:g}: {'met' if met else 'MISSED'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
