"""Checks 52 and 63: a stretch of a stream plays, and pictures are taken of a video."""

import io
import time

import av
import httpx
import pytest

from tests.conformance.playback import play
from tests.fixtures.captures import COLOURS, Capture
from tests.fixtures.sdks import OLDEST, Sdk


def playlist_of(url: str) -> str:
    """The playlist of a stream or player URL."""
    return url.replace("/watch?v=", "/media/") + "/stream.m3u8" if "/watch?v=" in url else url


@pytest.mark.parametrize("scale", [1, 1000])
def test_check_52_a_stretch_of_a_stream_plays(meeting: Capture, py: Sdk, scale: int) -> None:
    url, started = py.run(
        """
        stream = conn.get_capture_session(id).get_rtstream("screen")[0]
        start = int(stream.created_at) + 6
        emit([stream.generate_stream(start * scale, (start + 3) * scale), start])
        """,
        id=meeting.session_id,
        scale=scale,
    )
    assert started < time.time()
    if py.version == OLDEST:
        assert url.endswith("/stream.m3u8")
    else:
        assert "/watch?v=" in url
    played = play(playlist_of(url))
    assert played.kinds == ["video"]
    assert played.size == (640, 360)
    assert tuple(played.corner_rgb) == pytest.approx(COLOURS["display:1"], abs=12)
    playlist = httpx.get(playlist_of(url)).text
    assert playlist.endswith("#EXT-X-ENDLIST\n")
    lengths = [float(line[8:-1]) for line in playlist.splitlines() if line.startswith("#EXTINF:")]
    assert sum(lengths) == pytest.approx(3.0, abs=0.1)


def test_check_52_in_node(meeting: Capture, node: Sdk) -> None:
    url = node.run(
        """
        const conn = videodb.connect({ apiKey: api_key, baseUrl: base_url });
        const session = await conn.getCaptureSession(id);
        await session.refresh();
        const [stream] = session.getRTStream("screen");
        const start = Math.floor(Date.now() / 1000) - 3600;
        emit(await stream.generateStream(start, start + 7200));
        """,
        id=meeting.session_id,
    )
    played = play(url)
    assert played.kinds == ["video"]
    assert played.seconds > 10


def test_check_63_pictures_of_a_video(meeting: Capture, py: Sdk) -> None:
    made = py.run(
        """
        video = conn.get_collection(collection_id).get_video(
            conn.get_capture_session(id).exported_video_id
        )
        image = video.generate_thumbnail(time=2)
        listed = video.get_thumbnails()
        emit({
            "url": video.generate_thumbnail(),
            "image": [image.id, image.collection_id, image.url],
            "listed": [[one.id, one.collection_id, one.url] for one in listed],
        })
        """,
        id=meeting.session_id,
        collection_id=meeting.collection_id,
    )
    image_id, collection_id, image_url = made["image"]
    assert image_id.startswith("img-")
    assert collection_id == meeting.collection_id
    assert made["image"] in made["listed"]
    for url, width in ((made["url"], 640), (image_url, 640)):
        answer = httpx.get(url)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
        with av.open(io.BytesIO(answer.content), "r") as container:
            assert next(container.decode(video=0)).width == width
