"""When each frame of one publication was captured: by its own sync data, else by RTP and its reports."""

from app.ingest.rtsp.sync_data import SyncTime
from app.ingest.whip.wallclock import SkewCorrection, WallClock

_WINDOW_US = 10_000_000


class FrameClock:
    """Wall clocks are Unix microseconds, `timestamp` is extended RTP time.

    Sync data is held against our clock as `wallclock` holds sender reports. But it comes by TCP: behind a
    network that stood still frames arrive late without any clock being off. So it is the quickest arrival of
    some seconds that tells how far off the publisher's clock is.
    """

    def __init__(self, rtp_clock_hz: int) -> None:
        self._skew = SkewCorrection()
        self._correction_us = 0.0
        self._applied: tuple[int, int] | None = None  # (sender, arrived) that the correction comes from
        self._quickest: tuple[int, int] | None = None
        self._window_ends_us = 0
        self._by_rtp = WallClock(rtp_clock_hz)

    def captured_at_us(self, sync: SyncTime | None, timestamp: int, arrived_us: int) -> int:
        """The wall clock of a frame that has just arrived."""
        if sync is not None:
            return sync.captured_us + round(self._correction(sync.captured_us, arrived_us))
        self._by_rtp.on_arrival(timestamp, arrived_us)
        self._by_rtp.anchor_on_arrival()
        return self._by_rtp.to_unix_us(timestamp)

    def on_report(self, timestamp: int, sender_us: int, arrived_us: int) -> None:
        """Take a sender report; it matters for frames without sync data."""
        self._by_rtp.on_report(timestamp, sender_us, arrived_us)

    def _correction(self, sender_us: int, arrived_us: int) -> float:
        times = sender_us, arrived_us
        if self._applied is None or _skew(times) < _skew(self._applied):
            self._apply(times)
            self._quickest, self._window_ends_us = None, arrived_us + _WINDOW_US
            return self._correction_us
        if self._quickest is None or _skew(times) < _skew(self._quickest):
            self._quickest = times
        if arrived_us >= self._window_ends_us:
            self._apply(self._quickest)
            self._quickest, self._window_ends_us = None, arrived_us + _WINDOW_US
        return self._correction_us

    def _apply(self, times: tuple[int, int]) -> None:
        self._applied = times
        self._correction_us = self._skew.on_time(*times)


def _skew(times: tuple[int, int]) -> int:
    sender_us, arrived_us = times
    return arrived_us - sender_us
