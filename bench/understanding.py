"""How soon what is said and shown is understood, beside what the bare engines need for it.

The whole product as `capture up` starts it, publishers over WHIP, and one socket. Some play read speech with
its own pauses, each from another place of it: the end of speech is where the voice activity model hears it
end in the file. Others show rendered desktops that change every five seconds, with an index that looks twice
in windows of five seconds, and ten rules. Everything is on one machine's clock. Then speech that has piled up
on four streams is worked off, against the bare engine's batch: as many threads as cores, nothing else to do.

    python -m bench.understanding [--quick] [--seconds S] [--stages] [--goal]
"""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from app.base.settings import Settings
from app.embedded.postgres import running_postgres
from app.embedded.valkey import running_valkey
from bench.bare_engines import BareEngines, measure_bare_engines, measure_batch
from bench.traced import start_tracing, take_notes
from bench.understanding_backlog import work_off
from bench.understanding_latency import Latency, latency_of, part_of
from bench.understanding_streams import run_streams
from tests.fixtures.servers import migrate
from tests.fixtures.stack import PROCESS_WORDS, RunningStack, running_stack

# Streams that speak, and streams that show a screen.
RUNS = ((1, 0), (2, 0), (4, 0), (0, 1), (0, 2), (0, 4), (2, 2))
QUICK_RUNS = ((1, 0), (2, 0), (0, 2))
MIXED = (2, 2)
GOAL_FINAL_SECONDS = 1.5  # p95 at two streams, and this times the figure of one
GOAL_RATIO = 1.5
GOAL_INTERIM_SECONDS = 2.0
GOAL_RECORD_SECONDS = 2.0
GOAL_ALERT_SECONDS = 1.0
GOAL_THROUGHPUT = 0.8
GOAL_WAIT_SECONDS = 15.0  # three windows: screens are thinned out, and never starve
_VARIABLES = {"CAPTURE_LOG_LEVEL": "WARNING", "CAPTURE_ALERT_COOLDOWN_SECONDS": "0"}


@dataclass(frozen=True)
class Verdict:
    """One goal: what was measured, and whether it is at most, or at least, what is wanted."""

    name: str
    measured: float
    wanted: float
    at_least: bool = False

    @property
    def is_met(self) -> bool:
        return self.measured >= self.wanted if self.at_least else self.measured <= self.wanted


def measure(folder: Path, *, quick: bool, seconds: float, stages: bool) -> bool:
    """Print the figures; whether the goals are met."""
    found: dict[tuple[int, int], Latency] = {}
    with (
        running_postgres(folder / "servers") as database_url,
        running_valkey(folder / "servers") as redis_url,
    ):
        migrate(database_url)
        asyncio.run(start_tracing(database_url))
        settings = Settings(database_url=database_url, redis_url=redis_url, data_dir=folder / "data")
        with running_stack(folder / "data", database_url, redis_url, **_VARIABLES) as stack:
            before = measure_bare_engines()
            print(before.described())
            for speaking, showing in QUICK_RUNS if quick else RUNS:
                name = _named(speaking, showing)
                used, begun = _cpu_seconds(stack), time.monotonic()
                heard = asyncio.run(run_streams(stack, speaking=speaking, showing=showing, seconds=seconds))
                latency = latency_of(heard, asyncio.run(take_notes(database_url)))
                found[speaking, showing] = latency
                print(f"{name} (load {os.getloadavg()[0]:.1f})")
                for line in _described(latency, before):
                    print(f"    {line}")
                if stages:
                    _print_stages(latency, used, _cpu_seconds(stack), time.monotonic() - begun)
            live = asyncio.run(work_off(settings, before.utterances))
            batch = (before.batch + measure_batch(before.utterances)) / 2
            print(f"live throughput {live:.1f} x real time; the bare engine's batch {batch:.1f} x")
    return _print_verdicts(_verdicts(found, live / batch))


def _named(speaking: int, showing: int) -> str:
    parts = [f"{speaking} speaking"] if speaking else []
    return " and ".join([*parts, f"{showing} showing a screen"] if showing else parts)


def _described(latency: Latency, bare: BareEngines) -> Iterator[str]:
    if latency.finals or latency.missed:
        ratio = part_of(0.95, latency.finals) / part_of(0.95, bare.speech)
        counted = f"{latency.missed} missed, {latency.doubled} doubled"
        yield f"end of speech to final   {_spread(latency.finals)}, {counted}; {ratio:.1f} x the bare engine"
        yield f"age of interim words     {_spread(latency.interims)}"
    if latency.records or latency.alerts:
        ratio = part_of(0.95, latency.records) / part_of(0.95, bare.screens)
        yield f"end of window to record  {_spread(latency.records)}; {ratio:.1f} x the bare engine"
        yield f"record to alert          {_spread(latency.alerts)}"
        yield (
            f"records of a display     {latency.fewest_records} at least,"
            f" {latency.longest_wait:.1f} s between two at most"
        )


def _spread(values: Sequence[float]) -> str:
    return f"p50 {part_of(0.5, values):.2f} s  p95 {part_of(0.95, values):.2f} s  of {len(values)}"


def _print_stages(
    latency: Latency, before: dict[str, float], after: dict[str, float], seconds: float
) -> None:
    for name, values in latency.stages.items():
        print(f"        {name:26} {_spread(values)}")
    used = ", ".join(
        f"{name} {(after[name] - before[name]) / seconds:.2f}" for name in after if name in before
    )
    print(f"        cores in use: {used}")


def _cpu_seconds(stack: RunningStack) -> dict[str, float]:
    """Processor time so far of the product's processes, and of this one, which publishes."""
    own = psutil.Process().cpu_times()
    used = {"publishers": own.user + own.system}
    for child in psutil.Process(stack.pid).children():
        for name, word in PROCESS_WORDS.items():
            if any(word in part for part in child.cmdline()):
                times = child.cpu_times()
                used[name] = times.user + times.system
    return used


def _verdicts(found: dict[tuple[int, int], Latency], share: float) -> Iterator[Verdict]:
    def p95(run: tuple[int, int], what: str) -> float:
        return part_of(0.95, getattr(found[run], what))

    if (2, 0) in found:
        yield Verdict("two speaking: final p95, s", p95((2, 0), "finals"), GOAL_FINAL_SECONDS)
        yield Verdict("two speaking: utterances without a final", found[2, 0].missed, 0)
        yield Verdict("two speaking: interim age p95, s", p95((2, 0), "interims"), GOAL_INTERIM_SECONDS)
    if {(1, 0), (2, 0)} <= found.keys():
        ratio = p95((2, 0), "finals") / p95((1, 0), "finals")
        yield Verdict("final p95 of two by that of one", ratio, GOAL_RATIO)
    if (0, 2) in found:
        yield Verdict("two screens: record p95, s", p95((0, 2), "records"), GOAL_RECORD_SECONDS)
        yield Verdict("two screens: alert p95, s", p95((0, 2), "alerts"), GOAL_ALERT_SECONDS)
    if MIXED in found:
        yield Verdict("two of each: final p95, s", p95(MIXED, "finals"), GOAL_FINAL_SECONDS)
        yield Verdict(
            "two of each: longest without a record, s", found[MIXED].longest_wait, GOAL_WAIT_SECONDS
        )
    yield Verdict("live throughput by the bare engine's", share, GOAL_THROUGHPUT, at_least=True)


def _print_verdicts(verdicts: Iterator[Verdict]) -> bool:
    listed = list(verdicts)
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"\n{'goal':44} {'measured':>8}  {'wanted':>7}   (load averages {load}, {os.cpu_count()} cores)")
    for one in listed:
        sign = ">=" if one.at_least else "<="
        verdict = "met" if one.is_met else "missed"
        print(f"{one.name:44} {one.measured:8.2f}  {sign} {one.wanted:<4g}   {verdict}")
    return all(one.is_met for one in listed)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three short runs")
    parser.add_argument("--seconds", type=float, help="of each run")
    parser.add_argument("--stages", action="store_true", help="print where the time goes")
    parser.add_argument("--goal", action="store_true", help="exit with 1 where a goal is missed")
    wanted = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    seconds = wanted.seconds or (10.0 if wanted.quick else 30.0)
    with tempfile.TemporaryDirectory(prefix="bench-understanding-") as folder:
        met = measure(Path(folder), quick=wanted.quick, seconds=seconds, stages=wanted.stages)
    return 1 if wanted.goal and not met else 0


if __name__ == "__main__":
    sys.exit(main())
