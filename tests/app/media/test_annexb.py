from hypothesis import given
from hypothesis import strategies as st

from app.media.annexb import (
    PPS,
    SPS,
    avcc_parameter_sets,
    length_prefixed_units,
    nal_type,
    nal_units,
    parameter_sets,
)
from tests.fixtures.media import h264_frames

# Payloads that emulation prevention would leave as they are (ITU-T H.264 clause 7.4.1).
units = st.lists(
    st.binary(min_size=1, max_size=20).filter(lambda unit: b"\x00\x00" not in unit and unit[-1] != 0),
    max_size=5,
)


@given(units, st.booleans())
def test_units_come_back_whatever_the_start_code(found: list[bytes], long: bool) -> None:
    code = b"\x00\x00\x00\x01" if long else b"\x00\x00\x01"
    assert nal_units(b"".join(code + unit for unit in found)) == found


@given(units)
def test_length_prefixed_units_come_back(found: list[bytes]) -> None:
    assert length_prefixed_units(b"".join(len(unit).to_bytes(4, "big") + unit for unit in found)) == found


@given(st.binary(max_size=80))
def test_any_bytes_are_survived(data: bytes) -> None:
    for unit in [*nal_units(data), *length_prefixed_units(data)]:
        assert 0 <= nal_type(unit) <= 31
    avcc_parameter_sets(data)
    avcc_parameter_sets(b"\x01" + data)


def test_a_key_frame_carries_its_parameter_sets() -> None:
    frames = h264_frames(seconds=0.5)
    assert [nal_type(unit) for unit in nal_units(parameter_sets(frames[0].data))] == [SPS, PPS]
    assert parameter_sets(frames[1].data) == b""


def test_parameter_sets_out_of_an_avcc() -> None:
    sps, pps = b"\x67\x42\xc0\x14", b"\x68\xce"
    avcc = b"\x01\x42\xc0\x14\xff\xe1" + b"\x00\x04" + sps + b"\x01" + b"\x00\x02" + pps
    assert length_prefixed_units(avcc_parameter_sets(avcc)) == [sps, pps]
    assert avcc_parameter_sets(b"") == b""
