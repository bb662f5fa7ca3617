"""Finds what a slug plays: assets, or streams that may still be recorded."""

from app.domain.assets.playback import find_playback
from app.pages.broadcast import Broadcast, open_broadcast
from app.pages.followed import Followed
from app.pages.playing import Playing, open_assets
from app.pages.spooled import Spooled
from app.process import Context


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
