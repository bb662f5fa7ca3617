"""A small capture server for the recorder's tests: REST start and stop, WHIP with real aiortc peers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import av
import numpy as np
import uvicorn
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from aiortc.rtp import RtcpSrPacket
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

TOKEN = "st-secret-token"
SetSources = Callable[[dict[str, Any]], None]


@dataclass
class Received:
    """What one connection of one channel delivered."""

    clock_rate_hz: int
    first_rtp: int | None = None
    frames: list[Any] = field(default_factory=list)
    reports: list[tuple[float, int]] = field(default_factory=list)  # NTP seconds, RTP timestamp
    feedback_count: int = 0
    is_mute: bool = False  # Send no feedback any more, while the path itself stays open.

    def sender_seconds(self, frame: av.AudioFrame | av.VideoFrame) -> float:
        """When the sender says it sent this frame, by its latest report."""
        assert self.first_rtp is not None
        ntp_seconds, rtp = self.reports[-1]
        assert frame.pts is not None
        behind = (rtp - self.first_rtp - frame.pts) & 0xFFFFFFFF
        behind -= (behind & 0x80000000) << 1
        return ntp_seconds - behind / self.clock_rate_hz

    def sound(self) -> NDArray[np.int16]:
        """All sound so far, first channel."""
        return np.concatenate([frame.to_ndarray().reshape(-1, 2)[:, 0] for frame in self.frames])


class CaptureServer:
    """State of the running endpoint; `whip_status` makes the next WHIP posts fail."""

    def __init__(self) -> None:
        self.port = 0
        self.starts: list[dict[str, Any]] = []
        self.stops: list[dict[str, Any]] = []
        self.deleted: list[str] = []
        self.offers: dict[str, list[str]] = {}
        self.received: dict[str, list[Received]] = {}
        self.peers: dict[str, RTCPeerConnection] = {}
        self.whip_status: list[int] = []
        self.moved_to: str | None = None  # where the status says that channels are published now
        self.published_at: list[str] = []
        self.start_status = 200
        self._readers: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self, request: Request) -> Response:
        body = await request.json()
        self.starts.append(body)
        if request.headers["x-access-token"] != TOKEN or self.start_status != 200:
            status = 401 if self.start_status == 200 else self.start_status
            return JSONResponse({"success": False, "message": "not this time"}, status)
        rows = [
            {
                "channel_id": row["channel_id"],
                "channel_name": row["channel_name"],
                "stream_id": f"rts-{row['channel_id']}",
                "whip_url": f"{self.url}/whip/{row['channel_id']}",
            }
            for row in reversed(body["channels"])
        ]
        data = {
            "session_id": body["session_id"],
            "streaming_session_id": f"cap-{body['session_id']}",
            "status": "starting",
            "created_at": 0,
            "channels": rows,
        }
        return JSONResponse({"success": True, "data": data})

    async def status(self, request: Request) -> Response:
        if self.moved_to is None:
            return JSONResponse({"success": False, "message": "nobody knows"}, 503)
        names = [row["channel_id"] for row in self.starts[-1]["channels"]]
        rows = [{"channel_id": name, "whip_url": f"{self.moved_to}/whip/{name}"} for name in names]
        return JSONResponse({"success": True, "data": {"channels": rows}})

    async def stop(self, request: Request) -> Response:
        body = await request.json()
        self.stops.append({**body, "id": request.path_params["id"], "deleted_before": len(self.deleted)})
        return JSONResponse({"success": True, "message": "stopping", "data": {}})

    async def publish(self, request: Request) -> Response:
        channel = request.path_params["channel"]
        if request.headers["authorization"] != f"Bearer {TOKEN}":
            return Response(status_code=401)
        if self.whip_status:
            return Response(status_code=self.whip_status.pop(0))
        self.published_at.append(request.url.hostname or "")
        offer = (await request.body()).decode()
        self.offers.setdefault(channel, []).append(offer)
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.peers[channel] = peer
        received = Received(90_000 if "m=video" in offer else 48_000)
        self.received.setdefault(channel, []).append(received)
        await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        receiver = peer.getTransceivers()[0].receiver
        _spy(receiver, received)
        reader = asyncio.create_task(_read(receiver.track, received))
        self._readers.add(reader)
        await peer.setLocalDescription(await peer.createAnswer())
        resource = f"/resource/{channel}/{len(self.received[channel])}"
        return Response(peer.localDescription.sdp, 201, {"Location": resource}, media_type="application/sdp")

    async def delete(self, request: Request) -> Response:
        self.deleted.append(request.path_params["channel"])
        await self.peers[request.path_params["channel"]].close()
        return JSONResponse({})

    async def ask_key_frame(self, channel: str) -> None:
        receiver = self.peers[channel].getTransceivers()[0].receiver
        source = receiver.getSynchronizationSources()[0].source
        await receiver._send_rtcp_pli(source)

    async def close(self) -> None:
        for peer in self.peers.values():
            await peer.close()
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)


def _spy(receiver: Any, received: Received) -> None:
    """Note RTP and RTCP facts that aiortc keeps to itself, then let it work as usual."""
    handle_rtp, handle_rtcp = receiver._handle_rtp_packet, receiver._handle_rtcp_packet

    async def on_rtp(packet: Any, arrival_time_ms: int) -> None:
        if received.first_rtp is None:
            received.first_rtp = packet.timestamp
        await handle_rtp(packet, arrival_time_ms)

    async def on_rtcp(packet: Any) -> None:
        if isinstance(packet, RtcpSrPacket) and packet.sender_info.packet_count:
            info = packet.sender_info
            received.reports.append((info.ntp_timestamp / 2**32, info.rtp_timestamp))
        await handle_rtcp(packet)

    send = receiver.transport._send_rtp

    async def on_send(data: bytes) -> None:
        if not received.is_mute:
            await send(data)
            received.feedback_count += 1

    receiver._handle_rtp_packet, receiver._handle_rtcp_packet = on_rtp, on_rtcp
    receiver.transport._send_rtp = on_send


async def _read(track: Any, received: Received) -> None:
    with contextlib.suppress(MediaStreamError):
        while True:
            received.frames.append(await track.recv())


@contextlib.asynccontextmanager
async def capture_server() -> AsyncIterator[CaptureServer]:
    """Run the endpoint on a free loopback port, in this event loop."""
    state = CaptureServer()
    app = Starlette(
        routes=[
            Route("/capture/session/start", state.start, methods=["POST"]),
            Route("/capture/session/{id}", state.status, methods=["GET"]),
            Route("/capture/session/{id}/stop", state.stop, methods=["POST"]),
            Route("/whip/{channel}", state.publish, methods=["POST"]),
            Route("/resource/{channel}/{number}", state.delete, methods=["DELETE"]),
        ]
    )
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", ws="none", lifespan="off")
    )
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    state.port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield state
    finally:
        await state.close()
        server.should_exit = True
        await serving


async def until(condition: Callable[[], object], timeout_seconds: float = 20.0) -> None:
    """Poll until the condition holds; TimeoutError after the limit."""
    async with asyncio.timeout(timeout_seconds):
        while True:
            if condition():
                return
            await asyncio.sleep(0.05)
