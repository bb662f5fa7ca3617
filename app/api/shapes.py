"""Rows as the wire shows them (contract §2.1 and §2.2)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from app.base.settings import Settings
from app.domain.assets.links import Links
from app.domain.assets.models import Asset
from app.domain.collections.models import Collection
from app.domain.nodes.models import IngestNode
from app.domain.sessions.models import CaptureSession, Channel
from app.domain.sessions.states import Status
from app.domain.streams.models import Stream
from app.wire.publish_paths import publish_path
from app.wire.tickets import FileTicket, sign_file

Json = dict[str, Any]


def unix_seconds(at: datetime) -> int:
    """Whole seconds: the vendor's recorder refuses a float here (recorder.md §1)."""
    return int(at.timestamp())


def collection_shape(collection: Collection) -> Json:
    return {
        "id": collection.id,
        "name": collection.name,
        "description": collection.description,
        "is_public": collection.is_public,
        "retention_days": collection.retention_days,
    }


def created_session_shape(capture: CaptureSession) -> Json:
    """The create reply: `session_id` and no `id`, since Python raises on both (contract A2)."""
    return {
        "session_id": capture.id,
        "collection_id": capture.collection_id,
        "end_user_id": capture.end_user_id,
        "status": capture.status.value,
        "callback_url": capture.callback_url,
        "metadata": capture.metadata_,
        "created_at": unix_seconds(capture.created_at),
        "rtstreams": [],
        "channels": [],
    }


def session_shape(
    capture: CaptureSession,
    channels: Sequence[Channel],
    streams: Sequence[Stream],
    exported: Asset | None,
    export_status: str | None,
    links: Links,
) -> Json:
    """A session with its channels and streams; each display once more as `display`, at the end (C1)."""
    rows = [stream_shape(stream) for stream in streams]
    if links.settings.display_alias_rows:
        rows += [row | {"channel_id": "display"} for row in rows if row["channel_id"] == "screen"]
    played = links.of_asset(exported) if exported else {"stream_url": None, "player_url": None}
    return created_session_shape(capture) | {
        "id": capture.id,
        "client_id": None,
        "exported_video_id": capture.exported_video_id,
        "export_status": export_status,
        **played,
        **live_links(capture, links),
        "primary_video_channel_id": capture.primary_video_channel_id,
        "end_reason": capture.end_reason,
        "error": capture.error,
        "channels": [
            {
                "channel_id": channel.name,
                "name": channel.label,
                "type": channel.media_type,
                "store": channel.store,
                "is_primary": channel.is_primary,
            }
            for channel in channels
        ],
        "rtstreams": rows,
    }


def live_links(capture: CaptureSession, links: Links) -> Json:
    """Where the session plays while it is recorded, and afterwards; None before it starts."""
    slug = capture.live_slug
    return {
        "live_stream_url": links.stream_url(slug) if slug else None,
        "live_player_url": links.player_url(slug) if slug else None,
    }


def stream_shape(stream: Stream) -> Json:
    """`channel_id` is the category: the SDKs find a session's streams by its equality (contract §2.1)."""
    return {
        "id": stream.id,
        "rtstream_id": stream.id,
        "collection_id": stream.collection_id,
        "channel_id": stream.category,
        "name": stream.name,
        "media_types": [stream.media_type],
        "status": stream.status,
        "sample_rate": 48_000 if stream.media_type == "audio" else None,
        "created_at": unix_seconds(stream.created_at),
        "store": stream.store,
        "exported_asset_id": stream.exported_asset_id,
    }


def polled_status(capture: CaptureSession, node: IngestNode | None) -> str:
    """The status that a recorder polls: `active` is what the vendor's waits for before it sends anything
    (recorder.md §1), so a session that waits for media is that to it, once there is a port to send to."""
    if capture.status == Status.STARTING and node is not None:
        return Status.ACTIVE.value
    return capture.status.value


def publishing_shape(
    capture: CaptureSession,
    channels: Sequence[Channel],
    streams: Sequence[Stream],
    node: IngestNode | None,
    settings: Settings,
) -> Json:
    """What a recorder reads from start and status: its own channel ids, and where each is published.

    The vendor's recorder wants all four strings of a channel (recorder.md §1); without a `node` that takes
    RTSPS, an empty `rtsp_url` makes it open nothing.
    """
    by_channel = {stream.channel_id: stream for stream in streams}
    base_url = settings.base_url

    def rtsp_url(stream: Stream) -> str:
        if node is None:
            return ""
        return f"rtsps://{node.rtsps_host}:{node.rtsps_port}/{publish_path(settings, stream.id)}"

    return {
        "session_id": capture.id,
        "streaming_session_id": capture.id,
        "status": capture.status.value,
        "created_at": unix_seconds(capture.created_at),
        "channels": [
            {
                "channel_id": channel.wire_id,
                "channel_name": channel.name,
                "stream_id": by_channel[channel.id].id,
                "whip_url": f"{base_url}/whip/{by_channel[channel.id].id}",
                "rtsp_url": rtsp_url(by_channel[channel.id]),
                "type": channel.media_type,
                "store": channel.store,
                "is_primary": channel.is_primary,
            }
            for channel in channels
        ],
        **({"ssl_certificate_hash": node.rtsps_pin} if node else {}),
    }


def asset_shape(asset: Asset, links: Links) -> Json:
    """A video, audio or image; `length` is never null, Python would raise on it (contract §2.2)."""
    thumbnail = links.thumbnail_url(asset)
    more = {"url": file_url(asset, links.settings)} if asset.kind == "image" else {}
    return {
        "id": asset.id,
        "collection_id": asset.collection_id,
        "name": asset.name,
        "description": asset.description,
        **more,
        "length": round(asset.length_seconds, 3),
        "size": asset.size_bytes,
        "user_id": asset.account_id,
        "created_at": unix_seconds(asset.created_at),
        "thumbnail": thumbnail,
        "thumbnail_url": thumbnail,
        **links.of_asset(asset),
    }


def file_url(asset: Asset, settings: Settings) -> str:
    """A link to the asset's file that needs no key, for as long as links to media are good."""
    ticket = sign_file(settings, FileTicket(asset.account_id, asset.id))
    ending = asset.storage_key.rpartition(".")[2]
    return f"{settings.base_url}/file/{ticket}/{asset.id}.{ending}"
