"""The instants at which the media path wakes up: timers on a common grid share one wake-up of the process."""

import math


def next_turn(now: float, every_seconds: float) -> float:
    """Return the first multiple of `every_seconds` after `now`, on the same clock."""
    return (math.floor(now / every_seconds) + 1) * every_seconds
