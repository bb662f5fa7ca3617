"""Registers and finds finished media."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import NotFound
from app.base.ids import new_id
from app.domain.assets.models import Asset
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
    is_there = asset is not None and asset.account_id == account_id and asset.deleted_at is None
    if asset is None or not is_there or (kind and asset.kind != kind):
        raise NotFound(f"no {kind or 'asset'} {asset_id}")
    return asset


async def find_asset(session: AsyncSession, asset_id: str | None) -> Asset | None:
    """The asset, unless there is none of this id any more."""
    return (await find_assets(session, [asset_id])).get(asset_id or "")


async def find_assets(session: AsyncSession, asset_ids: Sequence[str | None]) -> dict[str, Asset]:
    """Those of them that are there, by their ids."""
    wanted = [asset_id for asset_id in asset_ids if asset_id]
    if not wanted:
        return {}
    rows = await session.scalars(select(Asset).where(Asset.id.in_(wanted), Asset.deleted_at.is_(None)))
    return {row.id: row for row in rows}


async def list_assets(
    session: AsyncSession, account_id: str, kind: AssetKind, collection_id: str
) -> list[Asset]:
    """A collection's assets of one kind, newest first."""
    rows = await session.scalars(
        select(Asset)
        .where(
            Asset.account_id == account_id,
            Asset.kind == kind,
            Asset.collection_id == collection_id,
            Asset.deleted_at.is_(None),
        )
        .order_by(Asset.created_at.desc())
    )
    return list(rows)


async def list_thumbnails(session: AsyncSession, asset: Asset) -> list[Asset]:
    """The images that were taken from a video, oldest first."""
    rows = await session.scalars(
        select(Asset)
        .where(Asset.source_asset_id == asset.id, Asset.deleted_at.is_(None))
        .order_by(Asset.created_at)
    )
    return list(rows)
