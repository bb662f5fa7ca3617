"""Downloads by the door alone: whose they are, what is asked for twice, and what goes with its source."""

from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from app.api import operations as waiting
from app.base.settings import Settings
from app.domain.assets.links import Links
from app.domain.assets.models import Asset
from app.domain.assets.service import StoredFile, add_asset, new_asset_id
from app.domain.downloads.service import playback_slug
from app.domain.operations.models import Operation
from app.domain.operations.service import OperationKind
from app.media.hls import index_fragments
from app.storage.keys import asset_key
from tests.fixtures.factories import Tenant, make_tenant
from tests.fixtures.media import export_recording, h264_frames, record
from tests.fixtures.web import Web
from workers.tasks.run_operation import run_operation


@pytest.fixture(autouse=True)
def never_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no worker: the first answer says that it is still being made."""
    monkeypatch.setattr(waiting, "HOLD_SECONDS", 0)


async def stored(web: Web, tenant: Tenant, folder: Path, seconds: float = 6.0, width: int = 320) -> Asset:
    name = new_asset_id("video")
    track = record(h264_frames(seconds=seconds, width=width, height=180), folder, name)
    made = export_recording(track, [], folder / f"{name}.mp4")
    index, size_bytes = index_fragments(made.path), made.path.stat().st_size
    key = asset_key(tenant.account_id, name, "r-1", "mp4")
    await web.context.storage.put_file(key, made.path)
    file = StoredFile(
        key,
        "video/mp4",
        size_bytes,
        length_seconds=made.duration_seconds,
        width=width,
        height=180,
        hls_index=index.to_json(),
    )
    async with web.context.db.transaction() as session:
        return await add_asset(
            session,
            asset_id=name,
            account_id=tenant.account_id,
            collection_id=tenant.collection_id,
            kind="video",
            name="A video",
            file=file,
        )


async def downloaded(web: Web, tenant: Tenant, link: str) -> dict[str, str]:
    """Ask, do the worker's part, and look."""
    async with web.client(tenant.api_key) as client:
        asked = (await client.post("/download", json={"stream_link": link, "name": "x"})).json()
        download_id = asked["data"]["output_url"].rpartition("/")[2]
        assert (asked["status"], asked["data"]["percentage"]) == ("processing", 0)
        assert (await client.get(f"/download/{download_id}")).json()["data"]["status"] == "processing"
        await run_operation(web.context, download_id)
        answered = (await client.get(f"/async-response/{download_id}")).json()
        assert answered["success"] is True, answered
    found: dict[str, str] = answered["data"]
    return found


async def fetched(web: Web, url: str) -> httpx.Response:
    async with web.client() as client:
        return await client.get(httpx.URL(url).path)


async def cut_of(web: Web, tenant: Tenant, *shots: tuple[str, list[list[float]]]) -> str:
    async with web.client(tenant.api_key) as client:
        body = [{"video_id": video_id, "shots": cuts} for video_id, cuts in shots]
        link: str = (await client.post("/compile", json=body)).json()["data"]["stream_url"]
    return link


async def test_a_whole_asset_is_not_copied(web: Web, tmp_path: Path) -> None:
    tenant = await make_tenant(web.context)
    asset = await stored(web, tenant, tmp_path)
    link = f"http://any.host/media/{asset.playback_slug}/stream.m3u8"
    download = await downloaded(web, tenant, link)
    assert len((await fetched(web, download["download_url"])).content) == asset.size_bytes
    assert await web.context.storage.list_keys(f"{tenant.account_id}/downloads/") == []


async def test_videos_of_several_sizes_become_one(web: Web, tmp_path: Path) -> None:
    tenant = await make_tenant(web.context)
    one, other = await stored(web, tenant, tmp_path), await stored(web, tenant, tmp_path, width=640)
    link = await cut_of(web, tenant, (one.id, [[0.5, 1.5]]), (other.id, [[2.0, 3.0]]))
    download = await downloaded(web, tenant, link)
    answered = await fetched(web, download["download_url"])
    assert (answered.status_code, answered.content[4:8]) == (200, b"ftyp")


async def test_downloads_are_their_accounts(web: Web, tmp_path: Path) -> None:
    owner, stranger = await make_tenant(web.context), await make_tenant(web.context)
    asset = await stored(web, owner, tmp_path)
    link = f"http://test/watch?v={asset.playback_slug}"
    download = await downloaded(web, owner, link)
    async with web.client(stranger.api_key) as client:
        refused = await client.post("/download", json={"stream_link": link, "name": "x"})
        assert refused.status_code == 404
        assert (await client.get(f"/download/{download['id']}")).status_code == 404
        assert (await client.delete("/download", params={"download_id": download["id"]})).status_code == 404
        assert (await client.get("/download")).json()["data"]["downloads"] == []
        assert (await client.delete("/download")).status_code == 400
    async with web.client(owner.client_token) as client:
        assert (await client.get("/download")).status_code == 403


async def test_a_download_goes_with_what_is_in_it(web: Web, tmp_path: Path) -> None:
    tenant = await make_tenant(web.context)
    asset, other = await stored(web, tenant, tmp_path), await stored(web, tenant, tmp_path)
    kept = await downloaded(web, tenant, await cut_of(web, tenant, (other.id, [[0.5, 1.5]])))
    gone = await downloaded(web, tenant, await cut_of(web, tenant, (asset.id, [[0.5, 1.5]])))
    assert len(await web.context.storage.list_keys(f"{tenant.account_id}/downloads/")) == 2
    async with web.client(tenant.api_key) as client:
        erasing = (await client.delete(f"/video/{asset.id}")).json()
    assert (await fetched(web, gone["download_url"])).status_code == 404
    await run_operation(web.context, erasing["data"]["output_url"].rpartition("/")[2])
    assert (await fetched(web, kept["download_url"])).status_code == 200
    assert len(await web.context.storage.list_keys(f"{tenant.account_id}/downloads/")) == 1
    async with web.context.db.transaction() as session:
        left = select(Operation.id).where(Operation.kind == OperationKind.MAKE_DOWNLOAD.value)
        assert list(await session.scalars(left)) == [kept["id"]]


@pytest.mark.parametrize(
    "link",
    [
        "https://host/media/abc_-1/stream.m3u8",
        "https://host:8080/prefix/media/abc_-1/stream.m3u8?x=1",
        "https://host/watch?v=abc_-1",
        "https://host/embed?v=abc_-1&autoplay=1",
    ],
)
def test_slugs_are_read_from_every_link(link: str, settings: Settings) -> None:
    assert playback_slug(settings, link, field="stream_link") == "abc_-1"
    granted = Links(settings).stream_url("abc_-1").split("/")[-2]
    assert playback_slug(settings, link.replace("abc_-1", granted), field="stream_link") == "abc_-1"
