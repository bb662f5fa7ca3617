"""What real sources give: frames of both kinds, at the time that they were sent, however they end."""

import asyncio
import socket
import time
from ipaddress import ip_network
from pathlib import Path

import av
import numpy as np
import pytest

from app.domain.streams.models import Stream
from app.domain.streams.pulls import ClaimedPull
from app.embedded.certificates import keep_certificate
from app.ingest.pull.reader import Outcome
from app.ingest.pull.source import PulledSource
from app.media.frames import EncodedFrame
from tests.fixtures.pulling import Pulled, pull
from tests.fixtures.sources import (
    H264,
    PLAIN,
    REORDERED,
    Trap,
    free_port,
    http_server,
    rtmp_server,
    rtsp_camera,
    write_hls,
)

NETWORKS = [ip_network("127.0.0.0/8")]

pytestmark = pytest.mark.slow


def check(found: Pulled, *, began_us: int) -> None:
    """Both kinds, each a whole stream, on the wall clock."""
    ended_us = time.time_ns() // 1000
    assert found.dropped_frames == 0
    assert found.frames[0].captured_at_us > began_us - 5_000_000  # older than the connection: what was kept
    for codec, step_us in (("h264", 1e6 / 15), ("aac", 1024e6 / 48_000)):
        frames = found.of(codec)
        assert frames[0].is_keyframe
        times = np.array([frame.captured_at_us for frame in frames])
        assert times[-1] < ended_us + 100_000
        steps = np.diff(times)
        assert steps.min() > 0
        assert np.median(steps) == pytest.approx(step_us, rel=0.05)
        assert steps.max() < 10 * step_us
    last = [found.of(codec)[-1].captured_at_us for codec in ("h264", "aac")]
    assert abs(last[0] - last[1]) < 600_000
    assert decoded(found.of("h264")) > 20


def decoded(frames: list[EncodedFrame]) -> int:
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    pictures = [one for frame in frames for one in decoder.decode(av.Packet(frame.data))]
    assert not any(picture.is_corrupt for picture in pictures)
    return len(pictures)


@pytest.mark.parametrize("order", ["plain", "reordered"])
async def test_a_camera_by_rtsp(tmp_path: Path, order: str) -> None:
    encoding = [*H264, *(PLAIN if order == "plain" else REORDERED)]
    with rtsp_camera(tmp_path, encoding=encoding) as camera:
        began_us = time.time_ns() // 1000
        check(await pull(camera.url, networks=NETWORKS, seconds=25, enough=300), began_us=began_us)


async def test_a_stream_by_rtmp() -> None:
    began_us = time.time_ns() // 1000
    with rtmp_server(free_port()) as url:
        for _ in range(50):  # FFmpeg takes a moment to listen
            found = await pull(url, networks=NETWORKS, seconds=25, enough=300)
            if found.frames:
                break
            await asyncio.sleep(0.1)
    check(found, began_us=began_us)


async def test_only_what_is_wanted_is_taken(tmp_path: Path) -> None:
    write_hls(tmp_path, seconds=1.0)
    with http_server(tmp_path) as web:
        for media_type, codec in (("video", "h264"), ("audio", "aac")):
            found = await pull(web.url("stream.m3u8"), networks=NETWORKS, seconds=10, media_type=media_type)
            assert {frame.codec for frame in found.frames} == {codec}


async def test_what_a_source_has_not_is_said(tmp_path: Path) -> None:
    with rtsp_camera(tmp_path, sound=False) as camera:
        found = await pull(camera.url, networks=NETWORKS, seconds=20, media_type="audio")
    assert found.outcome.error == "the source has no audio"


async def test_a_recording_that_was_played_is_not_played_again(tmp_path: Path) -> None:
    write_hls(tmp_path, seconds=1.0)
    with http_server(tmp_path) as web:
        found = await pull(web.url("stream.m3u8"), networks=NETWORKS, seconds=10, has_begun=True)
    assert (found.frames, found.outcome.finished) == ([], True)


async def test_certificates_are_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the URL itself; `rtsps` goes by Python's own TLS, `https` by FFmpeg's."""
    write_hls(tmp_path, seconds=1.0)
    made = keep_certificate(tmp_path / "keys", "localhost")
    with http_server(tmp_path, made.server_context()) as web:
        url = web.url("stream.m3u8").replace("127.0.0.1", "localhost")
        refused = await pull(url, networks=NETWORKS, seconds=10)
        rtsps = await pull(f"rtsps://localhost:{web.port}/x", networks=NETWORKS, seconds=10)
        assert (refused.frames, rtsps.frames) == ([], [])
        assert refused.outcome.error is not None
        assert rtsps.outcome.error == "the source's certificate is not to be trusted"
        assert web.paths == []
        monkeypatch.setenv("SSL_CERT_FILE", str(made.authority))
        assert (await pull(url, networks=NETWORKS, seconds=10)).outcome.finished


async def test_a_source_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.ingest.pull.reader.OPEN_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connections wait, and are never taken
        port = silent.getsockname()[1]
        for scheme in ("rtsp", "rtmp", "http"):
            found = await pull(f"{scheme}://127.0.0.1:{port}/live/x", networks=NETWORKS, seconds=20)
            assert found.outcome.error == "the source did not answer in time", scheme


async def test_what_is_no_media_is_said_without_its_url(tmp_path: Path) -> None:
    (tmp_path / "page.m3u8").write_text("<html>secret-1</html>")
    trap = Trap()
    with http_server(tmp_path) as web:
        for url in (
            web.url("page.m3u8?secret-1"),
            web.url("secret-1.m3u8"),
            f"rtsp://secret-1:secret-1@127.0.0.1:{trap.port}/secret-1",
        ):
            found = await pull(url, networks=NETWORKS, seconds=20)
            assert found.outcome.error
            assert "secret-1" not in found.outcome.error
            assert "127.0.0.1" not in found.outcome.error
    trap.close()


async def test_a_reader_that_falls_behind_loses_counted_frames_and_goes_on_at_a_key_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.ingest.whip.frame_queue.MAX_QUEUED_FRAMES", 100)
    ends: list[Outcome] = []

    async def on_end(outcome: Outcome) -> None:
        ends.append(outcome)

    with rtsp_camera(tmp_path) as camera:
        stream = Stream(id="rts-test", media_type="audiovisual")
        source = PulledSource(ClaimedPull(stream, camera.url, 0, False), NETWORKS, on_end)
        frames: list[EncodedFrame] = []

        async def read() -> None:
            async for frame in source.frames():
                frames.append(frame)
                if len(frames) == 100:
                    await asyncio.sleep(4.0)
                if len(frames) >= 400:
                    await source.close()

        await asyncio.wait_for(read(), 40)
    assert len(ends) == 1
    assert source.dropped_frames > 20
    pictures = [frame for frame in frames if frame.codec.is_video]
    steps_us = np.diff([frame.captured_at_us for frame in pictures])
    assert steps_us.max() > 500_000
    for number in np.flatnonzero(steps_us > 200_000):
        assert pictures[int(number) + 1].is_keyframe
