"""Writing the SDP answer: receive-only tracks, the DTLS server's role, every candidate at once."""

import secrets
from collections.abc import Sequence

from aiortc import RTCDtlsFingerprint, RTCIceCandidate, RTCIceParameters
from aiortc.sdp import candidate_to_sdp

from app.ingest.whip.offer import AcceptedOffer, AcceptedTrack, Kind
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

    The role is DTLS server (`setup:passive`) wherever the offer leaves it open: as a client aiortc offers
    only ECDSA cipher suites, which a publisher with an RSA certificate (GStreamer) cannot take.
    """
    transport = [
        f"a=ice-ufrag:{ice.usernameFragment}",
        f"a=ice-pwd:{ice.password}",
        *(f"a=fingerprint:{print_.algorithm} {print_.value}" for print_ in fingerprints),
        f"a=setup:{'active' if offer.publisher_waits else 'passive'}",
    ]
    lines = [
        "v=0",
        f"o=- {secrets.randbits(62)} 1 IN IP4 0.0.0.0",
        "s=-",
        "t=0 0",
        *([f"a=group:BUNDLE {' '.join(track.mid for track in offer.tracks)}"] if offer.bundled else []),
    ]
    for track in offer.tracks:
        lines += [*_track_lines(track), *transport]
        if track is offer.tracks[0]:  # RFC 9143 section 7.1.3: the tagged section alone has candidates
            lines += [f"a=candidate:{candidate_to_sdp(candidate)}" for candidate in candidates]
            lines.append("a=end-of-candidates")
    return "\r\n".join(lines) + "\r\n"


def write_fragment(
    ice: RTCIceParameters, candidates: Sequence[RTCIceCandidate], *, mid: str, kind: Kind
) -> str:
    """Return the body that answers an ICE restart: our new side of the ICE session (RFC 8840 section 9)."""
    lines = [
        f"a=ice-ufrag:{ice.usernameFragment}",
        f"a=ice-pwd:{ice.password}",
        f"m={kind} 9 UDP/TLS/RTP/SAVPF 0",
        *([f"a=mid:{mid}"] if mid else []),
        *(f"a=candidate:{candidate_to_sdp(candidate)}" for candidate in candidates),
        "a=end-of-candidates",
    ]
    return "\r\n".join(lines) + "\r\n"


def _track_lines(track: AcceptedTrack) -> list[str]:
    payload_types = [track.payload_type]
    if track.rtx_payload_type is not None:
        payload_types.append(track.rtx_payload_type)
    return [
        f"m={track.kind} 9 {track.protocol} {' '.join(map(str, payload_types))}",
        "c=IN IP4 0.0.0.0",
        *([f"a=mid:{track.mid}"] if track.mid else []),
        "a=recvonly",
        "a=rtcp-mux",
        *(["a=rtcp-rsize"] if track.reduced_size_rtcp else []),
        *_codec_lines(track),
    ]


def _codec_lines(track: AcceptedTrack) -> list[str]:
    payload_type = track.payload_type
    lines = [f"a=rtpmap:{payload_type} {_RTPMAP[track.codec]}"]
    parameters = {
        name: track.format_parameters[name]
        for name in _ECHOED_PARAMETERS[track.codec]
        if track.format_parameters.get(name, "").isalnum()
    } | _OWN_PARAMETERS.get(track.codec, {})
    if parameters:
        text = ";".join(f"{name}={value}" for name, value in parameters.items())
        lines.append(f"a=fmtp:{payload_type} {text}")
    lines.extend(f"a=rtcp-fb:{payload_type} {fb}" for fb in _SUPPORTED_FEEDBACK if fb in track.feedback)
    if track.rtx_payload_type is not None:
        lines.append(f"a=rtpmap:{track.rtx_payload_type} rtx/{track.codec.clock_rate_hz}")
        lines.append(f"a=fmtp:{track.rtx_payload_type} apt={payload_type}")
    return lines
