"""Makes playbacks: whole assets, cuts of one, and cuts of several joined together."""

import hashlib
import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import InvalidRequest, NotFound
from app.domain.assets.models import Asset, Playback
from app.domain.assets.stretches import Stretch, read_stretch

_SLUG = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Part:
    """One stretch of one asset, in seconds from the asset's start."""

    asset: Asset
    start_seconds: float
    end_seconds: float


async def add_playback(
    session: AsyncSession, account_id: str, parts: Sequence[tuple[Asset, float, float]], *, title: str
) -> Playback:
    """Return the playback of these `(asset, start, end)` parts, times in seconds.

    Ends beyond an asset's length are cut there. Raises `InvalidRequest` when a part is empty or its
    asset cannot be played.
    """
    rows = []
    for asset, start, end in parts:
        if asset.hls_index is None:
            raise InvalidRequest(f"{asset.id} is not a video or audio that can be played")
        start, end = max(0.0, start), min(end, asset.length_seconds)
        if not start < end:
            raise InvalidRequest(
                f"a part of {asset.id} is empty: it must start before it ends, within"
                f" {asset.length_seconds:.3f} s",
                field="timeline",
            )
        rows.append({"asset_id": asset.id, "start": round(start, 3), "end": round(end, 3)})
    if not rows:
        raise InvalidRequest("no parts to play", field="timeline")
    return await save_playback(session, account_id, rows, title=title)


async def save_playback(
    session: AsyncSession, account_id: str, parts: Sequence[dict[str, Any]], *, title: str
) -> Playback:
    """Return the account's playback of these parts, as `Playback.parts` has them; the same one each time."""
    rows = list(parts)
    digest = hashlib.sha256(json.dumps([title, rows]).encode()).hexdigest()
    await session.execute(
        insert(Playback)
        .values(slug=secrets.token_urlsafe(16), account_id=account_id, digest=digest, title=title, parts=rows)
        .on_conflict_do_nothing(index_elements=["account_id", "digest"])
    )
    playback = await session.scalar(
        select(Playback).where(Playback.account_id == account_id, Playback.digest == digest)
    )
    assert playback is not None
    return playback


async def find_playback(session: AsyncSession, slug: str) -> Playback:
    """Find a playback by its slug. Raises `NotFound`, also for what cannot be a slug.

    The slug is the credential: 128 random bits that only the owner's API answers hold, or a stretch whose
    signature `read_media_grant` has checked.
    """
    stretch = read_stretch(slug)
    if stretch is not None:
        return await _stretch_playback(session, stretch)
    playback = await session.get(Playback, slug) if _SLUG.fullmatch(slug) else None
    if playback is None:
        raise NotFound("nothing is playable here")
    return playback


async def _stretch_playback(session: AsyncSession, stretch: Stretch) -> Playback:
    """The playback of a stretch, as it would be stored."""
    if stretch.is_of_stream:
        part = {
            "stream_id": stretch.owner_id,
            "start_us": stretch.start_ms * 1000,
            "end_us": stretch.end_ms * 1000,
        }
        title = datetime.fromtimestamp(stretch.start_ms / 1000, UTC).isoformat(" ", "seconds")
        return Playback(slug=stretch.slug, account_id="", digest="", title=title, parts=[part])
    asset = await session.get(Asset, stretch.owner_id)
    if asset is None or asset.deleted_at is not None:
        raise NotFound("what was playable here has been deleted")
    part = {"asset_id": asset.id, "start": stretch.start_ms / 1000, "end": stretch.end_ms / 1000}
    return Playback(slug=stretch.slug, account_id=asset.account_id, digest="", title=asset.name, parts=[part])


async def open_parts(session: AsyncSession, playback: Playback) -> list[Part]:
    """The parts of a playback of assets. Raises `NotFound` when an asset is gone."""
    ids = {row["asset_id"] for row in playback.parts}
    assets = {
        asset.id: asset
        for asset in await session.scalars(select(Asset).where(Asset.id.in_(ids), Asset.deleted_at.is_(None)))
    }
    if ids - assets.keys():
        raise NotFound("what was playable here has been deleted")
    cuts = (row for row in playback.parts if "start" in row)
    return [Part(assets[row["asset_id"]], row["start"], row["end"]) for row in cuts]
