"""The channels an SDK asks to record: ids in one form, storing and the primary display decided."""

from dataclasses import dataclass
from typing import Any

from opencapture_recorder.errors import CommandError
from opencapture_recorder.settings import CHANNEL_ID

MAX_CHANNELS = 16
TRACKS = ("mic", "system_audio", "screen")
_ALIASES = {"mic": "mic:default", "system_audio": "system_audio:default", "screen": "display:1"}


@dataclass(frozen=True, slots=True)
class ChannelRequest:
    """One channel of a recording as the server is told about it."""

    channel_id: str
    is_stored: bool
    is_primary: bool

    @property
    def kind(self) -> str:
        return "video" if self.channel_id.startswith("display:") else "audio"

    @property
    def track(self) -> str:
        """The SDKs' word for pausing: mic, system_audio, or screen for every display."""
        return "screen" if self.kind == "video" else self.channel_id.partition(":")[0]


def normalise_channel_id(raw: object) -> str:
    """`mic:default`, `system_audio:default` or `display:N` from any spelling the SDKs use."""
    text = str(raw)
    text = _ALIASES.get(text, text)
    if text.startswith("screen:"):
        text = f"display:{text.removeprefix('screen:')}"
    if not CHANNEL_ID.fullmatch(text):
        raise CommandError(f"channels: {text[:80]!r} is not a channel of this recorder")
    return text


def parse_channels(params: dict[str, Any]) -> list[ChannelRequest]:
    """The channels of `startRecording`. Raises CommandError, naming the parameter.

    `store` decides alone whether a channel is kept (absent: kept, the Node SDK's default); `record`,
    which Python SDK 0.4.0 always sends as true, is ignored.
    """
    rows = params.get("channels")
    if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_CHANNELS:
        raise CommandError(f"channels must be a list of 1 to {MAX_CHANNELS} channels")
    if not all(isinstance(row, dict) for row in rows):
        raise CommandError("channels must hold objects")
    ids = [normalise_channel_id(row.get("channel_id") or row.get("id") or row.get("name")) for row in rows]
    if len(set(ids)) != len(ids):
        raise CommandError("channels names one channel twice")
    primary = _primary(ids, rows, params.get("primary_video_channel_id"))
    return [
        ChannelRequest(channel_id, row.get("store") is not False, channel_id == primary)
        for channel_id, row in zip(ids, rows, strict=True)
    ]


def _primary(ids: list[str], rows: list[dict[str, Any]], named: object) -> str | None:
    """The display named by id or name, else the one flagged, else the first."""
    displays = [
        (channel_id, row) for channel_id, row in zip(ids, rows, strict=True) if "display:" in channel_id
    ]
    for channel_id, row in displays:
        if named and named in (channel_id, row.get("name"), row.get("channel_id")):
            return channel_id
    for channel_id, row in displays:
        if row.get("is_primary") is True:
            return channel_id
    return displays[0][0] if displays else None
