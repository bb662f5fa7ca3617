"""Images taken from a video, and the signed links that show them to anybody."""

import io
from collections.abc import AsyncIterator
from pathlib import Path

import av
import httpx
import itsdangerous.timed
import pytest

from app.domain.assets.models import Asset
from app.domain.assets.service import add_asset, new_asset_id
from tests.fixtures.factories import Tenant, make_tenant
from tests.fixtures.media import export_recording, h264_frames, record
from tests.fixtures.web import Web
from tests.fixtures.working import worker
from workers.tasks.store_media import store_media


@pytest.fixture
async def tenant(web: Web) -> Tenant:
    return await make_tenant(web.context)


@pytest.fixture
async def api(web: Web, tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    async with web.client(tenant.api_key) as opened:
        yield opened


@pytest.fixture
async def video(web: Web, tenant: Tenant, tmp_path: Path) -> Asset:
    """Eight seconds that turn white at every whole second."""
    display = record(h264_frames(seconds=8.0, width=640, height=360), tmp_path, "display")
    exported = export_recording(display, [], tmp_path / "out.mp4")
    asset_id = new_asset_id("video")
    file = await store_media(web.context, exported, account_id=tenant.account_id, asset_id=asset_id)
    async with web.context.db.transaction() as session:
        return await add_asset(
            session,
            asset_id=asset_id,
            account_id=tenant.account_id,
            collection_id=tenant.collection_id,
            kind="video",
            name="Monday's stand-up",
            file=file,
        )


async def get_link(web: Web, url: str) -> httpx.Response:
    """The answer to somebody who has the link and no key."""
    async with web.client() as anybody:
        return await anybody.get(httpx.URL(url).path)


async def picture(web: Web, url: str) -> tuple[int, float]:
    """Width and mean brightness of the image at `url`."""
    answer = await get_link(web, url)
    assert answer.headers["content-type"] == "image/jpeg"
    assert int(answer.headers["content-length"]) == len(answer.content)
    with av.open(io.BytesIO(answer.content), "r") as container:
        frame = next(container.decode(video=0))
    return frame.width, float(frame.to_ndarray(format="gray").mean())


async def test_an_image_is_what_the_video_shows_then(web: Web, api: httpx.AsyncClient, video: Asset) -> None:
    flash = (await api.post(f"/video/{video.id}/thumbnail", json={"time": 7.05})).json()["data"]
    dark = (await api.post(f"/video/{video.id}/thumbnail", json={"timestamp": 7.5})).json()["data"]
    assert flash["collection_id"] == dark["collection_id"] == video.collection_id
    assert flash["stream_url"] is flash["player_url"] is None  # it is looked at, not played
    width, brightness = await picture(web, flash["url"])
    assert width == 640
    assert brightness == pytest.approx(255, abs=5)
    assert (await picture(web, dark["url"]))[1] < 150
    again = (await api.post(f"/video/{video.id}/thumbnail", json={"time": 7.05})).json()["data"]
    assert again["id"] == flash["id"]
    listed = (await api.get(f"/video/{video.id}/thumbnails")).json()["data"]
    assert [image["id"] for image in listed] == [flash["id"], dark["id"]]


async def test_the_end_has_a_picture_and_what_is_behind_it_has_none(
    web: Web, api: httpx.AsyncClient, video: Asset
) -> None:
    at_end = await api.post(f"/video/{video.id}/thumbnail", json={"time": video.length_seconds})
    assert (await picture(web, at_end.json()["data"]["url"]))[0] == 640
    for time in (video.length_seconds + 1, -1):
        assert (await api.post(f"/video/{video.id}/thumbnail", json={"time": time})).status_code == 400


async def test_images_go_with_their_video(
    web: Web, tenant: Tenant, api: httpx.AsyncClient, video: Asset
) -> None:
    made = (await api.post(f"/video/{video.id}/thumbnail", json={"time": 1})).json()["data"]
    stored = await web.context.storage.list_keys(f"{tenant.account_id}/assets/{made['id']}/")
    assert len(stored) == 1
    async with worker(web.context):
        assert (await api.delete(f"/video/{video.id}")).json()["data"]["removed"]["images"] == 1
    assert (await get_link(web, made["url"])).status_code == 404
    assert await web.context.storage.list_keys(f"{tenant.account_id}/assets/") == []


async def test_a_link_is_good_for_a_time_and_for_no_other_image(
    web: Web, api: httpx.AsyncClient, video: Asset, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = (await api.post(f"/video/{video.id}/thumbnail", json={"time": 1})).json()["data"]
    ticket, name = made["url"].split("/")[-2:]
    signed, _, signature = ticket.partition(".")
    assert (await get_link(web, f"/file/{signed}x.{signature}/{name}")).status_code == 403
    now = itsdangerous.timed.time.time()
    late = now + web.context.settings.media_url_seconds + 2
    monkeypatch.setattr(itsdangerous.timed.time, "time", lambda: late)
    assert (await get_link(web, made["url"])).status_code == 403


async def test_other_videos_have_no_picture(api: httpx.AsyncClient) -> None:
    for path in ("thumbnail", "thumbnails"):
        assert (await api.get(f"/video/m-unknown/{path}")).status_code == 404
