"""Downloads by both SDKs: whole recordings, cuts, and compilations, each one file that plays."""

import io

import av
import httpx
import pytest

from tests.fixtures.captures import Capture
from tests.fixtures.sdks import NEWEST, Sdk
from tests.fixtures.stack import RunningStack


def played(data: bytes) -> tuple[float, list[str]]:
    """How long the file lasts, and what is in it; every picture is decoded."""
    with av.open(io.BytesIO(data)) as container:
        kinds = sorted(stream.type for stream in container.streams)
        last = max(frame.time or 0.0 for frame in container.decode(video=0))
        container.seek(0)
        return max(last, (container.duration or 0) / 1e6), kinds


def fetched(url: str, name: str) -> bytes:
    answered = httpx.get(url)
    assert answered.status_code == 200
    assert answered.headers["content-type"] == "video/mp4"
    assert answered.headers["content-disposition"].startswith(f'attachment; filename="{name}.mp4"')
    return answered.content


def test_a_recording_is_downloaded_whole(meeting: Capture, py: Sdk) -> None:
    exported = meeting.event("exported")["data"]
    made = py.run(
        """
        video = conn.get_collection(collection_id).get_video(video_id)
        emit({"download": conn.download(video.stream_url, "the meeting"), "length": float(video.length)})
        """,
        video_id=exported["exported_video_id"],
        collection_id=meeting.collection_id,
    )
    download = made["download"]
    assert (download["name"], download["status"]) == ("the meeting", "done")
    seconds, kinds = played(fetched(download["download_url"], "the meeting"))
    assert seconds == pytest.approx(made["length"], abs=0.2)
    assert kinds == ["audio", "video"]
    part = httpx.get(download["download_url"], headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, b"ftyp")
    assert httpx.get(download["download_url"].replace("/downloads/", "/downloads/x")).status_code == 403


def test_cuts_and_compilations_become_one_file(meeting: Capture, pythons: dict[str, Sdk]) -> None:
    made = pythons[NEWEST].run(
        """
        video = conn.get_collection(collection_id).get_video(video_id)
        from videodb.timeline import Timeline as Old
        from videodb.editor import Timeline
        cut = video.generate_stream([[1.5, 4.0], [6.0, 9.5]])
        emit([conn.download(cut, "cut"), Timeline(conn).download_stream(cut), conn.download(cut, "cut")])
        """,
        video_id=meeting.event("exported")["data"]["exported_video_id"],
        collection_id=meeting.collection_id,
    )
    seconds, kinds = played(fetched(made[0]["download_url"], "cut"))
    assert seconds == pytest.approx(6.0, abs=0.2)
    assert kinds == ["audio", "video"]
    assert made[0]["id"] == made[2]["id"] != made[1]["id"]
    assert played(httpx.get(made[1]["download_url"]).content)[0] == pytest.approx(6.0, abs=0.2)


def test_node_downloads_a_video(meeting: Capture, node: Sdk) -> None:
    made = node.run(
        """
        const conn = videodb.connect({ apiKey: api_key, baseUrl: base_url });
        const video = await (await conn.getCollection(collection_id)).getVideo(video_id);
        const download = await video.download('from node');
        emit(download.data ?? download);
        """,
        video_id=meeting.event("exported")["data"]["exported_video_id"],
        collection_id=meeting.collection_id,
    )
    assert played(fetched(made["downloadUrl"], "from node"))[0] > 5


def test_downloads_are_listed_shown_and_deleted(meeting: Capture, stack: RunningStack) -> None:
    video_id = meeting.event("exported")["data"]["exported_video_id"]
    with stack.client() as client:
        cut = client.post(f"/video/{video_id}/stream", json={"timeline": [[1.0, 3.3]]}).json()["data"]
        link = {"stream_link": cut["player_url"], "name": 'a "cut"/ü'}
        made = client.post("/download", json=link).json()["data"]
        url = made["download_url"]
        assert httpx.get(url).headers["content-disposition"] == (
            "attachment; filename=\"a _cut___.mp4\"; filename*=UTF-8''a%20%22cut%22_%C3%BC.mp4"
        )
        for method in ("GET", "POST"):
            shown = client.request(method, f"/download/{made['id']}").json()["data"]
            assert (shown["id"], shown["status"]) == (made["id"], "done")
        listed = client.get("/download").json()["data"]["downloads"]
        assert made["id"] in [row["id"] for row in listed]
        assert client.delete("/download", params={"download_id": made["id"]}).json()["success"] is True
        assert client.get(f"/download/{made['id']}").status_code == 404
    assert httpx.get(url).status_code == 404


def test_what_is_no_playback_of_assets_is_refused(meeting: Capture, stack: RunningStack) -> None:
    with stack.client() as client:
        session = client.get(f"/collection/default/capture/session/{meeting.session_id}").json()["data"]
        for link, status in (
            ("https://elsewhere.example/x.m3u8", 400),
            ("", 400),
            (f"{stack.base_url}/media/unknown/stream.m3u8", 404),
            (session["live_stream_url"], 400),
        ):
            answered = client.post("/download", json={"stream_link": link, "name": "x"})
            assert answered.status_code == status, link
        refused = client.post("/editor/download", json={"stream_url": "x"}).json()
    assert refused["field"] == "stream_url"
