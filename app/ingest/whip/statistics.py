"""What one track's reception amounts to: counters for people, and the numbers of receiver reports."""

from dataclasses import dataclass

from aiortc.rtp import RtcpReceiverInfo, clamp_packets_lost


@dataclass(slots=True)
class TrackCounters:
    """Totals since the connection began, over every SSRC that the publisher used."""

    packets: int = 0
    bytes: int = 0
    lost: int = 0  # given up: neither the packet nor a retransmission came
    nacked: int = 0
    recovered: int = 0  # came late or by retransmission, and in time
    duplicates: int = 0
    malformed: int = 0
    frames: int = 0
    keyframes: int = 0
    dropped_frames: int = 0  # incomplete, undecodable without what was lost, or the reader was too slow
    plis: int = 0
    sender_skew_us: int | None = None  # our clock minus the publisher's; None while it sent no report


class ReceptionStatistics:
    """The numbers of a receiver report on one SSRC (RFC 3550 sections 6.4.1, A.3 and A.8)."""

    def __init__(self, ssrc: int, clock_rate_hz: int) -> None:
        self._ssrc = ssrc
        self._clock_rate_hz = clock_rate_hz
        self._base: int | None = None
        self._highest = 0
        self._received = 0
        self._expected_before = 0
        self._received_before = 0
        self._transit: int | None = None
        self._jitter = 0.0
        self._report_middle = 0
        self._report_arrived: float | None = None
        self.fraction_lost = 0.0  # over the interval that the newest report closed

    def on_packet(self, sequence_number: int, timestamp: int, now: float) -> None:
        """Count a packet that arrived at `now` (monotonic seconds)."""
        self._received += 1
        if self._base is None:
            self._base = self._highest = sequence_number
        ahead = (sequence_number - self._highest) & 0xFFFF
        if ahead >= 0x8000:
            return
        self._highest += ahead
        before, self._transit = self._transit, int(now * self._clock_rate_hz) - timestamp
        if before is not None:
            difference = (self._transit - before) & 0xFFFFFFFF
            if difference > 0x80000000:
                difference = 0x100000000 - difference
            self._jitter += (difference - self._jitter) / 16

    def on_sender_report(self, ntp_timestamp: int, now: float) -> None:
        """Remember the newest sender report, for LSR and DLSR."""
        self._report_middle = (ntp_timestamp >> 16) & 0xFFFFFFFF
        self._report_arrived = now

    def close_interval(self, now: float) -> RtcpReceiverInfo | None:
        """Return the report on the time since the last call; None where nothing ever arrived."""
        if self._base is None:
            return None
        expected = self._highest - self._base + 1
        interval = expected - self._expected_before
        lost = interval - (self._received - self._received_before)
        self._expected_before, self._received_before = expected, self._received
        self.fraction_lost = max(0, lost) / interval if interval > 0 else 0.0
        delay = 0 if self._report_arrived is None else int((now - self._report_arrived) * 65536)
        return RtcpReceiverInfo(
            ssrc=self._ssrc,
            fraction_lost=min(255, int(self.fraction_lost * 256)),
            packets_lost=clamp_packets_lost(expected - self._received),
            highest_sequence=self._highest & 0xFFFFFFFF,
            jitter=int(self._jitter) & 0xFFFFFFFF,
            lsr=self._report_middle,
            dlsr=min(delay, 0xFFFFFFFF),
        )
