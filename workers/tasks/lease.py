"""The lease that a running operation holds, and how far it is."""

from collections.abc import Callable


class Lease:
    """`worker` names this run alone. `percentage` is written to the row with each extension; `told` hears
    the same fractions."""

    def __init__(self, worker: str, told: Callable[[float], None] | None = None) -> None:
        self.worker = worker
        self.percentage = 0
        self._told = told

    def report(self, fraction: float) -> None:
        """Say how far the work is, from 0 to 1; may be called from any thread."""
        self.percentage = max(0, min(99, round(fraction * 100)))
        if self._told is not None:
            self._told(fraction)
