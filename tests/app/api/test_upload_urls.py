from collections.abc import AsyncIterator

import httpx
import pytest

from app.base.settings import Settings
from app.wire import tickets
from tests.fixtures.factories import Tenant, make_tenant
from tests.fixtures.web import Web, running_web

LIMIT_BYTES = 2000


@pytest.fixture
async def web(settings: Settings) -> AsyncIterator[Web]:
    small = settings.model_copy(update={"max_upload_bytes": LIMIT_BYTES, "max_body_bytes": 1000})
    async with running_web(small) as running:
        yield running


async def upload_url(web: Web, tenant: Tenant) -> str:
    async with web.client(tenant.api_key) as client:
        answered = await client.get("/collection/default/upload_url")
    url: str = answered.json()["data"]["upload_url"]
    return url


async def put(web: Web, url: str, data: bytes) -> httpx.Response:
    async with web.client() as client:
        return await client.post(httpx.URL(url).path, files={"file": ("x", data)})


async def test_check_69_a_url_is_good_for_its_own_account_alone(web: Web) -> None:
    owner, stranger = await make_tenant(web.context), await make_tenant(web.context)
    url = await upload_url(web, owner)
    assert (await put(web, url, b"{}")).status_code == 200
    async with web.client(stranger.api_key) as client:
        for path, body in (
            ("/collection/default/upload", {"url": url}),
            ("/editor", {"timeline_url": url}),
        ):
            refused = await client.post(path, json=body)
            assert (refused.status_code, refused.json()["error_code"]) == (403, "forbidden")


async def test_a_url_expires(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    url = await upload_url(web, await make_tenant(web.context))
    monkeypatch.setattr(tickets, "UPLOAD_TICKET_SECONDS", -1)
    assert (await put(web, url, b"data")).status_code == 403


async def test_uploads_have_a_limit_of_their_own(web: Web) -> None:
    tenant = await make_tenant(web.context)
    assert (await put(web, await upload_url(web, tenant), b"x" * 1500)).status_code == 200
    assert (await put(web, await upload_url(web, tenant), b"x" * LIMIT_BYTES)).status_code == 413
    async with web.client(tenant.api_key) as client:
        refused = await client.post("/editor", json={"timeline": "x" * 1500})
    assert refused.status_code == 413


async def test_a_timeline_file_that_holds_none_is_refused(web: Web) -> None:
    tenant = await make_tenant(web.context)
    for document in (b"no json", b"[]", b"{}", b'{"timeline": {"tracks": 3}}', b"[" * 1500):
        url = await upload_url(web, tenant)
        await put(web, url, document)
        async with web.client(tenant.api_key) as client:
            refused = await client.post("/editor", json={"timeline_url": url})
        assert refused.status_code == 400
        assert refused.json()["field"] in ("timeline_url", "timeline", "tracks")


async def test_what_the_database_cannot_keep_is_refused(web: Web) -> None:
    tenant = await make_tenant(web.context)
    asset = '{"type": "text", "text": "x"}'
    async with web.client(tenant.api_key) as client:
        for odd in ('"\\u0000"', '"\\ud800"', "NaN"):
            clips = f'[{{"start": 0, "clip": {{"asset": {asset}, "duration": 1, "unknown": {odd}}}}}]'
            bodies = {
                "/editor": f'{{"timeline": {{"tracks": [{{"clips": {clips}}}]}}}}',
                "/timeline": f'{{"timeline": [{{"asset_id": "txt-1", "overlay_start": 0, "text": {odd}}}]}}',
            }
            for path, body in bodies.items():
                refused = await client.post(path, content=body, headers={"content-type": "application/json"})
                assert refused.status_code == 400, refused.text
