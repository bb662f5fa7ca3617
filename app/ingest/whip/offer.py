"""Reading a publisher's SDP offer: what is accepted, and why the rest is refused (RFC 9725 section 4.4)."""

import base64
import binascii
import ipaddress
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from aiortc import RTCDtlsFingerprint, RTCDtlsParameters, RTCIceCandidate, RTCIceParameters
from aiortc.rtcdtlstransport import X509_DIGEST_ALGORITHMS
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.sdp import MediaDescription, SessionDescription

from app.base.errors import CaptureError
from app.media.frames import Codec

Kind = Literal["audio", "video"]

MAX_OFFER_CHARACTERS = 32 * 1024  # Chromium's video offer, the longest seen, has about 7,000
MAX_CANDIDATES = 32  # each is checked from every local address, and RFC 8445 section 6.1.2.5 stops at 100
_MULTIPLEXED_PAYLOAD_TYPES = frozenset((*range(64), *range(96, 128)))  # RFC 5761 section 4
_RECORDED = {"audio": "Opus", "video": "H264 and VP8"}
# H.264's fragmented pictures (packetization mode 1) before single packets (mode 0); its profile does not
# matter, since nothing is decoded here. Mode 2 interleaves, which no browser does.
_PREFERENCES: dict[Kind, tuple[tuple[Codec, str, str | None], ...]] = {
    "audio": ((Codec.OPUS, "opus", None),),
    "video": ((Codec.H264, "h264", "1"), (Codec.H264, "h264", "0"), (Codec.VP8, "vp8", None)),
}


class OfferRefused(CaptureError):
    """The offer is malformed (400), or is well-formed and cannot be served (422)."""

    code = "offer_refused"

    def __init__(self, message: str, *, status: int = 422) -> None:
        super().__init__(message, field="sdp")
        self.status = status


@dataclass(frozen=True, slots=True)
class AcceptedTrack:
    """One track of an offer reduced to what the answer and the media path need."""

    kind: Kind
    codec: Codec
    mid: str
    reduced_size_rtcp: bool
    protocol: str
    payload_type: int
    rtx_payload_type: int | None
    ssrc: int | None
    format_parameters: dict[str, str]
    feedback: tuple[str, ...]
    parameter_sets: tuple[bytes, ...]  # H.264 SPS and PPS given in the SDP


@dataclass(frozen=True, slots=True)
class AcceptedOffer:
    """Its tracks, one of a kind, in the offer's order, and the one transport that all of them use."""

    tracks: tuple[AcceptedTrack, ...]
    bundled: bool
    publisher_waits: bool  # for our DTLS handshake: FFmpeg offers `setup:passive`, against the RFC
    ice: RTCIceParameters
    candidates: tuple[RTCIceCandidate, ...]
    fingerprints: tuple[RTCDtlsFingerprint, ...]


def read_offer(offer_sdp: str, kinds: Collection[Kind]) -> AcceptedOffer:
    """Check an offer of at most one track of each of these kinds, and choose codecs. Raises `OfferRefused`.

    Nothing is accepted in part: a track that cannot be taken refuses the offer (RFC 9725 section 4.4.3).
    """
    if len(offer_sdp) > MAX_OFFER_CHARACTERS:
        raise OfferRefused(f"The offer is longer than {MAX_OFFER_CHARACTERS} characters.", status=400)
    try:
        session = SessionDescription.parse(offer_sdp)
    except Exception as error:  # The parser asserts, indexes and looks up as it goes: any of it is bad SDP.
        raise OfferRefused(f"The offer is not valid SDP ({type(error).__name__}).", status=400) from error
    if not session.media:
        raise OfferRefused("The offer holds no media section.", status=400)
    _check_kinds([media.kind for media in session.media], kinds)
    bundles = [set(group.items) for group in session.group if group.semantic == "BUNDLE"]
    if len(session.media) > 1 and {media.rtp.muxId for media in session.media} not in bundles:
        raise OfferRefused("All tracks must be in one BUNDLE group, and have an a=mid each.")
    first = session.media[0]
    ice, dtls = _check_transport(first)
    tracks = tuple(
        _read_track(media, section, is_tagged=media is first)
        for media, section in zip(session.media, _sections(offer_sdp), strict=True)
    )
    if len({track.payload_type for track in tracks}) < len(tracks):
        raise OfferRefused("Two tracks use the same payload type.")
    return AcceptedOffer(
        tracks=tracks,
        bundled=bool(bundles),
        publisher_waits=dtls.role == "server",
        ice=ice,
        candidates=tuple(filter(is_reachable, first.ice_candidates))[:MAX_CANDIDATES],
        fingerprints=tuple(dtls.fingerprints),
    )


def _check_kinds(offered: Sequence[str], kinds: Collection[Kind]) -> None:
    taken = " and ".join(f"one {kind} track" for kind in sorted(kinds))
    for kind in offered:
        if kind not in kinds:
            raise OfferRefused(f"The offer publishes {kind[:16]!r}, but this endpoint takes {taken}.")
    if len(set(offered)) < len(offered):
        raise OfferRefused(f"The offer holds {len(offered)} media sections, but this endpoint takes {taken}.")


def _sections(offer_sdp: str) -> list[list[str]]:
    """The lines of each media section, for what the parser passes over."""
    sections: list[list[str]] = []
    for line in offer_sdp.splitlines():
        if line.startswith("m="):
            sections.append([])
        elif sections:
            sections[-1].append(line)
    return sections


def _read_track(media: MediaDescription, section: list[str], *, is_tagged: bool) -> AcceptedTrack:
    """Read one media section, `section` its lines; the tagged one is that whose transport is used."""
    for offered in media.rtp.codecs:
        # The parser keeps the space after a semicolon, which RFC 8866 section 6.15 leaves to each format.
        offered.parameters = {
            name.strip(): value.strip() if isinstance(value, str) else value
            for name, value in offered.parameters.items()
        }
    _check_track(media, is_bundle_only=not is_tagged and "a=bundle-only" in section)
    kind: Kind = "video" if media.kind == "video" else "audio"
    codec, chosen = _choose_codec(media, kind)
    rtx = _find_rtx(media, chosen)
    return AcceptedTrack(
        kind=kind,
        codec=codec,
        mid=media.rtp.muxId,
        reduced_size_rtcp="a=rtcp-rsize" in section,
        protocol=media.profile,
        payload_type=_payload_type(chosen),
        rtx_payload_type=None if rtx is None else _payload_type(rtx),
        ssrc=_primary_ssrc(media),
        format_parameters={name: str(value) for name, value in chosen.parameters.items()},
        feedback=tuple(
            f"{fb.type} {fb.parameter}" if fb.parameter else fb.type for fb in chosen.rtcpFeedback
        ),
        parameter_sets=sprop_parameter_sets(chosen),
    )


def _check_track(media: MediaDescription, *, is_bundle_only: bool) -> None:
    if not media.profile.endswith("RTP/SAVPF"):
        raise OfferRefused("The track must use DTLS-SRTP with feedback: UDP/TLS/RTP/SAVPF.")
    if media.direction in ("recvonly", "inactive"):
        raise OfferRefused(f"The track is {media.direction}: a publisher offers sendonly.")
    if media.port == 0 and not is_bundle_only:  # RFC 9143 section 7.1.2 has bundle-only ones with port 0
        raise OfferRefused("The track is disabled: its port is 0.")


def _check_transport(media: MediaDescription) -> tuple[RTCIceParameters, RTCDtlsParameters]:
    if not media.rtcp_mux:
        raise OfferRefused("The track must multiplex RTP and RTCP: a=rtcp-mux.")
    if media.ice is None or not media.ice.usernameFragment or not media.ice.password:
        raise OfferRefused("The offer lacks a=ice-ufrag or a=ice-pwd.", status=400)
    if media.dtls is None or not media.dtls.fingerprints:
        raise OfferRefused("The offer lacks a=setup or a=fingerprint.", status=400)
    if not any(print_.algorithm.lower() in X509_DIGEST_ALGORITHMS for print_ in media.dtls.fingerprints):
        raise OfferRefused("The certificate fingerprint must be SHA-256, SHA-384 or SHA-512.")
    return media.ice, media.dtls


def _choose_codec(media: MediaDescription, kind: Kind) -> tuple[Codec, RTCRtpCodecParameters]:
    usable = [
        codec
        for codec in media.rtp.codecs
        if codec.payloadType in media.fmt and codec.payloadType in _MULTIPLEXED_PAYLOAD_TYPES
    ]
    for codec, name, packetization_mode in _PREFERENCES[kind]:
        for offered in usable:
            if offered.name.lower() != name or offered.clockRate != codec.clock_rate_hz:
                continue
            mode = str(offered.parameters.get("packetization-mode") or "0")
            if packetization_mode in (None, mode):
                return codec, offered
    names = sorted({codec.name[:16] for codec in media.rtp.codecs})[:8]
    raise OfferRefused(
        f"No usable {kind} codec: this server records {_RECORDED[kind]}, "
        f"and the offer has {', '.join(names) or 'none'}."
    )


def _find_rtx(media: MediaDescription, chosen: RTCRtpCodecParameters) -> RTCRtpCodecParameters | None:
    for codec in media.rtp.codecs:
        if (
            codec.name.lower() == "rtx"
            and str(codec.parameters.get("apt")) == str(chosen.payloadType)
            and codec.clockRate == chosen.clockRate
            and codec.payloadType in media.fmt
            and codec.payloadType in _MULTIPLEXED_PAYLOAD_TYPES
        ):
            return codec
    return None


def is_reachable(candidate: RTCIceCandidate) -> bool:
    """Whether a check can be sent there at once.

    A `.local` name would have to be resolved by multicast DNS first; the publisher's own checks reveal
    its address anyway.
    """
    try:
        ipaddress.ip_address(candidate.ip)
    except ValueError:
        return False
    return candidate.protocol.lower() == "udp" and candidate.component == 1


def _payload_type(codec: RTCRtpCodecParameters) -> int:
    assert codec.payloadType is not None
    return codec.payloadType


def _primary_ssrc(media: MediaDescription) -> int | None:
    for group in media.ssrc_group:
        if group.semantic == "FID" and group.items:
            return int(group.items[0])
    return media.ssrc[0].ssrc if media.ssrc else None


def sprop_parameter_sets(codec: RTCRtpCodecParameters) -> tuple[bytes, ...]:
    """The SPS and PPS in `sprop-parameter-sets` (RFC 6184 section 8.1), or none where it is unreadable."""
    text = codec.parameters.get("sprop-parameter-sets")
    if not isinstance(text, str):
        return ()
    try:
        sets = tuple(base64.b64decode(part, validate=True) for part in text.split(",") if part)
    except (binascii.Error, ValueError):
        return ()
    return tuple(nal for nal in sets if nal)
