"""Check 38: the product documents' editor snippet, with raw assets shorter than its clips."""

import httpx
import pytest

from tests.conformance.playback import play
from tests.fixtures.captures import Capture
from tests.fixtures.sdks import Sdk
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
