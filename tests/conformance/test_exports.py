"""Checks 31, 32, 33, 39, 49 and 62: what a capture leaves, that it plays, and exports asked for."""

import re
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.conformance.playback import Played, play
from tests.fixtures.captures import (
    COLOURS,
    LEAD_SECONDS,
    Capture,
    Script,
    capture,
    speech,
    write_screen,
    write_sound,
)
from tests.fixtures.sdks import NEWEST, Sdk
from tests.fixtures.stack import RunningStack
from tests.fixtures.webhooks import WebhookReceiver

LOUD, QUIET = 0.02, 0.005


def test_check_31_without_a_stored_channel_nothing_is_exported(
    unstored: Capture, meeting: Capture, py: Sdk
) -> None:
    assert unstored.events[-1]["event"] == "capture_session.stopped"
    assert meeting.events[-1]["event"] == "capture_session.exported"
    status, exported, said = py.run(
        """
        cap = conn.get_capture_session(id)
        try:
            cap.get_rtstream("mic")[0].export()
        except videodb.InvalidRequestError as error:
            emit([cap.status, cap.exported_video_id, str(error).strip()])
        """,
        id=unstored.session_id,
    )
    assert (status, exported) == ("stopped", None)
    assert said == "Invalid request: mic:default was not stored, so there is nothing to export"


def test_check_31_no_exported_webhook_came_late(
    unstored: Capture, meeting: Capture, receiver: WebhookReceiver
) -> None:
    statuses = [event["status"] for event in receiver.events(unstored.session_id)]
    assert statuses == ["created", "starting", "active", "stopping", "stopped"]


def test_check_32_all_tell_of_the_same_recording(live: Capture, py: Sdk) -> None:
    exported_video_id = py.run("emit(conn.get_capture_session(id).exported_video_id)", id=live.session_id)
    assert exported_video_id.startswith("m-")
    told = live.event("exported")["data"]
    frame = next(one for one in live.frames["session"] if one.get("event") == "capture_session.exported")
    for data in (told, frame["data"]):
        assert data["exported_video_id"] == exported_video_id
        assert data["stream_url"].startswith("http")
        assert "/watch?v=" in data["player_url"]


@pytest.fixture
def recording(live: Capture, py: Sdk) -> Played:
    """The muxed recording, played as the SDK names it."""
    length, stream_url = py.run(
        """
        video = conn.get_collection(collection_id).get_video(id)
        emit([float(video.length), video.stream_url])
        """,
        collection_id=live.collection_id,
        id=live.event("exported")["data"]["exported_video_id"],
    )
    played = play(stream_url)
    assert length == pytest.approx(played.seconds, abs=0.5)
    return played


def test_check_33_the_recording_plays_the_primary_display_and_all_stored_sound(
    live: Capture, recording: Played
) -> None:
    is_meeting = len(live.channels) == 3
    assert recording.seconds > (15 if is_meeting else 5)
    assert recording.kinds == ["audio", "video"]
    primary = COLOURS["display:1" if is_meeting else "display:2"]
    assert np.allclose(recording.corner_rgb, primary, atol=25)
    spoken = recording.loudness(LEAD_SECONDS + 0.2, LEAD_SECONDS + 3)
    assert spoken > LOUD
    if is_meeting:
        assert recording.loudness(LEAD_SECONDS + 7.8, LEAD_SECONDS + 8.2) < QUIET
        assert recording.loudness(LEAD_SECONDS + 8.6, LEAD_SECONDS + 14) > LOUD


def test_check_33_players_of_any_origin_may_fetch_it(live: Capture) -> None:
    stream_url = live.event("exported")["data"]["stream_url"]
    assert "?" not in stream_url
    headers = {"Origin": "https://console.videodb.io"}
    playlist = httpx.get(stream_url, headers=headers)
    lines = playlist.text.splitlines()
    media = next(line for line in lines if line and not line.startswith("#"))
    piece = httpx.get(playlist.url.join(media), headers=headers | {"Range": "bytes=0-99"})
    assert playlist.headers["content-type"] == "application/vnd.apple.mpegurl"
    assert (playlist.status_code, piece.status_code, len(piece.content)) == (200, 206, 100)
    for reply in (playlist, piece):
        assert reply.headers["access-control-allow-origin"] == "*"


def test_check_39_each_stored_channel_is_an_asset_of_its_own(
    live: Capture, py: Sdk, stack: RunningStack
) -> None:
    with stack.client() as client:
        shown = client.get(f"/collection/default/capture/session/{live.session_id}").json()["data"]
    stored = {row["channel_id"] for row in shown["channels"] if row["store"]}
    assert stored
    for row in shown["rtstreams"]:
        asset_id = row["exported_asset_id"]
        if row["name"] not in stored:
            assert asset_id is None
            continue
        assert asset_id.startswith("m-" if row["media_types"] == ["video"] else "a-")
        exported = py.run(
            """
            stream = conn.get_collection(collection_id).get_rtstream(id)
            emit([stream.export().video_id, stream.export().video_id])
            """,
            collection_id=live.collection_id,
            id=row["id"],
        )
        assert exported == [asset_id, asset_id]


@pytest.mark.slow
def test_check_49_any_display_is_exported_on_request(
    pythons: dict[str, Sdk], receiver: WebhookReceiver, collection_id: str, tmp_path: Path
) -> None:
    files = {
        "mic:default": write_sound(tmp_path / "mic.wav", [speech("two_cities.wav", 1.0, 4.0)]),
        "display:1": write_screen(tmp_path / "one.mp4", "display:1", 3.0),
        "display:2": write_screen(tmp_path / "two.mp4", "display:2", 3.0),
    }
    script = Script(files, longest="display:1", stored=list(files), primary="display:1")
    done = capture(pythons[NEWEST], receiver, script, collection_id, {})
    own, asked, notice, other = pythons[NEWEST].run(
        """
        cap = conn.get_capture_session(id)
        own = cap.export()
        ws = await conn.connect_websocket().connect()
        asked = cap.export("display:2", ws.connection_id)
        async for frame in ws.receive():
            if frame.get("event") == "capture_session.export_ready":
                break
        emit([own, asked, frame, cap.export("display:2")])
        await ws.close()
        """,
        id=done.session_id,
    )
    assert (own["export_status"], own["video_channel_id"]) == ("exported", "display:1")
    assert own["video_id"] == done.event("exported")["data"]["exported_video_id"]
    assert (asked["export_status"], asked["video_channel_id"]) == ("exporting", "display:2")
    assert other["export_status"] == "exported"
    assert notice["data"]["video_id"] == other["video_id"] != own["video_id"]
    played = play(other["stream_url"])
    assert played.kinds == ["audio", "video"]
    assert np.allclose(played.corner_rgb, COLOURS["display:2"], atol=25)
    assert played.loudness(0.5, 2.5) > LOUD
    statuses = [event["status"] for event in receiver.events(done.session_id)]
    assert statuses.count("exported") == 1


def test_check_62_what_is_embedded_is_there(meeting: Capture, pythons: dict[str, Sdk]) -> None:
    codes = pythons[NEWEST].run(
        """
        video = conn.get_collection(collection_id).get_video(id)
        video.index_spoken_words()
        emit([video.get_embed_code(), video.search("best of times").get_embed_code()])
        """,
        collection_id=meeting.collection_id,
        id=meeting.event("exported")["data"]["exported_video_id"],
    )
    for code in codes:
        found = re.search(r'src="([^"]+/embed\?v=[^"]+)"', code)
        assert found is not None, code
        page = httpx.get(found[1])
        assert page.status_code == 200
        assert "<video" in page.text
