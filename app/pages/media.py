"""Playable media by slug: the playlist, files by byte range, the thumbnail and the transcript."""

import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.routing import APIRoute

from app.base.errors import CaptureError, NotFound
from app.media.hls import PlaylistPart, media_playlist
from app.pages.playing import PathPlaying, PlayedPart
from app.pages.ranges import RangeNotSatisfiable, read_range
from app.pages.transcript import read_transcript
from app.process import Context
from app.wire.deps import AppContext, Session
from app.wire.envelope import Json, failure, success

PLAYLIST_TYPE = "application/vnd.apple.mpegurl"
FOR_EVERY_SITE = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": "Range, If-Range",
    "Access-Control-Expose-Headers": "Content-Length, Content-Range, Accept-Ranges, ETag",
    "Access-Control-Max-Age": "86400",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
}


class _MediaRoute(APIRoute):
    """Opens every answer to players on other sites, failures too: they could not tell why otherwise."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_for_every_site(request: Request) -> Response:
            try:
                response = await handle(request)
            except CaptureError as error:
                response = failure(error)
            response.headers.update(FOR_EVERY_SITE)
            return response

        return handle_for_every_site


router = APIRouter(prefix="/media", tags=["media"], route_class=_MediaRoute)


@router.options("/{slug}/{name}", include_in_schema=False)
async def options(slug: str, name: str) -> Response:
    return Response(status_code=204)


@router.head("/{slug}/stream.m3u8", include_in_schema=False)
@router.get("/{slug}/stream.m3u8")
async def playlist(playing: PathPlaying) -> Response:
    """An HLS playlist (RFC 8216) of the playback's parts, cut at the key frames around their ends."""
    text = media_playlist(
        [
            PlaylistPart(part.name, part.index, part.asset_start_seconds, part.asset_end_seconds)
            for part in playing.parts
        ]
    )
    return Response(text, media_type=PLAYLIST_TYPE, headers={"Cache-Control": "private, no-cache"})


@router.head("/{slug}/thumbnail.jpg", include_in_schema=False)
@router.get("/{slug}/thumbnail.jpg")
async def thumbnail(playing: PathPlaying, context: AppContext) -> Response:
    if playing.thumbnail_key is None:
        raise NotFound("this has no picture")
    data = b"".join([block async for block in context.storage.read(playing.thumbnail_key)])
    return Response(data, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=86400"})


@router.get("/{slug}/transcript.json")
async def transcript(playing: PathPlaying, session: Session) -> Json:
    """What is said in the playback: utterances and words, in seconds of the playback."""
    return success({"utterances": await read_transcript(session, playing)})


@router.head("/{slug}/{name}", include_in_schema=False)
@router.get("/{slug}/{name}")
async def file(
    name: str,
    request: Request,
    playing: PathPlaying,
    context: AppContext,
    wanted: Annotated[str | None, Header(alias="range")] = None,
    if_range: Annotated[str | None, Header()] = None,
) -> Response:
    """The file of the part called `name`, whole or one byte range (RFC 9110 clauses 13.1.5 and 14)."""
    part = next((part for part in playing.parts if part.name == name), None)
    if part is None:
        raise NotFound("no such part")
    size_bytes, etag = part.size_bytes, _etag(part)
    # A range is defined for GET alone, and holds only for the file that the client has seen before.
    usable = request.method == "GET" and if_range in (None, etag)
    try:
        found = read_range(wanted if usable else None, size_bytes)
    except RangeNotSatisfiable as error:
        return failure(error, {"Content-Range": f"bytes */{size_bytes}"})
    first, last = found or (0, size_bytes - 1)
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Length": str(last - first + 1),
        "Cache-Control": "private, max-age=86400, immutable",
        "ETag": etag,
    }
    if found:
        headers["Content-Range"] = f"bytes {first}-{last}/{size_bytes}"
    media_type = part.asset.media_type
    if request.method == "HEAD":
        return Response(media_type=media_type, headers=headers)
    body = _bytes(context, part, first, last)
    return StreamingResponse(body, 206 if found else 200, media_type=media_type, headers=headers)


def _etag(part: PlayedPart) -> str:
    """Strong: objects are written once, and an index belongs to its object."""
    name = f"{part.asset.storage_key} {part.skipped_bytes} {part.size_bytes}"
    return f'"{hashlib.sha256(name.encode()).hexdigest()[:32]}"'


async def _bytes(context: Context, part: PlayedPart, first: int, last: int) -> AsyncIterator[bytes]:
    for start, length in part.stored_ranges(first, last):
        async for block in context.storage.read(part.asset.storage_key, start, length):
            yield block
