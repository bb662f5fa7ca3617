"""Rows as the wire shows them (contract §2.1 and §2.2)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from app.base.settings import Settings
from app.domain.assets.links import Links
from app.domain.assets.models import Asset
from app.domain.collections.models import Collection
from app.domain.nodes.models import IngestNode
from app.domain.operations.models import Operation
from app.domain.sessions.models import CaptureSession, Channel
from app.domain.sessions.states import Status
from app.domain.streams.models import PublisherState, Pull, Stream
from app.domain.streams.source_urls import masked_url
from app.wire.publish_paths import publish_path
from app.wire.tickets import DownloadTicket, FileTicket, sign_download, sign_file

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
        "media_types": list(stream.media_types),
        "status": stream.status,
        "sample_rate": 48_000 if stream.media_type == "audio" else None,
        "created_at": unix_seconds(stream.created_at),
        "store": stream.store,
        "exported_asset_id": stream.exported_asset_id,
    }


def pulled_shape(stream: Stream, pull: Pull | None) -> Json:
    """A stream as its account sees it by itself: of a pulled one also the source, without its password."""
    shape = stream_shape(stream)
    if pull is None:
        return shape
    is_held = stream.publisher_state == PublisherState.LIVE
    state = "stopped" if not pull.is_wanted else "waiting"
    if pull.is_wanted and is_held:
        state = "receiving" if pull.has_begun and pull.error is None else "connecting"
    return shape | {
        "sample_rate": pull.sample_rate or shape["sample_rate"],
        "source": {
            "url": masked_url(pull.url),
            "state": state,
            "attempts": pull.attempts,
            "error": pull.error,
        },
    }


def polled_status(capture: CaptureSession, node: IngestNode | None) -> str:
    """The status that a recorder polls: `active` is what the vendor's waits for before it sends anything
    (recorder.md §1), so a session that waits for media is that to it, once there is a port to send to."""
    if capture.status == Status.STARTING and node is not None and node.rtsps_port:
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

    The vendor's recorder wants all four strings of a channel (recorder.md §1); where the session's `node`
    takes no RTSPS, an empty `rtsp_url` makes it open nothing. The session's own `whip_url` takes sound and
    picture in one offer.
    """
    by_channel = {stream.channel_id: stream for stream in streams}
    whip_url = f"{(node and node.whip_url) or settings.ingest_base_url}/whip"

    def rtsp_url(stream: Stream) -> str:
        if node is None or not node.rtsps_port:
            return ""
        return f"rtsps://{node.rtsps_host}:{node.rtsps_port}/{publish_path(settings, stream.id)}"

    return {
        "session_id": capture.id,
        "streaming_session_id": capture.id,
        "status": capture.status.value,
        "created_at": unix_seconds(capture.created_at),
        "whip_url": f"{whip_url}/{capture.id}",
        "channels": [
            {
                "channel_id": channel.wire_id,
                "channel_name": channel.name,
                "stream_id": by_channel[channel.id].id,
                "whip_url": f"{whip_url}/{by_channel[channel.id].id}",
                "rtsp_url": rtsp_url(by_channel[channel.id]),
                "type": channel.media_type,
                "store": channel.store,
                "is_primary": channel.is_primary,
            }
            for channel in channels
        ],
        **({"ssl_certificate_hash": node.rtsps_pin} if node and node.rtsps_port else {}),
    }


def asset_shape(asset: Asset, links: Links) -> Json:
    """A video, audio or image; an image with a link to its file."""
    return links.facts_of(asset) | ({"url": file_url(asset, links.settings)} if asset.kind == "image" else {})


def file_url(asset: Asset, settings: Settings) -> str:
    """A link to the asset's file that needs no key, for as long as links to media are good."""
    ticket = sign_file(settings, FileTicket(asset.account_id, asset.id))
    ending = asset.storage_key.rpartition(".")[2]
    return f"{settings.base_url}/file/{ticket}/{asset.id}.{ending}"


_DOWNLOAD_STATUS = {"pending": "processing", "running": "processing"}


def download_shape(settings: Settings, download: Operation) -> Json:
    """A download, with a link to its file for `FILE_TICKET_SECONDS` once that is there."""
    link = None
    if download.result is not None:
        ticket = sign_download(settings, DownloadTicket(download.account_id, download.id))
        ending = download.result["storage_key"].rpartition(".")[2]
        link = f"{settings.base_url}/downloads/{ticket}/{download.id}.{ending}"
    return {
        "id": download.id,
        "name": download.request["name"],
        "status": _DOWNLOAD_STATUS.get(download.status, download.status),
        "percentage": download.percentage,
        "download_url": link,
        "error": download.error if download.status == "failed" else None,
        "created_at": unix_seconds(download.created_at),
    }
