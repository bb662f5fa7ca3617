"""What a publisher announces: one track, read from the SDP of its ANNOUNCE."""

from dataclasses import dataclass

from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.sdp import SessionDescription

from app.base.errors import InvalidRequest, Unprocessable
from app.ingest.whip.offer import sprop_parameter_sets
from app.media.aac import read_aac_format
from app.media.frames import Codec

# The form of RFC 3640 that everybody sends: access units of up to 8 KiB behind headers of two bytes each.
_HIGH_BIT_RATE = {"mode": "aac-hbr", "sizelength": "13", "indexlength": "3", "indexdeltalength": "3"}


@dataclass(frozen=True, slots=True)
class AnnouncedTrack:
    """`description` as in `EncodedFrame`; `parameter_sets` are H.264 SPS and PPS, where the SDP has them."""

    codec: Codec
    payload_type: int
    rtp_clock_hz: int
    description: bytes = b""
    parameter_sets: tuple[bytes, ...] = ()


def read_announcement(sdp: bytes) -> AnnouncedTrack:
    """Read the SDP of exactly one track. Raises `InvalidRequest` for what is no SDP, and `Unprocessable`
    for a track that is not recorded here: only H.264 and AAC (`MPEG4-GENERIC`, AAC-hbr) are."""
    try:
        session = SessionDescription.parse(sdp.decode("utf-8"))
    except Exception as error:  # The parser asserts, indexes and looks up as it goes: any of it is bad SDP.
        raise InvalidRequest(f"the announcement is not valid SDP ({type(error).__name__})") from error
    if len(session.media) != 1 or not session.media[0].rtp.codecs:
        raise Unprocessable("announce one track, with its codec")
    return _read_codec(session.media[0].rtp.codecs[0])


def _read_codec(codec: RTCRtpCodecParameters) -> AnnouncedTrack:
    payload_type, rate_hz = codec.payloadType, codec.clockRate
    if payload_type is None or not rate_hz:
        raise Unprocessable("the track's codec has no payload type or clock rate")
    # The parser keeps the space after a semicolon, which RFC 8866 section 6.15 leaves to each format.
    parameters = {name.strip().lower(): str(value).strip() for name, value in codec.parameters.items()}
    codec.parameters = {**parameters}
    if codec.name.lower() == "h264" and rate_hz == Codec.H264.clock_rate_hz:
        return AnnouncedTrack(Codec.H264, payload_type, rate_hz, parameter_sets=sprop_parameter_sets(codec))
    if codec.name.lower() == "mpeg4-generic" and codec.mimeType.lower().startswith("audio/"):
        if any(parameters.get(name, "").lower() != value for name, value in _HIGH_BIT_RATE.items()):
            raise Unprocessable("of MPEG4-GENERIC only AAC-hbr is recorded")
        return AnnouncedTrack(Codec.AAC, payload_type, rate_hz, description=_aac_config(parameters))
    raise Unprocessable(f"{codec.name[:16]!r} is not recorded over RTSP: publish H264 or MPEG4-GENERIC")


def _aac_config(parameters: dict[str, str]) -> bytes:
    try:
        config = bytes.fromhex(parameters.get("config", ""))
    except ValueError:
        raise Unprocessable("the track's config is not hexadecimal") from None
    read_aac_format(config)
    return config
