"""Registers, finds and removes finished media."""

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import NotFound
from app.base.ids import new_id
from app.domain.assets.models import Asset, Playback
from app.domain.assets.playback import add_playback

AssetKind = Literal["video", "audio", "image"]
PREFIXES: dict[AssetKind, str] = {"video": "m", "audio": "a", "image": "img"}


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A finished file that already lies in storage."""

    storage_key: str
    media_type: str
    size_bytes: int
    length_seconds: float = 0.0
    width: int | None = None
    height: int | None = None
    thumbnail_key: str | None = None
    hls_index: dict[str, Any] | None = None
    started_at_us: int | None = None
    source_asset_id: str | None = None
    source_at_seconds: float | None = None


def new_asset_id(kind: AssetKind) -> str:
    """`m-…`, `a-…` or `img-…`: the prefix that both SDKs tell the classes apart by (contract §1.7)."""
    return new_id(PREFIXES[kind])


def asset_id_of(kind: AssetKind, source_id: str) -> str:
    """The one id of the asset that a session, a stream or an operation becomes, however often it is begun."""
    return f"{PREFIXES[kind]}-{source_id.partition('-')[2]}"


async def add_asset(
    session: AsyncSession,
    *,
    asset_id: str,
    account_id: str,
    collection_id: str,
    kind: AssetKind,
    name: str,
    file: StoredFile,
) -> Asset:
    """Register a stored file as an asset; images can be seen at once, others played with a fragment index."""
    asset = Asset(
        id=asset_id,
        account_id=account_id,
        collection_id=collection_id,
        kind=kind,
        name=name,
        storage_key=file.storage_key,
        media_type=file.media_type,
        size_bytes=file.size_bytes,
        length_seconds=file.length_seconds,
        width=file.width,
        height=file.height,
        thumbnail_key=file.thumbnail_key,
        hls_index=file.hls_index,
        started_at_us=file.started_at_us,
        source_asset_id=file.source_asset_id,
        source_at_seconds=file.source_at_seconds,
    )
    session.add(asset)
    await session.flush()
    if file.hls_index is not None:
        playback = await add_playback(session, account_id, [(asset, 0.0, file.length_seconds)], title=name)
        asset.playback_slug = playback.slug
    await session.flush()
    return asset


async def get_asset(
    session: AsyncSession, account_id: str, asset_id: str, *, kind: AssetKind | None = None
) -> Asset:
    """Raises `NotFound` for an unknown asset, another account's, and one of another kind."""
    asset = await session.get(Asset, asset_id)
    if asset is None or asset.account_id != account_id or (kind and asset.kind != kind):
        raise NotFound(f"no {kind or 'asset'} {asset_id}")
    return asset


async def list_assets(
    session: AsyncSession, account_id: str, kind: AssetKind, collection_id: str
) -> list[Asset]:
    """A collection's assets of one kind, newest first."""
    rows = await session.scalars(
        select(Asset)
        .where(Asset.account_id == account_id, Asset.kind == kind, Asset.collection_id == collection_id)
        .order_by(Asset.created_at.desc())
    )
    return list(rows)


async def list_thumbnails(session: AsyncSession, asset: Asset) -> list[Asset]:
    """The images that were taken from a video, oldest first."""
    rows = await session.scalars(
        select(Asset).where(Asset.source_asset_id == asset.id).order_by(Asset.created_at)
    )
    return list(rows)


async def delete_asset(session: AsyncSession, asset: Asset) -> list[str]:
    """Remove the asset's row, its playback and the images taken from it.

    Returns the storage keys to delete after the commit.
    """
    gone = [*await list_thumbnails(session, asset), asset]
    slugs = [one.playback_slug for one in gone if one.playback_slug]
    await session.execute(delete(Playback).where(Playback.slug.in_(slugs)))
    for one in gone:
        await session.delete(one)
    return [key for one in gone for key in (one.storage_key, one.thumbnail_key) if key]
