"""Every OPENCAPTURE_… variable the recorder reads, typed and checked."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from opencapture_recorder.errors import SettingsError

CHANNEL_ID = re.compile(r"mic:default|system_audio:default|display:[1-9][0-9]?")
_KINDS = ("file", "tone_hz", "pattern")


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """What plays on one channel instead of a device: exactly one of file, tone or test pattern."""

    file: Path | None = None
    tone_hz: float | None = None
    pattern: bool = False
    loop: bool = False


@dataclass(frozen=True, slots=True)
class RecorderSettings:
    """`sources` is None for real screens and sound; otherwise exactly these channels exist."""

    sources: Mapping[str, SourceSpec] | None = None
    frame_rate: int = 15
    max_width: int = 1280
    max_height: int = 720
    video_bits_per_second: int = 2_000_000


def load_settings(environment: Mapping[str, str] | None = None) -> RecorderSettings:
    """Read the environment. Raises SettingsError, naming the variable."""
    values = os.environ if environment is None else environment
    text = values.get("OPENCAPTURE_SOURCES", "").strip()
    return RecorderSettings(
        sources=_sources(text) if text else None,
        frame_rate=_integer(values, "OPENCAPTURE_FRAME_RATE", 15, 1, 30),
        max_width=_integer(values, "OPENCAPTURE_MAX_WIDTH", 1280, 64, 3840),
        max_height=_integer(values, "OPENCAPTURE_MAX_HEIGHT", 720, 64, 2160),
        video_bits_per_second=_integer(
            values, "OPENCAPTURE_VIDEO_BITS_PER_SECOND", 2_000_000, 100_000, 20_000_000
        ),
    )


def _integer(values: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = values.get(name, "").strip()
    if not text:
        return default
    if not text.isdecimal() or not low <= int(text) <= high:
        raise SettingsError(f"{name} must be a whole number from {low} to {high}")
    return int(text)


def _sources(text: str) -> dict[str, SourceSpec]:
    """JSON text, or the path of a JSON file: channel id to source."""
    if not text.startswith("{"):
        try:
            text = Path(text).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"OPENCAPTURE_SOURCES names a file that cannot be read: {error}") from None
    try:
        entries = json.loads(text)
    except ValueError as error:
        raise SettingsError(f"OPENCAPTURE_SOURCES is not JSON: {error}") from None
    if not isinstance(entries, dict) or not entries:
        raise SettingsError("OPENCAPTURE_SOURCES must be a JSON object from channel id to source")
    return {channel_id: _source(channel_id, entry) for channel_id, entry in entries.items()}


def _source(channel_id: str, entry: object) -> SourceSpec:
    where = f"OPENCAPTURE_SOURCES[{channel_id!r}]"
    if not CHANNEL_ID.fullmatch(channel_id):
        raise SettingsError(f"{where}: the id must be mic:default, system_audio:default or display:N")
    if not isinstance(entry, dict) or set(entry) - {*_KINDS, "loop"}:
        raise SettingsError(f"{where} must be an object with one of {', '.join(_KINDS)}, and loop")
    if sum(kind in entry for kind in _KINDS) != 1:
        raise SettingsError(f"{where} must name exactly one of {', '.join(_KINDS)}")
    is_display = channel_id.startswith("display:")
    if ("tone_hz" in entry and is_display) or ("pattern" in entry and not is_display):
        raise SettingsError(f"{where}: tone_hz is for sound, pattern for a display")
    file, tone_hz = entry.get("file"), entry.get("tone_hz")
    pattern, loop = entry.get("pattern", False), entry.get("loop", False)
    if (
        not (file is None or isinstance(file, str))
        or not isinstance(pattern, bool)
        or not isinstance(loop, bool)
    ):
        raise SettingsError(f"{where}: file is a path; pattern and loop are true or false")
    if tone_hz is not None and (isinstance(tone_hz, bool) or not isinstance(tone_hz, int | float)):
        raise SettingsError(f"{where}: tone_hz is a number")
    return SourceSpec(Path(file) if file else None, tone_hz, pattern, loop)
