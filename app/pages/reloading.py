"""Blocking playlist reload (RFC 8216bis clause 6.2.5.2): a player names what it waits for."""

import math
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query

from app.base.errors import InvalidRequest
from app.media.live_parts import PART_TARGET_SECONDS
from app.media.playlist import closed_count
from app.pages.broadcast import Broadcast, MediaPlaylist
from app.pages.feeds import Feeds

_FURTHEST_SEGMENTS = 2
# The draft's Advance Part Limit.
_FURTHEST_PARTS = math.ceil(3 / PART_TARGET_SECONDS) if PART_TARGET_SECONDS < 1 else 3
# hls.js gives up an answer after four fifths of a target duration, and all of them after some errors. A
# publisher may be away for longer, and a screen may stand still: the playlist as it is asks to come again.
_LONGEST_WAIT_SECONDS = 3.5


@dataclass(frozen=True, slots=True)
class Directives:
    """What a player asks of a playlist: to have this segment, or this part of it, and how to tell it."""

    segment: int | None = None
    part: int | None = None
    skips: bool = False

    def is_met(self, playlist: MediaPlaylist) -> bool:
        """Whether it need not wait, which it cannot where nothing more comes or is offered in parts."""
        if self.segment is None or playlist.has_ended or not playlist.in_parts:
            return True
        closed = closed_count(playlist.entries)
        if self.part is None or closed != self.segment:
            return closed > self.segment
        return closed < len(playlist.entries) and len(playlist.entries[-1].parts) > self.part

    def check(self, playlist: MediaPlaylist) -> None:
        """Raises `InvalidRequest` for what lies too far ahead to be waited for."""
        if self.segment is None or playlist.has_ended or not playlist.in_parts:
            return
        closed = closed_count(playlist.entries)
        if self.segment > closed - 1 + _FURTHEST_SEGMENTS:
            raise InvalidRequest("this lies too far ahead", field="_HLS_msn")
        open_parts = len(playlist.entries[-1].parts) if closed < len(playlist.entries) else 0
        if self.part is not None and self.segment == closed and self.part > open_parts - 1 + _FURTHEST_PARTS:
            raise InvalidRequest("this lies too far ahead", field="_HLS_part")


async def reload_playlist(
    feeds: Feeds, slug: str, name: str | None, directives: Directives
) -> MediaPlaylist | None:
    """The media playlist once it has what is asked for; None where there is no such playlist.

    After some seconds it is what it is by then. Raises `InvalidRequest` for what is too far ahead.
    """

    def find(broadcast: Broadcast) -> MediaPlaylist | None:
        playlist = broadcast.media(name)
        return playlist if playlist and directives.is_met(playlist) else None

    opened = await feeds.current(slug)
    if not isinstance(opened, Broadcast) or (first := opened.media(name)) is None:
        return None
    directives.check(first)
    if directives.is_met(first):
        return first
    found = await feeds.until(slug, find, _LONGEST_WAIT_SECONDS)
    if found is None:
        late = await feeds.current(slug)
        return late.media(name) if isinstance(late, Broadcast) else None
    return found


def _directives(
    segment: Annotated[str | None, Query(alias="_HLS_msn")] = None,
    part: Annotated[str | None, Query(alias="_HLS_part")] = None,
    skip: Annotated[str | None, Query(alias="_HLS_skip")] = None,
) -> Directives:
    if part is not None and segment is None:
        raise InvalidRequest("a part is asked for without its segment", field="_HLS_msn")
    return Directives(_number(segment, "_HLS_msn"), _number(part, "_HLS_part"), skips=skip in ("YES", "v2"))


def _number(text: str | None, field: str) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise InvalidRequest("this is not a number", field=field)
    return int(text)


QueryDirectives = Annotated[Directives, Depends(_directives)]
