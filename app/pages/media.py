"""Playable media by slug: playlists, files by byte range, clips, the thumbnail and the transcript."""

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.routing import APIRoute

from app.base.errors import CaptureError, NotFound
from app.base.ids import utc_now
from app.domain.indexes.models import ScreenFrame
from app.media.hls import index_file
from app.media.live_parts import PART_TARGET_SECONDS
from app.pages.broadcast import Broadcast
from app.pages.clips import AppClips, Clips, ClipSource
from app.pages.feeds import AppFeeds, Feeds, PathPlaying
from app.pages.files import StoredFile, stored_file
from app.pages.playing import Playing
from app.pages.ranges import RangeNotSatisfiable, read_range
from app.pages.reloading import QueryDirectives, reload_playlist
from app.pages.spooled import SpooledSegment, read_recorded
from app.pages.transcript import cursor_at, read_transcript
from app.process import Context
from app.wire.deps import AppContext, Session
from app.wire.envelope import Json, answers, failure, success

UNCHANGING = "private, max-age=86400, immutable"
PLAYLIST_TYPE = "application/vnd.apple.mpegurl"
# So long the part that comes next is waited for, which is due after one.
NEXT_PART_SECONDS = 4 * PART_TARGET_SECONDS
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


_RANGES: dict[str, Any] = {
    "responses": {
        "206": {"description": "One byte range.", "content": {"video/mp4": {}, "audio/mp4": {}}},
        "416": {"description": "The range lies behind the end."},
    }
}
router = APIRouter(prefix="/media", tags=["media"], route_class=_MediaRoute)


@router.options("/{slug}/{name}", include_in_schema=False)
async def options(slug: str, name: str) -> Response:
    return Response(status_code=204)


@router.head("/{slug}/stream.m3u8", include_in_schema=False)
@router.get("/{slug}/stream.m3u8", **answers(PLAYLIST_TYPE))
async def playlist(slug: str, feeds: AppFeeds, directives: QueryDirectives) -> Response:
    """An HLS playlist (RFC 8216) of exactly what was asked for, or of what is recorded of it by now."""
    media = await reload_playlist(feeds, slug, None, directives)
    if media is not None:
        return _playlist(await asyncio.to_thread(media.text, skips=directives.skips))
    playing = await feeds.current(slug)
    return _playlist(await asyncio.to_thread(playing.playlist))


@router.head("/{slug}/thumbnail.jpg", include_in_schema=False)
@router.get("/{slug}/thumbnail.jpg", **answers("image/jpeg"))
async def thumbnail(playing: PathPlaying, context: AppContext) -> Response:
    if playing.thumbnail_key is None:
        raise NotFound("this has no picture")
    data = b"".join([block async for block in context.storage.read(playing.thumbnail_key)])
    return Response(data, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=86400"})


@router.head("/{slug}/frame/{frame_id}.jpg", include_in_schema=False)
@router.get("/{slug}/frame/{frame_id}.jpg", **answers("image/jpeg"))
async def frame(playing: PathPlaying, frame_id: str, session: Session, context: AppContext) -> Response:
    """A picture that was taken out of a recording; a cut gives those of what it plays."""
    found = await session.get(ScreenFrame, frame_id)
    parts = playing.parts if isinstance(playing, Playing) else ()
    if found is None or not any(
        part.asset.id == found.asset_id and part.is_played(found.at_us) for part in parts
    ):
        raise NotFound("no such picture")
    data = b"".join([block async for block in context.storage.read(found.storage_key)])
    return Response(data, media_type="image/jpeg", headers={"Cache-Control": UNCHANGING})


@router.get("/{slug}/transcript.json")
async def transcript(
    playing: PathPlaying, session: Session, cursor: Annotated[int | None, Query(ge=0, le=10**14)] = None
) -> Json:
    """What is said in the playback: utterances and words, in seconds of the playback.

    While it is `live`, the `cursor` asks for what is said later; a few utterances then come once more.
    """
    following = cursor_at(utc_now())
    utterances = await read_transcript(session, playing, cursor=cursor)
    return success({"utterances": utterances, "live": playing.is_live, "cursor": following})


@router.head("/{slug}/{name}.m3u8", include_in_schema=False)
@router.get("/{slug}/{name}.m3u8", **answers(PLAYLIST_TYPE))
async def rendition(slug: str, name: str, feeds: AppFeeds, directives: QueryDirectives) -> Response:
    """The playlist of one stream of several that are played together."""
    media = await reload_playlist(feeds, slug, name, directives)
    if media is None:
        raise NotFound("no such playlist")
    return _playlist(await asyncio.to_thread(media.text, skips=directives.skips))


@router.head("/{slug}/{name}.{number}.part.mp4", include_in_schema=False)
@router.get("/{slug}/{name}.{number}.part.mp4", **answers("video/mp4"))
async def part(slug: str, name: str, number: int, feeds: AppFeeds, clips: AppClips) -> Response:
    """A part of a segment that may still grow; the one that comes next is waited for."""
    source = await _awaited(
        feeds, slug, lambda playing: playing.part(name, number), lambda playing: playing.grows(name)
    )
    if source is None:
        raise NotFound("no such part")
    return _made(await clips.get(source))


@router.head("/{slug}/{name}.init.mp4", include_in_schema=False)
@router.get("/{slug}/{name}.init.mp4", **answers("video/mp4"))
async def clip_header(slug: str, name: str, feeds: AppFeeds, clips: AppClips) -> Response:
    """The header of a clip: `ftyp` and `moov`."""
    clip = await _clip(slug, name, feeds, clips)
    return _made(clip[: _header_bytes(clip)])


@router.head("/{slug}/{name}.clip.mp4", include_in_schema=False)
@router.get("/{slug}/{name}.clip.mp4", **answers("video/mp4"))
async def clip(slug: str, name: str, feeds: AppFeeds, clips: AppClips) -> Response:
    """The fragments of a clip: an edge of a cut, or a recording in a codec that players do not take."""
    clip = await _clip(slug, name, feeds, clips)
    return _made(clip[_header_bytes(clip) :])


@router.head("/{slug}/{name}", include_in_schema=False)
@router.get("/{slug}/{name}", openapi_extra=_RANGES, **answers("video/mp4", "audio/mp4"))
async def file(
    name: str,
    request: Request,
    playing: PathPlaying,
    context: AppContext,
    wanted: Annotated[str | None, Header(alias="range")] = None,
    if_range: Annotated[str | None, Header()] = None,
) -> Response:
    """A file of recorded media, whole or one byte range (RFC 9110 clauses 13.1.5 and 14)."""
    if isinstance(playing, Broadcast) and (held := playing.held_segment(name.removesuffix(".mp4"))):
        return await _held(context, request, held, wanted)
    file = stored_file(playing, name)
    if file is None:
        raise NotFound("no such file")
    size_bytes, etag = file.size_bytes, _etag(file)
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
        "Cache-Control": UNCHANGING,
        "ETag": etag,
    }
    if found:
        headers["Content-Range"] = f"bytes {first}-{last}/{size_bytes}"
    if request.method == "HEAD":
        return Response(media_type=file.media_type, headers=headers)
    body = _bytes(context, file, first, last)
    return StreamingResponse(body, 206 if found else 200, media_type=file.media_type, headers=headers)


def _playlist(text: str) -> Response:
    return Response(text, media_type=PLAYLIST_TYPE, headers={"Cache-Control": "private, no-cache"})


async def _clip(slug: str, name: str, feeds: Feeds, clips: Clips) -> bytes:
    playing = await feeds.current(slug)
    source = playing.clip(name)
    if source is None and isinstance(playing, Broadcast):
        source = await _awaited(
            feeds, slug, lambda playing: playing.clip(name), lambda playing: playing.is_next(name)
        )
    if source is None:
        raise NotFound("no such file")
    return await clips.get(source)


async def _awaited(
    feeds: Feeds,
    slug: str,
    find: Callable[[Broadcast], ClipSource | None],
    may_come: Callable[[Broadcast], bool],
) -> ClipSource | None:
    """What is recorded, or is just about to be; None for what is not."""
    playing = await feeds.current(slug)
    if not isinstance(playing, Broadcast):
        return None
    found = find(playing)
    if found is not None or not may_come(playing):
        return found

    def look(broadcast: Broadcast) -> ClipSource | bool | None:
        return find(broadcast) or (None if may_come(broadcast) else False)

    late = await feeds.until(slug, look, NEXT_PART_SECONDS)
    return late if isinstance(late, ClipSource) else None


def _header_bytes(clip: bytes) -> int:
    return index_file(io.BytesIO(clip)).init_length_bytes


def _made(data: bytes) -> Response:
    return Response(data, media_type="video/mp4", headers={"Cache-Control": UNCHANGING})


async def _held(context: Context, request: Request, held: SpooledSegment, wanted: str | None) -> Response:
    """A segment that storage does not have yet. Of one that grows the size is not known (clause 14.4)."""
    data = await read_recorded(context, held.row, held)
    try:
        found = read_range(wanted if request.method == "GET" else None, len(data))
    except RangeNotSatisfiable as error:
        return failure(error, {"Content-Range": f"bytes */{len(data)}"})
    headers = {"Accept-Ranges": "bytes", "Cache-Control": "private, no-cache"}
    if found is None:
        return Response(data, media_type="video/mp4", headers=headers)
    first, last = found
    headers["Content-Range"] = f"bytes {first}-{last}/{'*' if held.grows else len(data)}"
    return Response(data[first : last + 1], 206, media_type="video/mp4", headers=headers)


def _etag(file: StoredFile) -> str:
    """Strong: objects are written once, and what is played of one belongs to its name."""
    name = f"{file.storage_key} {file.skipped_bytes} {file.size_bytes}"
    return f'"{hashlib.sha256(name.encode()).hexdigest()[:32]}"'


async def _bytes(context: Context, file: StoredFile, first: int, last: int) -> AsyncIterator[bytes]:
    for start, length in file.stored_ranges(first, last):
        async for block in context.storage.read(file.storage_key, start, length):
            yield block
