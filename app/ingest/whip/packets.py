"""One RTP packet on its way through the media path, and arithmetic on numbers that wrap."""

import struct
from dataclasses import dataclass

_HEADER = struct.Struct("!BBHLL")
_EXTENSION = struct.Struct("!HH")


class MalformedPayload(ValueError):
    """An RTP payload that breaks its codec's payload format."""


@dataclass(slots=True)
class RtpPacket:
    """An RTP packet (RFC 3550 section 5.1) without its header extensions, which nothing here negotiates.

    `after_loss` says that the packet before it, in sequence, was given up.
    """

    payload_type: int
    marker: bool
    sequence_number: int  # 16 bits
    timestamp: int  # 32 bits
    ssrc: int
    payload: bytes
    after_loss: bool = False


def parse_rtp(data: bytes) -> RtpPacket | None:
    """Read an RTP packet (RFC 3550 section 5.1); None where it is malformed."""
    if len(data) < 12:
        return None
    first, second, sequence_number, timestamp, ssrc = _HEADER.unpack_from(data)
    if first == 0x80:  # nothing beside the payload, as nearly always
        return RtpPacket(second & 0x7F, second > 0x7F, sequence_number, timestamp, ssrc, data[12:])
    if first >> 6 != 2:
        return None
    start, end = 12, len(data)
    if first & 0x3F:  # padding, a header extension or contributing sources
        start += 4 * (first & 0x0F)
        if first & 0x10:
            if end < start + 4:
                return None
            start += 4 + 4 * int(_EXTENSION.unpack_from(data, start)[1])
        if first & 0x20:
            end -= data[-1] or end
        if start > end:
            return None
    return RtpPacket(second & 0x7F, second > 0x7F, sequence_number, timestamp, ssrc, data[start:end])


def signed_difference(value: int, reference: int, bits: int) -> int:
    """Return `value - reference` taken the short way round a counter of so many bits."""
    half = 1 << (bits - 1)
    return ((value - reference + half) & ((1 << bits) - 1)) - half
