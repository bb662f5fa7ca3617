"""Bench child: one of two servers in Python that record whatever is published to them into a folder.

`ours` receives by `app.ingest.whip` and records by the product's `Recorder`, each part synced to the disk;
finished segments stay in the spool.
`mediarecorder` is aiortc as its documentation shows it: decode, then encode with libx264 and AAC. Each of its
tracks has a recorder of its own, because one for both drops the picture where sound comes first.
"""

import asyncio
import gc
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Literal, Protocol, cast

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaRecorder

from app.base.settings import Settings
from app.domain.streams.spooled import Manifest
from app.ingest.sinks.recorder import Recorder
from app.ingest.spool.spool import Spool
from app.ingest.spool.uploads import Uploads
from app.ingest.whip.media_port import MediaPort, open_media_port
from app.ingest.whip.offer import read_offer
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
        peer = await answer_offer(read_offer(sdp, (kind,)), port=self._port)
        self._peers.append(peer)
        self._recordings.append(asyncio.create_task(self._record(peer, len(self._peers))))
        return peer.answer_sdp

    async def close(self) -> dict[str, int]:
        await asyncio.gather(*(peer.close() for peer in self._peers))
        await asyncio.gather(*self._recordings)
        return {
            "lost_packets": sum(peer.tracks[0].stats.lost for peer in self._peers),
            "nacked": sum(peer.tracks[0].stats.nacked for peer in self._peers),
            "dropped_frames": sum(peer.tracks[0].stats.dropped_frames for peer in self._peers),
            "unknown_datagrams": self._port.routes.counters.unknown,
            "refused_datagrams": self._port.refused,
            "ended_early": sum(peer.close_reason != "closed by this server" for peer in self._peers),
        }

    async def _record(self, peer: WhipPeer, number: int) -> None:
        """What `Pipeline` does with a stored stream."""
        recorder = Recorder(
            cast(Context, SimpleNamespace(settings=Settings())),
            cast(Uploads, self._uploads),
            account_id="acc-bench",
            stream_id=f"rts-{number}",
            codec=peer.tracks[0].codec,
            zero_us=self._zero_us,
            request_keyframe=peer.tracks[0].request_keyframe,
        )
        async for frame in peer.tracks[0].frames():
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
        return {}


async def main(which: str, folder: Path) -> None:
    """Answer `answer`, `processes` and `close` until the input ends."""
    gc.freeze()  # as `app.main` does
    async with open_media_port() as port:
        server: Server = OurServer(folder, port) if which == "ours" else MediaRecorderServer(folder)

        async def answer(command: Command) -> str:
            return await server.answer(command["kind"], command["sdp"])

        async def processes(command: Command) -> list[int]:
            return [os.getpid()]

        async def close(command: Command) -> dict[str, int]:
            return await server.close()

        await serve({"answer": answer, "processes": processes, "close": close})


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
