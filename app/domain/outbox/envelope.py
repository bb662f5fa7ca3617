"""What all events have in common on the wire."""

from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]
VERSION = "2"  # of the envelope (contract §2.5)


def iso(at: datetime) -> str:
    """`2026-01-20T12:34:56.789Z`: the timestamp form of webhooks and frames."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def envelope(name: str, message_id: str, at: datetime) -> Json:
    """The fields that every webhook's body begins with."""
    return {
        "id": message_id,
        "event_id": message_id,
        "version": VERSION,
        "event": name,
        "timestamp": iso(at),
    }
