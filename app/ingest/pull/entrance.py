"""What FFmpeg is told to open for a source, by way of a doorway."""

import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import certifi

from app.base.outbound import Network
from app.domain.streams.source_urls import SourceUrl
from app.ingest.pull.doorway import Doorway, Streams, join
from app.ingest.pull.proxy import carry_http
from app.ingest.pull.rtsp_relay import relay_rtsp

_PROBE = {"probesize": "2000000", "analyzeduration": "3000000"}
_HLS_FORMATS = "hls,mpegts,mov,mp4,m4a,3gp,3g2,mj2,aac,mp3,webvtt"


@dataclass(frozen=True, slots=True)
class Entrance:
    """The arguments of `av.open`. `is_paced` says that media may come faster than it is to be played."""

    url: str
    format: str
    options: dict[str, str]
    is_paced: bool


@asynccontextmanager
async def open_entrance(
    source: SourceUrl, networks: Iterable[Network]
) -> AsyncIterator[tuple[Entrance, Doorway]]:
    """Open a source's way in for the length of the block. Connects to nothing by itself."""

    async def carry(doorway: Doorway, here: Streams) -> None:
        if source.protocol == "hls":
            await carry_http(doorway, here)
            return
        there = await doorway.connect(source.host, source.port, has_tls=source.has_tls)
        if source.protocol == "rtsp":
            await relay_rtsp(doorway, here, there)
        else:
            await join(here, there)

    async with Doorway(networks).serve(carry) as doorway:
        yield _entrance(source, doorway.port), doorway


def _entrance(source: SourceUrl, port: int) -> Entrance:
    """Protocols beside those named here do not exist for FFmpeg: no files, no data URLs, no UDP."""
    if source.protocol == "hls":
        options = {
            "protocol_whitelist": "http,https,httpproxy,tls,tcp,crypto",
            "format_whitelist": _HLS_FORMATS,
            "http_proxy": f"http://127.0.0.1:{port}",
            "http_persistent": "0",
            "http_multiple": "0",
            "tls_verify": "1",
            "ca_file": ssl.get_default_verify_paths().cafile or certifi.where(),
        }
        return Entrance(source.parts.geturl(), "hls", options | _PROBE, is_paced=True)
    login, at, _ = source.parts.netloc.rpartition("@")
    local = source.parts._replace(scheme=source.protocol, netloc=f"{login}{at}127.0.0.1:{port}").geturl()
    if source.protocol == "rtsp":
        options = {"protocol_whitelist": "tcp", "rtsp_transport": "tcp"}
        return Entrance(local, "rtsp", options | _PROBE, is_paced=False)
    # The host of the connection is this machine's: the server is told the one that it goes by.
    application = source.parts.path.strip("/").rpartition("/")[0] or source.parts.path.strip("/")
    host = source.parts.netloc.rpartition("@")[2]
    options = {
        "protocol_whitelist": "rtmp,tcp",
        "rtmp_tcurl": f"{source.parts.scheme}://{host}/{application}",
        "rtmp_live": "live",
    }
    return Entrance(local, "flv", options | _PROBE, is_paced=False)
