"""Where a pulled source may lead: nowhere but to allowed addresses, whatever it answers."""

import asyncio
import base64
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from tests.fixtures.pulling import Pulled, pull
from tests.fixtures.sources import HttpServer, Trap, http_server, rtsp_camera, write_hls

HERE_ALONE = [ip_network("127.0.0.1/32")]
REFUSED = "the URL leads to an address that this server does not connect to"


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_hls(tmp_path_factory.mktemp("recording"), seconds=2.0).parent


@pytest.fixture
def web(recording: Path) -> Iterator[HttpServer]:
    with http_server(recording) as server:
        yield server


@pytest.fixture
def trap() -> Iterator[Trap]:
    """On an address of this machine that is not allowed."""
    trap = Trap("127.0.0.2")
    yield trap
    trap.close()


async def pulled(url: str, *, seconds: float = 8.0) -> Pulled:
    return await pull(url, networks=HERE_ALONE, seconds=seconds)


async def test_an_allowed_address_is_read(web: HttpServer) -> None:
    found = await pulled(web.url("stream.m3u8"))
    assert found.outcome.finished
    assert found.outcome.error is None
    assert len(found.of("h264")) == 30


@pytest.mark.parametrize("scheme", ["rtsp", "rtmp", "http", "https", "rtsps", "rtmps"])
async def test_a_refused_address_is_never_connected_to(scheme: str, trap: Trap) -> None:
    found = await pulled(f"{scheme}://127.0.0.2:{trap.port}/live/x.m3u8")
    assert found.outcome.error == REFUSED
    assert (found.frames, trap.connections) == ([], 0)


async def test_a_name_leads_nowhere_else() -> None:
    trap = Trap()
    for url in (f"http://localhost:{trap.port}/x.m3u8", f"rtsp://localhost:{trap.port}/x"):
        found = await pull(url, networks=[], seconds=8.0)
        assert found.outcome.error == REFUSED
    assert trap.connections == 0
    trap.close()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_of_http_is_checked(status: int, web: HttpServer, trap: Trap) -> None:
    web.answers["/moved.m3u8"] = status, {"Location": f"http://127.0.0.2:{trap.port}/stream.m3u8"}, b""
    found = await pulled(web.url("moved.m3u8"))
    assert found.outcome.error == REFUSED
    assert trap.connections == 0


async def test_a_redirect_to_an_allowed_address_is_followed(web: HttpServer) -> None:
    web.answers["/moved.m3u8"] = 302, {"Location": web.url("stream.m3u8")}, b""
    assert (await pulled(web.url("moved.m3u8"))).outcome.finished


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("place", ["segment", "variant", "key", "map", "rendition"])
async def test_what_a_playlist_names_is_checked(place: str, scheme: str, web: HttpServer, trap: Trap) -> None:
    evil = f"{scheme}://127.0.0.2:{trap.port}/x.ts"
    web.answers["/evil.m3u8"] = 200, {}, _playlist(place, evil)
    found = await pulled(web.url("evil.m3u8"), seconds=4.0)
    assert not found.of("h264") or place == "rendition"
    assert trap.connections == 0


@pytest.mark.parametrize(
    "target",
    [
        "file:{secret}",
        "{secret}",
        "concat:{secret}|{secret}",
        "subfile,,start,0,end,100,,:{secret}",
        "data:application/octet-stream;base64,{data}",
        "crypto:{secret}",
        "cache:{secret}",
        "async:{secret}",
        "pipe:0",
        "unix:{secret}",
        "udp://127.0.0.1:{port}",
        "rtp://127.0.0.1:{port}",
        "tcp://127.0.0.2:{port}",
        "tls://127.0.0.2:{port}",
        "httpproxy://127.0.0.2:{port}/127.0.0.2:{port}",
        "rtmp://127.0.0.2:{port}/live/x",
        "rtsp://127.0.0.2:{port}/x",
        "ftp://127.0.0.2:{port}/x",
        "gopher://127.0.0.2:{port}/x",
    ],
)
async def test_no_other_protocol_exists_for_a_playlist(
    target: str, web: HttpServer, trap: Trap, recording: Path
) -> None:
    media = recording / "stream0.ts"
    data = base64.b64encode(media.read_bytes()).decode()
    written = target.format(secret=media, data=data, port=trap.port)
    web.answers["/evil.m3u8"] = 200, {}, _playlist("segment", written)
    found = await pulled(web.url("evil.m3u8"), seconds=4.0)
    assert found.frames == []
    assert trap.connections == 0


async def test_a_variable_of_the_environment_does_not_lead_past_the_doorway(
    web: HttpServer, trap: Trap, recording: Path
) -> None:
    """FFmpeg connects by itself to the hosts that `no_proxy` names."""
    command = (
        "import asyncio, os; from ipaddress import ip_network; from tests.fixtures.pulling import pull;"
        "from app.ingest.pull.puller import forget_proxy_exceptions; forget_proxy_exceptions();"
        f"asyncio.run(pull('http://127.0.0.2:{trap.port}/x.m3u8',"
        " networks=[ip_network('127.0.0.1/32')], seconds=8.0))"
    )
    import os
    import sys

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", command, env=os.environ | {"no_proxy": "*", "NO_PROXY": "*"}
    )
    assert await process.wait() == 0
    assert trap.connections == 0


async def test_a_redirect_of_rtsp_is_not_followed(trap: Trap, tmp_path: Path) -> None:
    with rtsp_camera(tmp_path, sound=False) as camera:
        for host in ("127.0.0.2", "127.0.0.1"):
            camera.redirect = f"rtsp://{host}:{trap.port}/camera"
            found = await pulled(camera.url)
            expected = "the source refers to another server, which is not followed for RTSP"
            assert found.outcome.error == expected
    assert trap.connections == 0


def _playlist(place: str, target: str) -> bytes:
    head = "#EXTM3U\n#EXT-X-VERSION:7\n"
    if place == "variant":
        return f"{head}#EXT-X-STREAM-INF:BANDWIDTH=100000\n{target}\n".encode()
    if place == "rendition":
        media = f'#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="x",DEFAULT=YES,URI="{target}"\n'
        return f'{head}{media}#EXT-X-STREAM-INF:BANDWIDTH=100000,AUDIO="a"\nstream.m3u8\n'.encode()
    lines = ["#EXT-X-TARGETDURATION:2", "#EXT-X-PLAYLIST-TYPE:VOD"]
    if place == "key":
        lines.append(f'#EXT-X-KEY:METHOD=AES-128,URI="{target}"')
    if place == "map":
        lines.append(f'#EXT-X-MAP:URI="{target}"')
    lines += ["#EXTINF:1.0,", target if place == "segment" else "stream0.ts", "#EXT-X-ENDLIST", ""]
    return (head + "\n".join(lines)).encode()
