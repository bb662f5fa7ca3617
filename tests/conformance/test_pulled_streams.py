"""Checks 50 and 51: cameras connected by URL, started, stopped, exported and listed."""

import time
from collections.abc import Iterator

import av
import httpx
import pytest

from tests.conformance.playback import play
from tests.fixtures.media import speech_file
from tests.fixtures.sdks import NEWEST, Sdk
from tests.fixtures.sources import RtspServer, rtsp_camera
from tests.fixtures.stack import RunningStack

RECORDED_SECONDS = 5.0
LIMIT_SECONDS = 40.0

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RtspServer]:
    """With picture and speech."""
    with rtsp_camera(tmp_path_factory.mktemp("camera"), voice=speech_file("two_cities.wav")) as camera:
        yield camera


def recorded_seconds(stack: RunningStack, stream_id: str) -> float:
    """What a player that comes now is offered of the last hour."""
    now = time.time()
    with stack.client() as client:
        params = {"start": now - 3600, "end": now + 3600}
        data = client.get(f"/rtstream/{stream_id}/stream", params=params).json()["data"]
    playlist = httpx.get(data["stream_url"])
    if playlist.status_code != 200:
        return 0.0
    if "#EXT-X-STREAM-INF" in playlist.text:
        playlist = httpx.get(playlist.url.join(playlist.text.splitlines()[-1]))
    lines = playlist.text.splitlines()
    return sum(float(line[8:-1]) for line in lines if line.startswith("#EXTINF:"))


def await_recorded(stack: RunningStack, stream_id: str) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while recorded_seconds(stack, stream_id) < RECORDED_SECONDS:
        assert time.monotonic() < deadline, "nothing was recorded"
        time.sleep(0.2)


def test_check_50_a_camera_is_pulled_stopped_and_exported(
    pythons: dict[str, Sdk], camera: RtspServer, stack: RunningStack
) -> None:
    """Three times at once: with picture and sound, and with either alone."""
    py = pythons[NEWEST]
    wanted = [["video", "audio"], ["video"], ["audio"]]
    stream_ids = py.run(
        """
        coll, ids = conn.get_collection(), []
        for kinds in wanted:
            stream = coll.connect_rtstream(url, "Front door", media_types=kinds, store=True, sample_rate=30)
            stream.start()
            ids.append(stream.id)
        emit(ids)
        """,
        url=camera.url,
        wanted=wanted,
    )
    for stream_id in stream_ids:
        assert stream_id.startswith("rts-")
        await_recorded(stack, stream_id)
    for stream_id, kinds in zip(stream_ids, wanted, strict=True):
        check_export(py, stack, stream_id, kinds)


def check_export(py: Sdk, stack: RunningStack, stream_id: str, kinds: list[str]) -> None:
    refused, exported, again, named = py.run(
        """
        stream = conn.get_collection().get_rtstream(id)
        try:
            stream.export()
        except videodb.InvalidRequestError as error:
            refused = str(error)
        stream.stop()
        exported, again = stream.export(), stream.export()
        named = stream.export("Evening")
        emit([refused, vars(exported), vars(again), vars(named)])
        """,
        id=stream_id,
    )
    assert "still runs: stop it before exporting it" in refused
    assert exported["video_id"].startswith("m-" if "video" in kinds else "a-")
    assert exported["video_id"] == again["video_id"] == named["video_id"]
    assert (exported["name"], named["name"]) == ("Front door", "Evening")
    assert exported["duration"] > RECORDED_SECONDS - 1
    if "video" in kinds:
        played = play(exported["stream_url"])
        assert (played.kinds, played.size) == (sorted(kinds), (320, 240))
        assert played.seconds == pytest.approx(exported["duration"], abs=0.2)
    else:
        with av.open(exported["stream_url"], timeout=30) as container:
            assert [stream.type for stream in container.streams] == ["audio"]
    with stack.client() as client:
        shown = client.get(f"/rtstream/{stream_id}").json()["data"]
    assert (shown["status"], shown["exported_asset_id"]) == ("stopped", exported["video_id"])


def test_check_50_with_a_transcript_and_nothing_stored(
    py: Sdk, camera: RtspServer, stack: RunningStack
) -> None:
    stream_id, status = py.run(
        """
        stream = conn.get_collection().connect_rtstream(url, "Lobby", media_types=["audio"])
        emit([stream.id, stream.start_transcript()["status"]])
        """,
        url=camera.url,
    )
    assert status == "running"
    deadline, said = time.monotonic() + LIMIT_SECONDS, ""
    while not said:
        assert time.monotonic() < deadline, "nothing was heard"
        time.sleep(0.3)
        records = py.run(
            "emit(conn.get_collection().get_rtstream(id).get_transcript()['transcription_records'])",
            id=stream_id,
        )
        said = max((record["text"] for record in records), key=len, default="")
    found = py.run(
        """
        stream = conn.get_collection().get_rtstream(id)
        shots = stream.search(words).shots
        stream.stop()
        emit([shot.text for shot in shots])
        """,
        id=stream_id,
        words=said,
    )
    assert found
    with stack.client() as client:
        refused = client.post(f"/rtstream/{stream_id}/export", json={})
    assert "was not stored" in refused.json()["message"]


def test_check_51_streams_are_listed(pythons: dict[str, Sdk], py: Sdk, stack: RunningStack) -> None:
    """Sources that nothing is behind: to be listed they need not be reached."""
    label = f"listed by {py.version} {time.time_ns()}"
    ids = []
    with stack.client() as client:
        for number in range(3):
            body = {"url": "rtsp://127.0.0.1:9/x", "name": f"{label} {number}"}
            ids.append(client.post("/rtstream", json=body).json()["data"]["id"])
    for stream_id in ids[:2]:
        pythons[NEWEST].run("conn.get_collection().get_rtstream(id).stop()\nemit(1)", id=stream_id)
    listed, stopped = py.run(
        """
        coll = conn.get_collection()
        page = coll.list_rtstreams(limit=1, offset=1, status="stopped", name=label, ordering="-created_at")
        rest = coll.list_rtstreams(name=label, status="connected")
        for stream in rest:
            stream.stop()
        emit([[stream.id for stream in page], [stream.id for stream in rest]])
        """,
        label=label,
    )
    assert listed == [ids[0]]
    assert stopped == [ids[2]]


def test_checks_50_and_51_in_node(node: Sdk, camera: RtspServer) -> None:
    made, listed, status = node.run(
        """
        const conn = videodb.connect({ apiKey: api_key, baseUrl: base_url });
        const coll = await conn.getCollection();
        const stream = await coll.connectRTStream(url, 'Yard');
        await stream.start();
        const listed = await coll.listRTStreams({ name: 'Yard', limit: 1 });
        await stream.stop();
        const again = await coll.getRTStream(stream.id);
        emit([stream.id, listed.map((one) => one.id), again.status]);
        """,
        url=camera.url,
    )
    assert listed == [made]
    assert status == "stopped"
