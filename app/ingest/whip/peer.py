"""One WHIP publisher seen as a source of encoded frames."""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator

from aiortc.rtp import AnyRtcpPacket, RtcpByePacket, RtcpSrPacket

from app.ingest.whip.fragment import IceFragment
from app.ingest.whip.frame_queue import FrameQueue
from app.ingest.whip.media_port import MediaPort
from app.ingest.whip.offer import AcceptedOffer, Kind, OfferRefused, read_offer
from app.ingest.whip.packets import RtpPacket
from app.ingest.whip.receiver import TrackReceiver
from app.ingest.whip.statistics import TrackCounters
from app.ingest.whip.transport import MediaTransport
from app.media.frames import Codec, EncodedFrame

__all__ = ["OfferRefused", "WhipPeer", "answer_offer"]

SILENCE_SECONDS = 10.0
HURRY_TO_CONNECT_SECONDS = 2.0  # a slower handshake can wait a few milliseconds more
HURRY_SECONDS = 0.2  # while packets are missing or a key frame is due: the port is read more often
_TICK_SECONDS = 1.0

log = logging.getLogger(__name__)


async def answer_offer(
    offer_sdp: str, *, kind: Kind, port: MediaPort, silence_seconds: float = SILENCE_SECONDS
) -> "WhipPeer":
    """Answer a publisher's offer of one `kind` track and start waiting for its media on `port`.

    The answer holds every candidate, so a publisher needs no trickle ICE. The peer ends when nothing
    arrives for `silence_seconds`. Returns within 5 s. Raises `OfferRefused`, and `Unavailable` where
    there is no address to advertise.
    """
    peer = WhipPeer(read_offer(offer_sdp, kind), port, silence_seconds)
    try:
        await peer._open()
    except BaseException:
        await peer.close()
        raise
    return peer


class WhipPeer:
    """A `Source`. Made by `answer_offer`, never directly."""

    def __init__(self, offer: AcceptedOffer, port: MediaPort, silence_seconds: float) -> None:
        self.codec: Codec = offer.codec
        self.answer_sdp = ""
        self.etag = f'"{secrets.token_hex(16)}"'  # strong, names the ICE session (RFC 9725 section 4.3.1)
        self.stats = TrackCounters()
        self.started = asyncio.Event()  # the first packet came: frames may follow up to 3 s later
        self.closed = asyncio.Event()
        self.close_reason = ""
        self._silence_seconds = silence_seconds
        self._port = port
        self._queue = FrameQueue()
        self._transport = MediaTransport(offer, port, self)
        self._receiver = TrackReceiver(
            offer.codec,
            payload_type=offer.payload_type,
            rtx_payload_type=offer.rtx_payload_type,
            parameter_sets=offer.parameter_sets,
            deliver=self._queue.offer,
            send_rtcp=self._transport.send_rtcp,
            counters=self.stats,
        )
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._heard_at: float | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    async def frames(self) -> AsyncIterator[EncodedFrame]:
        """Yield frames in decoding order until the publisher is gone or the peer is closed."""
        while frames := await self._queue.take():
            for frame in frames:
                yield frame

    def takes(self, fragment: IceFragment) -> bool:
        """Whether the fragment belongs to this ICE session; else it asks for a restart."""
        return self._transport.belongs(fragment)

    async def trickle(self, fragment: IceFragment) -> None:
        """Check the publisher's further candidates too (RFC 8838)."""
        await self._transport.add_candidates(fragment.candidates)

    def request_keyframe(self) -> None:
        """Ask the publisher for a key frame until one comes; no effect on audio."""
        self._receiver.request_keyframe(self._loop.time())
        self._arm()

    async def close(self) -> None:
        """End the connection; what was received can still be read from `frames`."""
        self._end("closed by this server")
        assert self._closing is not None
        await asyncio.shield(self._closing)

    async def _open(self) -> None:
        self.answer_sdp = await self._transport.answer()
        self._connecting = asyncio.create_task(self._connect())

    async def _connect(self) -> None:
        self._port.hurry(HURRY_TO_CONNECT_SECONDS)
        try:
            await self._transport.connect()
        except ConnectionError as error:
            self._end(str(error))
            return
        except Exception:  # Whatever the offer led the libraries into: without an end nobody would notice.
            log.exception("connecting a publisher of %s failed", self.codec)
            self._end("connecting failed")
            return
        self._heard_at = self._loop.time()
        self._arm()

    # What the transport calls

    def on_rtp(self, packet: RtpPacket, now: float, wall_us: int) -> None:
        self._heard_at = now
        if self._receiver.on_rtp(packet, now, wall_us) or not self.started.is_set():
            self.started.set()
            self._port.hurry(HURRY_SECONDS)
            self._arm()

    def on_rtcp(self, packet: AnyRtcpPacket, now: float, wall_us: int) -> None:
        self._heard_at = now
        if isinstance(packet, RtcpSrPacket):
            info = packet.sender_info
            self._receiver.on_sender_report(packet.ssrc, info.ntp_timestamp, info.rtp_timestamp, now, wall_us)
        elif isinstance(packet, RtcpByePacket) and self._receiver.is_sending(packet.sources):
            self._end("the publisher said goodbye")

    def on_transport_closed(self, reason: str) -> None:
        self._end(reason)

    def _arm(self) -> None:
        """Have `_tick` called when the receiver needs it, and once a second for the silence timer."""
        deadline = min(self._receiver.next_deadline(), self._loop.time() + _TICK_SECONDS)
        if self._closing is not None or (self._timer is not None and self._timer_at <= deadline):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = deadline
        self._timer = self._loop.call_at(deadline, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = self._loop.time()
        if self._heard_at is not None and now - self._heard_at > self._silence_seconds:
            self._end(f"nothing arrived for {self._silence_seconds:g} s")
            return
        self._receiver.poll(now)
        self._arm()

    def _end(self, reason: str) -> None:
        """Stop once, whoever asks first; the sockets are freed by a task that `close` waits for."""
        if self._closing is not None:
            return
        self.close_reason = reason
        log.info("publisher of %s ended: %s", self.codec, reason)
        self._closing = asyncio.create_task(self._shut_down())
        if self._timer is not None:
            self._timer.cancel()
        self._receiver.flush()
        self._queue.close()
        self.closed.set()

    async def _shut_down(self) -> None:
        if self._connecting is not None and not self._connecting.done():
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        await self._transport.close()
