"""When each frame of a publication was captured: by its own sync data, else by RTP and its reports."""

from weakref import WeakValueDictionary

from app.ingest.rtsp.sync_data import SyncTime
from app.ingest.whip.wallclock import SkewCorrection, WallClock

_WINDOW_US = 10_000_000


class RecorderClock:
    """How far one recorder's clock is off, by the times in all its channels' frames.

    Those are held against our clock as `wallclock` holds sender reports. But they come by TCP: behind a
    network that stood still frames arrive late without any clock being off, and sound is sent later than a
    picture of the same moment. So it is the quickest arrival of some seconds, on any channel, that tells.
    """

    def __init__(self) -> None:
        self._skew = SkewCorrection()
        self._correction_us = 0.0
        self._applied: tuple[int, int] | None = None  # (sender, arrived) that the correction comes from
        self._quickest: tuple[int, int] | None = None
        self._window_ends_us = 0

    def corrected_us(self, sender_us: int, arrived_us: int) -> int:
        """A time that has just arrived, as our clock had it. All are Unix microseconds."""
        times = sender_us, arrived_us
        if self._applied is None or _skew(times) < _skew(self._applied):
            self._apply(times)
        else:
            if self._quickest is None or _skew(times) < _skew(self._quickest):
                self._quickest = times
            if arrived_us >= self._window_ends_us:
                self._apply(self._quickest)
        return sender_us + round(self._correction_us)

    def _apply(self, times: tuple[int, int]) -> None:
        self._applied, self._quickest = times, None
        self._window_ends_us = times[1] + _WINDOW_US
        self._correction_us = self._skew.on_time(*times)


class RecorderClocks:
    """The clock of each capture session that has a publisher here."""

    def __init__(self) -> None:
        self._clocks: WeakValueDictionary[str, RecorderClock] = WeakValueDictionary()

    def clock_of(self, session_id: str) -> RecorderClock:
        """The one clock for all channels of a session; it lives as long as somebody holds it."""
        clock = self._clocks.get(session_id)
        if clock is None:
            clock = self._clocks[session_id] = RecorderClock()
        return clock


class FrameClock:
    """One track's times; `timestamp` is extended RTP time, for frames without sync data."""

    def __init__(self, rtp_clock_hz: int, recorder: RecorderClock) -> None:
        self._recorder = recorder
        self._by_rtp = WallClock(rtp_clock_hz)

    def captured_at_us(self, sync: SyncTime | None, timestamp: int, arrived_us: int) -> int:
        """The wall clock of a frame that has just arrived."""
        if sync is not None:
            return self._recorder.corrected_us(sync.captured_us, arrived_us)
        self._by_rtp.on_arrival(timestamp, arrived_us)
        self._by_rtp.anchor_on_arrival()
        return self._by_rtp.to_unix_us(timestamp)

    def on_report(self, timestamp: int, sender_us: int, arrived_us: int) -> None:
        """Take a sender report; it matters for frames without sync data."""
        self._by_rtp.on_report(timestamp, sender_us, arrived_us)


def _skew(times: tuple[int, int]) -> int:
    sender_us, arrived_us = times
    return arrived_us - sender_us
