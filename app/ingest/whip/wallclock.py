"""Maps one track's media time to the wall clock, so that separately connected tracks line up.

The tracks of a capture arrive over separate connections, and what they share is the publisher's clock: its
RTCP sender reports say which wall-clock time each RTP timestamp stands for (RFC 3550 section 6.4.1).

* Where that clock is within `PLAUSIBLE_SKEW_US` of ours, report times are taken as they are: two tracks of
  one host then agree to a few milliseconds, however late either of them started or arrives.
* Where it is further off, the smallest difference seen between a report's arrival and its own time is added.
  Tracks of one host still agree, to the jitter of one network path, because a report's delay, unlike a
  frame's, holds no encoding.
* Without reports the mapping leans on the quickest of recent arrivals, which the sender's encoder delays.

Until it is anchored the caller holds frames back. Afterwards the mapping moves by at most `_SLEW` of the
media time that passes (reports of some stacks jitter by an encoding time), except where it is off by more
than `_STEP_US`: then a clock was set, and it jumps.
"""

PLAUSIBLE_SKEW_US = 5_000_000
_STEP_US = 1_000_000
_SLEW = 0.01
_SMOOTHING = 8  # reports; one comes every 1 to 5 s
_ARRIVAL_WINDOW_US = 10_000_000


class SkewCorrection:
    """What to add to one sender's clock: nothing while it is plausible, else the smallest skew seen."""

    def __init__(self) -> None:
        self.sender_skew_us: int | None = None  # our clock minus the sender's, from the newest time
        self._correction_us: float | None = None

    def on_time(self, sender_us: int, arrived_us: int) -> float:
        """Take a time that the sender read off its clock; return what to add to such times now, in µs."""
        self.sender_skew_us = skew = arrived_us - sender_us
        if abs(skew) <= PLAUSIBLE_SKEW_US:
            return 0.0
        known = self._correction_us
        if known is None or skew < known or skew > known + _STEP_US:
            self._correction_us = known = float(skew)
        return known


class WallClock:
    """`captured_at = timestamp / rate + offset`; this owns the offset.

    `timestamp` is extended media time in the clock rate; wall clocks are Unix microseconds.
    """

    def __init__(self, clock_rate_hz: int) -> None:
        self._us_per_tick = 1e6 / clock_rate_hz
        self._offset_us: float | None = None
        self._target_us = 0.0
        self._mapped_timestamp = 0
        self.has_reports = False  # arrivals no longer matter
        self._skew = SkewCorrection()
        self._quickest_us: float | None = None
        self._window_started_us = 0

    @property
    def sender_skew_us(self) -> int | None:
        """Our clock minus the sender's, from the newest report; None while there is none."""
        return self._skew.sender_skew_us

    @property
    def is_anchored(self) -> bool:
        """Whether `to_unix_us` can be asked."""
        return self._offset_us is not None

    def on_report(self, timestamp: int, sender_us: int, arrived_us: int) -> None:
        """Take a sender report: by the sender's clock, `timestamp` is `sender_us`."""
        offset = sender_us + self._skew.on_time(sender_us, arrived_us) - timestamp * self._us_per_tick
        if self._offset_us is None or abs(offset - self._offset_us) > _STEP_US:
            self._offset_us = self._target_us = offset
        elif not self.has_reports:
            self._target_us = offset
        else:
            self._target_us += (offset - self._target_us) / _SMOOTHING
        self.has_reports = True

    def on_arrival(self, timestamp: int, arrived_us: int) -> None:
        """Take a packet's arrival; only matters while no report has come."""
        if self.has_reports:
            return
        offset = arrived_us - timestamp * self._us_per_tick
        if self._quickest_us is None:
            self._window_started_us, self._quickest_us = arrived_us, offset
        elif self._offset_us is not None and arrived_us - self._window_started_us > _ARRIVAL_WINDOW_US:
            self._target_us = self._quickest_us
            if abs(self._target_us - self._offset_us) > _STEP_US:
                self._offset_us = self._target_us
            self._window_started_us, self._quickest_us = arrived_us, offset
        else:
            self._quickest_us = min(self._quickest_us, offset)

    def anchor_on_arrival(self) -> None:
        """No report came in time: start from the quickest arrival."""
        if self._offset_us is None and self._quickest_us is not None:
            self._offset_us = self._target_us = self._quickest_us

    def to_unix_us(self, timestamp: int) -> int:
        """Return the wall clock of `timestamp`. Raises `RuntimeError` before the clock is anchored."""
        if self._offset_us is None:
            raise RuntimeError("the wall clock is not anchored yet")
        passed = (timestamp - self._mapped_timestamp) * self._us_per_tick
        self._mapped_timestamp = timestamp
        if passed > 0 and self._offset_us != self._target_us:
            reach = passed * _SLEW
            self._offset_us += max(-reach, min(reach, self._target_us - self._offset_us))
        return round(timestamp * self._us_per_tick + self._offset_us)
