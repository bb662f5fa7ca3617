"""Opens a playback of streams: what of them is recorded and what is still in the spool, read together."""

import asyncio
import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import CaptureError, NotFound
from app.domain.assets.models import Playback
from app.domain.streams.models import Segment
from app.domain.streams.playback import is_awaited, is_young, open_stretches
from app.domain.streams.service import list_session_streams
from app.media.live_parts import read_grown
from app.pages.broadcast import Broadcast
from app.pages.followed import Followed
from app.pages.spooled import Spooled, SpooledSegment, read_recorded
from app.process import Context

logger = logging.getLogger(__name__)

FRAMES_OF = 3  # segments, the newest of a stream
READ_SECONDS = 2.0


async def open_broadcast(
    context: Context,
    session: AsyncSession,
    playback: Playback,
    *,
    target_seconds: int,
    spooled: Spooled,
    followed: Followed,
) -> Broadcast:
    """What a playback of streams plays by now. Raises `NotFound` when that is nothing."""
    held: dict[str, SpooledSegment] = {}

    async def unregistered(stream_id: str) -> list[Segment]:
        found = await asyncio.to_thread(spooled.segments, stream_id)
        held.update({one.row.id: one for one in found})
        return [one.row for one in found]

    stretches = await open_stretches(session, playback, unregistered, followed.known)
    part = playback.parts[0]
    is_session = "capture_session_id" in part
    for one in stretches:
        await _note_frames(context, followed, spooled, one.segments[-FRAMES_OF:], held)
    followed.here |= {one.stream.id for one in stretches if spooled.is_here(one.stream.id)}
    streams = await list_session_streams(session, part["capture_session_id"]) if is_session else []
    broadcast = Broadcast(
        playback.slug,
        playback.title,
        stretches,
        target_seconds,
        is_session or len(stretches[0].stream.media_types) > 1,
        sum(
            stream.store and stream.deleted_at is None and stream.media_type == "audio" for stream in streams
        ),
        spooled,
        held,
        frozenset(followed.here),
        followed,
        followed.says_ended(is_live=any(not one.has_ended for one in stretches)),
    )
    # Players read once which renditions there are, and take none for one that is empty.
    playable = [one for one in stretches if broadcast.has_entries(one)]
    may_lag = not is_session and is_young(stretches)
    late = [
        one
        for one in stretches
        if one not in playable and (is_awaited(one.stream) or (may_lag and not one.has_ended))
    ]
    if not playable or (late and followed.known.start_us is None):
        raise NotFound("nothing is recorded here yet")
    opened = replace(broadcast, stretches=playable)
    if opened.has_mix and not opened.mix.piece_count:
        raise NotFound("nothing is recorded here yet")
    if followed.known.start_us is None and opened.is_too_young:
        raise NotFound("too little is recorded here yet")
    if opened.is_apart and opened.is_live:
        followed.known.start_us = opened.starts_us
        followed.known.picture_id = playable[0].stream.id if opened.has_picture else None
    return opened


async def _note_frames(
    context: Context,
    followed: Followed,
    spooled: Spooled,
    rows: Sequence[Segment],
    held: Mapping[str, SpooledSegment],
) -> None:
    """Read the frames of segments that were seen to grow, but not their end: storage took them over."""
    for row in rows:
        seen = len(spooled.frames(row.id))
        is_held = row.id in held and held[row.id].path.exists()
        if not 0 < seen < row.frame_count or is_held or row.id in followed.frames:
            continue
        try:
            async with asyncio.timeout(READ_SECONDS):
                data = await read_recorded(context, row, None)
            followed.frames[row.id] = read_grown(io.BytesIO(data), grows=False).frames
        except (CaptureError, OSError) as error:  # a timeout too
            logger.warning("%s goes on without its parts: %s", row.id, type(error).__name__)
            followed.frames[row.id] = ()
