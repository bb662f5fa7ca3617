"""Bench child: one of two servers that record whatever is published to them.

`ours` receives by `app.ingest.whip` and muxes segments of 4 s by `app.media.fmp4`, batched and in threads as
the product does it; files stand for its storage and database.
`mediarecorder` is aiortc as its documentation shows it: decode, then encode with libx264 and AAC. Each of its
tracks has a recorder of its own, because one for both drops the picture where sound comes first.
"""

import asyncio
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Literal, Protocol

import av
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaRecorder

from app.ingest.batches import FrameBatches
from app.ingest.sinks.recorder import COLLECT_SECONDS, QUEUE_FRAMES
from app.ingest.whip.media_port import MediaPort, open_media_port
from app.ingest.whip.peer import WhipPeer, answer_offer
from app.media.fmp4 import SegmentMuxer
from app.media.frames import EncodedFrame
from bench.child import Command, serve

SEGMENT_US = 4_000_000


class Server(Protocol):
    async def answer(self, kind: Literal["audio", "video"], sdp: str) -> str: ...
    async def close(self) -> dict[str, int]: ...


class OurServer:
    """`app.ingest.whip` into `app.media.fmp4`."""

    def __init__(self, folder: Path, port: MediaPort) -> None:
        self._folder = folder
        self._port = port
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
            "bytes": sum(path.stat().st_size for path in self._folder.iterdir()),
        }

    async def _record(self, peer: WhipPeer, number: int) -> None:
        """Frames to batches to segments in a thread to files: the steps of `Pipeline` and `Recorder`."""
        batches = FrameBatches(f"track {number}", limit=QUEUE_FRAMES)
        writing = asyncio.create_task(self._write(peer, number, batches))
        async for frame in peer.frames():
            batches.offer(frame)
        batches.close()
        await writing

    async def _write(self, peer: WhipPeer, number: int, batches: FrameBatches) -> None:
        muxer = SegmentMuxer(peer.codec)
        segments = 0

        def mux(batch: list[EncodedFrame]) -> None:
            nonlocal muxer, segments
            for frame in batch:
                started_at_us = muxer.started_at_us or frame.captured_at_us
                if frame.is_keyframe and frame.captured_at_us - started_at_us >= SEGMENT_US:
                    self._store(muxer, number, segments)
                    segments += 1
                    muxer = SegmentMuxer(peer.codec, previous=muxer)
                muxer.add(frame)

        while (batch := await batches.next(collect_seconds=COLLECT_SECONDS, idle_seconds=5.0)) is not None:
            await asyncio.to_thread(mux, batch)
        if muxer.frame_count:
            self._store(muxer, number, segments)

    def _store(self, muxer: SegmentMuxer, number: int, segment: int) -> None:
        (self._folder / f"{number}-{segment}.mp4").write_bytes(muxer.finish().data)


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
