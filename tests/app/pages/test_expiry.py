"""Links that expire, as whoever holds one sees it."""

import time
from collections.abc import AsyncIterator

import httpx
import pytest

from app.base.settings import Settings
from app.domain.assets.links import Links
from app.domain.assets.models import Asset
from tests.app.pages.conftest import Library
from tests.fixtures.web import Web, running_web

LIFETIME = 600


@pytest.fixture
async def expiring(settings: Settings) -> AsyncIterator[Web]:
    async with running_web(settings.model_copy(update={"media_url_seconds": LIFETIME})) as running:
        yield running


async def get(web: Web, url: str) -> httpx.Response:
    async with web.client() as anybody:
        return await anybody.get(url.removeprefix(web.context.settings.base_url))


async def test_all_that_a_link_leads_to_ends_with_it(
    expiring: Web, library: Library, video: Asset, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = Links(expiring.context.settings)
    slug = video.playback_slug or ""
    stream, page = links.stream_url(slug), links.player_url(slug)
    playlist = await get(expiring, stream)
    name = next(line for line in playlist.text.splitlines() if line and not line.startswith("#"))
    file = stream.replace("stream.m3u8", name)
    words = stream.replace("stream.m3u8", "transcript.json")
    urls = [stream, file, words, str(links.thumbnail_url(video))]
    for url in urls:
        assert (await get(expiring, url)).status_code == 200
    shown = await get(expiring, page)
    assert (shown.status_code, stream.split("/")[-2] in shown.text) == (200, True)

    late = time.time() + 2 * LIFETIME
    monkeypatch.setattr(time, "time", lambda: late)
    for url in urls:
        answer = await get(expiring, url)
        assert (answer.status_code, answer.json()["error_code"]) == (410, "link_expired")
        assert answer.headers["access-control-allow-origin"] == "*"
    for url in (page, page.replace("watch", "embed")):
        answer = await get(expiring, url)
        assert answer.status_code == 410
        assert "This link has expired" in answer.text
    assert (await get(expiring, links.stream_url(slug))).status_code == 200  # a new one


async def test_a_slug_alone_and_a_forged_link_open_nothing(expiring: Web, video: Asset) -> None:
    slug = video.playback_slug or ""
    granted = Links(expiring.context.settings).stream_url(slug).split("/")[-2]
    other = "1" if granted[-1] == "0" else "0"
    assert (await get(expiring, f"/media/{slug}/stream.m3u8")).status_code == 410
    assert (await get(expiring, f"/media/{granted[:-1]}{other}/stream.m3u8")).status_code == 404
    assert (await get(expiring, f"/watch?v={granted[:-1]}{other}")).status_code == 404
