from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters
from aiortc.rtp import HeaderExtensionsMap
from aiortc.rtp import RtpPacket as ReferencePacket
from hypothesis import given
from hypothesis import strategies as st

from app.ingest.whip.packets import RtpPacket, parse_rtp, signed_difference


def extension_map() -> HeaderExtensionsMap:
    extensions = HeaderExtensionsMap()
    mid = RTCRtpHeaderExtensionParameters(id=1, uri="urn:ietf:params:rtp-hdrext:sdes:mid")
    extensions.configure(RTCRtpParameters(headerExtensions=[mid]))
    return extensions


@given(
    payload=st.binary(max_size=50),
    padding=st.integers(0, 20),
    sources=st.lists(st.integers(0, 2**32 - 1), max_size=3),
    mid=st.none() | st.sampled_from(["0", "audio"]),
)
def test_a_packet_is_read_as_aiortc_wrote_it(
    payload: bytes, padding: int, sources: list[int], mid: str | None
) -> None:
    reference = ReferencePacket(
        payload_type=111, marker=1, sequence_number=65_535, timestamp=2**32 - 1, ssrc=7, payload=payload
    )
    reference.padding_size, reference.csrc, reference.extensions.mid = padding, sources, mid
    packet = parse_rtp(reference.serialize(extension_map()))
    assert packet == RtpPacket(111, True, 65_535, 2**32 - 1, 7, payload)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_packet_or_none(data: bytes) -> None:
    packet = parse_rtp(data)
    assert packet is None or len(packet.payload) <= len(data)


def test_differences_go_the_short_way_round() -> None:
    assert signed_difference(2, 65_535, 16) == 3
    assert signed_difference(65_535, 2, 16) == -3
    assert signed_difference(5, 5, 32) == 0
