"""The media path of one track, from RTP packets to encoded frames; it opens no socket and reads no clock.

It stands where aiortc's RTCRtpReceiver stands, and does what that one does not: it decodes nothing, starts no
thread, asks again for lost audio too, holds the picture back behind a loss until a key frame comes, sends a
fixed receive cap, and puts every frame on the wall clock.
"""

from collections.abc import Callable, Sequence

from app.ingest.whip.assembler import AssembledFrame, FrameAssembler, PacketFrames
from app.ingest.whip.depacketizers import make_depacketizer
from app.ingest.whip.feedback import FeedbackWriter, ReceiveCap
from app.ingest.whip.keyframes import FIRST_WAIT_SECONDS, KeyframeRequests
from app.ingest.whip.packets import RtpPacket, signed_difference
from app.ingest.whip.reorder import ReorderBuffer
from app.ingest.whip.statistics import ReceptionStatistics, TrackCounters
from app.ingest.whip.wallclock import WallClock
from app.media.frames import Codec, EncodedFrame

GIVE_UP_VIDEO_SECONDS = 0.8
GIVE_UP_AUDIO_SECONDS = 0.4
HOLD_SECONDS = 3.0  # Chromium's first audio report comes after 2.5 s; some stacks never send one
REPORT_SECONDS = 1.0
_MAX_HELD_FRAMES = 600  # 3 s of audio in packets of 5 ms
_NTP_TO_UNIX_SECONDS = 2_208_988_800


class TrackReceiver:
    """Takes one track's RTP and RTCP, delivers frames, sends feedback.

    `deliver` returns False where the frame could not be taken. Every `now` is a monotonic clock's seconds,
    every `wall_us` our wall clock in Unix microseconds.
    """

    def __init__(
        self,
        codec: Codec,
        *,
        payload_type: int,
        rtx_payload_type: int | None,
        parameter_sets: Sequence[bytes],
        deliver: Callable[[EncodedFrame], bool],
        send_rtcp: Callable[[bytes], None],
        counters: TrackCounters,
    ) -> None:
        self._codec = codec
        self._is_video = codec.is_video
        self._payload_type = payload_type
        self._rtx_payload_type = rtx_payload_type
        self._deliver = deliver
        self._send_rtcp = send_rtcp
        self._counters = counters
        self._assembler = (
            FrameAssembler(make_depacketizer(codec, parameter_sets), counters)
            if self._is_video
            else PacketFrames()
        )
        self._clock = WallClock(codec.clock_rate_hz)
        self._feedback = FeedbackWriter()
        self._cap = ReceiveCap()
        self._keyframes = KeyframeRequests()
        self._keyframe_asked_for = False
        self._held: list[tuple[AssembledFrame, int]] = []
        self._early_report: tuple[int, int, int, int] | None = None
        # The SSRC being received, and what belongs to it
        self._ssrc: int | None = None
        self._retired_ssrcs: list[int] = []
        self._buffer = self._new_buffer()
        self._reception = ReceptionStatistics(0, codec.clock_rate_hz)
        self._raw_timestamp = 0
        self._timestamp = 0
        self._started_at = 0.0
        self._heard_at = 0.0
        self._next_report = float("inf")
        self._bytes_reported = 0

    def on_rtp(self, packet: RtpPacket, now: float, wall_us: int) -> bool:
        """Take an RTP packet, media or retransmission (RFC 4588); return `is_unsettled`."""
        if packet.payload_type == self._payload_type:
            if packet.ssrc != self._ssrc and not self._switch_ssrc(packet, now, wall_us):
                return False
            self._reception.on_packet(packet.sequence_number, packet.timestamp, now)
            if not self._clock.has_reports:
                self._clock.on_arrival(self._extend(packet.timestamp), wall_us)
        elif packet.payload_type == self._rtx_payload_type and self._ssrc is not None:
            if len(packet.payload) < 2:
                return False
            packet.sequence_number = int.from_bytes(packet.payload[:2], "big")
            packet.payload = packet.payload[2:]
        else:
            return False
        self._heard_at = now
        counters = self._counters
        counters.packets += 1
        counters.bytes += len(packet.payload)
        for ready in self._buffer.push(packet, now):
            for frame in self._assembler.push(ready):
                self._emit(frame)
        if self.is_unsettled:
            self._react(now)
            return self.is_unsettled
        return False

    @property
    def is_unsettled(self) -> bool:
        """Whether packets are missing or a key frame is wanted: `next_deadline` may have come nearer."""
        return bool(
            self._buffer.missing
            or self._keyframe_asked_for
            or self._assembler.needs_keyframe
            or self._keyframes.due is not None
        )

    def on_sender_report(
        self, ssrc: int, ntp_timestamp: int, rtp_timestamp: int, now: float, wall_us: int
    ) -> None:
        """Take a sender report. aiortc sends one with all zeros before its first packet."""
        if not ntp_timestamp:
            return
        if self._ssrc is None:
            self._early_report = (ssrc, ntp_timestamp, rtp_timestamp, wall_us)
        if ssrc != self._ssrc:
            return
        self._reception.on_sender_report(ntp_timestamp, now)
        self._apply_report(ntp_timestamp, rtp_timestamp, wall_us)

    def request_keyframe(self, now: float) -> None:
        """Ask for a key frame until one comes; no effect on audio."""
        if self._is_video:
            self._keyframe_asked_for = True
            self._react(now)

    def poll(self, now: float) -> None:
        """Do what has become due: give up, ask again, report, stop holding frames back."""
        self._assemble(self._buffer.give_up(now))
        if self._ssrc is not None and not self._clock.is_anchored and now >= self._started_at + HOLD_SECONDS:
            self._anchor_on_arrival()
        if now >= self._next_report:
            self._report(now)
        self._react(now)

    def next_deadline(self) -> float:
        """When `poll` has something to do again; infinite before the first packet."""
        deadline = self._next_report
        for other in (self._buffer.next_deadline(), self._keyframes.due):
            if other is not None and other < deadline:
                deadline = other
        return deadline

    def is_sending(self, sources: Sequence[int]) -> bool:
        """Whether the SSRC being received is one of `sources`, which said goodbye."""
        return self._ssrc in sources

    def flush(self) -> None:
        """Deliver whatever is left: no packet will follow."""
        self._assemble(self._buffer.flush())
        self._anchor_on_arrival()

    def _switch_ssrc(self, packet: RtpPacket, now: float, wall_us: int) -> bool:
        """Follow a new SSRC; False where the packet is a straggler of one left behind."""
        if packet.ssrc in self._retired_ssrcs and now - self._heard_at < GIVE_UP_VIDEO_SECONDS:
            return False
        if self._ssrc is None:
            self._started_at = now
            self._next_report = now + REPORT_SECONDS
            self._timestamp = packet.timestamp
        else:
            self._assemble(self._buffer.flush())
            self._assembler.mark_gap()
            # The new numbering says nothing about the old one: media time goes on by the time that passed.
            self._timestamp += max(1, round((now - self._heard_at) * self._codec.clock_rate_hz))
            self._retired_ssrcs = [*self._retired_ssrcs[-7:], self._ssrc]
        self._raw_timestamp = packet.timestamp
        self._ssrc = packet.ssrc
        self._buffer = self._new_buffer()
        self._reception = ReceptionStatistics(packet.ssrc, self._codec.clock_rate_hz)
        if self._early_report is not None and self._early_report[0] == packet.ssrc:
            self._apply_report(*self._early_report[1:])
        self._early_report = None
        return True

    def _new_buffer(self) -> ReorderBuffer:
        give_up_seconds = GIVE_UP_VIDEO_SECONDS if self._is_video else GIVE_UP_AUDIO_SECONDS
        return ReorderBuffer(give_up_seconds, self._counters)

    def _extend(self, raw_timestamp: int) -> int:
        """Continue a 32-bit RTP timestamp over its wraps."""
        if raw_timestamp != self._raw_timestamp:
            self._timestamp += signed_difference(raw_timestamp, self._raw_timestamp, 32)
            self._raw_timestamp = raw_timestamp
        return self._timestamp

    def _apply_report(self, ntp_timestamp: int, rtp_timestamp: int, wall_us: int) -> None:
        timestamp = self._timestamp + signed_difference(rtp_timestamp, self._raw_timestamp, 32)
        self._clock.on_report(timestamp, ntp_to_unix_us(ntp_timestamp), wall_us)
        self._counters.sender_skew_us = self._clock.sender_skew_us
        self._release_held()

    def _assemble(self, packets: Sequence[RtpPacket]) -> None:
        for packet in packets:
            for frame in self._assembler.push(packet):
                self._emit(frame)

    def _emit(self, frame: AssembledFrame) -> None:
        if frame.is_keyframe and self._is_video:
            self._counters.keyframes += 1
            self._keyframe_asked_for = False
            self._keyframes.settle()
        timestamp = self._extend(frame.timestamp)
        if self._clock.is_anchored:
            self._deliver_frame(frame, timestamp)
            return
        self._held.append((frame, timestamp))
        if len(self._held) >= _MAX_HELD_FRAMES:
            self._anchor_on_arrival()

    def _anchor_on_arrival(self) -> None:
        self._clock.anchor_on_arrival()
        if self._clock.is_anchored:
            self._release_held()

    def _release_held(self) -> None:
        held, self._held = self._held, []
        for frame, timestamp in held:
            self._deliver_frame(frame, timestamp)

    def _deliver_frame(self, frame: AssembledFrame, timestamp: int) -> None:
        taken = self._deliver(
            EncodedFrame(
                self._codec,
                frame.data,
                timestamp,
                self._clock.to_unix_us(timestamp),
                frame.is_keyframe,
                frame.after_gap,
            )
        )
        if taken:
            self._counters.frames += 1
        else:
            self._counters.dropped_frames += 1
            self._assembler.mark_gap()

    def _react(self, now: float) -> None:
        """Send the NACKs and picture loss indications that are due."""
        missing_since = self._buffer.missing_since
        if missing_since is not None and self._ssrc is not None:
            for data in self._feedback.nacks(self._ssrc, self._buffer.take_nacks(now)):
                self._send_rtcp(data)
        if not self._is_video or self._ssrc is None:
            return
        if self._keyframe_asked_for:
            self._keyframes.ask(now)
        elif self._assembler.needs_keyframe:
            self._keyframes.ask(now if self._counters.keyframes else self._started_at + FIRST_WAIT_SECONDS)
        elif missing_since is not None:
            self._keyframes.ask(missing_since + FIRST_WAIT_SECONDS)
        elif self._keyframes.due is not None:
            self._keyframes.settle()
        if self._keyframes.due is not None and self._keyframes.take(now):
            self._counters.plis += 1
            self._send_rtcp(self._feedback.pli(self._ssrc))

    def _report(self, now: float) -> None:
        self._next_report = now + REPORT_SECONDS
        if now - self._heard_at > GIVE_UP_VIDEO_SECONDS + REPORT_SECONDS:
            return  # Nothing is sent to a publisher that went silent (see IngestConnection.query_consent).
        report = self._reception.close_interval(now)
        if report is None:
            return
        bits = (self._counters.bytes - self._bytes_reported) * 8
        self._bytes_reported = self._counters.bytes
        cap = None
        if self._is_video:
            self._cap.on_interval(self._reception.fraction_lost, bits / REPORT_SECONDS)
            cap = self._cap.bits_per_second
        self._send_rtcp(self._feedback.report([report], cap, self._ssrc))


def ntp_to_unix_us(ntp_timestamp: int) -> int:
    """Return Unix microseconds of a 64-bit NTP timestamp between 1968 and 2104 (RFC 5905 section 6)."""
    seconds, fraction = ntp_timestamp >> 32, ntp_timestamp & 0xFFFFFFFF
    if seconds < 1 << 31:  # NTP's second era, from 2036
        seconds += 1 << 32
    return (seconds - _NTP_TO_UNIX_SECONDS) * 1_000_000 + (fraction * 1_000_000 >> 32)
