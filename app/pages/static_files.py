"""Serves scripts, styles and the player library; a new version of any of them has a new address."""

import hashlib
from pathlib import Path

from fastapi import APIRouter, Response

from app.base.errors import NotFound

router = APIRouter(prefix="/static", include_in_schema=False)

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_FILES = {
    path.name: path.read_bytes()
    for path in sorted((Path(__file__).parent / "static").iterdir())
    if path.suffix in _TYPES
}
VERSION = hashlib.sha256(b"".join(_FILES.values())).hexdigest()[:16]
STATIC_PATH = f"static/{VERSION}"  # no leading slash: pages also work under a proxy's prefix


@router.api_route("/{version}/{name}", methods=["GET", "HEAD"])
async def static_file(version: str, name: str) -> Response:
    """A file of `static/`. Raises `NotFound`, also for another version than this server's."""
    if version != VERSION or name not in _FILES:
        raise NotFound("no such file")
    return Response(
        _FILES[name],
        media_type=_TYPES[Path(name).suffix],
        headers={
            "Cache-Control": "public, max-age=31536000, immutable",
            "X-Content-Type-Options": "nosniff",
        },
    )
