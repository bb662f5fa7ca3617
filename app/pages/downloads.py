"""Files to take away, under signed links: whole or by one byte range, named as they were asked for."""

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import StreamingResponse

from app.base.errors import NotFound
from app.domain.assets.playback import find_playback, open_parts
from app.domain.downloads.service import get_download
from app.pages.ranges import RangeNotSatisfiable, read_range
from app.wire.deps import AppContext
from app.wire.envelope import failure
from app.wire.tickets import read_download

router = APIRouter(tags=["downloads"])


@router.head("/downloads/{ticket}/{name}", include_in_schema=False)
@router.get("/downloads/{ticket}/{name}")
async def fetch(
    ticket: str,
    name: str,
    request: Request,
    context: AppContext,
    wanted: Annotated[str | None, Header(alias="range")] = None,
) -> Response:
    """The file of a download, while what it was made of is there."""
    granted = read_download(context.settings, ticket)
    async with context.db.transaction() as session:
        download = await get_download(session, granted.account_id, granted.download_id)
        await open_parts(session, await find_playback(session, download.request["slug"]))
    if download.result is None:
        raise NotFound("this download is not ready")
    made = download.result
    size_bytes = int(made["size_bytes"])
    try:
        found = read_range(wanted if request.method == "GET" else None, size_bytes)
    except RangeNotSatisfiable as error:
        return failure(error, {"Content-Range": f"bytes */{size_bytes}"})
    first, last = found or (0, size_bytes - 1)
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Length": str(last - first + 1),
        "Content-Disposition": _disposition(download.request["name"], made),
        "Cache-Control": "private, no-cache",
        "X-Content-Type-Options": "nosniff",
    }
    if found:
        headers["Content-Range"] = f"bytes {first}-{last}/{size_bytes}"
    if request.method == "HEAD":
        return Response(media_type=made["media_type"], headers=headers)
    body = context.storage.read(made["storage_key"], first, last - first + 1)
    return StreamingResponse(body, 206 if found else 200, media_type=made["media_type"], headers=headers)


def _disposition(name: str, made: Mapping[str, Any]) -> str:
    """The name for every client: in ASCII, and as it is (RFC 6266)."""
    ending = "." + made["storage_key"].rpartition(".")[2]
    called = name.replace("/", "_").replace("\\", "_").strip() or "download"
    called += "" if called.lower().endswith(ending) else ending
    plain = "".join(letter if " " <= letter <= "~" and letter != '"' else "_" for letter in called)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(called, safe='', errors='replace')}"
