"""Builds whole frames from packets in sequence, and lets no frame through that could not be decoded."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from app.ingest.whip.depacketizers import Depacketizer
from app.ingest.whip.packets import MalformedPayload, RtpPacket
from app.ingest.whip.statistics import TrackCounters


class AssembledFrame(NamedTuple):
    """One access unit with its 32-bit RTP timestamp."""

    data: bytes
    timestamp: int
    is_keyframe: bool
    after_gap: bool


class FrameAssembler:
    """Packets of a picture track in sequence in, decodable frames out.

    A video frame leans on those before it, so from a lost frame up to the next key frame nothing passes.
    """

    def __init__(self, depacketizer: Depacketizer, counters: TrackCounters) -> None:
        self._depacketizer = depacketizer
        self._counters = counters
        self._open = False
        self._broken = False  # the frame being built lost a part
        self._timestamp = 0
        self._first = True
        self._gap = False
        self.needs_keyframe = True

    def push(self, packet: RtpPacket) -> Iterable[AssembledFrame]:
        """Take the next packet in sequence; returns the frames it completes, each to be taken before the next
        one is asked for."""
        if packet.after_loss:
            self.mark_gap()
            self._broken = self._open
        if not packet.payload:  # Padding, which Chromium sends to probe the line.
            return ()
        if self._open and packet.timestamp != self._timestamp:
            return self._close_and_add(packet)
        return self._add(packet)

    def mark_gap(self) -> None:
        """Frames were lost: a key frame is needed now, and it says so."""
        self._gap = self.needs_keyframe = True

    def _close_and_add(self, packet: RtpPacket) -> Iterator[AssembledFrame]:
        """A frame whose sender set no marker, and then what the packet completes."""
        yield from self._close()  # its taker may mark a gap, which the next one has to heed
        yield from self._add(packet)

    def _add(self, packet: RtpPacket) -> tuple[AssembledFrame, ...]:
        if not self._open:
            self._begin(packet)
        if not self._broken:
            try:
                self._depacketizer.add(packet.payload)
            except MalformedPayload:
                self._counters.malformed += 1
                self._broken = True
        return self._close() if packet.marker else ()

    def _begin(self, packet: RtpPacket) -> None:
        self._open, self._timestamp = True, packet.timestamp
        # Behind a loss, and at the very start, this may be the middle of a frame.
        uncertain = packet.after_loss or self._first
        self._broken = uncertain and not self._depacketizer.starts_frame(packet.payload)
        self._first = False

    def _close(self) -> tuple[AssembledFrame, ...]:
        frame = None
        if not self._broken:
            try:
                frame = self._depacketizer.finish()
            except MalformedPayload:
                self._counters.malformed += 1
                self._broken = True
        if self._broken:
            self._depacketizer.reset()
            self._open = self._broken = False
            self._counters.dropped_frames += 1
            self.mark_gap()
            return ()
        self._open = False
        if frame is None:
            return ()
        data, is_keyframe = frame
        if self.needs_keyframe and not is_keyframe:
            self._counters.dropped_frames += 1
            return ()
        after_gap = self._gap
        self.needs_keyframe = self._gap = False
        return (AssembledFrame(data, self._timestamp, is_keyframe, after_gap),)


class PacketFrames:
    """What `FrameAssembler` is to a picture, for Opus: a payload is a packet is a frame (RFC 7587 section
    4.2). Each stands alone: behind a lost one the next one passes, marked `after_gap`.
    """

    needs_keyframe = False

    def __init__(self) -> None:
        self._gap = False

    def push(self, packet: RtpPacket) -> Iterable[AssembledFrame]:
        """Take the next packet in sequence; returns the frame that it is."""
        after_gap = self._gap or packet.after_loss
        self._gap = after_gap and not packet.payload
        if not packet.payload:
            return ()
        return (AssembledFrame(packet.payload, packet.timestamp, True, after_gap),)

    def mark_gap(self) -> None:
        """Frames were lost, and the next one says so."""
        self._gap = True
