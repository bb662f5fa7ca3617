"""The absolute URLs under which media are played; what they grant is in the path, never a query.

A link names a playback by its slug: 128 random bits that only its owner is told, or a stretch, which only a
link opens. Then it says until when it is good, and signs both. So a playlist's relative names carry the same
grant as the playlist.
"""

import hashlib
import hmac
import time
from dataclasses import dataclass
from typing import Any

from app.base.errors import NotFound, Unavailable
from app.base.settings import Settings
from app.domain.assets.models import Asset
from app.domain.assets.stretches import Stretch, read_stretch

_MAC_CHARACTERS = 32  # 128 bits
_NEVER = 0xFFFFFFFFFF
_SHORTEST_STRETCH_MS = 1000  # what is shorter is no moment that anybody can watch
_STEPS = 4  # in a lifetime: links that are made in the same step are the same


@dataclass(frozen=True, slots=True)
class MediaGrant:
    """What a link to media grants, or did before it expired."""

    slug: str
    has_expired: bool


@dataclass(frozen=True, slots=True)
class Links:
    """Makes the links that this server gives."""

    settings: Settings

    def stream_url(self, slug: str) -> str:
        """The HLS playlist of a playback. No `?`: the SDKs paste it unescaped into another URL (§2.2)."""
        return f"{self._base_url}/media/{self._grant(slug)}/stream.m3u8"

    def player_url(self, slug: str) -> str:
        """The page that plays it; the SDKs rewrite `/watch?` to `/embed?` (§2.2)."""
        return f"{self._base_url}/watch?v={self._grant(slug)}"

    def thumbnail_url(self, asset: Asset) -> str | None:
        """The picture that stands for a video; None for what has none."""
        if asset.thumbnail_key is None or asset.playback_slug is None:
            return None
        return f"{self._base_url}/media/{self._grant(asset.playback_slug)}/thumbnail.jpg"

    def frame_url(self, asset: Asset, frame_id: str) -> str | None:
        """A picture out of a video (domain/scenes); None for what cannot be played."""
        if asset.playback_slug is None:
            return None
        return f"{self._base_url}/media/{self._grant(asset.playback_slug)}/frame/{frame_id}.jpg"

    def of_stretch(self, asset: Asset, start_us: int, end_us: int) -> dict[str, str | None]:
        """The links to a moment of an asset, None where it cannot be played.

        `stream_link` and `stream_url` play the stretch alone, `player_url` opens all of the asset there."""
        if asset.playback_slug is None:
            return {"stream_link": None, "stream_url": None, "player_url": None}
        longest_ms = max(1, round(asset.length_seconds * 1000))
        start_ms = max(0, min(start_us // 1000, longest_ms - _SHORTEST_STRETCH_MS))
        end_ms = min(max(-(-end_us // 1000), start_ms + _SHORTEST_STRETCH_MS), longest_ms)
        stream_url = self.stream_url(Stretch(asset.id, start_ms, end_ms).slug)
        player_url = f"{self.player_url(asset.playback_slug)}&t={start_ms / 1000:.1f}"
        return {"stream_link": stream_url, "stream_url": stream_url, "player_url": player_url}

    def of_stream_stretch(self, stream_id: str, start_us: int, end_us: int) -> dict[str, str | None]:
        """`stream_url` and `player_url` of what a stored stream recorded between two instants."""
        start_ms = start_us // 1000
        end_ms = max(-(-end_us // 1000), start_ms + _SHORTEST_STRETCH_MS)
        return self.of_playback(Stretch(stream_id, start_ms, end_ms).slug)

    def of_playback(self, slug: str) -> dict[str, str | None]:
        """`stream_url` and `player_url` of a playback."""
        return {"stream_url": self.stream_url(slug), "player_url": self.player_url(slug)}

    def of_asset(self, asset: Asset) -> dict[str, str | None]:
        """`stream_url` and `player_url` of an asset, None where it cannot be played."""
        if asset.playback_slug is None:
            return {"stream_url": None, "player_url": None}
        return self.of_playback(asset.playback_slug)

    def facts_of(self, asset: Asset) -> dict[str, Any]:
        """A video, audio or image as clients read it; `length` is never null: Python would raise (§2.2)."""
        thumbnail = self.thumbnail_url(asset)
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
            **self.of_asset(asset),
        }

    @property
    def _base_url(self) -> str:
        return self.settings.base_url

    def _grant(self, slug: str) -> str:
        lifetime = self.settings.media_url_seconds
        if not lifetime and read_stretch(slug) is None:
            return slug
        step = max(lifetime // _STEPS, 1)
        expires_at = (int(time.time()) // step + 1) * step + lifetime if lifetime else _NEVER
        granted = f"{slug}.{expires_at:x}"
        return f"{granted}.{_mac(self.settings, granted)}"


def read_media_grant(settings: Settings, text: str) -> MediaGrant:
    """What the part of a path between `/media/` and the next slash grants.

    Where links do not expire a slug alone is enough, but for a stretch's, and a link that was once signed is
    good for ever. Raises `NotFound` for a forged one.
    """
    granted, _, mac = text.rpartition(".")
    slug, _, expires_at = granted.partition(".")
    if not granted and read_stretch(text) is None:
        return MediaGrant(text, has_expired=settings.media_url_seconds > 0)
    if not hmac.compare_digest(_mac(settings, granted).encode(), mac.encode("utf-8", "surrogatepass")):
        raise NotFound("nothing is playable here")
    return MediaGrant(slug, has_expired=settings.media_url_seconds > 0 and int(expires_at, 16) <= time.time())


def _mac(settings: Settings, granted: str) -> str:
    if settings.secret_key is None:
        raise Unavailable("CAPTURE_SECRET_KEY is not set")
    key = settings.secret_key.get_secret_value().encode()
    signed = b"media-link:" + granted.encode("utf-8", "surrogatepass")
    return hmac.new(key, signed, hashlib.sha256).hexdigest()[:_MAC_CHARACTERS]
