"""Images taken from a video, over the API and by the URL that it gives."""

import io
from collections.abc import AsyncIterator

import av
import httpx
import pytest

from app.domain.accounts.credentials import create_api_key
from app.domain.assets.models import Asset
from tests.app.pages.conftest import Library


@pytest.fixture
async def api(base_url: str, library: Library) -> AsyncIterator[httpx.AsyncClient]:
    async with library.context.db.transaction() as session:
        key = await create_api_key(session, library.account_id, name="test")
    async with httpx.AsyncClient(base_url=base_url, headers={"x-access-token": key}, timeout=20) as opened:
        yield opened


async def picture(api: httpx.AsyncClient, url: str) -> tuple[int, float]:
    """Width and mean brightness of the image at `url`, which needs no key."""
    path = "/media/" + url.partition("/media/")[2]
    async with httpx.AsyncClient(base_url=api.base_url) as anybody:
        answer = await anybody.get(path)
    assert answer.headers["content-type"] == "image/jpeg"
    with av.open(io.BytesIO(answer.content), "r") as container:
        frame = next(container.decode(video=0))
    return frame.width, float(frame.to_ndarray(format="gray").mean())


async def test_an_image_is_what_the_video_shows_then(api: httpx.AsyncClient, video: Asset) -> None:
    flash = (await api.post(f"/video/{video.id}/thumbnail", json={"time": 7.05})).json()["data"]
    dark = (await api.post(f"/video/{video.id}/thumbnail", json={"timestamp": 7.5})).json()["data"]
    assert flash["collection_id"] == dark["collection_id"] == video.collection_id
    assert await picture(api, flash["url"]) == (640, pytest.approx(255, abs=5))
    assert (await picture(api, dark["url"]))[1] < 150
    again = (await api.post(f"/video/{video.id}/thumbnail", json={"time": 7.05})).json()["data"]
    assert again == flash
    listed = (await api.get(f"/video/{video.id}/thumbnails")).json()["data"]
    assert listed == [flash, dark]


async def test_the_end_has_a_picture_and_what_is_behind_it_has_none(
    api: httpx.AsyncClient, video: Asset
) -> None:
    at_end = await api.post(f"/video/{video.id}/thumbnail", json={"time": video.length_seconds})
    assert (await picture(api, at_end.json()["data"]["url"]))[0] == 640
    for time in (video.length_seconds + 1, -1):
        assert (await api.post(f"/video/{video.id}/thumbnail", json={"time": time})).status_code == 400


async def test_images_go_with_their_video(api: httpx.AsyncClient, library: Library, video: Asset) -> None:
    made = (await api.post(f"/video/{video.id}/thumbnail", json={"time": 1})).json()["data"]
    stored = await library.context.storage.list_keys(f"{library.account_id}/assets/{made['id']}/")
    assert len(stored) == 1
    assert (await api.delete(f"/video/{video.id}")).status_code == 200
    assert (await api.get("/media/" + made["url"].partition("/media/")[2])).status_code == 404
    assert await library.context.storage.list_keys(f"{library.account_id}/assets/") == []


async def test_other_videos_have_no_picture(api: httpx.AsyncClient) -> None:
    for path in ("thumbnail", "thumbnails"):
        assert (await api.get(f"/video/m-unknown/{path}")).status_code == 404


async def test_an_image_is_not_played(api: httpx.AsyncClient, video: Asset) -> None:
    made = (await api.post(f"/video/{video.id}/thumbnail", json={"time": 1})).json()["data"]
    slug = made["url"].split("/")[-2]
    assert (await api.get(f"/media/{slug}/stream.m3u8")).status_code == 404
    assert (await api.get(f"/media/{video.playback_slug}/image.jpg")).status_code == 404
