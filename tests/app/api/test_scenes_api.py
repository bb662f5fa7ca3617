"""Scenes and indexes of a recording over HTTP: requests of all spellings, refusals, links, deletions."""

import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import av
import httpx
import pytest

from app.api.given_scenes import read_given_scenes
from app.base.errors import InvalidRequest
from app.domain.assets.models import Asset
from tests.fixtures.desktops import desktop
from tests.fixtures.factories import Tenant, events_named, make_asset, make_tenant
from tests.fixtures.screen_recordings import store_recording, write_screens
from tests.fixtures.web import Web
from tests.fixtures.working import worker

Json = dict[str, Any]
SIZE: dict[str, Any] = {"width": 640, "height": 360}
MAIL = desktop("Mail - Inbox", ["Messages", "Lunch on Friday?"], **SIZE)
BUILD = desktop("Terminal", ["Build failed", "error: no module foo"], **SIZE, dark=True)


@pytest.fixture
async def tenant(web: Web) -> Tenant:
    return await make_tenant(web.context)


@pytest.fixture
async def api(web: Web, tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    async with web.client(tenant.api_key) as opened:
        yield opened


@pytest.fixture
async def video(web: Web, tenant: Tenant, tmp_path: Path) -> Asset:
    """Four seconds of mail, four of a build that fails."""
    path = write_screens(tmp_path / "screen.mp4", [(MAIL, 4.0), (BUILD, 4.0)])
    return await store_recording(web.context, tenant, path)


def data(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def test_scenes_have_frames_whose_links_open(
    web: Web, api: httpx.AsyncClient, tenant: Tenant, video: Asset
) -> None:
    async with worker(web.context):
        made = data(
            await api.post(f"/video/{video.id}/scenes", json={"extraction_config": {"frame_count": 2}})
        )
    collection = made["scene_collection"]
    assert collection["config"]["extraction_type"] == "shot"
    assert [(scene["start"], scene["end"]) for scene in collection["scenes"]] == [(0, 4), (4, 8)]
    frames = [frame for scene in collection["scenes"] for frame in scene["frames"]]
    assert [frame["frame_time"] for frame in frames] == [1, 3, 5, 7]
    path = httpx.URL(frames[2]["url"]).path
    async with web.client() as anybody:
        answer = await anybody.get(path)
        forged = await anybody.get(path.replace("/media/", "/media/x"))
    assert answer.headers["content-type"] == "image/jpeg"
    with av.open(io.BytesIO(answer.content)) as container:
        picture = next(container.decode(video=0))
    assert (picture.width, picture.height) == (640, 360)
    assert picture.to_ndarray(format="gray").mean() < 100
    assert forged.status_code == 404

    scenes = f"/video/{video.id}/scenes"
    listed = data(await api.get(scenes))["scene_collections"]
    assert [one["scene_collection_id"] for one in listed] == [collection["scene_collection_id"]]
    found = data(await api.get(f"{scenes}/{collection['scene_collection_id']}"))["scene_collection"]
    assert found == collection
    other = await make_tenant(web.context)
    async with web.client(other.api_key) as stranger:
        assert (await stranger.get(scenes)).status_code == 404
    assert data(await api.delete(f"{scenes}/{collection['scene_collection_id']}")) == {}
    assert data(await api.get(scenes))["scene_collections"] == []
    assert (await api.get(f"{scenes}/{collection['scene_collection_id']}")).status_code == 404


async def test_a_cut_opens_no_frames_beside_it(web: Web, api: httpx.AsyncClient, video: Asset) -> None:
    wanted = {"extraction_type": "time", "extraction_config": {"time": 4}}
    async with worker(web.context):
        made = data(await api.post(f"/video/{video.id}/scenes", json=wanted))["scene_collection"]
    cut = data(await api.post(f"/video/{video.id}/stream", json={"timeline": [[4, 8]]}))
    base = httpx.URL(cut["stream_url"]).path.removesuffix("stream.m3u8")
    first, second = (scene["frames"][0]["frame_id"] for scene in made["scenes"])
    async with web.client() as anybody:
        assert (await anybody.get(f"{base}frame/{first}.jpg")).status_code == 404
        assert (await anybody.get(f"{base}frame/{second}.jpg")).status_code == 200


async def test_an_index_is_named_at_once_where_a_callback_waits_for_it(
    web: Web, api: httpx.AsyncClient, video: Asset
) -> None:
    wanted: Json = {
        "extraction_type": "time_based",
        "extraction_config": {"time": 4, "frame_count": None, "select_frames": ["middle"]},
        "prompt": "errors",
        "name": "screens",
        "callback_url": "http://127.0.0.1:9/done",
    }
    index = data(await api.post(f"/video/{video.id}/index/scene", json=wanted))
    assert (index["status"], index["name"], index["extraction_type"]) == ("building", "screens", "time")
    unbuilt = await api.post(f"/video/{video.id}/search", json={"query": "x", "index_type": "scene"})
    assert data(unbuilt)["results"] == []
    async with worker(web.context):
        again = data(await api.post(f"/video/{video.id}/index/scene", json=wanted | {"callback_url": None}))
    assert again["status"] == "ready"
    assert again["record_count"] == 2
    (told,) = [event.payload for event in await events_named(web.context, "operation.ended")]
    assert index["scene_index_id"] in str(told)

    listed = data(await api.get(f"/video/{video.id}/index/scene"))["scene_indexes"]
    assert [one["status"] for one in listed] == ["ready", "ready"]
    found = data(await api.get(f"/video/{video.id}/index/scene/{index['scene_index_id']}"))
    assert [(one["start"], one["end"]) for one in found["scene_index_records"]] == [(0, 4), (4, 8)]
    assert "Build failed" in found["scene_index_records"][1]["description"]
    bare = data(await api.get(f"/video/{video.id}/index", params={"index_type": "scene"}))
    assert [one["text"] for one in bare] == [one["text"] for one in found["scene_index_records"]]
    for route in ("search", "search/v2"):
        wanted = {"query": "build failed", "index_type": "scene"}
        results = data(await api.post(f"/video/{video.id}/{route}", json=wanted))["results"]
        assert results[0]["docs"][0]["start"] == 4
        assert results[0]["docs"][0]["scene_index_name"]

    assert data(await api.delete(f"/video/{video.id}/index/scene/{index['scene_index_id']}")) == {}
    assert data(await api.post(f"/video/{video.id}/index/delete", json={"index_type": "scene"})) == {}
    assert data(await api.get(f"/video/{video.id}/index/scene"))["scene_indexes"] == []
    assert data(await api.get(f"/video/{video.id}/index", params={"index_type": "scene"})) == []
    words = data(await api.get(f"/video/{video.id}/index"))
    assert words["status"] == "none"
    assert (await api.post(f"/video/{video.id}/search", json={"query": "x"})).status_code == 400


WRONG: list[tuple[Json, str]] = [
    ({"extraction_type": "colour"}, "extraction_type"),
    ({"extraction_config": {"time": 0}}, "extraction_config.time"),
    ({"extraction_config": {"time": "ten"}}, "extraction_config.time"),
    ({"extraction_config": {"frame_count": 61}}, "extraction_config.frame_count"),
    ({"extraction_config": {"select_frames": ["best"]}}, "extraction_config.select_frames"),
    ({"extraction_config": {"select_frames": [["first"]]}}, "extraction_config.select_frames"),
    ({"extraction_type": "shot", "extraction_config": {"threshold": 500}}, "extraction_config.threshold"),
    ({"extraction_config": [1]}, "extraction_config"),
    ({"callback_url": "ftp://x"}, "callback_url"),
]


async def test_what_is_wrong_is_named(web: Web, api: httpx.AsyncClient, tenant: Tenant) -> None:
    asset = await make_asset(web.context, tenant)
    for body, field in WRONG:
        for route in ("index/scene", "scenes"):
            answer = await api.post(f"/video/{asset.id}/{route}", json={"extraction_type": "time"} | body)
            assert (answer.status_code, answer.json()["field"]) == (400, field), body


@pytest.mark.parametrize(
    ("scene", "field"),
    [
        ({"end": 2}, "start"),
        ({"start": 3, "end": 2}, "end"),
        ({"start": 0, "end": 99}, "end"),
        ({"start": 0, "end": float("1e400")}, "end"),
        ({"start": 0, "end": 2, "description": 7}, "description"),
        ({"start": 0, "end": 2, "metadata": [1]}, "metadata"),
        ({"start": 0, "end": 2, "frames": [1]}, "frames"),
        ({"start": 0, "end": 2, "frames": [{"frame_time": True}]}, "frames.0.frame_time"),
    ],
)
def test_a_given_scene_that_is_none_is_named(scene: Json, field: str) -> None:
    good = {"start": 0, "end": 1}
    with pytest.raises(InvalidRequest) as refused:
        read_given_scenes([good, scene], 10.0)
    assert refused.value.field == f"scenes.1.{field}"


async def test_sound_alone_has_no_scenes(web: Web, api: httpx.AsyncClient, tenant: Tenant) -> None:
    asset = await make_asset(web.context, tenant)
    for route in ("index/scene", "scenes"):
        answer = await api.post(f"/video/{asset.id}/{route}", json={})
        assert answer.status_code == 422
        assert "no pictures" in answer.json()["message"]
