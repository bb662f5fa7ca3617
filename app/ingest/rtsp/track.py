"""The media path of one publication, from interleaved packets to encoded frames; it opens no socket."""

import struct
from collections.abc import Callable, Iterator

from aiortc.rtp import RtcpPacket, RtcpSrPacket

from app.ingest.rtsp.announcement import AnnouncedTrack
from app.ingest.rtsp.frame_clock import FrameClock, RecorderClock
from app.ingest.rtsp.sync_data import SyncTime, take_aac_sync, take_h264_sync
from app.ingest.whip.assembler import FrameAssembler
from app.ingest.whip.depacketizers import H264Depacketizer
from app.ingest.whip.packets import RtpPacket, parse_rtp, signed_difference
from app.ingest.whip.receiver import ntp_to_unix_us
from app.ingest.whip.statistics import TrackCounters
from app.media.aac import SAMPLES_PER_UNIT
from app.media.frames import Codec, EncodedFrame

_AU_HEADER_BITS = 16  # 13 of size, 3 of index


class TrackReader:
    """Takes one track's RTP and RTCP, delivers frames. TCP brings packets in order, so none is waited for:
    a sequence number that was skipped is one that the publisher did not send.

    `deliver` returns False where the frame could not be taken. `wall_us` is our clock, Unix microseconds.
    """

    def __init__(
        self, track: AnnouncedTrack, clock: RecorderClock, deliver: Callable[[EncodedFrame], bool]
    ) -> None:
        self.counters = TrackCounters()
        self._track = track
        self._deliver = deliver
        self._assembler = FrameAssembler(H264Depacketizer(track.parameter_sets), self.counters)
        self._clock = FrameClock(track.rtp_clock_hz, clock)
        self._gap = False
        self._next_number: int | None = None
        self._ssrc: int | None = None
        self._timestamp = 0
        self._raw_timestamp = 0

    def on_rtp(self, data: bytes, wall_us: int) -> None:
        """Take an RTP packet; a malformed one, or another payload type, is counted and left out."""
        packet = parse_rtp(data)
        if packet is None or packet.payload_type != self._track.payload_type:
            self.counters.malformed += 1
            return
        self.counters.packets += 1
        self.counters.bytes += len(packet.payload)
        after_loss = self._is_after_loss(packet)
        if self._track.codec is Codec.H264:
            self._take_video(packet, after_loss, wall_us)
        else:
            self._take_audio(packet, after_loss, wall_us)

    def on_rtcp(self, data: bytes, wall_us: int) -> None:
        """Take sender reports; the recorder's first one, with a packet count of 0, has a random timestamp."""
        try:
            packets = RtcpPacket.parse(data)
        except (ValueError, IndexError, struct.error):
            self.counters.malformed += 1
            return
        for packet in packets:
            if not isinstance(packet, RtcpSrPacket) or packet.ssrc != self._ssrc:
                continue
            info = packet.sender_info
            if info.packet_count and info.ntp_timestamp:
                timestamp = self._timestamp + signed_difference(info.rtp_timestamp, self._raw_timestamp, 32)
                self._clock.on_report(timestamp, ntp_to_unix_us(info.ntp_timestamp), wall_us)

    def _is_after_loss(self, packet: RtpPacket) -> bool:
        lost = 0
        if packet.ssrc != self._ssrc:
            lost = self._ssrc is not None
            self._raw_timestamp = packet.timestamp
        elif self._next_number is not None:
            lost = signed_difference(packet.sequence_number, self._next_number, 16)
        self._ssrc, self._next_number = packet.ssrc, (packet.sequence_number + 1) & 0xFFFF
        self.counters.lost += max(lost, 0)
        return bool(lost)

    def _take_video(self, packet: RtpPacket, after_loss: bool, wall_us: int) -> None:
        packet.after_loss = after_loss
        for frame in self._assembler.push(packet):
            self.counters.keyframes += frame.is_keyframe
            data, sync = take_h264_sync(frame.data)
            timestamp = self._extended(frame.timestamp)
            self._pass_on(data, timestamp, sync, wall_us, is_keyframe=frame.is_keyframe, gap=frame.after_gap)

    def _take_audio(self, packet: RtpPacket, after_loss: bool, wall_us: int) -> None:
        self._gap = self._gap or after_loss
        timestamp = self._extended(packet.timestamp)
        for number, unit in enumerate(self._access_units(packet.payload)):
            data, sync = take_aac_sync(unit)
            if data:
                gap, self._gap = self._gap, False
                at = timestamp + number * SAMPLES_PER_UNIT
                self._pass_on(data, at, sync, wall_us, is_keyframe=True, gap=gap)

    def _access_units(self, payload: bytes) -> Iterator[bytes]:
        """The access units of an AAC-hbr payload (RFC 3640 sections 3.2.1 and 3.3.6).

        One that goes on in the next packet is none: at 8 KiB a unit, no encoder sends such over TCP.
        """
        header_bits = int.from_bytes(payload[:2], "big")
        at = 2 + header_bits // 8
        if not header_bits or header_bits % _AU_HEADER_BITS or at > len(payload):
            self.counters.malformed += 1
            return
        for header in range(2, at, 2):
            size = int.from_bytes(payload[header : header + 2], "big") >> 3
            if not size or at + size > len(payload):
                self.counters.malformed += 1
                return
            yield payload[at : at + size]
            at += size

    def _extended(self, raw_timestamp: int) -> int:
        """Continue a 32-bit RTP timestamp over its wraps."""
        self._timestamp += signed_difference(raw_timestamp, self._raw_timestamp, 32)
        self._raw_timestamp = raw_timestamp
        return self._timestamp

    def _pass_on(
        self,
        data: bytes,
        timestamp: int,
        sync: SyncTime | None,
        wall_us: int,
        *,
        is_keyframe: bool,
        gap: bool,
    ) -> None:
        frame = EncodedFrame(
            codec=self._track.codec,
            data=data,
            timestamp=timestamp,
            captured_at_us=self._clock.captured_at_us(sync, timestamp, wall_us),
            is_keyframe=is_keyframe,
            after_gap=gap,
            description=self._track.description,
        )
        if self._deliver(frame):
            self.counters.frames += 1
        else:
            self.counters.dropped_frames += 1
            self._gap = True
            if self._track.codec.is_video:
                self._assembler.mark_gap()
