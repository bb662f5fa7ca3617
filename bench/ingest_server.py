"""Bench child: one of two servers that record whatever is published to them.

`ours` receives by `app.ingest.whip` and records by the product's `Recorder`, each part synced to the disk;
finished segments stay in the spool.
`mediarecorder` is aiortc as its documentation shows it: decode, then encode with libx264 and AAC. Each of its
tracks has a recorder of its own, because one for both drops the picture where sound comes first.
"""

import asyncio
import resource
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, Protocol, cast

import av
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaRecorder

from app.base.settings import Settings
from app.domain.streams.spooled import Manifest
from app.ingest.sinks.recorder import Recorder
from app.ingest.spool.spool import Spool
from app.ingest.spool.uploads import Uploads
from app.ingest.whip.media_port import MediaPort, open_media_port
from app.ingest.whip.peer import WhipPeer, answer_offer
from app.process import Context
from bench.child import Command, serve


class Server(Protocol):
    async def answer(self, kind: Literal["audio", "video"], sdp: str) -> str: ...
    async def close(self) -> dict[str, int]: ...


class OurServer:
    """`app.ingest.whip` into `app.ingest.sinks.recorder`."""

    def __init__(self, folder: Path, port: MediaPort) -> None:
        self._folder = folder
        self._port = port
        self._uploads = _NoUploads(Spool(folder, reserve_bytes=0, sync=True))
        self._zero_us = time.time_ns() // 1000 - 60_000_000
        self._peers: list[WhipPeer] = []
        self._recordings: list[asyncio.Task[None]] = []

    async def answer(self, kind: Literal["audio", "video"], sdp: str) -> str:
        peer = await answer_offer(sdp, kind=kind, port=self._port)
        self._peers.append(peer)
        self._recordings.append(asyncio.create_task(self._record(peer, len(self._peers))))
        return peer.answer_sdp

    async def close(self) -> dict[str, int]:
        await asyncio.gather(*(peer.close() for peer in self._peers))
        await asyncio.gather(*self._recordings)
        return {
            "frames": sum(peer.stats.frames for peer in self._peers),
            "pictures": sum(peer.stats.frames for peer in self._peers if peer.codec.is_video),
            "lost_packets": sum(peer.stats.lost for peer in self._peers),
            "bytes": sum(path.stat().st_size for path in self._folder.rglob("*.mp4")),
        }

    async def _record(self, peer: WhipPeer, number: int) -> None:
        """What `Pipeline` does with a stored stream."""
        recorder = Recorder(
            cast(Context, SimpleNamespace(settings=Settings())),
            cast(Uploads, self._uploads),
            account_id="acc-bench",
            stream_id=f"rts-{number}",
            codec=peer.codec,
            zero_us=self._zero_us,
            request_keyframe=peer.request_keyframe,
        )
        async for frame in peer.frames():
            recorder.offer(frame)
        await recorder.close()


class _NoUploads:
    """Leaves finished segments in the spool: files stand for storage and database."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool

    def submit(self, manifest: Manifest) -> None:
        pass


class MediaRecorderServer:
    """Stock aiortc with its own recorder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._connections: list[RTCPeerConnection] = []
        self._recorders: list[MediaRecorder] = []

    async def answer(self, kind: Literal["audio", "video"], sdp: str) -> str:
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        recorder = MediaRecorder(str(self._folder / f"{len(self._recorders)}-{kind}.mp4"))
        self._connections.append(connection)
        self._recorders.append(recorder)
        connection.on("track", recorder.addTrack)
        await connection.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        await connection.setLocalDescription(await connection.createAnswer())
        await recorder.start()
        return str(connection.localDescription.sdp)

    async def close(self) -> dict[str, int]:
        await asyncio.gather(*(connection.close() for connection in self._connections))
        for recorder in self._recorders:
            await recorder.stop()
        pictures = 0
        for path in self._folder.glob("*-video.mp4"):
            with av.open(str(path)) as container:
                pictures += sum(1 for packet in container.demux(video=0) if packet.size)
        return {
            "frames": pictures,
            "pictures": pictures,
            "lost_packets": 0,
            "bytes": sum(path.stat().st_size for path in self._folder.iterdir()),
        }


async def main(which: str) -> None:
    """Answer `answer`, `usage` and `close` until the input ends."""
    with tempfile.TemporaryDirectory(prefix="bench-ingest-") as name:
        async with open_media_port() as port:
            server: Server = (
                OurServer(Path(name), port) if which == "ours" else MediaRecorderServer(Path(name))
            )

            async def answer(command: Command) -> str:
                return await server.answer(command["kind"], command["sdp"])

            async def usage(command: Command) -> dict[str, float]:
                used = resource.getrusage(resource.RUSAGE_SELF)
                return {
                    "cpu_seconds": used.ru_utime + used.ru_stime,
                    "at_seconds": time.monotonic(),
                    "peak_megabytes": used.ru_maxrss / 1024,
                }

            async def close(command: Command) -> Any:
                return await server.close()

            await serve({"answer": answer, "usage": usage, "close": close})


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
