"""Runs the children of one data folder: started in order, watched, stopped in reverse, none left behind."""

import signal
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from app.embedded.instance_lock import hold_data_folder
from app.embedded.leftovers import ChildRecord
from app.embedded.private_files import make_private_folder
from app.embedded.process import Child, Program

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
WATCH_SECONDS = 0.1
FIRST_RESTART_SECONDS = 0.5  # doubled with each crash in a row
STEADY_SECONDS = 60.0  # a child that ran so long starts counting crashes anew
MAX_CRASHES = 5


class StopRequested(Exception):
    """A stop signal came; leaving the supervisor's block swallows it."""


@dataclass
class _Watched:
    child: Child
    started_at: float
    crashes: int = 0
    restart_at: float | None = None


class Supervisor:
    """A context manager, for the main thread of a process of its own.

    Entering takes the data folder's lock (Conflict where another instance has it) and the stop signals
    SIGINT, SIGTERM and SIGHUP; leaving stops every child. `report` is given one line for each thing that
    the person at the terminal should know.
    """

    def __init__(self, data_dir: Path, report: Callable[[str], None]) -> None:
        self.data_dir = make_private_folder(data_dir)
        self.logs_dir = make_private_folder(self.data_dir / "logs")
        self._report = report
        self._stop_requested = False
        self._watched: list[_Watched] = []
        self._record = ChildRecord(self.data_dir)
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        self._resources.enter_context(hold_data_folder(self.data_dir))
        for number in STOP_SIGNALS:
            # Under nohup a hang-up is ignored, and stays so.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                earlier = signal.signal(number, self._request_stop)
                self._resources.callback(signal.signal, number, earlier)
        if count := self._record.reap():
            self._tell(f"ended {count} processes that an earlier run left behind")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        with self._resources:
            for watched in reversed(self._watched):
                watched.child.stop()
            self._record.clear()
        return isinstance(error, StopRequested)

    def run(self, program: Program) -> None:
        """Run a program to its end within its `start_seconds`; raises Unavailable where that fails."""
        child = self._spawn(program)
        try:
            child.wait_done(self.check_stop)
        finally:
            child.stop()

    def start(self, program: Program) -> None:
        """Start a program and return once it is ready; raises Unavailable, or StopRequested meanwhile."""
        watched = _Watched(self._spawn(program), time.monotonic())
        self._watched.append(watched)
        watched.child.wait_ready(self.check_stop)

    def watch(self) -> None:
        """Start crashed children again until a stop signal comes, which raises StopRequested.

        Raises Unavailable when one child crashes `MAX_CRASHES` times without a steady minute between.
        """
        while True:
            self.check_stop()
            for watched in self._watched:
                self._look_after(watched)
            time.sleep(WATCH_SECONDS)

    def check_stop(self) -> None:
        """Raise StopRequested once a stop signal has come."""
        if self._stop_requested:
            raise StopRequested

    def _request_stop(self, number: int, frame: FrameType | None) -> None:
        # Only noted: raised at a place of our choosing, it cannot tear a start or a stop in half.
        self._stop_requested = True

    def _spawn(self, program: Program) -> Child:
        child = Child(program, self.logs_dir / f"{program.name}.log")
        self._record.add(child.process.pid, program.stop_signal)
        return child

    def _look_after(self, watched: _Watched) -> None:
        child, now = watched.child, time.monotonic()
        child.bound_log()
        if watched.restart_at is not None:
            if now >= watched.restart_at:
                watched.child = self._spawn(child.program)
                watched.started_at, watched.restart_at = now, None
            return
        status = child.process.poll()
        if status is None:
            return
        watched.crashes = watched.crashes + 1 if now - watched.started_at < STEADY_SECONDS else 1
        if watched.crashes >= MAX_CRASHES:
            raise child.failure(f"ended {watched.crashes} times in a row, at last with status {status}")
        pause_seconds = FIRST_RESTART_SECONDS * 2 ** (watched.crashes - 1)
        watched.restart_at = now + pause_seconds
        self._tell(
            f"{child.program.name} ended with status {status}; starting it again in {pause_seconds:g} s "
            f"(log: {child.log_path})"
        )

    def _tell(self, line: str) -> None:
        # After a hang-up the terminal is gone; that must not keep the children from being stopped.
        with suppress(OSError):
            self._report(line)
