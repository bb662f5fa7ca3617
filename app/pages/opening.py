"""Finds what a slug plays: assets, or streams that may still be recorded."""

import time
from typing import Annotated

from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import Gone
from app.base.settings import Settings
from app.domain.assets.links import read_media_grant
from app.domain.assets.models import Playback
from app.domain.assets.playback import find_playback
from app.pages.broadcast import Broadcast, open_broadcast
from app.pages.playing import Playing, open_assets
from app.wire.deps import AppContext, Session

PLAYED_ON_SECONDS = 3600


async def open_slug(session: AsyncSession, granted: str, settings: Settings) -> Playing | Broadcast:
    """Find what a link plays: `granted` is its slug with until when it is good.

    One to what is being recorded stays good until an hour after that has ended, or it would break while
    somebody watches. Raises `NotFound`, also for what cannot be a link, and `Gone` for one that has expired.
    """
    grant = read_media_grant(settings, granted)
    playback = await find_playback(session, grant.slug)
    playing = await _open(session, playback, settings)
    if grant.has_expired and not _plays_on(playing):
        raise Gone("this link has expired: ask for a new one", code="link_expired")
    return playing


def _plays_on(playing: Playing | Broadcast) -> bool:
    if not isinstance(playing, Broadcast):
        return False
    return playing.is_live or playing.ends_us / 1e6 > time.time() - PLAYED_ON_SECONDS


async def _open(session: AsyncSession, playback: Playback, settings: Settings) -> Playing | Broadcast:
    if "asset_id" in playback.parts[0]:
        return await open_assets(session, playback)
    # Segments end at the first key frame after their length, and encoders are asked for one then.
    return await open_broadcast(session, playback, target_seconds=round(settings.segment_seconds) + 1)


async def _from_path(slug: str, session: Session, context: AppContext) -> Playing | Broadcast:
    return await open_slug(session, slug, context.settings)


PathPlaying = Annotated[Playing | Broadcast, Depends(_from_path)]
