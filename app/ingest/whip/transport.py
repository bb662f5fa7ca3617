"""ICE, DTLS and SRTP of one publisher, by aiortc's objects, around our own receiver.

aiortc's RTCPeerConnection is left out, not patched: it makes its RTP receiver itself, and any other code in
the process (a test's publisher) keeps it as it is.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol

import pylibsrtp
from aiortc import (
    RTCCertificate,
    RTCDtlsParameters,
    RTCDtlsTransport,
    RTCIceCandidate,
    RTCIceGatherer,
    RTCIceParameters,
    RTCIceTransport,
    RTCRtpCodecParameters,
)
from aiortc.rtcrtpparameters import RTCRtpDecodingParameters, RTCRtpReceiveParameters
from aiortc.rtp import AnyRtcpPacket, RtcpPacket
from aiortc.rtp import RtpPacket as SlowRtpPacket

from app.base.errors import Unavailable
from app.ingest.whip import pinned
from app.ingest.whip.answer import write_answer, write_fragment
from app.ingest.whip.fragment import IceFragment
from app.ingest.whip.ice import IngestConnection
from app.ingest.whip.media_port import MediaPort
from app.ingest.whip.offer import MAX_CANDIDATES, AcceptedOffer
from app.ingest.whip.packets import RtpPacket, parse_rtp
from app.ingest.whip.routing import Taken
from app.ingest.whip.srtp import unprotect

GATHER_SECONDS = 5.0
CONNECT_SECONDS = 30.0
CLOSE_SECONDS = 3.0


class MediaHandler(Protocol):
    """Who takes what arrives, at `now` (monotonic seconds) and `wall_us` (Unix microseconds).

    Implementers: `peer.WhipPeer`.
    """

    def on_rtp(self, packet: RtpPacket, now: float, wall_us: int) -> None:
        """An authenticated RTP packet of the negotiated payload types."""

    def on_rtcp(self, packet: AnyRtcpPacket, now: float, wall_us: int) -> None:
        """A sender report or goodbye."""

    def on_transport_closed(self, reason: str) -> None:
        """The connection failed or was closed by the publisher."""


class _ReceiverSeat:
    """What RTCDtlsTransport expects of an RTP receiver (`aiortc.rtcdtlstransport.RtpReceiver`).

    It hears of the connection's end, and takes what came in before the handshake was over.
    """

    def __init__(self, handler: MediaHandler) -> None:
        self._handler = handler

    def _handle_disconnect(self) -> None:
        self._handler.on_transport_closed("the publisher closed the connection")

    async def _handle_rtcp_packet(self, packet: AnyRtcpPacket) -> None:
        self._handler.on_rtcp(packet, asyncio.get_running_loop().time(), time.time_ns() // 1000)

    async def _handle_rtp_packet(self, packet: SlowRtpPacket, arrival_time_ms: int) -> None:
        self._handler.on_rtp(
            RtpPacket(
                packet.payload_type,
                bool(packet.marker),
                packet.sequence_number,
                packet.timestamp,
                packet.ssrc,
                packet.payload,
            ),
            asyncio.get_running_loop().time(),
            time.time_ns() // 1000,
        )


class MediaTransport:
    """One publisher's connection: gather, answer, connect, send feedback, close."""

    def __init__(self, offer: AcceptedOffer, port: MediaPort, handler: MediaHandler) -> None:
        self._offer = offer
        self._remote_ice = offer.ice
        self._handler = handler
        gatherer = RTCIceGatherer(iceServers=[])
        self._connection = connection = IngestConnection(port, self._take_media)
        pinned.check_attributes(connection, "_queue", "_nominated", "_protocols", "_check_list")
        pinned.check_attributes(connection, "_local_username", "_local_password", "_remote_candidates")
        connection.ice_controlling = offer.ice.iceLite
        gatherer._connection = connection
        self._ice = RTCIceTransport(gatherer)
        if self._ice._connection is not connection:
            raise ImportError(
                f"RTCIceTransport ignores its gatherer's connection: not {pinned.PINNED_VERSIONS}"
            )
        self._dtls = RTCDtlsTransport(self._ice, [RTCCertificate.generateCertificate()])
        pinned.check_attributes(self._dtls, "_rx_srtp", "_tx_srtp")
        self._dtls._set_role("client" if offer.publisher_waits else "server")

    async def answer(self) -> str:
        """Gather every candidate and return the SDP answer. Raises `Unavailable`."""
        gatherer = self._ice.iceGatherer
        try:
            async with asyncio.timeout(GATHER_SECONDS):
                await gatherer.gather()
        except TimeoutError as error:
            raise Unavailable(f"No address to receive media on was found in {GATHER_SECONDS} s.") from error
        candidates = gatherer.getLocalCandidates()
        if not candidates:
            raise Unavailable("This server has no address to receive media on (CAPTURE_ICE_ADDRESSES).")
        fingerprints = self._dtls.getLocalParameters().fingerprints
        return write_answer(
            self._offer,
            ice=gatherer.getLocalParameters(),
            candidates=candidates,
            fingerprints=[print_ for print_ in fingerprints if print_.algorithm == "sha-256"],
        )

    async def connect(self) -> None:
        """Check addresses and shake hands; on success media flows to the handler.

        The publisher's end of candidates is never passed on to aioice: it would give up at once on an offer
        without any (OBS), whose address only its own checks reveal. Raises `ConnectionError`.
        """
        await self.add_candidates(self._offer.candidates)
        self._register()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._ice.start(self._offer.ice)
                if self._ice.state != "completed":
                    raise ConnectionError("ICE failed")
                fingerprints = list(self._offer.fingerprints)
                role = "server" if self._offer.publisher_waits else "client"
                await self._dtls.start(RTCDtlsParameters(fingerprints=fingerprints, role=role))
        except TimeoutError as error:
            raise ConnectionError(f"no connection within {CONNECT_SECONDS} s") from error
        if self._dtls.state != "connected":
            raise ConnectionError("the DTLS handshake failed")
        self._dtls.on("statechange", self._on_state_change)
        self._ice.on("statechange", self._on_state_change)

    def belongs(self, fragment: IceFragment) -> bool:
        """Whether the fragment names the ICE session that the offer, or the newest restart, began."""
        ice = self._remote_ice
        return (fragment.user_name, fragment.password) == (ice.usernameFragment, ice.password)

    async def restart(self, fragment: IceFragment) -> str:
        """Begin a new ICE session with the publisher's new credentials; returns our fragment for it."""
        self._remote_ice = RTCIceParameters(
            usernameFragment=fragment.user_name, password=fragment.password, iceLite=self._offer.ice.iceLite
        )
        self._connection.restart(fragment.user_name, fragment.password)
        await self.add_candidates(fragment.candidates)
        gatherer, first = self._ice.iceGatherer, self._offer.tracks[0]
        return write_fragment(
            gatherer.getLocalParameters(), gatherer.getLocalCandidates(), mid=first.mid, kind=first.kind
        )

    async def add_candidates(self, candidates: Sequence[RTCIceCandidate]) -> None:
        """Have the publisher's candidates checked, `MAX_CANDIDATES` of them in all."""
        for candidate in candidates:
            if len(self._ice.getRemoteCandidates()) < MAX_CANDIDATES:
                await self._ice.addRemoteCandidate(candidate)

    def send_rtcp(self, data: bytes) -> None:
        """Send feedback; nothing is sent before the handshake is over."""
        if (srtp := self._dtls._tx_srtp) is not None:
            self._connection.send_now(srtp.protect_rtcp(data))

    async def close(self) -> None:
        """Say goodbye and free the sockets, within `CLOSE_SECONDS`."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._dtls.stop()
                await self._ice.stop()
        except TimeoutError:
            pass
        self._dtls.remove_all_listeners()

    def _take_media(self, data: bytes, now: float, wall_us: int) -> Taken:
        """Decrypt and pass on one SRTP or SRTCP datagram."""
        srtp = self._dtls._rx_srtp
        if srtp is None:
            return Taken.EARLY
        try:
            if 192 <= data[1] < 224:  # RTCP (RFC 5761 section 4)
                for report in RtcpPacket.parse(srtp.unprotect_rtcp(data)):
                    self._handler.on_rtcp(report, now, wall_us)
            elif (packet := parse_rtp(unprotect(srtp, data))) is not None:
                self._handler.on_rtp(packet, now, wall_us)
        except (pylibsrtp.Error, ValueError, IndexError):
            return Taken.NO
        return Taken.YES

    def _register(self) -> None:
        # One seat takes all tracks, which are told apart by payload type: aiortc's router would not know
        # whose a retransmission's SSRC is where there are two.
        tracks = self._offer.tracks
        parameters = RTCRtpReceiveParameters(
            codecs=[
                RTCRtpCodecParameters(
                    mimeType=f"{track.kind}/{track.codec}",
                    clockRate=track.codec.clock_rate_hz,
                    payloadType=payload_type,
                )
                for track in tracks
                for payload_type in (track.payload_type, track.rtx_payload_type)
                if payload_type is not None
            ],
            encodings=[
                RTCRtpDecodingParameters(ssrc=track.ssrc, payloadType=track.payload_type)
                for track in tracks
                if track.ssrc is not None
            ],
            muxId=tracks[0].mid,
        )
        self._dtls._register_rtp_receiver(_ReceiverSeat(self._handler), parameters)

    def _on_state_change(self) -> None:
        if self._dtls.state in ("closed", "failed") or self._ice.state in ("closed", "failed"):
            self._handler.on_transport_closed(f"ICE {self._ice.state}, DTLS {self._dtls.state}")
