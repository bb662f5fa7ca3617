"""One WHIP publication: its connection, and the tracks that come over it."""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable

from aiortc.rtp import AnyRtcpPacket, RtcpByePacket, RtcpSrPacket

from app.ingest.whip.fragment import IceFragment
from app.ingest.whip.frame_queue import FrameQueue
from app.ingest.whip.media_port import MediaPort
from app.ingest.whip.offer import AcceptedOffer, AcceptedTrack, Kind
from app.ingest.whip.packets import RtpPacket
from app.ingest.whip.receiver import TrackReceiver
from app.ingest.whip.statistics import TrackCounters
from app.ingest.whip.transport import MediaTransport
from app.media.frames import Codec, EncodedFrame

SILENCE_SECONDS = 10.0
HURRY_TO_CONNECT_SECONDS = 2.0  # a slower handshake can wait a few milliseconds more
HURRY_SECONDS = 0.2  # while packets are missing or a key frame is due: the port is read more often
_TICK_SECONDS = 1.0

log = logging.getLogger(__name__)


async def answer_offer(
    offer: AcceptedOffer, *, port: MediaPort, silence_seconds: float = SILENCE_SECONDS
) -> "WhipPeer":
    """Answer a publisher's offer and start waiting for its media on `port`.

    The answer holds every candidate, so a publisher needs no trickle ICE. The peer ends when nothing
    arrives for `silence_seconds`. Returns within 5 s. Raises `Unavailable` where there is no address to
    advertise.
    """
    peer = WhipPeer(offer, port, silence_seconds)
    try:
        await peer._open()
    except BaseException:
        await peer.close()
        raise
    return peer


class WhipPeer:
    """Made by `answer_offer`, never directly. Each of its `tracks` is a `Source`."""

    def __init__(self, offer: AcceptedOffer, port: MediaPort, silence_seconds: float) -> None:
        self.answer_sdp = ""
        self.resource = secrets.token_hex(16)  # the last part of its URL
        self.etag = _new_etag()
        self.started = asyncio.Event()  # the first packet came: frames may follow up to 3 s later
        self._has_started = False
        self.closed = asyncio.Event()
        self.close_reason = ""
        self._silence_seconds = silence_seconds
        self._port = port
        self._transport = MediaTransport(offer, port, self)
        self.tracks = tuple(WhipTrack(self, offered, self._transport.send_rtcp) for offered in offer.tracks)
        self._by_payload_type = {
            payload_type: track
            for offered, track in zip(offer.tracks, self.tracks, strict=True)
            for payload_type in (offered.payload_type, offered.rtx_payload_type)
            if payload_type is not None
        }
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._heard_at: float | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    def takes(self, fragment: IceFragment) -> bool:
        """Whether the fragment belongs to this ICE session; else it asks for a restart."""
        return self._transport.belongs(fragment)

    async def trickle(self, fragment: IceFragment) -> None:
        """Check the publisher's further candidates too (RFC 8838)."""
        await self._transport.add_candidates(fragment.candidates)

    async def restart_ice(self, fragment: IceFragment) -> str:
        """Begin a new ICE session (RFC 9725 section 4.3.3); returns our side of it as a fragment.

        `etag` names the new one from now on. Media goes on over the old path until the publisher has another.
        """
        answer = await self._transport.restart(fragment)
        self.etag = _new_etag()
        return answer

    def request_keyframe(self, track: "WhipTrack") -> None:
        """Ask the publisher for a key frame of the track until one comes; no effect on audio."""
        track.receiver.request_keyframe(self._loop.time())
        self._arm()

    async def release(self) -> None:
        """End the connection once nobody wants any of its tracks."""
        if all(track.is_closed for track in self.tracks):
            await self.close()

    async def close(self) -> None:
        """End the connection; what was received can still be read from each track."""
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
            log.exception("connecting a publisher of %s failed", self._codecs)
            self._end("connecting failed")
            return
        self._heard_at = self._loop.time()
        self._arm()

    # What the transport calls

    def on_rtp(self, packet: RtpPacket, now: float, wall_us: int) -> None:
        self._heard_at = now
        track = self._by_payload_type.get(packet.payload_type)
        if track is None or track.is_closed:
            return
        if track.receiver.on_rtp(packet, now, wall_us) or not self._has_started:
            self._has_started = True
            self.started.set()
            self._port.hurry(HURRY_SECONDS)
            self._arm()

    def on_rtcp(self, packet: AnyRtcpPacket, now: float, wall_us: int) -> None:
        self._heard_at = now
        if isinstance(packet, RtcpSrPacket):
            info = packet.sender_info
            for track in self.tracks:
                track.receiver.on_sender_report(
                    packet.ssrc, info.ntp_timestamp, info.rtp_timestamp, now, wall_us
                )
        elif isinstance(packet, RtcpByePacket) and any(
            track.receiver.is_sending(packet.sources) for track in self.tracks
        ):
            self._end("the publisher said goodbye")

    def on_transport_closed(self, reason: str) -> None:
        self._end(reason)

    def _arm(self) -> None:
        """Have `_tick` called when the receiver needs it, and once a second for the silence timer."""
        deadline = self._loop.time() + _TICK_SECONDS
        for track in self.tracks:
            deadline = min(deadline, track.receiver.next_deadline())
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
        for track in self.tracks:
            if not track.is_closed:
                track.receiver.poll(now)
        self._arm()

    def _end(self, reason: str) -> None:
        """Stop once, whoever asks first; the sockets are freed by a task that `close` waits for."""
        if self._closing is not None:
            return
        self.close_reason = reason
        log.info("publisher of %s ended: %s", self._codecs, reason)
        self._closing = asyncio.create_task(self._shut_down())
        if self._timer is not None:
            self._timer.cancel()
        for track in self.tracks:
            track.end()
        self.closed.set()

    @property
    def _codecs(self) -> str:
        return " and ".join(track.codec for track in self.tracks)

    async def _shut_down(self) -> None:
        if self._connecting is not None and not self._connecting.done():
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        await self._transport.close()


class WhipTrack:
    """A `Source`: one track of `peer`, which feeds its `receiver`."""

    def __init__(self, peer: WhipPeer, offered: AcceptedTrack, send_rtcp: Callable[[bytes], None]) -> None:
        self.peer = peer
        self.kind: Kind = offered.kind
        self.codec: Codec = offered.codec
        self.stats = TrackCounters()
        self.is_closed = False
        self._queue = FrameQueue()
        self.receiver = TrackReceiver(
            offered.codec,
            payload_type=offered.payload_type,
            rtx_payload_type=offered.rtx_payload_type,
            parameter_sets=offered.parameter_sets,
            deliver=self._queue.offer,
            send_rtcp=send_rtcp,
            counters=self.stats,
        )

    async def frames(self) -> AsyncIterator[EncodedFrame]:
        """Yield frames in decoding order until the publisher is gone or the track is closed."""
        while frames := await self._queue.take():
            for frame in frames:
                yield frame

    def request_keyframe(self) -> None:
        """Ask the publisher for a key frame until one comes; no effect on audio."""
        self.peer.request_keyframe(self)

    async def close(self) -> None:
        """Take no more, and end the connection where no other track goes on."""
        self.end()
        await self.peer.release()

    def end(self) -> None:
        """Let `frames` come to its end; what was received can still be read."""
        if not self.is_closed:
            self.is_closed = True
            self.receiver.flush()
            self._queue.close()


def _new_etag() -> str:
    """A strong entity tag, which names an ICE session (RFC 9725 section 4.3.1)."""
    return f'"{secrets.token_hex(16)}"'
