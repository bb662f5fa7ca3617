"""Playable media by slug: playlists made from rows, files by byte range, thumbnails."""

import re
from collections.abc import AsyncIterator

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import StreamingResponse

from app.base.errors import CaptureError, NotFound
from app.domain.assets.models import Asset
from app.domain.assets.playback import Part, open_playback
from app.media.hls import FragmentIndex, PlaylistPart, media_playlist
from app.process import Context
from app.wire.deps import AppContext, Session

router = APIRouter(prefix="/media", tags=["media"])

CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "Range",
    "Access-Control-Expose-Headers": "Content-Length, Content-Range, Accept-Ranges",
}
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class RangeNotSatisfiable(CaptureError):
    status = 416
    code = "range_not_satisfiable"


@router.options("/{slug}/{name}")
async def options(slug: str, name: str) -> Response:
    return Response(status_code=204, headers=CORS)


@router.api_route("/{slug}/stream.m3u8", methods=["GET", "HEAD"])
async def playlist(slug: str, session: Session) -> Response:
    """An HLS playlist (RFC 8216) of the playback's parts, cut at the key frames around their ends."""
    _, parts = await open_playback(session, slug)
    text = media_playlist([_playlist_part(number, part) for number, part in enumerate(parts)])
    return Response(text, media_type="application/vnd.apple.mpegurl", headers=CORS)


@router.api_route("/{slug}/thumbnail.jpg", methods=["GET", "HEAD"])
async def thumbnail(slug: str, session: Session, context: AppContext) -> Response:
    _, parts = await open_playback(session, slug)
    key = parts[0].asset.thumbnail_key
    if key is None:
        raise NotFound("this has no picture")
    data = b"".join([block async for block in context.storage.read(key)])
    return Response(data, media_type="image/jpeg", headers=CORS)


@router.api_route("/{slug}/{name}", methods=["GET", "HEAD"])
async def file(
    slug: str, name: str, request: Request, session: Session, context: AppContext, range: str = Header("")
) -> Response:
    """The file behind part `<number>.mp4` of a playback, whole or one byte range (RFC 9110 clause 14)."""
    _, parts = await open_playback(session, slug)
    number = name.partition(".")[0]
    if not number.isdecimal() or int(number) >= len(parts):
        raise NotFound("no such part")
    asset = parts[int(number)].asset
    first, last = _read_range(range, asset.size_bytes)
    headers = CORS | {
        "Accept-Ranges": "bytes",
        "Content-Length": str(last - first + 1),
        "Cache-Control": "private, max-age=86400, immutable",
    }
    if range:
        headers["Content-Range"] = f"bytes {first}-{last}/{asset.size_bytes}"
    status = 206 if range else 200
    if request.method == "HEAD":
        return Response(status_code=status, media_type=asset.media_type, headers=headers)
    body = _bytes(context, asset, first, last)
    return StreamingResponse(body, status_code=status, media_type=asset.media_type, headers=headers)


def _playlist_part(number: int, part: Part) -> PlaylistPart:
    extension = part.asset.storage_key.rpartition(".")[2]
    index = FragmentIndex.from_json(part.asset.hls_index or {})
    return PlaylistPart(f"{number}.{extension}", index, part.start_seconds, part.end_seconds)


async def _bytes(context: Context, asset: Asset, first: int, last: int) -> AsyncIterator[bytes]:
    async for block in context.storage.read(asset.storage_key, first, last - first + 1):
        yield block


def _read_range(text: str, size_bytes: int) -> tuple[int, int]:
    """First and last byte. Raises `RangeNotSatisfiable`; several ranges are not served."""
    if not text:
        return 0, size_bytes - 1
    found = _RANGE.fullmatch(text.replace(" ", ""))
    first, last = (found[1], found[2]) if found else ("", "")
    if first:
        low, high = int(first), min(int(last), size_bytes - 1) if last else size_bytes - 1
    elif last:
        low, high = max(0, size_bytes - int(last)), size_bytes - 1
    else:
        low, high = 1, 0
    if not 0 <= low <= high < size_bytes:
        raise RangeNotSatisfiable(f"the file has {size_bytes} bytes")
    return low, high
