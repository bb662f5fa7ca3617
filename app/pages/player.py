"""The pages that play: `/watch` with title and transcript, `/embed` bare, for the iframes of other sites."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from app.base.errors import Gone, NotFound
from app.pages.broadcast import Broadcast
from app.pages.feeds import AppFeeds
from app.pages.page import html_page
from app.pages.playing import Playing

router = APIRouter(include_in_schema=False)

# Read here rather than validated: a wrong address gets a page, not the error envelope.
Slug = Annotated[str, Query(alias="v")]


@router.api_route("/watch", methods=["GET", "HEAD"])
async def watch(feeds: AppFeeds, slug: Slug = "") -> HTMLResponse:
    """The player page of a playback. `t` in its address is where to start, in seconds."""
    try:
        playing = await feeds.current(slug)
    except NotFound:
        return html_page("missing", {}, status=404)
    except Gone:
        return html_page("expired", {}, status=410)
    captured_at = playing.captured_at
    shown = {
        "duration": "Live" if playing.is_live else clock(playing.duration_seconds),
        "captured_at": captured_at.isoformat(timespec="seconds") if captured_at else "",
    }
    return html_page("watch", _values(playing, slug) | shown)


@router.api_route("/embed", methods=["GET", "HEAD"])
async def embed(feeds: AppFeeds, slug: Slug = "") -> HTMLResponse:
    """The bare player; unlike every other page it may be framed by any site (contract §2.2)."""
    try:
        playing = await feeds.current(slug)
    except NotFound:
        return html_page("missing", {}, status=404, may_be_framed=True)
    except Gone:
        return html_page("expired", {}, status=410, may_be_framed=True)
    return html_page("embed", _values(playing, slug), may_be_framed=True)


def _values(playing: Playing | Broadcast, granted: str) -> dict[str, str]:
    media = f"media/{granted}"
    return {
        "title": playing.title or "Untitled",
        "media": media,
        "poster": f"{media}/thumbnail.jpg" if playing.thumbnail_key else "",
        "kind": "video" if playing.has_picture else "audio",
        "live": "yes" if playing.is_live else "",
        "seconds": f"{playing.duration_seconds:.3f}",
    }


def clock(seconds: float) -> str:
    """`1:02:03`, or `2:03` below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
