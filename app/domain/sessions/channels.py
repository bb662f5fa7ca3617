"""Reads the channels of a start request: the vendor's recorder, both SDKs' shapes and our own."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from app.base.errors import InvalidRequest

MAX_CHANNELS = 16
_CANONICAL = re.compile(r"(mic|system_audio):[\w.-]{1,64}|display:[1-9]\d?", re.ASCII)
_RECORDER_SCREEN = re.compile(r"screen(?:_(\d|[1-8]\d|9[0-8]))?", re.ASCII)  # counts from 0
_DISPLAY_FORM = re.compile(r"(?:screen|display)[:_]?(\d{1,2})?", re.ASCII)

Category = Literal["mic", "system_audio", "screen"]


@dataclass(frozen=True, slots=True)
class RequestedChannel:
    """A channel as a client asks for it; `type` and the ids are whatever it sent."""

    wire_id: str
    label: str | None
    type: str | None
    store: bool
    is_primary: bool


@dataclass(frozen=True, slots=True)
class ChosenChannel:
    wire_id: str
    name: str
    label: str
    category: Category
    media_type: Literal["audio", "video"]
    store: bool
    is_primary: bool


def choose_channels(
    requested: Sequence[RequestedChannel], primary_video_channel_id: str | None
) -> list[ChosenChannel]:
    """Normalise the requested channels and settle which display is primary, that one first.

    The primary display is the one that `primary_video_channel_id` names by id or name, else the one
    marked so, else the first (contract §2.6). Raises `InvalidRequest` for none, too many, one of no known
    kind, or two of the same name.
    """
    if not requested:
        raise InvalidRequest("channels must name at least one channel", field="channels")
    if len(requested) > MAX_CHANNELS:
        raise InvalidRequest(f"at most {MAX_CHANNELS} channels a session", field="channels")
    names = [normalise_name(channel) for channel in requested]
    if len(set(names)) < len(names):
        raise InvalidRequest("two channels have the same id", field="channels")
    displays = [name for name in names if _category(name) == "screen"]
    primary = _primary(requested, names, displays, primary_video_channel_id)
    chosen = [
        ChosenChannel(
            wire_id=channel.wire_id,
            name=name,
            label=channel.label or name,
            category=_category(name),
            media_type="video" if _category(name) == "screen" else "audio",
            store=channel.store,
            is_primary=name == primary,
        )
        for channel, name in zip(requested, names, strict=True)
    ]
    return sorted(chosen, key=lambda channel: not channel.is_primary)


def normalise_name(channel: RequestedChannel) -> str:
    """`mic:default`, `system_audio:default` or `display:N` for any spelling that a client uses.

    A label of that form wins over the id, since the vendor's recorder rewrites ids (recorder.md).
    Raises `InvalidRequest` when neither the id nor the type tells.
    """
    for text in (channel.label, channel.wire_id):
        if text and _CANONICAL.fullmatch(text):
            return text
    wire_id = channel.wire_id
    if recorder := _RECORDER_SCREEN.fullmatch(wire_id):
        return f"display:{int(recorder[1] or 0) + 1}"
    if display := _DISPLAY_FORM.fullmatch(wire_id):
        return f"display:{int(display[1] or 1) or 1}"
    for category in ("mic", "system_audio"):
        if wire_id == category or channel.type == category:
            return f"{category}:default"
    if channel.type in ("video", "display", "screen"):
        return "display:1"
    raise InvalidRequest(
        f"channel {wire_id[:80]!r} is neither mic:…, system_audio:… nor display:N", field="channels"
    )


def channel_name(text: str) -> str:
    """The name of the channel that `text` means. Raises `InvalidRequest`."""
    return normalise_name(RequestedChannel(text, None, None, store=True, is_primary=False))


def _category(name: str) -> Category:
    prefix = name.partition(":")[0]
    return "mic" if prefix == "mic" else "system_audio" if prefix == "system_audio" else "screen"


def _primary(
    requested: Sequence[RequestedChannel], names: list[str], displays: list[str], wanted: str | None
) -> str | None:
    for channel, name in zip(requested, names, strict=True):
        if name in displays and wanted and wanted in (channel.wire_id, channel.label, name):
            return name
    for channel, name in zip(requested, names, strict=True):
        if name in displays and channel.is_primary:
            return name
    return displays[0] if displays else None
