"""Encoded media as it travels from a source to its sinks: never decoded on the way."""

from dataclasses import dataclass
from enum import StrEnum


class Codec(StrEnum):
    H264 = "h264"
    VP8 = "vp8"
    OPUS = "opus"

    @property
    def is_video(self) -> bool:
        return self is not Codec.OPUS

    @property
    def clock_rate_hz(self) -> int:
        """Media time units per second (RTP clock of RFC 6184, 7741 and 7587)."""
        return 90_000 if self.is_video else 48_000


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """One access unit: H.264 in Annex B, one VP8 frame, or one Opus packet.

    `timestamp` is media time in the codec's clock rate, extended so that it never wraps within one
    publisher. `captured_at_us` is the wall clock (Unix microseconds) of capture as the sender's reports
    give it, or of arrival where it sends none. `after_gap` says that frames before this one were lost.
    """

    codec: Codec
    data: bytes
    timestamp: int
    captured_at_us: int
    is_keyframe: bool
    after_gap: bool = False
