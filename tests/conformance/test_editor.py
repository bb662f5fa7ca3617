"""Checks 38, 60 and 61: the editor, today's and the old SDK's, on recorded and on uploaded assets."""

import json
from typing import Any

import av
import httpx
import numpy as np
import pytest
from PIL import Image

from tests.conformance.playback import play
from tests.fixtures.captures import Capture, write_screen, write_sound
from tests.fixtures.media import tone
from tests.fixtures.sdks import NEWEST, Sdk
from tests.fixtures.stack import RunningStack

EDIT = """
    from videodb.editor import Timeline, Track, Clip, VideoAsset, AudioAsset

    timeline = Timeline(conn)
    timeline.resolution = resolution

    # Video track
    video_track = Track()
    video_track.add_clip(0, Clip(asset=VideoAsset(id=display_asset_id), duration=duration))
    timeline.add_track(video_track)

    # Audio track (mic only)
    audio_track = Track()
    audio_track.add_clip(0, Clip(asset=AudioAsset(id=mic_asset_id, volume=1.0), duration=duration))
    timeline.add_track(audio_track)
    emit(timeline.generate_stream())
"""


@pytest.fixture
def editor(meeting: Capture, py: Sdk, stack: RunningStack) -> Sdk:
    """An SDK whose snippets know the raw assets of the meeting."""
    with stack.client() as client:
        shown = client.get(f"/collection/default/capture/session/{meeting.session_id}").json()["data"]
    assets = {row["name"]: row["exported_asset_id"] for row in shown["rtstreams"]}
    return py.given(display_asset_id=assets["display:1"], mic_asset_id=assets["mic:default"])


def test_check_38_display_and_mic_are_edited_together(meeting: Capture, editor: Sdk) -> None:
    played = play(editor.run(EDIT, resolution="1280x720", duration=60))
    assert played.kinds == ["audio", "video"]
    assert played.size == (1280, 720)
    recorded = play(meeting.event("exported")["data"]["stream_url"]).seconds
    assert played.seconds == pytest.approx(recorded, abs=1)


def test_check_38_a_deleted_rendering_is_made_again(editor: Sdk, stack: RunningStack) -> None:
    first = editor.run(EDIT, resolution="320x180", duration=1)
    with stack.client() as client:
        videos = client.get("/video").json()["data"]["videos"]
        rendered = next(video["id"] for video in videos if video["stream_url"] == first)
        assert client.delete(f"/video/{rendered}").status_code == 200
    assert httpx.get(first).status_code == 404
    assert httpx.get(editor.run(EDIT, resolution="320x180", duration=1)).status_code == 200


@pytest.fixture(scope="session")
def uploaded(pythons: dict[str, Sdk], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A video of 4 s, a sound of 2 s and a red image of 64 by 64, uploaded by the newest SDK."""
    folder = tmp_path_factory.mktemp("uploads")
    files = {
        "video": write_screen(folder / "screen.mp4", "display:1", 4.0),
        "audio": write_sound(folder / "tone.wav", [tone(2.0, rate_hz=48_000)]),
        "image": folder / "red.png",
    }
    Image.new("RGB", (64, 64), "red").save(files["image"])
    made: dict[str, str] = pythons[NEWEST].run(
        "emit({kind: conn.upload(file_path=path).id for kind, path in files.items()})",
        files={kind: str(path) for kind, path in files.items()},
    )
    return made


def picture_at(stream_url: str, seconds: float) -> np.ndarray[Any, Any]:
    shown = None
    with av.open(stream_url, timeout=30) as container:
        for frame in container.decode(video=0):
            assert frame.time is not None
            if shown is not None and frame.time > seconds:
                break
            shown = frame
    assert shown is not None
    return shown.to_ndarray(format="rgb24").astype(int)


EDITED = """
from videodb.editor import *

timeline = Timeline(conn)
timeline.resolution = "640x360"
timeline.background = "#0000ff"
pictures, sounds, words = Track(), Track(), Track(z_index=2)
pictures.add_clip(0, Clip(asset=VideoAsset(id=video, volume=0), duration=4, scale=0.5,
                          position=Position.top_right, filter=Filter.greyscale))
pictures.add_clip(0, Clip(asset=ImageAsset(id=image), duration=4, fit=Fit.none, position=Position.bottom_left,
                          offset=Offset(x=0.1), transition=Transition("fade", "fade", 0.5)))
sounds.add_clip(1, Clip(asset=AudioAsset(id=audio, volume=0.5), duration=60))
words.add_clip(0, Clip(asset=TextAsset("MMM", font=Font(size=60, color="#00ff00")), duration=4,
                       position=Position.left))
words.add_clip(0, Clip(asset=CaptionAsset(src=subtitles), duration=4))
for track in (pictures, sounds, words):
    timeline.add_track(track)
"""


def test_everything_that_the_editor_has_is_rendered(
    pythons: dict[str, Sdk], uploaded: dict[str, str]
) -> None:
    subtitles = "MQowMDowMDowMSwwMDAgLS0+IDAwOjAwOjAzLDAwMApXV1dXV1dXVwo="  # 1 s to 3 s: WWWWWWWW
    stream_url = pythons[NEWEST].run(
        EDITED + "emit(timeline.generate_stream())", subtitles=subtitles, **uploaded
    )
    shown = picture_at(stream_url, 2.0)
    assert shown.shape == (360, 640, 3)
    assert shown[170, 20].tolist() == pytest.approx([0, 0, 255], abs=20)
    video = shown[4:176:8, 324:636:8]
    assert np.ptp(video, axis=2).max() < 12  # grey
    assert shown[296:, 64:128].mean(axis=(0, 1)).tolist() == pytest.approx([255, 0, 0], abs=20)
    left = shown[150:210, :160]
    assert ((left[..., 1] > 200) & (left[..., 2] < 80)).sum() > 300
    assert (shown[290:335, 200:440].min(axis=2) > 200).sum() > 300
    assert (picture_at(stream_url, 0.5)[290:335, 200:440].min(axis=2) > 200).sum() == 0
    played = play(stream_url)
    assert played.loudness(0.2, 0.8) < 0.01
    # A sine of 0.3 at half its level; two equal sides are 1.41 times as loud when they become one.
    assert played.loudness(1.2, 2.8) == pytest.approx(0.3 / 2, rel=0.1)


def test_transitions_and_effects_are_rendered(pythons: dict[str, Sdk], uploaded: dict[str, str]) -> None:
    found = pythons[NEWEST].run(
        """
        from videodb.editor import *

        def rendered(**looks):
            timeline = Timeline(conn)
            timeline.resolution = "320x180"
            track = Track()
            track.add_clip(0, Clip(asset=ImageAsset(id=image), duration=2, **looks))
            timeline.add_track(track)
            return timeline.generate_stream()

        try:
            rendered(effect="spin")
        except videodb.exceptions.InvalidRequestError as error:
            said = str(error)
        wiped = rendered(transition=Transition("wipeRight", "carouselLeft", 1))
        zoomed = rendered(effect="zoomInFast", fit=Fit.none)
        emit({"said": said, "wiped": wiped, "zoomed": zoomed})
        """,
        **uploaded,
    )
    assert "tracks[0].clips[0].clip.effect: " in found["said"]
    half = picture_at(found["wiped"], 0.5)
    assert half[90, 100, 0] > 200 > 50 > half[90, 220, 0]
    gone = picture_at(found["wiped"], 1.5)
    assert gone[90, 100, 0] > 200 > 50 > gone[90, 220, 0]
    widths = [(picture_at(found["zoomed"], at)[90, :, 0] > 128).sum() for at in (0.0, 1.0, 1.9)]
    assert widths == pytest.approx([64, 80, 95], abs=3)


def test_check_60_a_large_timeline_is_uploaded(pythons: dict[str, Sdk], uploaded: dict[str, str]) -> None:
    found = pythons[NEWEST].run(
        """
        from videodb.editor import *

        timeline = Timeline(conn)
        timeline.resolution = "160x90"
        track = Track()
        for number in range(400):
            track.add_clip(number / 400, Clip(asset=ImageAsset(id=image), duration=0.2, fit=Fit.none))
        timeline.add_track(track)
        size = len(json.dumps(timeline.to_json()))
        emit({"size": size, "fit": json.dumps(Fit.none), "url": timeline.generate_stream()})
        """,
        **uploaded,
    )
    assert found["size"] > 100 * 1024
    assert found["fit"] == '"None"'
    shown = picture_at(found["url"], 0.5)
    assert shown[45, 80].tolist() == pytest.approx([255, 0, 0], abs=20)
    assert shown[4, 4].max() < 20


def test_check_61_the_old_timeline_is_rendered(py: Sdk, uploaded: dict[str, str]) -> None:
    stream_url = py.run(
        """
        from videodb.asset import VideoAsset, AudioAsset, ImageAsset, TextAsset
        from videodb.timeline import Timeline

        timeline = Timeline(conn)
        timeline.add_inline(VideoAsset(asset_id=video, start=1, end=3))
        timeline.add_overlay(0, ImageAsset(asset_id=image, width=100, height=50, x=20, y=30))
        timeline.add_overlay(0, TextAsset(text="hello", duration=1))
        timeline.add_overlay(1, AudioAsset(asset_id=audio))
        emit(timeline.generate_stream())
        """,
        **uploaded,
    )
    shown = picture_at(stream_url, 0.5)
    assert shown.shape == (360, 640, 3)
    assert shown[32:78, 22:118].mean(axis=(0, 1)).tolist() == pytest.approx([255, 0, 0], abs=20)
    assert shown[180, 290].min() > 200  # the text's white box
    played = play(stream_url)
    assert played.seconds == pytest.approx(2.0, abs=0.1)
    assert played.loudness(0.1, 0.9) < 0.01 < played.loudness(1.1, 1.9)


def test_check_61_nodes_timelines_are_rendered(node: Sdk, uploaded: dict[str, str]) -> None:
    urls = node.run(
        """
        const conn = videodb.connect({ apiKey: api_key, baseUrl: base_url });
        const old = new videodb.Timeline(conn);
        old.addInline(new videodb.VideoAsset(video, { start: 0, end: 2 }));
        old.addOverlay(0, new videodb.TextAsset({ text: 'hello', duration: 1 }));
        const timeline = new videodb.EditorTimeline(conn);
        timeline.resolution = '320x180';
        const track = new videodb.Track();
        track.addClip(0, new videodb.Clip({
          asset: new videodb.EditorImageAsset({ id: image }), duration: 1, scale: 0.25,
          fit: videodb.Fit.contain, position: videodb.Position.topLeft,
        }));
        timeline.addTrack(track);
        emit([await old.generateStream(), await timeline.generateStream()]);
        """,
        **uploaded,
    )
    assert play(urls[0]).seconds == pytest.approx(2.0, abs=0.1)
    shown = picture_at(urls[1], 0.5)
    assert shown[30, 30].tolist() == pytest.approx([255, 0, 0], abs=20)
    assert shown[90, 160].max() < 20


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"volume": 99}, 400, "tracks[0].clips[0].clip.asset.volume: "),
        ({"id": "m-unknown"}, 404, "tracks[0].clips[0].clip.asset.id: no video m-unknown"),
        ({"crop": {"left": 320, "right": 320}}, 400, "tracks[0].clips[0].clip.asset.crop: "),
        ({"type": "image"}, 400, "tracks[0].clips[0].clip.asset.id: "),
        ({"type": "caption"}, 400, "tracks[0].clips[0].clip.asset.src: "),
    ],
)
def test_a_bad_timeline_says_which_clip_and_field(
    stack: RunningStack, uploaded: dict[str, str], change: dict[str, Any], status: int, said: str
) -> None:
    asset = {"type": "video", "id": uploaded["video"], **change}
    timeline = {"tracks": [{"clips": [{"start": 0, "clip": {"asset": asset, "duration": 1}}]}]}
    with stack.client() as client:
        answered = client.post("/editor", json={"timeline": timeline})
    assert answered.status_code == status
    assert answered.json()["message"].startswith(said)


def test_captions_show_what_is_said(meeting: Capture, pythons: dict[str, Sdk]) -> None:
    video_id = meeting.event("exported")["data"]["exported_video_id"]
    stream_url = pythons[NEWEST].run(
        """
        from videodb.editor import *

        video = conn.get_collection().get_video(video_id)
        video.index_spoken_words()
        timeline = Timeline(conn)
        timeline.resolution = "640x360"
        shown, words = Track(), Track()
        shown.add_clip(0, Clip(asset=VideoAsset(id=video_id), duration=6, opacity=0.2))
        style = dict(font=FontStyling(size=36), primary_color="&H0000FF00", border=BorderAndShadow(outline=0))
        words.add_clip(0, Clip(asset=CaptionAsset(animation=CaptionAnimation.reveal, **style), duration=6))
        timeline.add_track(shown)
        timeline.add_track(words)
        emit(timeline.generate_stream())
        """,
        video_id=video_id,
    )

    def lettered(seconds: float) -> int:
        shown = picture_at(stream_url, seconds)[250:]
        return int(((shown[..., 1] > 180) & (shown[..., 0] < 90)).sum())

    assert lettered(0.05) == 0
    assert lettered(5.0) > 300


def test_the_same_timeline_gives_the_same_video(stack: RunningStack, uploaded: dict[str, str]) -> None:
    asset = {"type": "video", "id": uploaded["video"]}
    timeline = {"tracks": [{"clips": [{"start": 0, "clip": {"asset": asset, "duration": 1.5}}]}]}
    with stack.client() as client:
        answers = [client.post("/editor", json={"timeline": timeline}).json() for _ in range(2)]
    assert answers[0] == answers[1]
    assert answers[0]["success"] is True
    assert json.dumps(answers[0]["data"]).count("m-") == 1
