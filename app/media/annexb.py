"""H.264 byte streams (ITU-T H.264 Annex B): NAL units and the parameter sets among them."""

import re

_START_CODE = re.compile(b"\x00\x00\x01")
SPS, PPS = 7, 8


def nal_units(data: bytes) -> list[bytes]:
    """Split an access unit at its start codes; the start codes and their zeros are left out."""
    starts = [match.end() for match in _START_CODE.finditer(data)]
    ends = [*(start - 3 for start in starts[1:]), len(data)]
    units = (data[start:end].rstrip(b"\x00") for start, end in zip(starts, ends, strict=False))
    return [unit for unit in units if unit]


def length_prefixed(data: bytes) -> bytes:
    """An access unit as an MP4 sample (four-byte lengths, ISO/IEC 14496-15 clause 5.3.3); empty where it
    holds no NAL unit."""
    units = nal_units(data)
    return b"".join(part for unit in units for part in (len(unit).to_bytes(4, "big"), unit))


def length_prefixed_units(data: bytes) -> list[bytes]:
    """Split an MP4 sample (four-byte lengths, ISO/IEC 14496-15 clause 5.3.3) into its NAL units."""
    units, at = [], 0
    while at + 4 < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        units.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return [unit for unit in units if unit]


def nal_type(unit: bytes) -> int:
    """`nal_unit_type` of clause 7.3.1."""
    return unit[0] & 0x1F


def parameter_sets(data: bytes) -> bytes:
    """The sequence and picture parameter sets of an access unit, with start codes; empty if it has none."""
    return b"".join(b"\x00\x00\x00\x01" + unit for unit in nal_units(data) if nal_type(unit) in (SPS, PPS))


def avcc_parameter_sets(avcc: bytes) -> bytes:
    """The parameter sets of an `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15 clause 5.3.3.1), with
    four-byte lengths, ready to stand before a key frame's sample."""
    found, at = b"", 5
    if avcc[:1] != b"\x01":
        return found
    for mask in (0x1F, 0xFF):  # counts: SPS in five bits, PPS in eight
        count = avcc[at] & mask if at < len(avcc) else 0
        at += 1
        for _ in range(count):
            unit = avcc[at + 2 : at + 2 + int.from_bytes(avcc[at : at + 2], "big")]
            if unit:
                found += len(unit).to_bytes(4, "big") + unit
            at += 2 + len(unit)
    return found
