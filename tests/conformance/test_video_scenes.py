"""Check 65: visual and audio indexes of a recording, its scenes and their descriptions, by the SDKs."""

from typing import Any

import httpx
import pytest

from tests.fixtures.captures import speech
from tests.fixtures.desktops import desktop
from tests.fixtures.screen_recordings import write_screens
from tests.fixtures.sdks import NEWEST, Sdk

SIZE: dict[str, Any] = {"width": 640, "height": 360}
MAIL = desktop("Mail - Inbox", ["Messages", "Lunch on Friday?", "Your invoice is ready"], **SIZE)
BUILD = desktop("Terminal - make test", ["Build failed", "error: no module foo"], **SIZE, dark=True)
PROMPT = "Which errors are on the screen?"


@pytest.fixture(scope="module")
def video_id(pythons: dict[str, Sdk], collection_id: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Five seconds of mail, five of a build that fails; two cities are spoken of meanwhile."""
    path = tmp_path_factory.mktemp("recording") / "screen.mp4"
    write_screens(path, [(MAIL, 5.0), (BUILD, 5.0)], sound=speech("two_cities.wav", 1.0, 8.5))
    uploaded: str = pythons[NEWEST].run(
        "emit(conn.get_collection(collection_id).upload(file_path=path).id)",
        collection_id=collection_id,
        path=str(path),
    )
    return uploaded


def assert_picture(url: str) -> None:
    answer = httpx.get(url).raise_for_status()
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.content.startswith(b"\xff\xd8\xff")


def test_check_65_a_recording_is_indexed_and_searched_by_python(
    py: Sdk, collection_id: str, video_id: str
) -> None:
    found = py.run(
        """
        video = conn.get_collection(collection_id).get_video(id)
        visual = video.index_visuals(prompt=prompt, name="screens")
        by_shot = {"type": "shot", "value": 20, "frame_count": 1}
        batched = video.index_visuals(prompt=prompt, batch_config=by_shot)
        by_sentence = {"type": "sentence", "value": 1}
        audio = video.index_audio(prompt="What were the times like?", batch_config=by_sentence)
        config = {"time": 5, "select_frames": ["first", "last"]}
        cut = video.index_scenes(extraction_type="time", extraction_config=config, prompt=prompt)
        shots = video.search("build failed", index_type="scene").shots
        collected = conn.get_collection(collection_id).search("build failed", index_type="scene").shots
        told = {
            "ids": [visual, batched, audio, cut],
            "listed": {
                one["scene_index_id"]: [one["name"], one["status"]] for one in video.list_scene_index()
            },
            "records": {id: video.get_scene_index(id) for id in (visual, batched, audio, cut)},
            "shots": [[shot.start, shot.end, shot.text] for shot in shots],
            "collected": [shot.text for shot in collected],
            "played": shots[0].play(),
            "scenes": [one["text"] for one in video.get_scenes()],
        }
        for id in (visual, batched, audio, cut):
            video.delete_scene_index(id)
        emit(told | {"left": video.list_scene_index()})
        """,
        collection_id=collection_id,
        id=video_id,
        prompt=PROMPT,
    )
    visual, batched, audio, cut = found["ids"]
    assert found["listed"][visual] == ["screens", "ready"]
    assert {status for _, status in found["listed"].values()} == {"ready"}
    records = found["records"]
    assert [one["start"] for one in records[batched]] == pytest.approx([0, 5], abs=0.3)
    assert [one["start"] for one in records[cut]] == [0, 5]
    assert "error: no module foo" in records[batched][1]["description"]
    assert any("best of times" in one["description"].lower() for one in records[audio])
    best = next(text for _, _, text in found["shots"] if "Build failed" in text)
    assert best in found["collected"]
    assert found["played"]
    assert len(found["scenes"]) == len(records[cut])
    assert found["left"] == []


def test_check_65_scenes_are_extracted_described_and_indexed_as_given(
    py: Sdk, collection_id: str, video_id: str
) -> None:
    found = py.run(
        """
        video = conn.get_collection(collection_id).get_video(id)
        wanted = {"extraction_type": "time", "extraction_config": {"time": 5, "frame_count": 2}}
        made, again = video.extract_scenes(**wanted), video.extract_scenes(**wanted)
        mail, build = made.scenes
        build.describe(prompt=prompt)
        mail.description = "Ada reads her mail"
        given = video.index_scenes(scenes=[mail, build], name="mine")
        told = {
            "ids": [made.id, again.id],
            "listed": [one["scene_collection_id"] for one in video.list_scene_collection()],
            "same": [scene.id for scene in video.get_scene_collection(made.id).scenes],
            "scenes": [scene.id for scene in made.scenes],
            "frames": [[frame.frame_time, frame.url] for scene in made.scenes for frame in scene.frames],
            "described": [build.description, build.frames[0].describe(prompt=prompt)],
            "records": [one["description"] for one in video.get_scene_index(given)],
        }
        video.delete_scene_index(given)
        video.delete_scene_collection(made.id)
        emit(told | {"left": [one["scene_collection_id"] for one in video.list_scene_collection()]})
        """,
        collection_id=collection_id,
        id=video_id,
        prompt=PROMPT,
    )
    assert found["ids"][0] == found["ids"][1]
    assert found["ids"][0] in found["listed"]
    assert found["same"] == found["scenes"]
    assert [at for at, _ in found["frames"]] == pytest.approx([0, 2.5, 5, 7.5], abs=0.1)
    for _, url in found["frames"]:
        assert_picture(url)
    assert all("error: no module foo" in text for text in found["described"])
    assert found["records"] == ["Ada reads her mail", found["described"][0]]
    assert found["ids"][0] not in found["left"]


def test_check_65_node_indexes_and_extracts(node: Sdk, collection_id: str, video_id: str) -> None:
    found = node.run(
        """
        const conn = videodb.connect({ apiKey: api_key, baseUrl: base_url });
        const video = await (await conn.getCollection(collection_id)).getVideo(id);
        const visual = await video.indexVisuals({ prompt });
        const batched = await video.indexVisuals({ prompt, batchConfig: { type: 'shot', value: 20 } });
        const audio = await video.indexAudio({ prompt: 'What were the times like?' });
        const cut = await video.indexScenes({ prompt, extractionConfig: { threshold: 20 } });
        const made = await video.extractScenes({ extractionType: 'time', extractionConfig: { time: 5 } });
        const told = {
          records: {},
          statuses: (await video.listSceneIndex()).map((one) => one.status),
          shots: (await video.search('build failed', 'semantic', 'scene')).shots.map((shot) => shot.text),
          frames: made.scenes.flatMap((scene) => scene.frames.map((frame) => frame.url)),
          described: await made.scenes[1].describe(prompt),
          collections: (await video.listSceneCollection()).length,
        };
        for (const [name, id] of Object.entries({ visual, batched, audio, cut })) {
          told.records[name] = (await video.getSceneIndex(id)).map((one) => one.description);
          await video.deleteSceneIndex(id);
        }
        await video.deleteSceneCollection(made.id);
        emit({ ...told, left: (await video.listSceneIndex()).length });
        """,
        collection_id=collection_id,
        id=video_id,
        prompt=PROMPT,
    )
    assert set(found["statuses"]) == {"ready"}
    assert "error: no module foo" in found["records"]["batched"][1]
    assert found["records"]["cut"] == found["records"]["batched"]
    assert "best of times" in " ".join(found["records"]["audio"]).lower()
    assert any("Build failed" in text for text in found["shots"])
    assert "error: no module foo" in found["described"]
    assert found["collections"] >= 1
    assert_picture(found["frames"][1])
    assert found["left"] == 0
