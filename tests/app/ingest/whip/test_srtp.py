import os
import struct

import pylibsrtp
import pytest

from app.ingest.whip.srtp import unprotect

KEY = os.urandom(30)


def session(kind: int) -> pylibsrtp.Session:
    return pylibsrtp.Session(pylibsrtp.Policy(key=KEY, ssrc_type=kind))


def packet(number: int, size: int) -> bytes:
    return struct.pack("!BBHLL", 0x80, 96, number, number * 960, 7) + bytes([number]) * size


def test_packets_of_any_size_come_out_as_they_went_in() -> None:
    sending = session(pylibsrtp.Policy.SSRC_ANY_OUTBOUND)
    receiving = session(pylibsrtp.Policy.SSRC_ANY_INBOUND)
    packets = [packet(number, size) for number, size in enumerate((1200, 1, 0, 160, 1300))]
    assert [unprotect(receiving, sending.protect(one)) for one in packets] == packets


def test_what_is_forged_replayed_or_no_packet_is_refused() -> None:
    protected = session(pylibsrtp.Policy.SSRC_ANY_OUTBOUND).protect(packet(1, 100))
    receiving = session(pylibsrtp.Policy.SSRC_ANY_INBOUND)
    for bad in (protected[:-1] + b"?", protected[:11], b"", b"\x80", b"\x80" * 2049):
        with pytest.raises(pylibsrtp.Error):
            unprotect(receiving, bad)
    assert unprotect(receiving, protected) == packet(1, 100)
    with pytest.raises(pylibsrtp.Error):
        unprotect(receiving, protected)
