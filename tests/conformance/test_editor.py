"""Check 38: the product documents' editor snippet, with raw assets shorter than its clips."""

import pytest

from tests.conformance.playback import play
from tests.fixtures.captures import Capture
from tests.fixtures.sdks import Sdk
from tests.fixtures.stack import RunningStack


def test_check_38_display_and_mic_are_edited_together(meeting: Capture, py: Sdk, stack: RunningStack) -> None:
    with stack.client() as client:
        shown = client.get(f"/collection/default/capture/session/{meeting.session_id}").json()["data"]
    assets = {row["name"]: row["exported_asset_id"] for row in shown["rtstreams"]}
    stream_url = py.run(
        """
        from videodb.editor import Timeline, Track, Clip, VideoAsset, AudioAsset

        timeline = Timeline(conn)
        timeline.resolution = "1280x720"

        # Video track
        video_track = Track()
        video_track.add_clip(0, Clip(asset=VideoAsset(id=display_asset_id), duration=60))
        timeline.add_track(video_track)

        # Audio track (mic only)
        audio_track = Track()
        audio_track.add_clip(0, Clip(asset=AudioAsset(id=mic_asset_id, volume=1.0), duration=60))
        timeline.add_track(audio_track)
        emit(timeline.generate_stream())
        """,
        display_asset_id=assets["display:1"],
        mic_asset_id=assets["mic:default"],
    )
    played = play(stream_url)
    assert played.kinds == ["audio", "video"]
    assert played.size == (1280, 720)
    recorded = play(meeting.event("exported")["data"]["stream_url"]).seconds
    assert played.seconds == pytest.approx(recorded, abs=1)
