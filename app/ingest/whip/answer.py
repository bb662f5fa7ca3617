"""Writing the SDP answer: one receive-only track, the DTLS server's role, every candidate at once."""

import secrets
from collections.abc import Sequence

from aiortc import RTCDtlsFingerprint, RTCIceCandidate, RTCIceParameters
from aiortc.sdp import candidate_to_sdp

from app.ingest.whip.offer import AcceptedOffer
from app.media.frames import Codec

# goog-remb (draft-alvestrand-rmcat-remb) is what carries the receive cap to Chromium.
_SUPPORTED_FEEDBACK = ("nack", "nack pli", "goog-remb")
_ECHOED_PARAMETERS = {
    # RFC 6184 section 8.2.2: these three configure the payload type and must match the offer's.
    Codec.H264: ("level-asymmetry-allowed", "packetization-mode", "profile-level-id"),
    Codec.VP8: (),
    Codec.OPUS: ("stereo",),
}
_OWN_PARAMETERS = {Codec.OPUS: {"minptime": "10"}}
_RTPMAP = {Codec.H264: "H264/90000", Codec.VP8: "VP8/90000", Codec.OPUS: "opus/48000/2"}


def write_answer(
    offer: AcceptedOffer,
    *,
    ice: RTCIceParameters,
    candidates: Sequence[RTCIceCandidate],
    fingerprints: Sequence[RTCDtlsFingerprint],
) -> str:
    """Return the answer to `offer`.

    The role is always DTLS server (`setup:passive`): as a client aiortc offers only ECDSA cipher suites,
    which a publisher with an RSA certificate (GStreamer) cannot take.
    """
    payload_types = [offer.payload_type]
    if offer.rtx_payload_type is not None:
        payload_types.append(offer.rtx_payload_type)
    lines = [
        "v=0",
        f"o=- {secrets.randbits(62)} 1 IN IP4 0.0.0.0",
        "s=-",
        "t=0 0",
        *([f"a=group:BUNDLE {offer.mid}"] if offer.bundled else []),
        f"m={offer.kind} 9 {offer.protocol} {' '.join(map(str, payload_types))}",
        "c=IN IP4 0.0.0.0",
        *([f"a=mid:{offer.mid}"] if offer.mid else []),
        "a=recvonly",
        "a=rtcp-mux",
        *(["a=rtcp-rsize"] if offer.reduced_size_rtcp else []),
        *_codec_lines(offer),
        f"a=ice-ufrag:{ice.usernameFragment}",
        f"a=ice-pwd:{ice.password}",
        *(f"a=candidate:{candidate_to_sdp(candidate)}" for candidate in candidates),
        "a=end-of-candidates",
        *(f"a=fingerprint:{print_.algorithm} {print_.value}" for print_ in fingerprints),
        "a=setup:passive",
    ]
    return "\r\n".join(lines) + "\r\n"


def _codec_lines(offer: AcceptedOffer) -> list[str]:
    payload_type = offer.payload_type
    lines = [f"a=rtpmap:{payload_type} {_RTPMAP[offer.codec]}"]
    parameters = {
        name: offer.format_parameters[name]
        for name in _ECHOED_PARAMETERS[offer.codec]
        if offer.format_parameters.get(name, "").isalnum()
    } | _OWN_PARAMETERS.get(offer.codec, {})
    if parameters:
        text = ";".join(f"{name}={value}" for name, value in parameters.items())
        lines.append(f"a=fmtp:{payload_type} {text}")
    lines.extend(f"a=rtcp-fb:{payload_type} {fb}" for fb in _SUPPORTED_FEEDBACK if fb in offer.feedback)
    if offer.rtx_payload_type is not None:
        lines.append(f"a=rtpmap:{offer.rtx_payload_type} rtx/{offer.codec.clock_rate_hz}")
        lines.append(f"a=fmtp:{offer.rtx_payload_type} apt={payload_type}")
    return lines
