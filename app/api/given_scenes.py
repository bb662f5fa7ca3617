"""Scenes that callers cut and describe themselves, as both SDKs send them."""

import math
from collections.abc import Sequence
from typing import Any

from app.base.errors import InvalidRequest
from app.domain.scenes.indexing import GivenScene

MOST_SCENES = 10_000
MOST_LOOKS = 60
MOST_DESCRIPTION_CHARACTERS = 20_000
_BEYOND_SECONDS = 1.0  # an end may be rounded up


def read_given_scenes(scenes: Sequence[dict[str, Any]], length_seconds: float) -> list[GivenScene]:
    """Read them; a scene without a description is looked at where its frames are, or at its middle.

    Raises `InvalidRequest` that names the field of the first one that cannot be a scene of a recording of
    this length.
    """
    if len(scenes) > MOST_SCENES:
        raise InvalidRequest(f"scenes: at most {MOST_SCENES} are taken", field="scenes")
    return [_scene(scene, f"scenes.{number}", length_seconds) for number, scene in enumerate(scenes)]


def _scene(given: dict[str, Any], field: str, length_seconds: float) -> GivenScene:
    start = _seconds(given.get("start"), f"{field}.start", length_seconds)
    end = min(_seconds(given.get("end"), f"{field}.end", length_seconds + _BEYOND_SECONDS), length_seconds)
    if not start < end:
        raise InvalidRequest(f"{field}.end must be behind its start", field=f"{field}.end")
    description = given.get("description")
    if description is not None and not (
        isinstance(description, str) and len(description) <= MOST_DESCRIPTION_CHARACTERS
    ):
        raise InvalidRequest(
            f"{field}.description must be a text of up to {MOST_DESCRIPTION_CHARACTERS} characters",
            field=f"{field}.description",
        )
    metadata = given.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise InvalidRequest(f"{field}.metadata must be an object", field=f"{field}.metadata")
    start_us, end_us = round(start * 1e6), max(round(end * 1e6), round(start * 1e6) + 1)
    looks = _looks(given.get("frames") or [], f"{field}.frames", start_us, end_us, length_seconds)
    return GivenScene(start_us, end_us, looks, (description or "").strip() or None, metadata)


def _looks(given: Any, field: str, start_us: int, end_us: int, length_seconds: float) -> tuple[int, ...]:
    if not isinstance(given, list) or len(given) > MOST_LOOKS or not all(isinstance(f, dict) for f in given):
        raise InvalidRequest(f"{field} must be a list of at most {MOST_LOOKS} frames", field=field)
    times = [
        _seconds(frame["frame_time"], f"{field}.{number}.frame_time", length_seconds)
        for number, frame in enumerate(given)
        if frame.get("frame_time") is not None
    ]
    looks = sorted({round(at * 1e6) for at in times})
    return tuple(looks) or ((start_us + end_us) // 2,)


def _seconds(value: Any, field: str, most: float) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not 0 <= value <= most:
        raise InvalidRequest(f"{field} must be seconds within the recording's {most:.3f}", field=field)
    return float(value)
