"""One child process: how it is started, known to be ready, and stopped."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from app.base.errors import Unavailable
from app.embedded import launch

POLL_SECONDS = 0.02
LOG_BYTES = 10 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program to run as a child; times are limits, in seconds.

    `is_ready` is asked with the child's pid until it says yes; a program that runs to its end needs none.
    `death_signal` is what the kernel sends the child when this process is gone (Linux). `identity` is the
    one launch.py takes.
    """

    name: str
    argv: tuple[str, ...]
    is_ready: Callable[[int], bool] = lambda _pid: False
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    folder: Path | None = None
    identity: str = "same"
    start_seconds: float = 60.0
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0
    death_signal: signal.Signals = signal.SIGKILL


@dataclass(frozen=True, kw_only=True)
class Server:
    """A program that serves, and the URL (password included) under which it does."""

    program: Program
    url: str = field(repr=False)


def launch_argv(argv: tuple[str, ...], identity: str, death_signal: signal.Signals) -> list[str]:
    """`argv` behind launch.py, to be started by this very process."""
    launcher = (sys.executable, "-I", "-S", launch.__file__)
    return [*launcher, str(os.getpid()), str(int(death_signal)), identity, *argv]


class Child:
    """A started program.

    Made from the main thread: the kernel takes the thread, not the process, for the parent that must live.
    """

    def __init__(self, program: Program, log_path: Path) -> None:
        self.program = program
        self.log_path = log_path
        with open(os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as log:
            self.process = subprocess.Popen(
                launch_argv(program.argv, program.identity, program.death_signal),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=program.folder,
                # A child inherits the environment; nothing is read from it here.
                env={**os.environ, **program.environment},  # noqa: TID251
                # Else a terminal's Ctrl-C reaches every child at once, and the order of stopping is lost.
                start_new_session=True,
            )

    def wait_ready(self, check_stop: Callable[[], None] = lambda: None) -> None:
        """Return once the program is ready; `check_stop` may raise to give up waiting.

        Raises Unavailable, with the end of the log, when it ends first or takes longer than `start_seconds`.
        """
        deadline = time.monotonic() + self.program.start_seconds
        while True:
            check_stop()
            if self.process.poll() is not None:
                raise self.failure(f"ended with status {self.process.returncode} before it was ready")
            if self.program.is_ready(self.process.pid):
                return
            if time.monotonic() > deadline:
                raise self.failure(f"was not ready within {self.program.start_seconds:g} s")
            time.sleep(POLL_SECONDS)

    def wait_done(self, check_stop: Callable[[], None] = lambda: None) -> None:
        """Return once the program has ended well; raises Unavailable where it fails or takes too long."""
        deadline = time.monotonic() + self.program.start_seconds
        while self.process.poll() is None:
            check_stop()
            if time.monotonic() > deadline:
                raise self.failure(f"did not end within {self.program.start_seconds:g} s")
            time.sleep(POLL_SECONDS)
        if self.process.returncode != 0:
            raise self.failure(f"ended with status {self.process.returncode}")

    def failure(self, what: str) -> Unavailable:
        """The error that says what happened to this program, where its log is, and how that ends."""
        lines = self.log_path.read_text(encoding="utf-8", errors="replace").splitlines()[-12:]
        tail = "".join(f"\n  | {line}" for line in lines)
        return Unavailable(f"{self.program.name} {what}; its log is {self.log_path}{tail}")

    def stop(self) -> None:
        """Ask the program to end; kill its whole process group where it does not within `stop_seconds`."""
        if self.process.poll() is not None:
            return
        self.process.send_signal(self.program.stop_signal)
        try:
            self.process.wait(self.program.stop_seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def bound_log(self) -> None:
        """Keep the log under `LOG_BYTES`, with one older part beside it."""
        if self.log_path.stat().st_size > LOG_BYTES:
            # Copied and cut, not renamed: the child holds the file open, in append mode.
            shutil.copyfile(self.log_path, self.log_path.with_suffix(".log.1"))
            os.truncate(self.log_path, 0)
