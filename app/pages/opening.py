"""Finds what a slug plays: assets, or streams that may still be recorded. Says whether a link is good yet."""

import time

from app.base.errors import Gone
from app.domain.assets.links import MediaGrant
from app.domain.assets.playback import find_playback
from app.pages.broadcast import Broadcast
from app.pages.followed import Followed
from app.pages.opening_streams import open_broadcast
from app.pages.playing import Playing, open_assets
from app.pages.spooled import Spooled
from app.process import Context

PLAYED_ON_SECONDS = 3600


async def read_slug(context: Context, spooled: Spooled, slug: str, followed: Followed) -> Playing | Broadcast:
    """Find what `slug` plays. Raises `NotFound`, also for what cannot be a slug."""
    async with context.db.transaction() as session:
        playback = await find_playback(session, slug)
        if "asset_id" in playback.parts[0]:
            return await open_assets(session, playback)
        # Segments end at the first key frame after their length, and encoders are asked for one then.
        target_seconds = round(context.settings.segment_seconds) + 1
        return await open_broadcast(
            context, session, playback, target_seconds=target_seconds, spooled=spooled, followed=followed
        )


def check_grant(grant: MediaGrant, playing: Playing | Broadcast) -> None:
    """Raises `Gone` where the link has expired.

    One to what is being recorded stays good until an hour after that has ended, or it would break while
    somebody watches.
    """
    if grant.has_expired and not _plays_on(playing):
        raise Gone("this link has expired: ask for a new one", code="link_expired")


def _plays_on(playing: Playing | Broadcast) -> bool:
    if not isinstance(playing, Broadcast):
        return False
    return playing.is_live or playing.ends_us / 1e6 > time.time() - PLAYED_ON_SECONDS
