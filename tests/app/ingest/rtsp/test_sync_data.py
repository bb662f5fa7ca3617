import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.ingest.rtsp.sync_data import SyncTime, take_aac_sync, take_h264_sync
from app.media.annexb import nal_units
from tests.fixtures.media import h264_frames
from tests.fixtures.recorder_media import SEI_UUID, TRAILER, sync_sei, with_sei, with_trailer

EPOCH, CAPTURED = 1_760_000_000.25, 1_760_000_001.5
TIME = SyncTime(1_760_000_000_250_000, 1_760_000_001_500_000)
SECONDS = st.floats(min_value=1.0, max_value=2**32)


def annexb(units: list[bytes]) -> bytes:
    return b"".join(b"\x00\x00\x00\x01" + unit for unit in units)


@given(st.binary(max_size=100), SECONDS, SECONDS)
def test_the_trailer_goes_and_tells_the_time(unit: bytes, epoch: float, captured: float) -> None:
    data, found = take_aac_sync(with_trailer(unit, epoch, captured))
    assert data == unit
    assert found == SyncTime(round(epoch * 1e6), round(captured * 1e6))


@given(st.binary(max_size=100))
def test_a_unit_without_a_trailer_stays_whole(unit: bytes) -> None:
    assert take_aac_sync(unit) == (unit, None)


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0, 0.0, 1e300])
def test_a_trailer_that_tells_no_time_goes_too(seconds: float) -> None:
    assert take_aac_sync(with_trailer(b"sound", EPOCH, seconds)) == (b"sound", None)


@pytest.mark.parametrize("number", [0, 1])
def test_the_sei_goes_and_the_frame_stays(number: int) -> None:
    frame = h264_frames(seconds=1)[number]
    data, found = take_h264_sync(annexb(with_sei(frame.data, EPOCH, CAPTURED)))
    assert found == TIME
    assert data == annexb(nal_units(frame.data))


@given(SECONDS, SECONDS)
def test_times_survive_emulation_prevention(epoch: float, captured: float) -> None:
    slice_ = b"\x65\x88\x84"
    data, found = take_h264_sync(annexb([sync_sei(epoch, captured), slice_]))
    assert found == SyncTime(round(epoch * 1e6), round(captured * 1e6))
    assert data == annexb([slice_])


def test_other_messages_of_the_same_sei_stay() -> None:
    sei = sync_sei(EPOCH, CAPTURED)
    other = b"\x05\x12" + b"an-encoder's-name" + b"\x00"
    both = b"\x06" + other + sei[1:]
    data, found = take_h264_sync(annexb([both, b"\x65\x88"]))
    assert found == TIME
    assert data == annexb([b"\x06" + other + b"\x80", b"\x65\x88"])


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_whatever_stands_around_the_letters_never_raises(before: bytes, after: bytes) -> None:
    for head in (b"", b"\x00\x00\x00\x01\x06", b"\x00\x00\x00\x01\x06\x05\x21"):
        data, _ = take_h264_sync(head + before + SEI_UUID + after)
        assert len(data) <= len(head + before + SEI_UUID + after) + 80
    take_aac_sync(before + TRAILER + after)
