"""When something that has failed, or was too slow, is asked again."""

import math
import time
from collections.abc import Callable

FIRST_SECONDS, LONGEST_SECONDS = 5.0, 60.0
_MOST_LIMITS = 64  # whole seconds; most that callers name are the same few


class Pause:
    """After a failure nobody asks for 5 s, after the next for twice as long, at most a minute.

    When it is over one tries, and the others wait for what comes of it.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._failures = 0
        self._until = 0.0

    @property
    def is_on(self) -> bool:
        return self._failures > 0 and self._now() < self._until

    def try_for(self, seconds: float) -> None:
        """The caller asks now; others who come within `seconds` are refused, if it failed before."""
        self._until = self._now() + seconds

    def failed(self, at_least_seconds: float = 0.0) -> None:
        """Begin a pause, or a longer one."""
        seconds = max(at_least_seconds, FIRST_SECONDS * 2**self._failures)
        self._failures = min(self._failures + 1, 8)
        self._until = self._now() + min(seconds, LONGEST_SECONDS)

    def works(self) -> None:
        """Whoever asks is let through again."""
        self._failures = 0


class Slowness:
    """A pause for each time limit: who may wait longer than those who waited in vain still asks."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._pauses: dict[int, Pause] = {}

    def is_on(self, limit_seconds: float) -> bool:
        """Whether somebody has just waited for as long, or longer, in vain."""
        return any(pause.is_on for limit, pause in self._pauses.items() if limit >= limit_seconds)

    def try_for(self, limit_seconds: float) -> None:
        for limit, pause in self._pauses.items():
            if limit >= limit_seconds:
                pause.try_for(limit_seconds)

    def failed(self, limit_seconds: float) -> None:
        if len(self._pauses) >= _MOST_LIMITS:
            self._pauses.clear()
        self._pauses.setdefault(math.ceil(limit_seconds), Pause(self._now)).failed()

    def answered(self, seconds: float) -> None:
        """It took so long: enough for those whose limit is not less."""
        for limit, pause in self._pauses.items():
            if limit >= seconds:
                pause.works()
