"""The instants at which the media path wakes up: timers on a common grid share one wake-up of the process."""

import asyncio
import math
from collections.abc import Callable
from weakref import WeakKeyDictionary

_calls: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[float, list[Callable[[], None]]]] = (
    WeakKeyDictionary()
)


def next_turn(now: float, every_seconds: float) -> float:
    """Return the first multiple of `every_seconds` after `now`, on the same clock."""
    return (math.floor(now / every_seconds) + 1) * every_seconds


def call_next_turn(every_seconds: float, call: Callable[[], None]) -> None:
    """Have `call` made at the next turn. All calls of a turn share one timer of the running event loop."""
    loop = asyncio.get_running_loop()
    turns = _calls.setdefault(loop, {})
    at = next_turn(loop.time(), every_seconds)
    if at not in turns:
        turns[at] = []
        loop.call_at(at, _make_calls, turns, at)
    turns[at].append(call)


def _make_calls(turns: dict[float, list[Callable[[], None]]], at: float) -> None:
    for call in turns.pop(at):
        call()
