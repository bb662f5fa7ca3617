"""The lease that a running operation holds, and how far it is."""


class Lease:
    """`worker` names this run alone. `percentage` is written to the row with each extension."""

    def __init__(self, worker: str) -> None:
        self.worker = worker
        self.percentage = 0

    def report(self, fraction: float) -> None:
        """Say how far the work is, from 0 to 1; may be called from any thread."""
        self.percentage = max(0, min(99, round(fraction * 100)))
