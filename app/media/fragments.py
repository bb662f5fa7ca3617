"""Fragments of an MP4 with one track, written box by box (ISO/IEC 14496-12 clauses 8.8.4 to 8.8.12)."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

_TRACK_ID = 1
_SYNC, _NON_SYNC = 0x02000000, 0x01010000  # sample flags of clause 8.8.3.1: depends on no other, on others
_DEFAULT_BASE_IS_MOOF = 0x020000
_VERSION_1 = 0x01000000
_TRUN_COLUMNS = 0x01 | 0x100 | 0x200 | 0x400  # the data's offset; of each sample duration, size and flags
# moof, mfhd, traf, tfhd, tfdt, and trun up to its rows
_HEAD = struct.Struct(">I4s I4sII I4s I4sII I4sIQ I4sIII")
_ROW = struct.Struct(">III")


@dataclass(frozen=True, slots=True)
class Sample:
    """Encoded data as it stands in an MP4: H.264 with lengths in front of its NAL units."""

    data: bytes
    duration: int  # in the track's timescale
    is_sync: bool


def fragment(number: int, decode_time: int, samples: Sequence[Sample]) -> bytes:
    """A `moof` and its `mdat`: samples that follow one another from `decode_time` on.

    `number` counts a file's fragments from 1."""
    rows = b"".join(
        _ROW.pack(sample.duration, len(sample.data), _SYNC if sample.is_sync else _NON_SYNC)
        for sample in samples
    )
    data = b"".join(sample.data for sample in samples)
    moof_bytes = _HEAD.size + len(rows)
    head = _HEAD.pack(
        *(moof_bytes, b"moof"),
        *(16, b"mfhd", 0, number),
        *(moof_bytes - 24, b"traf"),
        *(16, b"tfhd", _DEFAULT_BASE_IS_MOOF, _TRACK_ID),
        *(20, b"tfdt", _VERSION_1, decode_time),
        *(20 + len(rows), b"trun", _TRUN_COLUMNS, len(samples), moof_bytes + 8),
    )
    return b"".join((head, rows, struct.pack(">I4s", 8 + len(data), b"mdat"), data))
