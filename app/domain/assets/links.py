"""The absolute URLs under which finished media are played; the token is in the path, never a query."""

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
