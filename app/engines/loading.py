"""Loads what an engine needs, once, and remembers why it could not be loaded."""

import time
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

from app.engines.contract import EngineError

T = TypeVar("T")

# What is missing is not looked for again before: to look may cost a second, and every record would.
LOOK_AGAIN_SECONDS = 30.0


class Loaded(Generic[T]):
    """Loaded by whoever asks first; all others wait for it. Safe for use from several threads."""

    def __init__(self, load: Callable[[], T]) -> None:
        self._load = load
        self._lock = Lock()
        self._value: T | None = None
        self._error: EngineError | None = None
        self._look_again = 0.0

    @property
    def missing(self) -> str | None:
        """Why the last attempt to load it failed; None where it did not, or where there was none."""
        return self._error.message if self._error else None

    @property
    def is_there(self) -> bool:
        return self._value is not None

    def get(self) -> T:
        """Raises what `load` raises, an `EngineError`."""
        with self._lock:
            if self._value is not None:
                return self._value
            if self._error is not None and time.monotonic() < self._look_again:
                raise self._error
            try:
                self._value, self._error = self._load(), None
            except EngineError as error:
                self._error, self._look_again = error, time.monotonic() + LOOK_AGAIN_SECONDS
                raise
            return self._value
