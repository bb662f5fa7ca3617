"""Builds whole frames from packets in sequence, and lets no frame through that could not be decoded."""

from collections.abc import Iterator
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
    """Packets in sequence in, decodable frames out.

    A video frame leans on those before it, so from a lost frame up to the next key frame nothing passes.
    An Opus packet stands alone: the next one passes, marked `after_gap`.
    """

    def __init__(self, depacketizer: Depacketizer, counters: TrackCounters, *, is_video: bool) -> None:
        self._depacketizer = depacketizer
        self._counters = counters
        self._is_video = is_video
        self._open = False
        self._broken = False  # the frame being built lost a part
        self._timestamp = 0
        self._first = True
        self._gap = False
        self.needs_keyframe = is_video

    def push(self, packet: RtpPacket) -> Iterator[AssembledFrame]:
        """Take the next packet in sequence; yield the frames it completes."""
        if packet.after_loss:
            self.mark_gap()
            self._broken = self._open
        if not packet.payload:  # Padding, which Chromium sends to probe the line.
            return
        if self._open and packet.timestamp != self._timestamp:
            yield from self._close()
        if not self._open:
            self._begin(packet)
        try:
            if not self._broken:
                self._depacketizer.add(packet.payload)
        except MalformedPayload:
            self._counters.malformed += 1
            self._broken = True
        if packet.marker or not self._is_video:
            yield from self._close()

    def mark_gap(self) -> None:
        """Frames were lost: video needs a key frame now, and the next frame says so."""
        self._gap = True
        self.needs_keyframe = self._is_video

    def _begin(self, packet: RtpPacket) -> None:
        self._open, self._timestamp = True, packet.timestamp
        # Behind a loss, and at the very start, this may be the middle of a frame.
        uncertain = packet.after_loss or self._first
        self._broken = uncertain and not self._depacketizer.starts_frame(packet.payload)
        self._first = False

    def _close(self) -> Iterator[AssembledFrame]:
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
            return
        self._open = False
        if frame is None:
            return
        data, is_keyframe = frame
        if self.needs_keyframe and not is_keyframe:
            self._counters.dropped_frames += 1
            return
        after_gap = self._gap
        self.needs_keyframe = self._gap = False  # Before the yield: the taker may mark a gap again.
        yield AssembledFrame(data, self._timestamp, is_keyframe, after_gap)
