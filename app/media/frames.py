"""Encoded media as it travels from a source to its sinks: never decoded on the way."""

from enum import StrEnum
from typing import NamedTuple


class Codec(StrEnum):
    H264 = "h264"
    VP8 = "vp8"
    OPUS = "opus"
    AAC = "aac"

    @property
    def is_video(self) -> bool:
        return self is Codec.H264 or self is Codec.VP8

    @property
    def clock_rate_hz(self) -> int:
        """Media time units per second: the RTP clock of RFC 6184, 7741 and 7587, and 48 kHz for any AAC."""
        return 90_000 if self.is_video else 48_000


class EncodedFrame(NamedTuple):
    """One access unit: H.264 in Annex B, one VP8 frame, one Opus packet, or one raw AAC access unit.

    `timestamp` is media time in the codec's clock rate, extended so that it never wraps within one
    publisher. `captured_at_us` is the wall clock (Unix microseconds) of capture as the sender's reports
    give it, or of arrival where it sends none. `after_gap` says that frames before this one were lost.
    `description` is what the data does not say itself: AAC's AudioSpecificConfig, the same for all frames of
    a track (ISO/IEC 14496-3 clause 1.6.2.1).

    A tuple, because there are thousands a second: a frozen dataclass takes four times as long to make.
    """

    codec: Codec
    data: bytes
    timestamp: int
    captured_at_us: int
    is_keyframe: bool
    after_gap: bool = False
    description: bytes = b""
