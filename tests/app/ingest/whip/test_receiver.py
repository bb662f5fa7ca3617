from itertools import pairwise

from aiortc.rtp import (
    RTCP_PSFB_APP,
    RTCP_PSFB_PLI,
    AnyRtcpPacket,
    RtcpPacket,
    RtcpPsfbPacket,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    unpack_remb_fci,
)

from app.ingest.whip.packets import RtpPacket
from app.ingest.whip.receiver import HOLD_SECONDS, TrackReceiver, ntp_to_unix_us
from app.ingest.whip.statistics import TrackCounters
from app.media.frames import Codec, EncodedFrame

START_US = 1_760_000_000_000_000
NTP_START = (START_US // 1_000_000 + 2_208_988_800) << 32
SPS, PPS = bytes.fromhex("6742c01f"), bytes.fromhex("68ce3c80")
KEY = b"\x78\x00\x04" + SPS + b"\x00\x04" + PPS + b"\x00\x03\x65\x88\x01"
DELTA = b"\x41\x9a\x01"
MEDIA, RTX = 96, 97


class Bench:
    """A receiver with a clock in hand: `now` seconds after the start, on both clocks."""

    def __init__(self, codec: Codec) -> None:
        self.frames: list[EncodedFrame] = []
        self.rtcp: list[AnyRtcpPacket] = []
        self.counters = TrackCounters()
        self.is_full = False
        self.now = 0.0
        self.receiver = TrackReceiver(
            codec,
            payload_type=MEDIA,
            rtx_payload_type=RTX,
            parameter_sets=(),
            deliver=self._deliver,
            send_rtcp=lambda data: self.rtcp.extend(RtcpPacket.parse(data)),
            counters=self.counters,
        )

    def _deliver(self, frame: EncodedFrame) -> bool:
        if not self.is_full:
            self.frames.append(frame)
        return not self.is_full

    @property
    def wall_us(self) -> int:
        return START_US + round(self.now * 1e6)

    def rtp(self, number: int, payload: bytes, *, timestamp: int | None = None, ssrc: int = 1) -> RtpPacket:
        return RtpPacket(
            payload_type=MEDIA,
            marker=True,
            sequence_number=number & 0xFFFF,
            timestamp=(number * 6000 if timestamp is None else timestamp) & 0xFFFFFFFF,
            ssrc=ssrc,
            payload=payload,
        )

    def send(self, packet: RtpPacket) -> None:
        self.receiver.on_rtp(packet, self.now, self.wall_us)

    def report(self, rtp_timestamp: int, ssrc: int = 1) -> None:
        ntp = NTP_START + int(self.now * 2**32)
        self.receiver.on_sender_report(ssrc, ntp, rtp_timestamp & 0xFFFFFFFF, self.now, self.wall_us)

    def run_until(self, now: float) -> None:
        """Let the clock run, polling exactly at the receiver's deadlines."""
        while (deadline := self.receiver.next_deadline()) <= now:
            self.now = max(self.now, deadline)
            self.receiver.poll(self.now)
        self.now = now

    def plis(self) -> int:
        return sum(isinstance(p, RtcpPsfbPacket) and p.fmt == RTCP_PSFB_PLI for p in self.rtcp)

    def nacked(self) -> list[int]:
        return [number for p in self.rtcp if isinstance(p, RtcpRtpfbPacket) for number in p.lost]


def video_with(*, timestamp: int = 0) -> Bench:
    """A receiver that has its key frame (number 0) and a sender report."""
    bench = Bench(Codec.H264)
    bench.send(bench.rtp(0, KEY, timestamp=timestamp))
    bench.report(timestamp)
    return bench


def test_frames_wait_for_the_first_sender_report() -> None:
    bench = Bench(Codec.H264)
    bench.send(bench.rtp(0, KEY))
    assert not bench.frames
    bench.now = 0.5
    bench.report(rtp_timestamp=45_000)
    (frame,) = bench.frames
    assert abs(frame.captured_at_us - START_US) < 20
    assert (frame.codec, frame.timestamp, frame.is_keyframe) == (Codec.H264, 0, True)


def test_a_sender_that_never_reports_is_anchored_on_arrival() -> None:
    bench = Bench(Codec.OPUS)
    for number in range(200):
        bench.run_until(number * 0.02)
        bench.send(bench.rtp(number, b"x", timestamp=number * 960))
    first = bench.frames[0]
    assert len(bench.frames) == 200
    assert abs(first.captured_at_us - START_US) < 20


def test_frames_held_back_come_out_when_the_publisher_goes() -> None:
    bench = Bench(Codec.OPUS)
    bench.send(bench.rtp(0, b"x"))
    bench.receiver.flush()
    assert len(bench.frames) == 1
    assert HOLD_SECONDS > 2.5  # Chromium's first audio report


def test_a_report_of_zeros_is_ignored() -> None:
    bench = Bench(Codec.OPUS)
    bench.send(bench.rtp(0, b"x"))
    bench.receiver.on_sender_report(1, 0, 0, bench.now, bench.wall_us)
    assert not bench.frames
    assert bench.counters.sender_skew_us is None


def test_a_report_before_the_first_packet_counts() -> None:
    bench = Bench(Codec.OPUS)
    bench.report(rtp_timestamp=0)
    bench.send(bench.rtp(0, b"x"))
    assert len(bench.frames) == 1


def test_timestamps_and_sequence_numbers_wrap() -> None:
    start = 2**32 - 12_000
    bench = video_with(timestamp=start)
    for number in range(1, 6):
        bench.now = number / 15
        bench.send(bench.rtp(number, DELTA, timestamp=start + number * 6000))
    assert [frame.timestamp - start for frame in bench.frames] == [n * 6000 for n in range(6)]
    assert all(b > a for a, b in pairwise([frame.captured_at_us for frame in bench.frames]))
    bench = Bench(Codec.OPUS)
    bench.report(0)
    for number in range(65_530, 65_545):
        bench.send(bench.rtp(number, b"x", timestamp=number * 960))
    assert len(bench.frames) == 15
    assert not any(frame.after_gap for frame in bench.frames)


def test_a_new_ssrc_goes_on_in_time_and_says_that_there_is_a_gap() -> None:
    bench = video_with()
    bench.now = 1 / 15
    bench.send(bench.rtp(1, DELTA))
    bench.now = 1.0
    bench.send(bench.rtp(40_000, DELTA, timestamp=0xDEADBEEF, ssrc=2))
    bench.send(bench.rtp(40_001, KEY, timestamp=0xDEADBEEF + 6000, ssrc=2))
    resumed = bench.frames[-1]
    assert (len(bench.frames), resumed.is_keyframe, resumed.after_gap) == (3, True, True)
    assert abs(resumed.timestamp - (90_000 + 6000)) < 10
    assert abs(resumed.captured_at_us - (START_US + 1_066_667)) < 1000
    bench.send(bench.rtp(2, DELTA))  # a straggler of the old one
    assert len(bench.frames) == 3


def test_reports_of_the_new_ssrc_are_used() -> None:
    bench = video_with()
    bench.now = 2.0
    bench.send(bench.rtp(5, KEY, timestamp=500_000, ssrc=2))
    bench.report(rtp_timestamp=500_000 - 9_000, ssrc=2)
    assert bench.counters.sender_skew_us == 0


def test_losses_are_asked_for_and_recovered_by_retransmission() -> None:
    bench = video_with()
    bench.send(bench.rtp(2, DELTA))
    assert not bench.nacked()  # it may only have been overtaken
    bench.run_until(0.031)
    assert bench.nacked() == [1]
    rtx = bench.rtp(900, b"\x00\x01" + DELTA, timestamp=6000, ssrc=99)
    rtx.payload_type = RTX
    bench.now = 0.05
    bench.send(rtx)
    assert len(bench.frames) == 3
    assert (bench.counters.recovered, bench.counters.lost) == (1, 0)
    assert bench.receiver.next_deadline() == 1.0


def test_lost_audio_is_asked_for_too_and_given_up_sooner() -> None:
    bench = Bench(Codec.OPUS)
    bench.report(0)
    bench.send(bench.rtp(0, b"a"))
    bench.send(bench.rtp(2, b"c"))
    bench.run_until(0.39)
    assert bench.nacked() == [1, 1, 1]
    assert len(bench.frames) == 1
    bench.run_until(0.41)
    assert [frame.after_gap for frame in bench.frames] == [False, True]
    assert bench.plis() == 0


def test_nacks_across_the_sequence_wrap_are_written() -> None:
    bench = Bench(Codec.OPUS)
    bench.send(bench.rtp(65_533, b"a"))
    bench.send(bench.rtp(2, b"b"))
    bench.run_until(0.031)
    assert sorted(bench.nacked()) == [0, 1, 65_534, 65_535]


def test_a_key_frame_is_asked_for_after_300_ms_until_one_comes() -> None:
    bench = video_with()
    bench.send(bench.rtp(2, DELTA))
    bench.run_until(0.29)
    assert bench.plis() == 0
    bench.run_until(0.31)
    assert bench.plis() == 1
    bench.run_until(0.85)
    assert bench.plis() == 2
    bench.run_until(3.0)
    asked = bench.plis()
    assert asked >= 3
    assert len(bench.frames) == 1
    bench.send(bench.rtp(3, KEY))
    assert (bench.frames[-1].is_keyframe, bench.frames[-1].after_gap) == (True, True)
    bench.run_until(10.0)
    assert bench.plis() == asked


def test_a_gap_that_closes_in_time_asks_for_no_key_frame() -> None:
    bench = video_with()
    bench.send(bench.rtp(2, DELTA))
    bench.run_until(0.2)
    bench.send(bench.rtp(1, DELTA))
    bench.run_until(2.0)
    assert (bench.plis(), len(bench.frames)) == (0, 3)


def test_a_publisher_that_starts_without_a_key_frame_is_asked_for_one() -> None:
    bench = Bench(Codec.H264)
    bench.send(bench.rtp(0, DELTA))
    bench.run_until(0.31)
    assert bench.plis() == 1


def test_a_requested_key_frame_is_asked_for_at_once() -> None:
    bench = video_with()
    bench.receiver.request_keyframe(bench.now)
    assert bench.plis() == 1
    bench.send(bench.rtp(1, DELTA))
    bench.run_until(0.35)
    assert bench.plis() == 2
    bench.send(bench.rtp(2, KEY))
    bench.run_until(5.0)
    assert bench.plis() == 2
    assert not bench.frames[-1].after_gap


def test_a_full_queue_drops_up_to_a_key_frame_and_asks_for_it() -> None:
    bench = video_with()
    bench.is_full = True
    bench.send(bench.rtp(1, DELTA))
    bench.is_full = False
    bench.send(bench.rtp(2, DELTA))
    assert (len(bench.frames), bench.counters.dropped_frames, bench.plis()) == (1, 2, 1)
    bench.send(bench.rtp(3, KEY))
    assert bench.frames[-1].after_gap


def test_every_second_a_report_with_the_fixed_receive_cap_goes_out() -> None:
    bench = video_with()
    bench.send(bench.rtp(1, DELTA))
    bench.send(bench.rtp(2, DELTA))
    bench.run_until(1.0)
    (report,) = [p for p in bench.rtcp if isinstance(p, RtcpRrPacket)]
    (block,) = report.reports
    assert (block.ssrc, block.packets_lost, block.highest_sequence) == (1, 0, 2)
    assert block.lsr == NTP_START >> 16 & 0xFFFFFFFF
    assert block.dlsr == 65536
    (remb,) = [p for p in bench.rtcp if isinstance(p, RtcpPsfbPacket) and p.fmt == RTCP_PSFB_APP]
    bits_per_second, ssrcs = unpack_remb_fci(remb.fci)
    assert 9_900_000 < bits_per_second <= 10_000_000
    assert ssrcs == [1]


def test_nothing_is_sent_to_a_publisher_that_went_silent() -> None:
    bench = video_with()
    bench.run_until(1.5)
    sent = len(bench.rtcp)
    bench.run_until(30.0)
    assert len(bench.rtcp) - sent <= 3


def test_foreign_payload_types_are_ignored() -> None:
    bench = video_with()
    foreign = bench.rtp(1, DELTA)
    foreign.payload_type = 127
    bench.send(foreign)
    assert (len(bench.frames), bench.counters.packets) == (1, 1)


def test_ntp_time_is_read_in_both_eras() -> None:
    assert ntp_to_unix_us(NTP_START + (1 << 31)) == START_US + 500_000
    assert ntp_to_unix_us(100 << 32) == (2**32 + 100 - 2_208_988_800) * 1_000_000
