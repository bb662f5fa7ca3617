"""Decrypting SRTP in one buffer for all: pylibsrtp makes two objects and three calls for each packet."""

from typing import Any

import pylibsrtp
from pylibsrtp._binding import ffi, lib

from app.ingest.whip import pinned

_LONGEST_BYTES = 2048
_packet: Any = ffi.new("unsigned char[]", _LONGEST_BYTES)
_content: Any = ffi.buffer(_packet)
_length: Any = ffi.new("int *")

pinned.check_attributes(lib, "srtp_unprotect")
pinned.check_attributes(pylibsrtp.Session(), "_srtp")


def unprotect(session: pylibsrtp.Session, data: bytes) -> bytes:
    """Return the RTP packet in `data`, as `session.unprotect` does. Raises `pylibsrtp.Error`.

    Only for the event loop's thread: the buffer is shared.
    """
    size = len(data)
    if size > _LONGEST_BYTES:
        raise pylibsrtp.Error("packet is too long")
    _content[:size] = data
    _length[0] = size
    if lib.srtp_unprotect(session._srtp[0], _packet, _length):
        raise pylibsrtp.Error("not authentic, replayed or malformed")
    content: bytes = _content[: _length[0]]
    return content
