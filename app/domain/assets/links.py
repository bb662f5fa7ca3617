"""The absolute URLs under which finished media are played; the token is in the path, never a query."""

from typing import Any

from app.base.settings import get_settings
from app.domain.assets.models import Asset


def stream_url(slug: str) -> str:
    """The HLS playlist of a playback. No `?`: the SDKs paste it unescaped into another URL (§2.2)."""
    return f"{get_settings().base_url}/media/{slug}/stream.m3u8"


def player_url(slug: str) -> str:
    """The page that plays it; the SDKs rewrite `/watch?` to `/embed?` (§2.2)."""
    return f"{get_settings().base_url}/watch?v={slug}"


def thumbnail_url(asset: Asset) -> str | None:
    """The picture that stands for a video; None for what has none."""
    if asset.thumbnail_key is None or asset.playback_slug is None:
        return None
    return f"{get_settings().base_url}/media/{asset.playback_slug}/thumbnail.jpg"


def playback_links(slug: str) -> dict[str, str | None]:
    """`stream_url` and `player_url` of a playback."""
    return {"stream_url": stream_url(slug), "player_url": player_url(slug)}


def asset_links(asset: Asset) -> dict[str, str | None]:
    """`stream_url` and `player_url` of an asset, None where it cannot be played."""
    if asset.playback_slug is None:
        return {"stream_url": None, "player_url": None}
    return playback_links(asset.playback_slug)


def asset_facts(asset: Asset) -> dict[str, Any]:
    """A video, audio or image as clients read it; `length` is never null, Python would raise on it (§2.2)."""
    thumbnail = thumbnail_url(asset)
    return {
        "id": asset.id,
        "collection_id": asset.collection_id,
        "name": asset.name,
        "description": asset.description,
        "length": round(asset.length_seconds, 3),
        "size": asset.size_bytes,
        "user_id": asset.account_id,
        "created_at": int(asset.created_at.timestamp()),
        "thumbnail": thumbnail,
        "thumbnail_url": thumbnail,
        **asset_links(asset),
    }
