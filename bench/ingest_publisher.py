"""Bench child: publishes sessions of one screen and two sounds, each track over a connection of its own.

aiortc makes the connections. The media was encoded and cut into RTP payloads beforehand, and goes from here
straight through SRTP into the connection's socket: hundreds of tracks then leave a core to spare.
"""

import asyncio
import heapq
import random
import re
import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.clock import current_ntp_time
from aiortc.codecs.h264 import H264Encoder
from aiortc.rtp import RtcpSenderInfo, RtcpSrPacket

from app.media.frames import Codec, EncodedFrame
from bench.child import Command, serve
from tests.fixtures.media import opus_packets, tone

WIDTH, HEIGHT, FRAMES_PER_SECOND, BITS_PER_SECOND = 1280, 720, 15, 1_200_000
PERIOD_SECONDS, KEYFRAME_SECONDS = 8, 4
REPORT_SECONDS = 1.0
CONNECT_SECONDS = 60.0
_SHORTEST_SLEEP_SECONDS = 0.002
_HEADER = struct.Struct("!BBHLL")


@dataclass(frozen=True, slots=True)
class PacketisedFrame:
    at_seconds: float  # from the period's start
    payloads: list[bytes]


@dataclass(frozen=True, slots=True)
class PacketisedTrack:
    """A period of media that can be sent again and again; it begins with a key frame."""

    codec: Codec
    frames: list[PacketisedFrame]


def encode_screen() -> list[EncodedFrame]:
    """A page of text-like blocks that scrolls: 720p15 H.264 of about 1.2 Mbit/s."""
    dice = np.random.default_rng(5)
    page = np.kron(dice.integers(0, 2, (HEIGHT // 4, WIDTH // 4), dtype=np.uint8) * 180 + 40, np.ones((8, 4)))
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, 90_000), Fraction(FRAMES_PER_SECOND)
    encoder.bit_rate, encoder.gop_size = BITS_PER_SECOND, FRAMES_PER_SECOND * KEYFRAME_SECONDS
    encoder.options = {
        "preset": "veryfast",
        "tune": "zerolatency",
        "profile": "baseline",
        "maxrate": str(BITS_PER_SECOND),
        "bufsize": str(BITS_PER_SECOND),
        "sc_threshold": "0",
    }
    frames = []
    for n in range(FRAMES_PER_SECOND * PERIOD_SECONDS):
        grey = page[n * 2 : n * 2 + HEIGHT].astype(np.uint8)
        frame = av.VideoFrame.from_ndarray(np.repeat(grey[:, :, None], 3, axis=2), format="rgb24")
        frame.pts, frame.time_base = n * 90_000 // FRAMES_PER_SECOND, Fraction(1, 90_000)
        (packet,) = encoder.encode(frame)
        frames.append(EncodedFrame(Codec.H264, bytes(packet), frame.pts, 0, packet.is_keyframe))
    return frames


def packetised(frames: list[EncodedFrame]) -> PacketisedTrack:
    """Cut frames into RTP payloads, as aiortc does."""
    codec = frames[0].codec
    packetiser = H264Encoder()
    cut = []
    for frame in frames:
        payloads = [frame.data]
        if codec is Codec.H264:
            packet = av.Packet(frame.data)
            packet.pts, packet.time_base = frame.timestamp, Fraction(1, codec.clock_rate_hz)
            payloads, _ = packetiser.pack(packet)
        at_seconds = (frame.timestamp - frames[0].timestamp) / codec.clock_rate_hz
        cut.append(PacketisedFrame(at_seconds, payloads))
    return PacketisedTrack(codec, cut)


class _Silent(MediaStreamTrack):
    """Keeps aiortc's own sender waiting."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    async def recv(self) -> Any:
        await asyncio.Event().wait()


class Sender:
    """One connection, one track."""

    def __init__(self, track: PacketisedTrack) -> None:
        self.kind = "video" if track.codec.is_video else "audio"
        self.frames = self.packets = 0
        self.connected = asyncio.Event()
        self._track = track
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        transceiver = self._connection.addTransceiver(_Silent(self.kind), direction="sendonly")
        transceiver.setCodecPreferences(
            [
                codec
                for codec in RTCRtpSender.getCapabilities(self.kind).codecs
                if codec.name.lower() in (track.codec.value, "rtx")
            ]
        )
        self._sender: Any = transceiver.sender
        self._sender._send_rtcp = _send_nothing  # reports are written here
        self._connection.on("connectionstatechange", self._on_state)
        self._payload_type = 0
        self._octets = 0
        self._sequence_number = random.randrange(1 << 15)
        self._started_at = self._next_report = 0.0

    async def offer(self) -> str:
        """The SDP offer with every candidate."""
        await self._connection.setLocalDescription(await self._connection.createOffer())
        return str(self._connection.localDescription.sdp)

    async def accept(self, answer_sdp: str) -> None:
        """Take the answer and wait for the connection."""
        chosen = re.search(r"^m=\w+ \d+ \S+ (\d+)", answer_sdp, re.MULTILINE)
        assert chosen is not None
        self._payload_type = int(chosen[1])
        await self._connection.setRemoteDescription(RTCSessionDescription(answer_sdp, "answer"))
        async with asyncio.timeout(CONNECT_SECONDS):
            await self.connected.wait()

    async def close(self) -> None:
        await self._connection.close()

    def begin(self, at: float) -> float:
        """Take the wires; return when the first frame is due."""
        transport = self._sender.transport
        self._srtp = transport._tx_srtp
        pair = transport.transport._connection._nominated[1]
        self._wire, self._address = pair.protocol.transport, pair.remote_addr
        # Publishers are not in step with one another.
        self._started_at = at + random.random() * 0.06
        return self._started_at

    def send_due(self, now: float) -> float:
        """Send the next frame, and a report where one is due; return when the frame behind it is due."""
        turn, index = divmod(self.frames, len(self._track.frames))
        frame = self._track.frames[index]
        media_seconds = turn * PERIOD_SECONDS + frame.at_seconds
        timestamp = round(media_seconds * self._track.codec.clock_rate_hz) & 0xFFFFFFFF
        ssrc, protect, send = self._sender._ssrc, self._srtp.protect, self._wire.sendto
        last = len(frame.payloads) - 1
        for n, payload in enumerate(frame.payloads):
            marked = self._payload_type | 0x80 if n == last and self.kind == "video" else self._payload_type
            header = _HEADER.pack(0x80, marked, self._sequence_number, timestamp, ssrc)
            self._sequence_number = (self._sequence_number + 1) & 0xFFFF
            send(protect(header + payload), self._address)
            self._octets += len(payload)
        self.frames += 1
        self.packets += last + 1
        if now >= self._next_report:
            self._next_report = now + REPORT_SECONDS
            info = RtcpSenderInfo(current_ntp_time(), timestamp, self.packets, self._octets & 0xFFFFFFFF)
            send(self._srtp.protect_rtcp(bytes(RtcpSrPacket(ssrc, info))), self._address)
        turn, index = divmod(self.frames, len(self._track.frames))
        return self._started_at + turn * PERIOD_SECONDS + self._track.frames[index].at_seconds

    def _on_state(self) -> None:
        if self._connection.connectionState == "connected":
            self.connected.set()


class Timetable:
    """Serves all senders; each joins once it is connected."""

    def __init__(self) -> None:
        self.latest_seconds = 0.0  # how far behind a frame was sent at the most
        self._due: list[tuple[float, int, Sender]] = []
        self._task: asyncio.Task[None] | None = None

    def join(self, sender: Sender) -> None:
        """Send from now on."""
        heapq.heappush(self._due, (sender.begin(asyncio.get_running_loop().time()), id(sender), sender))
        self._task = self._task or asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Send nothing more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._task, self._due = None, []

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            while (first := self._due[0])[0] <= now:
                at, order, sender = first
                self.latest_seconds = max(self.latest_seconds, now - at)
                heapq.heapreplace(self._due, (sender.send_due(now), order, sender))
            await asyncio.sleep(max(_SHORTEST_SLEEP_SECONDS, self._due[0][0] - loop.time()))


async def _send_nothing(packets: list[Any]) -> None:
    """In place of aiortc's own reports."""


async def main() -> None:
    """Answer `offers` (for so many sessions), `accept`, `stop` and `close`."""
    screen, sound = packetised(encode_screen()), packetised(opus_packets(tone(PERIOD_SECONDS)))
    timetable = Timetable()
    senders: list[Sender] = []

    async def offers(command: Command) -> list[dict[str, str]]:
        senders[:] = [Sender(track) for _ in range(command["sessions"]) for track in (screen, sound, sound)]
        return [{"kind": sender.kind, "sdp": await sender.offer()} for sender in senders]

    async def accept(command: Command) -> None:
        """`answers` belong to the senders from `first` on; returns once they send."""

        async def start(sender: Sender, answer: str) -> None:
            await sender.accept(answer)
            timetable.join(sender)

        answers = command["answers"]
        chosen = senders[command["first"] :][: len(answers)]
        await asyncio.gather(*(start(sender, answer) for sender, answer in zip(chosen, answers, strict=True)))

    async def stop(command: Command) -> dict[str, float]:
        await timetable.stop()
        latest_seconds, timetable.latest_seconds = timetable.latest_seconds, 0.0
        return {
            "pictures": sum(sender.frames for sender in senders if sender.kind == "video"),
            "sounds": sum(sender.frames for sender in senders if sender.kind == "audio"),
            "latest_seconds": latest_seconds,
        }

    async def close(command: Command) -> None:
        await asyncio.gather(*(sender.close() for sender in senders))
        senders.clear()

    await serve({"offers": offers, "accept": accept, "stop": stop, "close": close})


if __name__ == "__main__":
    asyncio.run(main())
