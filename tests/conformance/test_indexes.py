"""Checks 23 to 27, 30, 54 to 57 and 67: indexes on live streams, their frames, records and alerts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import pytest

from tests.fixtures.captures import DESKTOP_CLIENT, LEAD_SECONDS, Script, speech, write_sound
from tests.fixtures.desktops import desktop
from tests.fixtures.sdks import NEWEST, Program, Sdk
from tests.fixtures.stack import RunningStack
from tests.fixtures.webhooks import WebhookReceiver

Json = dict[str, Any]
pytestmark = pytest.mark.slow

SECONDS = 24
BUILD = ("Terminal - make test", ["Build failed", "error: cannot find module foo", "3 tests failed"])
MAIL = ("Mail - Inbox", ["Messages", "Lunch on Friday?", "Your invoice is ready"])

BACKEND = """
    own = await conn.connect_websocket(collection_id).connect()
    everything = await conn.connect_websocket(collection_id).connect()
    session = conn.get_collection(collection_id).create_capture_session(
        end_user_id="user-1", callback_url=callback_url, ws_connection_id=everything.connection_id
    )
    emit({"session_id": session.id, "token": conn.generate_client_token(expires_in=600)})

    async def listen(name, socket):
        async for frame in socket.receive():
            emit({"socket": name, "frame": frame})

    listening = [
        asyncio.create_task(listen(name, socket)) for name, socket in [("own", own), ("session", everything)]
    ]
    await hear()
    live = conn.get_capture_session(session.id)
    display, mic = live.get_rtstream("screen")[0], live.get_rtstream("mic")[0]
    visual = display.index_visuals(
        prompt="Which errors are on the screen?", batch_config={"type": "time", "value": 4, "frame_count": 2}
    )
    default = display.index_visuals(prompt="Describe the scene", ws_connection_id=own.connection_id)
    audio = mic.index_audio(prompt="What is decided?")
    event_id = conn.create_event(event_prompt="The mailbox is open", label="mail")
    alert_id = visual.create_alert(event_id, "", ws_connection_id=own.connection_id)
    silent = visual.create_alert(event_id, "")
    visual.disable_alert(silent)
    seen = display.understand(
        segmentation={"type": "time", "window": "6s"},
        analyzers=[{"type": "vlm", "sampling": {"frame_count": 1}, "config": {"prompt": "What is open?"}}],
    )
    screens = display.index(source=seen.outputs["scene"], name="screens", use_for=["semantic"])
    named_alert = screens.create_alert(event_id, "")
    emit(
        {
            "alert": {"event_id": event_id, "alert_id": alert_id, "silent": silent},
            "indexes": {"visual": visual.rtstream_index_id, "audio": audio.rtstream_index_id},
            "default": default.rtstream_index_id,
            "streams": {"display": display.id, "mic": mic.id},
            "named": {"understanding": seen.id, "index": screens.id, "alert": named_alert},
        }
    )
    await hear()
    for socket in (own, everything):
        await socket.close()
    await asyncio.gather(*listening)
"""
NODE_INDEXES = """
    const conn = videodb.connect({ apiKey: api_key, baseUrl: base_url });
    const stream = await (await conn.getCollection(collectionId)).getRTStream(streamId);
    const plain = await stream.indexVisuals({ prompt: 'What is open?' });
    const batched = await stream.indexVisuals({
        prompt: 'What is open?', batchConfig: { type: 'time', value: 5, frameCount: 1 },
    });
    await plain.updateSceneIndex('Which errors?');
    const listed = await stream.listSceneIndexes();
    emit({
        made: [plain, batched].map((one) => [one.rtstreamIndexId, one.extractionType, one.extractionConfig]),
        prompts: listed.map((one) => [one.rtstreamIndexId, one.prompt]),
    });
    await plain.stop();
    await batched.stop();
"""


@dataclass
class Indexed:
    """A capture with two visual indexes and one of sound, and all frames that two sockets received."""

    collection_id: str
    streams: dict[str, str]
    indexes: dict[str, str]
    default_index: str
    frames: dict[str, list[Json]]
    node: Json
    paused: Json
    alert: Json
    named: dict[str, str]

    def of(self, socket: str, channel: str) -> list[Json]:
        return [frame for frame in self.frames[socket] if frame["channel"] == channel]


def write_desktop(path: Path) -> Path:
    """A failing build for half of the time, then a mailbox."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=5)
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        stream.options = {"preset": "ultrafast", "tune": "zerolatency"}
        for number in range(SECONDS * 5):
            title, lines = BUILD if number < SECONDS * 5 // 2 else MAIL
            frame = av.VideoFrame.from_ndarray(desktop(title, lines), format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def indexed(
    pythons: dict[str, Sdk],
    node: Sdk,
    receiver: WebhookReceiver,
    collection_id: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Indexed:
    folder = tmp_path_factory.mktemp("indexed")
    files = {
        "mic:default": write_sound(folder / "mic.wav", [LEAD_SECONDS, speech("two_cities.wav", 1.0, 8.5)]),
        "display:1": write_desktop(folder / "screen.mp4"),
    }
    script = Script(files, longest="display:1", stored=["display:1"])
    sdk = pythons[NEWEST]
    frames: dict[str, list[Json]] = {"own": [], "session": []}
    with sdk.started(BACKEND, callback_url=receiver.url, collection_id=collection_id) as backend:
        opened = _next(backend, frames, "token")
        recorder = sdk.given(
            {"OPENCAPTURE_SOURCES": script.sources},
            token=opened["token"],
            session_id=opened["session_id"],
            stored=list(script.stored),
            primary=None,
            longest=script.longest,
        )
        with recorder.started(DESKTOP_CLIENT) as client:
            client.next()
            receiver.wait_for("capture_session.active", opened["session_id"])
            backend.say("active")
            made = _next(backend, frames, "indexes")
            by_node = node.run(NODE_INDEXES, collectionId=collection_id, streamId=made["streams"]["display"])
            paused = _stop_and_start(sdk, made)
            assert client.rest() == ["stopped"]
        receiver.wait_for("capture_session.exported", opened["session_id"], 60)
        backend.say("end")
        for value in backend.rest():
            frames[value["socket"]].append(value["frame"])
    return Indexed(
        collection_id,
        made["streams"],
        made["indexes"],
        made["default"],
        frames,
        by_node,
        paused,
        made["alert"],
        made["named"],
    )


def _next(backend: Program, frames: dict[str, list[Json]], until: str) -> Json:
    while True:
        value: Json = backend.next(30)
        if "frame" in value:
            frames[value["socket"]].append(value["frame"])
        if until in value:
            return value


def _stop_and_start(sdk: Sdk, made: Json) -> Json:
    """A third index, made, stopped and started again."""
    found: Json = sdk.run(
        """
        stream = conn.get_collection(collection_id).get_rtstream(stream_id)
        index = stream.index_scenes(name="third")
        states = [index.status]
        for act in (index.stop, index.start, index.stop):
            act()
            states.append(stream.get_scene_index(index.rtstream_index_id).status)
        emit({"states": states, "config": index.extraction_config, "prompt": index.prompt})
        """,
        stream_id=made["streams"]["display"],
        collection_id="default",
    )
    return found


def test_check_23_an_audio_index_has_frames_without_a_transcript(indexed: Indexed) -> None:
    frames = indexed.of("session", "audio_index")
    assert {frame["index_id"] for frame in frames} == {indexed.indexes["audio"]}
    assert "best of times" in " ".join(frame["data"]["text"] for frame in frames).lower()
    assert indexed.of("session", "transcript") == []
    for frame in frames:
        assert (frame["type"], frame["index_type"], frame["rtstream_name"]) == (
            "index",
            "audio",
            "mic:default",
        )
        assert 1e12 < frame["data"]["start"] < frame["data"]["end"]


def test_check_24_a_visual_index_says_what_is_on_the_screen(indexed: Indexed) -> None:
    index_id = indexed.indexes["visual"]
    frames = [one for one in indexed.of("session", "visual_index") if one["index_id"] == index_id]
    told = [frame["data"]["text"] for frame in frames]
    assert any("Terminal - make test" in text and "cannot find module foo" in text for text in told)
    assert any("Mail - Inbox" in text for text in told)
    ends = [(frame["data"]["start"], frame["data"]["end"]) for frame in frames]
    assert ends == sorted(ends)


def test_check_24_without_a_batch_config(indexed: Indexed) -> None:
    frames = indexed.of("own", "visual_index")
    assert {frame["index_id"] for frame in frames} == {indexed.default_index}
    assert all(frame["data"]["text"] for frame in frames)


def test_check_25_nodes_spellings(indexed: Indexed) -> None:
    (_, plain_type, plain_config), (_, batched_type, batched_config) = indexed.node["made"]
    assert (plain_type, batched_type) == ("time", "time")
    assert (plain_config, batched_config) == (
        {"time": 10.0, "frameCount": 5},
        {"time": 5, "frameCount": 1},
    )


def test_check_26_a_window_is_told_twice_with_one_event_id(indexed: Indexed) -> None:
    for socket in ("own", "session"):
        visual = [frame["event_id"] for frame in indexed.of(socket, "visual_index")]
        assert visual == [frame["event_id"] for frame in indexed.of(socket, "scene_index")]
        assert len(set(visual)) == len(visual) > 0


def test_check_30_an_alert_fires_once_for_what_goes_on(indexed: Indexed) -> None:
    frames = indexed.of("own", "alert")
    assert {frame["alert_id"] for frame in frames} == {indexed.alert["alert_id"]}
    (frame,) = frames
    data = frame["data"]
    assert (data["label"], data["triggered"], frame["index_id"]) == ("mail", True, indexed.indexes["visual"])
    assert 0.5 <= data["confidence"] <= 1
    assert 1e12 < data["start"] < data["end"]
    assert "Mail" in data["text"]
    assert "Mail" in data["explanation"]


def test_check_55_a_disabled_alert_is_silent(indexed: Indexed) -> None:
    everything = [frame for socket in indexed.frames for frame in indexed.of(socket, "alert")]
    assert indexed.alert["silent"] not in {frame["alert_id"] for frame in everything}


def test_check_57_a_collections_streams_are_searched(indexed: Indexed, py: Sdk) -> None:
    found = py.run(
        """
        collection = conn.get_collection(collection_id)
        stream = collection.get_rtstream(stream_id)
        emit(
            {
                "all": [
                    [shot.rtstream_id, shot.rtstream_name, shot.text, shot.start, shot.end]
                    for shot in collection.search("messages in an inbox", namespace="rtstream").shots
                ],
                "one": [
                    [shot.scene_index_id, shot.text]
                    for shot in stream.search("electronic mail", index_id=index_id).shots
                ],
            }
        )
        """,
        collection_id=indexed.collection_id,
        stream_id=indexed.streams["display"],
        index_id=indexed.indexes["visual"],
    )
    ours = [row for row in found["all"] if row[0] == indexed.streams["display"]]
    assert ours
    assert all(name == "display:1" and start < end for _, name, _, start, end in ours)
    assert "Mail - Inbox" in ours[0][2]
    assert {index_id for index_id, _ in found["one"]} == {indexed.indexes["visual"]}
    assert "Mail - Inbox" in found["one"][0][1]


def test_check_54_records_have_text_and_description_and_pages(indexed: Indexed, py: Sdk) -> None:
    found = py.run(
        """
        index = conn.get_collection("default").get_rtstream(stream_id).get_scene_index(index_id)
        first = index.get_scenes(page_size=1)
        rest = index.get_scenes(page=2, page_size=1)
        start = int(first["scenes"][0]["start"])
        emit({"first": first, "rest": rest, "between": index.get_scenes(start=start, end=start + 2)})
        """,
        stream_id=indexed.streams["display"],
        index_id=indexed.indexes["visual"],
    )
    assert found["first"]["next_page"] is True
    (scene,) = found["first"]["scenes"]
    assert scene["text"] == scene["description"] != ""
    assert found["rest"]["scenes"][0]["start"] >= scene["end"]
    assert found["between"]["scenes"][0] == scene
    assert scene["text"] in [frame["data"]["text"] for frame in indexed.of("session", "visual_index")]


def test_check_54_stop_and_start(indexed: Indexed) -> None:
    assert indexed.paused["states"] == ["running", "stopped", "running", "stopped"]
    assert indexed.paused["config"] == {"time": 2, "frame_count": 5}


def test_check_56_another_prompt(indexed: Indexed) -> None:
    prompts = dict(indexed.node["prompts"])
    assert prompts[indexed.node["made"][0][0]] == "Which errors?"
    assert prompts[indexed.indexes["visual"]] == "Which errors are on the screen?"


def test_check_55_alerts_are_made_listed_and_switched(
    indexed: Indexed, py: Sdk, node: Sdk, stack: RunningStack
) -> None:
    made = py.run(
        """
        event_id = conn.create_event(event_prompt="an error is on the screen", label="error")
        index = conn.get_collection("default").get_rtstream(stream_id).get_scene_index(index_id)
        alert_id = index.create_alert(event_id, "")
        states = []
        for act in (index.disable_alert, index.enable_alert, index.disable_alert):
            act(alert_id)
            (row,) = [row for row in index.list_alerts() if row["alert_id"] == alert_id]
            states.append(row["status"])
        known = [row["event_id"] for row in conn.list_events()]
        emit({"event_id": event_id, "alert_id": alert_id, "states": states, "known": known})
        """,
        stream_id=indexed.streams["display"],
        index_id=indexed.indexes["visual"],
    )
    assert made["states"] == ["disabled", "enabled", "disabled"]
    assert made["event_id"] in made["known"]
    path = (
        f"/rtstream/{indexed.streams['display']}/index/{indexed.indexes['visual']}/alert/{made['alert_id']}"
    )
    with stack.client() as client:
        answer = client.patch(f"{path}/status", json={"status": "enabled"})
    assert answer.json()["data"]["status"] == "enabled"
    by_node = node.run(
        """
        const conn = videodb.connect({ apiKey: api_key, baseUrl: base_url });
        const stream = await (await conn.getCollection('default')).getRTStream(streamId);
        const index = await stream.getSceneIndex(indexId);
        await index.disableAlert(alertId);
        const alerts = await index.listAlerts();
        emit(alerts.map((one) => [one.alertId, one.status]));
        """,
        streamId=indexed.streams["display"],
        indexId=indexed.indexes["visual"],
        alertId=made["alert_id"],
    )
    assert [made["alert_id"], "disabled"] in by_node


def test_check_67_a_stream_is_understood_and_indexed_by_name(
    indexed: Indexed, pythons: dict[str, Sdk]
) -> None:
    found = pythons[NEWEST].run(
        """
        stream = conn.get_collection("default").get_rtstream(stream_id)
        seen = stream.get_understanding(understanding)
        records = seen.get_records(start=0, end=4e9, page_size=1)
        rest = seen.get_records(start=0, end=4e9, page=2, page_size=1)
        screens = stream.get_index(index)
        held = screens.get_records()
        shots = stream.search("messages in an inbox", index_id=screens.id).shots
        states = [screens.status]
        for act in (screens.stop, screens.start):
            act()
            states.append(screens.refresh().status)
        screens.disable_alert(alert)
        alerts = screens.list_alerts()
        seen.stop()
        emit(
            {
                "listed": [one.id for one in stream.list_understanding()],
                "status": seen.refresh().status,
                "outputs": list(seen.outputs),
                "records": [records, rest],
                "held": held["records"],
                "source": screens.source_understanding_id,
                "named": [one.name for one in stream.list_indexes()],
                "shots": [[shot.scene_index_id, shot.text] for shot in shots],
                "states": states,
                "alerts": [[row["alert_id"], row["status"]] for row in alerts],
            }
        )
        """,
        stream_id=indexed.streams["display"],
        **indexed.named,
    )
    assert (found["listed"], found["outputs"]) == ([indexed.named["understanding"]], ["scene"])
    assert (found["source"], found["named"]) == (indexed.named["understanding"], ["screens"])
    assert found["status"] == "stopped"
    assert found["states"] == ["running", "stopped", "running"]
    first, rest = found["records"]
    assert first["next_page"] is True
    told = [record["data"]["scene_description"] for record in first["records"] + rest["records"]]
    assert "Terminal - make test" in told[0]
    assert [one["data"]["scene_description"] for one in found["held"]][:2] == told
    assert any("Mail - Inbox" in one["text"] for one in found["held"])
    assert "Mail - Inbox" in found["shots"][0][1]
    assert found["alerts"] == [[indexed.named["alert"], "disabled"]]
    fired = [frame for frame in indexed.of("session", "alert") if frame["alert_id"] == indexed.named["alert"]]
    assert [frame["index_id"] for frame in fired] == [indexed.named["index"]]
