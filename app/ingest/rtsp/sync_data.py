"""The recorder's own times inside its frames: read, and taken out, so that no file holds them.

RTP timestamps do not tell: the recorder's video advances by 1/30 s a frame whatever the spacing was.
"""

import math
import re
import struct
from typing import NamedTuple

_TRAILER = b"vdbsync\x01"  # the end of every AAC access unit: this, then the two times
_TIMES = struct.Struct(">dd")
_TRAILER_BYTES = len(_TRAILER) + _TIMES.size
_SEI_UUID = b"videodb-sync-v01"
_USER_DATA_UNREGISTERED = 5
_NAL_SEI = 6
_START_CODE = b"\x00\x00\x00\x01"
_LATEST_SECONDS = 2**33  # the year 2242: beyond it a number is no Unix time


class SyncTime(NamedTuple):
    """Unix microseconds by the publisher's clock: when its capture began, and when this frame was taken."""

    epoch_us: int
    captured_us: int


def take_aac_sync(unit: bytes) -> tuple[bytes, SyncTime | None]:
    """Split an access unit from its trailer; one without it stays whole."""
    start = len(unit) - _TRAILER_BYTES
    if start < 0 or not unit.startswith(_TRAILER, start):
        return unit, None
    return unit[:start], _read_times(unit, start + len(_TRAILER))


def take_h264_sync(frame: bytes) -> tuple[bytes, SyncTime | None]:
    """Take the sync message out of an Annex B access unit whose start codes all have four bytes, as those of
    our depacketiser do; its SEI goes too where it held nothing else."""
    if _SEI_UUID not in frame:  # sixteen characters without a zero: emulation prevention leaves them alone
        return frame, None
    found = None
    kept = []
    for unit in frame.split(_START_CODE):
        if unit and unit[0] & 0x1F == _NAL_SEI and _SEI_UUID in unit:
            unit, sync = _take_message(unit)
            found = found or sync
            if not unit:
                continue
        kept.append(unit)
    return _START_CODE.join(kept), found


def _take_message(nal: bytes) -> tuple[bytes, SyncTime | None]:
    """The SEI without its sync messages, empty where it held nothing else, and their time."""
    payload = nal[1:].replace(b"\x00\x00\x03", b"\x00\x00")
    kept, found, at = b"", None, 0
    while at < len(payload) and payload[at:].rstrip(b"\x00") != b"\x80":
        begin = at
        kind, at = _sei_number(payload, at)
        size, at = _sei_number(payload, at)
        message = payload[at : at + size]
        at += size
        if kind == _USER_DATA_UNREGISTERED and message.startswith(_SEI_UUID):
            found = found or _read_times(message, len(_SEI_UUID) + 1)
        else:
            kept += payload[begin:at]
    if not kept:
        return b"", found
    return nal[:1] + re.sub(rb"\x00\x00(?=[\x00-\x03])", b"\x00\x00\x03", kept + b"\x80"), found


def _sei_number(payload: bytes, at: int) -> tuple[int, int]:
    """A type or size (ITU-T H.264 clause 7.3.2.3.1): 255 for as long as there is more."""
    value = 0
    while at < len(payload):
        value += payload[at]
        at += 1
        if payload[at - 1] != 0xFF:
            break
    return value, at


def _read_times(data: bytes, at: int) -> SyncTime | None:
    if len(data) < at + _TIMES.size:
        return None
    epoch, captured = _TIMES.unpack_from(data, at)
    if not all(math.isfinite(seconds) and 0 < seconds < _LATEST_SECONDS for seconds in (epoch, captured)):
        return None
    return SyncTime(round(epoch * 1e6), round(captured * 1e6))
