"""Reads the editor's timeline JSON (contract §2.4): what the SDKs send, each mistake named by its place."""

from dataclasses import dataclass
from typing import Any, Literal

from app.base.errors import InvalidRequest

Fit = Literal["crop", "cover", "contain"] | None
MAX_SIDE_PIXELS = 4096
MAX_CLIPS = 500
MAX_SECONDS = 6 * 3600
FITS: tuple[Fit, ...] = ("crop", "cover", "contain", None)


@dataclass(frozen=True, slots=True)
class TimelineClip:
    """Shows `duration_seconds` of an asset from `asset_start_seconds` on, at `start_seconds`."""

    kind: Literal["video", "audio"]
    asset_id: str
    start_seconds: float
    duration_seconds: float
    asset_start_seconds: float
    volume: float
    opacity: float
    fit: Fit


@dataclass(frozen=True, slots=True)
class TimelineRequest:
    """Tracks from the bottom to the top; sizes in pixels, background `#rrggbb`."""

    width: int
    height: int
    background: str
    tracks: tuple[tuple[TimelineClip, ...], ...]


def read_timeline(timeline: object) -> TimelineRequest:
    """Check a timeline and return it. Raises `InvalidRequest` naming the clip and field that is wrong."""
    spec = _object(timeline, "timeline")
    width, height = _resolution(spec.get("resolution") or "1280x720")
    tracks = [_object(track, f"tracks[{n}]") for n, track in enumerate(_list(spec.get("tracks"), "tracks"))]
    depths = [_number(track, "z_index", f"tracks[{n}]", 0.0) for n, track in enumerate(tracks)]
    bottom_up = sorted(range(len(tracks)), key=depths.__getitem__)
    read = tuple(_track(tracks[number], f"tracks[{number}]") for number in bottom_up)
    clips = sum(len(track) for track in read)
    if not clips:
        raise InvalidRequest("the timeline has no clips", field="tracks")
    if clips > MAX_CLIPS:
        raise InvalidRequest(f"a timeline may have {MAX_CLIPS} clips", field="tracks")
    background = spec.get("background") or "#000000"
    if not isinstance(background, str) or not _is_colour(background):
        raise InvalidRequest("background must be a colour like #1a2b3c", field="background")
    return TimelineRequest(width, height, background, read)


def _track(track: dict[str, Any], where: str) -> tuple[TimelineClip, ...]:
    return tuple(
        _clip(_object(clip, f"{where}.clips[{n}]"), f"{where}.clips[{n}]")
        for n, clip in enumerate(_list(track.get("clips"), f"{where}.clips"))
    )


def _clip(placed: dict[str, Any], where: str) -> TimelineClip:
    clip = _object(placed.get("clip"), f"{where}.clip")
    asset = _object(clip.get("asset"), f"{where}.clip.asset")
    kind = asset.get("type")
    if kind not in ("video", "audio"):
        raise InvalidRequest(
            f"{where}.clip.asset.type: {str(kind)[:40]!r} clips cannot be rendered yet, only video and audio",
            field=f"{where}.clip.asset.type",
        )
    asset_id = asset.get("id")
    if not isinstance(asset_id, str) or not asset_id:
        raise InvalidRequest(f"{where}.clip.asset.id is required", field=f"{where}.clip.asset.id")
    fit = None if clip.get("fit") in (None, "None") else clip["fit"]  # "None": a quirk of Python's enum
    if fit not in FITS:
        raise InvalidRequest(f"{where}.clip.fit must be crop, cover or contain", field=f"{where}.clip.fit")
    return TimelineClip(
        kind=kind,
        asset_id=asset_id,
        start_seconds=_number(placed, "start", where, 0.0),
        duration_seconds=_number(clip, "duration", f"{where}.clip", None, least=0.001),
        asset_start_seconds=_number(asset, "start", f"{where}.clip.asset", 0.0),
        volume=_number(asset, "volume", f"{where}.clip.asset", 1.0, most=10.0),
        opacity=_number(clip, "opacity", f"{where}.clip", 1.0, most=1.0),
        fit=fit,
    )


def _number(
    holder: dict[str, Any],
    name: str,
    where: str,
    default: float | None,
    *,
    least: float = 0.0,
    most: float = MAX_SECONDS,
) -> float:
    value = holder.get(name, default)
    value = default if value is None else value
    field = f"{where}.{name}"
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise InvalidRequest(f"{field} must be a number from {least:g} to {most:g}", field=field)
    return float(value)


def _resolution(value: object) -> tuple[int, int]:
    width, _, height = value.partition("x") if isinstance(value, str) else ("", "", "")
    if not (width.isdecimal() and height.isdecimal()):
        raise InvalidRequest("resolution must look like 1280x720", field="resolution")
    sides = int(width[:6]), int(height[:6])
    if not all(16 <= side <= MAX_SIDE_PIXELS for side in sides):
        raise InvalidRequest(f"resolution: each side from 16 to {MAX_SIDE_PIXELS}", field="resolution")
    return sides[0] // 2 * 2, sides[1] // 2 * 2  # H.264 with 4:2:0 chroma has even sides


def _is_colour(value: str) -> bool:
    return len(value) == 7 and value[0] == "#" and all(c in "0123456789abcdefABCDEF" for c in value[1:])


def _object(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidRequest(f"{where} must be an object", field=where)
    return value


def _list(value: object, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise InvalidRequest(f"{where} must be a list", field=where)
    return value
