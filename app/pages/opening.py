"""Finds what a slug plays: assets, or streams that may still be recorded."""

from typing import Annotated

from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.settings import Settings
from app.domain.assets.playback import find_playback
from app.pages.broadcast import Broadcast, open_broadcast
from app.pages.playing import Playing, open_assets
from app.pages.spooled import AppSpooled, Spooled
from app.process import Context
from app.wire.deps import AppContext, Session


async def open_slug(
    session: AsyncSession, slug: str, settings: Settings, spooled: Spooled
) -> Playing | Broadcast:
    """Find what `slug` plays. Raises `NotFound`, also for what cannot be a slug."""
    playback = await find_playback(session, slug)
    if "asset_id" in playback.parts[0]:
        return await open_assets(session, playback)
    # Segments end at the first key frame after their length, and encoders are asked for one then.
    return await open_broadcast(
        session, playback, target_seconds=round(settings.segment_seconds) + 1, spooled=spooled
    )


async def read_slug(context: Context, spooled: Spooled, slug: str) -> Playing | Broadcast:
    """`open_slug` in a transaction of its own, for whoever goes on for longer than one may last."""
    async with context.db.transaction() as session:
        return await open_slug(session, slug, context.settings, spooled)


async def _from_path(
    slug: str, session: Session, context: AppContext, spooled: AppSpooled
) -> Playing | Broadcast:
    return await open_slug(session, slug, context.settings, spooled)


PathPlaying = Annotated[Playing | Broadcast, Depends(_from_path)]
