"""The wall clock of a pulled source's frames: when they came, smoothed by the source's own media time."""

SETTLE_SECONDS = 0.5
_FURTHEST_AHEAD_US = 2_000_000
_FURTHEST_BEHIND_US = 10_000_000
_WINDOW_US = 10_000_000
_LARGEST_CORRECTION_US = 2_000  # in a window: 200 ppm, more than clocks drift apart


class ArrivalClock:
    """Maps one connection's media time to Unix microseconds.

    What a source sends at once when it is connected to is older than it seems, and networks delay: the
    quickest frame tells. One that is too far off begins another timeline, and is placed where it came.
    """

    def __init__(self) -> None:
        self.rejoined = 0
        self._offset_us: int | None = None
        self._quickest_us: int | None = None
        self._window_ends_us = 0

    def settle(self, at_us: int, arrived_us: int) -> None:
        """Take a frame of the beginning into account, before the first is mapped."""
        offset_us = arrived_us - at_us
        self._offset_us = offset_us if self._offset_us is None else min(self._offset_us, offset_us)
        self._window_ends_us = arrived_us + _WINDOW_US

    def to_unix_us(self, at_us: int, arrived_us: int) -> int:
        """When the frame that arrived now was sent."""
        offset_us = arrived_us - at_us
        if self._offset_us is None:
            self._join(offset_us, arrived_us)
        assert self._offset_us is not None
        late_us = offset_us - self._offset_us
        if not -_FURTHEST_AHEAD_US <= late_us <= _FURTHEST_BEHIND_US:
            self.rejoined += 1
            self._join(offset_us, arrived_us)
        else:
            self._follow(offset_us, arrived_us)
        return at_us + self._offset_us

    def _join(self, offset_us: int, arrived_us: int) -> None:
        self._offset_us, self._quickest_us = offset_us, None
        self._window_ends_us = arrived_us + _WINDOW_US

    def _follow(self, offset_us: int, arrived_us: int) -> None:
        """Clocks drift apart: go after the quickest frame of each window, slowly."""
        assert self._offset_us is not None
        self._quickest_us = offset_us if self._quickest_us is None else min(self._quickest_us, offset_us)
        if arrived_us >= self._window_ends_us:
            late_us = self._quickest_us - self._offset_us
            self._offset_us += max(-_LARGEST_CORRECTION_US, min(late_us, _LARGEST_CORRECTION_US))
            self._quickest_us, self._window_ends_us = None, arrived_us + _WINDOW_US


class PacedClock:
    """The same for what comes faster than it is to be played, as files do: it says how long to wait.

    Times are those at which a viewer who began when the connection did would see the frame.
    """

    def __init__(self) -> None:
        self.rejoined = 0
        self._offset_us: int | None = None
        self._last_us = 0

    def due_us(self, at_us: int, now_us: int) -> int:
        """When the frame is played."""
        if self._offset_us is None:
            self._offset_us = now_us - at_us
        elif not -_FURTHEST_AHEAD_US <= at_us - self._last_us <= _FURTHEST_BEHIND_US:
            self.rejoined += 1
            self._offset_us = now_us - at_us
        elif now_us - at_us - self._offset_us > _FURTHEST_BEHIND_US:
            self._offset_us = now_us - at_us  # the source stood still: nobody can catch up
        self._last_us = at_us
        return at_us + self._offset_us
