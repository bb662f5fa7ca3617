import contextlib

import av
import pytest
from aiortc.codecs.h264 import H264Encoder
from aiortc.codecs.vpx import VpxPayloadDescriptor
from hypothesis import given
from hypothesis import strategies as st

from app.ingest.whip.depacketizers import (
    H264Depacketizer,
    Vp8Depacketizer,
    make_depacketizer,
)
from app.ingest.whip.packets import MalformedPayload
from app.media.frames import Codec
from tests.fixtures.media import h264_frames, vp8_frames

SPS, PPS = bytes.fromhex("6742c01f"), bytes.fromhex("68ce3c80")
IDR, SLICE = b"\x65\x88\x01\x02", b"\x41\x9a\x03\x04"
START = b"\x00\x00\x00\x01"


def fu_a(nal: bytes, pieces: int) -> list[bytes]:
    size = -(-(len(nal) - 1) // pieces)
    parts = [nal[1 + i * size : 1 + (i + 1) * size] for i in range(pieces)]
    return [
        bytes(
            [nal[0] & 0xE0 | 28, nal[0] & 0x1F | (0x80 if i == 0 else 0) | (0x40 if i == pieces - 1 else 0)]
        )
        + part
        for i, part in enumerate(parts)
    ]


def stap_a(*nals: bytes) -> bytes:
    return b"\x78" + b"".join(len(nal).to_bytes(2, "big") + nal for nal in nals)


def frame(depacketizer: H264Depacketizer, *payloads: bytes) -> tuple[bytes, bool] | None:
    for payload in payloads:
        depacketizer.add(payload)
    return depacketizer.finish()


def test_single_nal_units_become_annex_b() -> None:
    assert frame(H264Depacketizer(), SPS, PPS, IDR) == (START + SPS + START + PPS + START + IDR, True)


def test_aggregates_and_fragments_give_the_same_frame() -> None:
    expected = START + SPS + START + PPS + START + IDR
    assert frame(H264Depacketizer(), stap_a(SPS, PPS, IDR)) == (expected, True)
    assert frame(H264Depacketizer(), stap_a(SPS, PPS), *fu_a(IDR, 3)) == (expected, True)


def test_a_key_frame_without_parameter_sets_is_given_the_known_ones() -> None:
    depacketizer = H264Depacketizer()
    frame(depacketizer, SPS, PPS, IDR)
    assert frame(depacketizer, SLICE) == (START + SLICE, False)
    assert frame(depacketizer, IDR) == (START + SPS + START + PPS + START + IDR, True)


def test_parameter_sets_may_come_from_the_sdp() -> None:
    assert frame(H264Depacketizer((SPS, PPS)), IDR) == (START + SPS + START + PPS + START + IDR, True)


def test_an_idr_picture_without_any_parameter_sets_is_no_key_frame() -> None:
    assert frame(H264Depacketizer(), IDR) == (START + IDR, False)


def test_new_parameter_sets_replace_the_old() -> None:
    depacketizer = H264Depacketizer((SPS, PPS))
    new_sps = SPS[:-1] + b"\x28"
    frame(depacketizer, new_sps, PPS, IDR)
    result = frame(depacketizer, IDR)
    assert result is not None
    assert result[0] == START + new_sps + START + PPS + START + IDR


def test_parameter_sets_in_a_packet_of_their_own_go_with_the_next_picture() -> None:
    depacketizer = H264Depacketizer()
    assert frame(depacketizer, SPS, PPS) is None
    assert frame(depacketizer, IDR) == (START + SPS + START + PPS + START + IDR, True)


@pytest.mark.parametrize(
    "payloads",
    [
        [b""],
        [b"\x00\x01"],
        [b"\x19\x00\x00"],  # STAP-B
        [b"\x7c"],
        [b"\x7c\x85"],
        [stap_a(SPS)[:-1]],
        [b"\x78\x00\x00"],
        [fu_a(IDR, 3)[1]],
        [fu_a(IDR, 3)[0], fu_a(IDR, 3)[0]],
        [fu_a(IDR, 3)[0], SLICE],
        [fu_a(IDR, 3)[0]],
    ],
)
def test_malformed_h264_is_refused(payloads: list[bytes]) -> None:
    with pytest.raises(MalformedPayload):
        frame(H264Depacketizer((SPS, PPS)), *payloads)


def test_what_can_begin_a_picture() -> None:
    depacketizer = H264Depacketizer()
    first, middle, _ = fu_a(IDR, 3)
    assert all(map(depacketizer.starts_frame, (SPS, PPS, IDR, SLICE, first, stap_a(SPS, PPS))))
    later_slice = b"\x41\x4a\x00"
    assert not any(map(depacketizer.starts_frame, (middle, later_slice, b"", b"\x78", b"\x7c\x85")))


def test_encoder_output_packetized_by_aiortc_survives_unchanged() -> None:
    depacketizer = H264Depacketizer()
    decoder = av.CodecContext.create("h264", "r")
    pictures = 0
    for encoded in h264_frames(seconds=2.0):
        payloads = H264Encoder._packetize(H264Encoder._split_bitstream(encoded.data))
        result = frame(depacketizer, *payloads)
        assert result is not None
        assert result[1] == encoded.is_keyframe
        pictures += len(decoder.decode(av.Packet(result[0])))
    pictures += len(decoder.decode(None))
    assert pictures == 30


@pytest.mark.parametrize(
    "descriptor",
    [
        VpxPayloadDescriptor(partition_start=1, partition_id=0),
        VpxPayloadDescriptor(partition_start=1, partition_id=0, picture_id=1000),
        VpxPayloadDescriptor(
            partition_start=1, partition_id=0, picture_id=5, tl0picidx=3, tid=(1, 0), keyidx=2
        ),
        VpxPayloadDescriptor(partition_start=1, partition_id=0, keyidx=2),
    ],
)
def test_vp8_descriptors_are_stripped(descriptor: VpxPayloadDescriptor) -> None:
    depacketizer = Vp8Depacketizer()
    encoded = vp8_frames(seconds=0.2)[0]
    middle = len(encoded.data) // 2
    later = VpxPayloadDescriptor(partition_start=0, partition_id=0, picture_id=descriptor.picture_id)
    depacketizer.add(bytes(descriptor) + encoded.data[:middle])
    depacketizer.add(bytes(later) + encoded.data[middle:])
    assert depacketizer.finish() == (encoded.data, True)


def test_vp8_short_picture_id_is_stripped() -> None:
    depacketizer = Vp8Depacketizer()
    depacketizer.add(b"\x90\x80\x05" + b"\x01frame")
    assert depacketizer.finish() == (b"\x01frame", False)


@pytest.mark.parametrize("payload", [b"", b"\x00abc", b"\x10", b"\x90\x80"])
def test_malformed_vp8_is_refused(payload: bytes) -> None:
    with pytest.raises(MalformedPayload):
        Vp8Depacketizer().add(payload)


@pytest.mark.parametrize("codec", [Codec.H264, Codec.VP8])
@given(frames=st.lists(st.lists(st.binary(max_size=40), max_size=6), max_size=6))
def test_any_bytes_give_a_frame_or_malformed_payload(codec: Codec, frames: list[list[bytes]]) -> None:
    depacketizer = make_depacketizer(codec)
    for payloads in frames:
        with contextlib.suppress(MalformedPayload):
            for payload in payloads:
                depacketizer.starts_frame(payload)
                depacketizer.add(payload)
            result = depacketizer.finish()
            assert result is None or isinstance(result[0], bytes)
        depacketizer.reset()


@given(payload=st.binary(min_size=1, max_size=60), kind=st.sampled_from([0x78, 0x7C, 0x65, 0x67]))
def test_any_bytes_behind_a_real_h264_header_are_handled(payload: bytes, kind: int) -> None:
    depacketizer = H264Depacketizer((SPS, PPS))
    depacketizer.starts_frame(bytes([kind]) + payload)
    with contextlib.suppress(MalformedPayload):
        depacketizer.add(bytes([kind]) + payload)
        depacketizer.finish()
