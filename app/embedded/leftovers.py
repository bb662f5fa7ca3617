"""A record of the children that run, so that the next start can end those whose supervisor was killed.

Linux ends them itself (see launch.py); this also waits there for the ones that are still ending.
"""

import contextlib
import json
import os
import signal
from pathlib import Path
from typing import Any

import psutil

from app.embedded.private_files import write_private

REAP_SECONDS = 20
SAME_START_SECONDS = 1.0  # psutil derives a start time from the boot time, which a clock step moves


class ChildRecord:
    """The file `children.json` of a data folder: pid, start time and stop signal of each child."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "children.json"
        self._rows: list[dict[str, Any]] = []

    def add(self, pid: int, stop_signal: signal.Signals) -> None:
        """Record a child that was just started."""
        with contextlib.suppress(psutil.NoSuchProcess):  # It ended at once; whoever waits for it will say so.
            created = psutil.Process(pid).create_time()
            alive = [row for row in self._rows if _find(row) is not None]
            self._rows = [*alive, {"pid": pid, "created": created, "stop_signal": int(stop_signal)}]
            write_private(self._path, json.dumps(self._rows))

    def clear(self) -> None:
        """Forget every child: all were stopped."""
        self._rows = []
        self._path.unlink(missing_ok=True)

    def reap(self) -> int:
        """End what an earlier supervisor left running, and return how many processes that were."""
        try:
            rows = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return 0
        found = []
        for row in rows:
            process = _find(row)
            if process is not None:
                found.append(process)
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(row["stop_signal"])
        _, alive = psutil.wait_procs(found, timeout=REAP_SECONDS)
        for process in alive:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        self.clear()
        return len(found)


def _find(row: dict[str, Any]) -> psutil.Process | None:
    """The process that the row names, if it still is that one: pids are used again."""
    try:
        process = psutil.Process(row["pid"])
        same = abs(process.create_time() - row["created"]) < SAME_START_SECONDS
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None
