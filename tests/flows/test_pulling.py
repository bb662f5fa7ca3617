"""Pulled streams in the running product: a source that dies and returns, a killed process, live playback."""

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import httpx
import pytest

from app.base.db import Database
from app.domain.streams.models import Segment
from app.domain.streams.service import list_segments
from tests.fixtures.servers import Servers, cloned_database
from tests.fixtures.sources import (
    H264,
    REORDERED,
    free_port,
    http_server,
    live_hls,
    rtmp_server,
    rtsp_camera,
    write_hls,
)
from tests.fixtures.stack import RunningStack, running_stack

LIMIT_SECONDS = 40.0
Json = dict[str, Any]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def own_stack(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A product that may be damaged, with short segments."""
    folder = tmp_path_factory.mktemp("pulling") / "data"
    for database_url in cloned_database(servers):
        broker = servers.broker_of(7)
        with running_stack(folder, database_url, broker, CAPTURE_SEGMENT_SECONDS="1") as stack:
            yield stack


class Viewer:
    """Asks the product about one pulled stream."""

    def __init__(self, stack: RunningStack, url: str, **more: Any) -> None:
        self.stack = stack
        body = {"url": url, "name": "camera", "media_types": ["video", "audio"], "store": True}
        self.id: str = self.call("post", "/rtstream", body | more)["id"]

    def call(self, method: str, path: str, body: Json | None = None) -> Json:
        with self.stack.client() as client:
            answer = client.request(method, path, json=body)
            assert answer.status_code == 200, answer.text
            data: Json = answer.json()["data"]
            return data

    @property
    def log(self) -> str:
        return self.stack.data_dir.with_suffix(".log").read_text()

    @property
    def row(self) -> Json:
        return self.call("get", f"/rtstream/{self.id}")

    def until(self, is_so: Callable[[], object]) -> None:
        deadline = time.monotonic() + LIMIT_SECONDS
        while not is_so():
            assert time.monotonic() < deadline, (self.row, self.log[-4000:])
            time.sleep(0.1)

    def segments(self, kind: str) -> list[Segment]:
        """What is stored of the picture or the sound, in time order."""
        found = asyncio.run(self._segments())
        return [one for one in found if (one.codec == "h264") == (kind == "video")]

    async def _segments(self) -> list[Segment]:
        database = Database(self.stack.database_url)
        try:
            async with database.transaction() as session:
                return await list_segments(session, self.id)
        finally:
            await database.engine.dispose()

    def recorded(self, kind: str, seconds: float, *, after_us: int = 0) -> list[Segment]:
        """Wait until so much of one kind is stored of the time after an instant; all that is stored."""

        def length_us() -> int:
            return sum(one.duration_us for one in self.segments(kind) if one.started_at_us > after_us)

        self.until(lambda: length_us() >= seconds * 1e6)
        return self.segments(kind)

    def stop(self) -> Json:
        return self.call("patch", f"/rtstream/{self.id}/status", {"action": "stop"})

    def export(self) -> Json:
        with self.stack.client() as client:
            answer = client.post(f"/rtstream/{self.id}/export", json={}).json()
            while answer.get("status") == "processing":
                answer = client.get(answer["data"]["output_url"]).json()
            assert answer["success"], answer
            data: Json = answer["data"]
            return data


def decoded(url: str) -> dict[str, list[float]]:
    """Times of all frames, each of which must decode, by kind."""
    times: dict[str, list[float]] = {}
    # From the first segment on: FFmpeg takes a playlist without its end for one to be joined late.
    with av.open(url, options={"live_start_index": "0"}, timeout=30) as container:
        for packet in container.demux():
            for frame in packet.decode():
                assert not getattr(frame, "is_corrupt", False)
                times.setdefault(packet.stream.type, []).append(frame.time or 0.0)
    return times


def test_a_source_that_dies_is_connected_to_again(own_stack: RunningStack, tmp_path: Path) -> None:
    with rtsp_camera(tmp_path) as camera:
        viewer = Viewer(own_stack, camera.url)
        viewer.recorded("video", 2)
        camera.close()
        viewer.until(lambda: viewer.row["source"]["error"] is not None)
        assert viewer.row["source"]["state"] in ("waiting", "connecting")
        camera.start()
        back_us = time.time_ns() // 1000
        viewer.recorded("audio", 2, after_us=back_us)
        viewer.recorded("video", 2, after_us=back_us)
        source = viewer.row["source"]
        assert (source["state"], source["error"]) == ("receiving", None)
        viewer.stop()
    kinds = viewer.segments("video"), viewer.segments("audio")
    for kind in kinds:
        assert [one.discontinuity for one in kind].count(True) == 2
        for before, after in pairwise(kind):
            assert after.started_at_us >= before.ended_at_us - 100_000
    exported = viewer.export()
    times = decoded(exported["stream_url"])
    assert sorted(times) == ["audio", "video"]
    assert times["video"] == sorted(times["video"])


def test_a_killed_process_takes_its_pulls_up_again(own_stack: RunningStack, tmp_path: Path) -> None:
    with rtsp_camera(tmp_path, sound=False) as camera:
        viewer = Viewer(own_stack, camera.url, media_types=["video"])
        viewer.recorded("video", 2)
        own_stack.kill("web")
        killed_us = time.time_ns() // 1000
        _await_answers(own_stack)
        found = viewer.recorded("video", 2, after_us=killed_us)
        viewer.stop()
    lost = [(after.started_at_us - before.ended_at_us) / 1e6 for before, after in pairwise(found)]
    assert [one.discontinuity for one in found].count(True) == 2
    assert max(lost) < 15
    assert found[-1].ended_at_us > killed_us


def _await_answers(stack: RunningStack) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{stack.base_url}/readyz", timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError("the product did not come back")


def test_a_live_stream_plays_while_it_is_pulled(own_stack: RunningStack, tmp_path: Path) -> None:
    with live_hls(tmp_path), http_server(tmp_path) as web:
        viewer = Viewer(own_stack, web.url("live.m3u8"))
        viewer.recorded("video", 3)
        viewer.recorded("audio", 3)
        now = time.time()
        query = f"start={now - 600}&end={now + 600}"
        links = viewer.call("get", f"/rtstream/{viewer.id}/stream?{query}")
        master = httpx.get(links["stream_url"]).text
        assert "EXT-X-MEDIA:TYPE=AUDIO" in master
        for name in (f"{viewer.id}-video", f"{viewer.id}-audio"):
            playlist = httpx.get(httpx.URL(links["stream_url"]).join(f"{name}.m3u8")).text
            assert "#EXT-X-ENDLIST" not in playlist
            assert playlist.count("#EXTINF") >= 2
        viewer.stop()
    times = decoded(links["stream_url"])
    assert sorted(times) == ["audio", "video"]
    assert times["video"][-1] - times["video"][0] > 2.5
    assert abs(times["video"][-1] - times["audio"][-1]) < 1.5


def test_a_recording_is_played_once_and_at_its_own_speed(own_stack: RunningStack, tmp_path: Path) -> None:
    write_hls(tmp_path, seconds=5.0)
    began = time.time_ns() // 1000
    with http_server(tmp_path) as web:
        viewer = Viewer(own_stack, web.url("stream.m3u8"))
        viewer.until(lambda: viewer.row["status"] == "stopped")
        assert web.paths.count("/stream.m3u8") == 1
    segments = viewer.segments("video")
    assert sum(one.frame_count for one in segments) == 75
    assert segments[-1].ended_at_us - segments[0].started_at_us == pytest.approx(5e6, abs=2e5)
    assert segments[-1].ended_at_us - began > 4.5e6
    assert viewer.row["source"]["state"] == "stopped"
    assert viewer.export()["duration"] == pytest.approx(5.0, abs=0.3)


def test_rtmp_with_reordered_pictures_is_recorded(own_stack: RunningStack) -> None:
    encoding = [*H264, *REORDERED]
    with rtmp_server(free_port(), encoding=encoding) as url:
        viewer = Viewer(own_stack, url)
        viewer.recorded("video", 3)
        viewer.stop()
    times = decoded(viewer.export()["stream_url"])
    assert sorted(times) == ["audio", "video"]
    steps = [after - before for before, after in pairwise(times["video"])]
    assert min(steps) > 0
    assert max(steps[:-1]) < 0.3


def test_a_password_is_in_no_log_and_no_answer(own_stack: RunningStack, tmp_path: Path) -> None:
    with rtsp_camera(tmp_path, sound=False) as camera, socket.create_server(("127.0.0.1", 0)) as silent:
        camera.login = "Basic bWU6cGFzc3ctODE3Mw=="  # me:passw-8173
        urls = [
            f"rtsp://me:passw-8173@127.0.0.1:{camera.port}/camera",
            f"rtsp://me:passw-8173-wrong@127.0.0.1:{camera.port}/camera",
            "http://me:passw-8173@127.0.0.1:9/x.m3u8?key=passw-8173",
            f"rtmp://me:passw-8173@127.0.0.1:{silent.getsockname()[1]}/live/passw",
        ]
        viewers = [Viewer(own_stack, url, media_types=["video"]) for url in urls]
        viewers[0].until(lambda: viewers[0].row["source"]["state"] == "receiving")
        viewers[1].until(lambda: viewers[1].row["source"]["error"] == "the source wants other credentials")
        viewers[2].until(lambda: viewers[2].row["source"]["error"] == "the source cannot be reached")
        shown = "".join(str(viewer.row) for viewer in viewers)
        for viewer in viewers:
            viewer.stop()
    assert "8173" not in shown
    assert "8173" not in viewers[0].log
