from pathlib import Path

import httpx
import pytest

from app import pages
from app.pages.static_files import STATIC_PATH

FOLDER = Path(pages.__path__[0]) / "static"
FILES = {path.name: path.read_bytes() for path in sorted(FOLDER.iterdir())}


@pytest.mark.parametrize("name", FILES)
async def test_every_file_is_served_for_a_year(client: httpx.AsyncClient, name: str) -> None:
    answer = await client.get(f"/{STATIC_PATH}/{name}")
    assert answer.content == FILES[name]
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path", ["/static/0000/style.css", f"/{STATIC_PATH}/..%2fhome.py", f"/{STATIC_PATH}/no.js"]
)
async def test_other_files_are_not(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 404


def test_the_player_library_is_small_and_has_its_licence() -> None:
    library = FOLDER / "hls.min.js"
    assert library.stat().st_size < 1_000_000
    assert "Apache License" in library.with_name(f"{library.name}.LICENSE.txt").read_text()
