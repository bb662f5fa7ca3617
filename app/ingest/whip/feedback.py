"""What is sent back to the publisher: reports, NACK, PLI and the receive cap, as RTCP bytes."""

import secrets
from collections.abc import Sequence

from aiortc.rtp import (
    RTCP_PSFB_APP,
    RTCP_PSFB_PLI,
    RTCP_RTPFB_NACK,
    RtcpPsfbPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    RtcpSdesPacket,
    RtcpSourceInfo,
    pack_remb_fci,
)

RECEIVE_CAP_BITS_PER_SECOND = 10_000_000
_LEAST_CAP_BITS_PER_SECOND = 300_000
_HIGH_LOSS = 0.10
_LOW_LOSS = 0.02
_HIGH_LOSS_INTERVALS = 3
_SDES_CNAME = 1


class ReceiveCap:
    """The bit rate that the publisher may send at, told to it by REMB once a second.

    A fixed figure far above any screen's need. An estimate made from arrival times, which is what aiortc
    sends, held Chromium's screen share at 0.2 Mbit/s and 10 fps on a clean loopback. It is lowered only
    while receiver reports keep showing a loss above 10 %, towards what does get through.
    """

    def __init__(self) -> None:
        self.bits_per_second = RECEIVE_CAP_BITS_PER_SECOND
        self._lossy_intervals = 0

    def on_interval(self, fraction_lost: float, received_bits_per_second: float) -> None:
        """Take one report interval's loss and rate."""
        if fraction_lost > _HIGH_LOSS:
            self._lossy_intervals += 1
            if self._lossy_intervals >= _HIGH_LOSS_INTERVALS:
                wanted = int(min(self.bits_per_second, received_bits_per_second) * 0.85)
                self.bits_per_second = max(_LEAST_CAP_BITS_PER_SECOND, wanted)
        else:
            self._lossy_intervals = 0
            if fraction_lost < _LOW_LOSS:
                self.bits_per_second = min(RECEIVE_CAP_BITS_PER_SECOND, int(self.bits_per_second * 1.1))


class FeedbackWriter:
    """Writes RTCP packets of one receiver, which has an SSRC and a name of its own."""

    def __init__(self) -> None:
        self._ssrc = secrets.randbits(32)
        self._name = secrets.token_hex(8).encode()

    def report(
        self, reports: Sequence[RtcpReceiverInfo], cap_bits_per_second: int | None, media_ssrc: int | None
    ) -> bytes:
        """A compound packet: receiver report, source description, and REMB where a cap is given."""
        data = bytes(RtcpRrPacket(ssrc=self._ssrc, reports=list(reports)))
        chunk = RtcpSourceInfo(ssrc=self._ssrc, items=[(_SDES_CNAME, self._name)])
        data += bytes(RtcpSdesPacket(chunks=[chunk]))
        if cap_bits_per_second is not None and media_ssrc is not None:
            fci = pack_remb_fci(cap_bits_per_second, [media_ssrc])
            data += bytes(RtcpPsfbPacket(fmt=RTCP_PSFB_APP, ssrc=self._ssrc, media_ssrc=0, fci=fci))
        return data

    def nacks(self, media_ssrc: int, extended_numbers: Sequence[int]) -> list[bytes]:
        """Generic NACKs (RFC 4585 section 6.2.1), one for each turn of the sequence number."""
        turns: dict[int, list[int]] = {}
        for number in sorted(extended_numbers):
            turns.setdefault(number >> 16, []).append(number & 0xFFFF)
        return [
            bytes(RtcpRtpfbPacket(fmt=RTCP_RTPFB_NACK, ssrc=self._ssrc, media_ssrc=media_ssrc, lost=lost))
            for lost in turns.values()
        ]

    def pli(self, media_ssrc: int) -> bytes:
        """Picture loss indication (RFC 4585 section 6.3.1)."""
        return bytes(RtcpPsfbPacket(fmt=RTCP_PSFB_PLI, ssrc=self._ssrc, media_ssrc=media_ssrc))
