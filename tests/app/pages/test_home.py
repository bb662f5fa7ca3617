import re
from pathlib import Path

import httpx

from app.base.settings import Settings
from tests.fixtures.chromium import open_chromium


async def test_home_names_the_real_base_url(client: httpx.AsyncClient, settings: Settings) -> None:
    answer = await client.get("/")
    assert answer.status_code == 200
    assert (
        f"base_url=&quot;{settings.base_url}&quot;" in answer.text
        or f'base_url="{settings.base_url}"' in (answer.text)
    )
    for path in re.findall(r'(?:href|src)="([^"]+)"', answer.text):
        assert (await client.get(f"/{path}")).status_code == 200


async def test_home_shows_what_is_not_ready(base_url: str, tmp_path: Path) -> None:
    async with open_chromium(tmp_path) as page:
        await page.goto(f"{base_url}/")
        # No worker runs in this test; everything else does.
        checks = await page.wait_for(
            "document.querySelectorAll('.checks li').length > 1"
            " && [...document.querySelectorAll('.checks li')].map(one => [one.className, one.innerText])"
        )
        assert [state for state, _ in checks] == ["ok", "ok", "ok", "problem"]
        assert "no worker" in checks[-1][1]
        # The server was not told the port that it was given here, and says so.
        assert base_url in await page.evaluate("document.querySelector('#other-address').innerText")
