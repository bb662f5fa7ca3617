"""How media are cut into records or scenes: what the SDKs ask for, read into one form (contract A7)."""

from dataclasses import dataclass
from typing import Any, Literal

from app.base.errors import InvalidRequest

Kind = Literal["visual", "audio"]

DEFAULT_WINDOW_SECONDS = 10.0
DEFAULT_FRAMES = 5
LONGEST_WINDOW_SECONDS = 600.0
SHORTEST_WINDOW_SECONDS = 1.0
MOST_FRAMES = 60
DEFAULT_THRESHOLD = 20.0
DEFAULT_WORDS = 10
MOST_WORDS = 1000
PLACES = ("first", "middle", "last")
MOST_PICTURES = 50_000  # of one recording

_TYPES = {
    "time": "time",
    "time_based": "time",
    "shot": "shot",
    "shot_based": "shot",
    "transcript": "transcript",
}


@dataclass(frozen=True, slots=True)
class Extraction:
    """`type` is `time` (windows), `shot` (scene changes) or `transcript`; `config` as SDKs read it."""

    type: Literal["time", "shot", "transcript"]
    config: dict[str, Any]

    @property
    def kind(self) -> Kind:
        return "audio" if self.type == "transcript" else "visual"


def read_extraction(extraction_type: str | None, config: dict[str, Any] | None) -> Extraction:
    """Read what a client asks for; a missing type means windows of time, missing values the defaults.

    Raises InvalidRequest naming the field.
    """
    found = _TYPES.get(extraction_type or "time")
    if found is None:
        raise InvalidRequest(f"extraction_type must be one of {', '.join(_TYPES)}", field="extraction_type")
    given = config or {}
    if found == "transcript":
        return Extraction("transcript", _segmenter(given))
    frames = _number(given, "frame_count", DEFAULT_FRAMES if found == "time" else 1, 1, MOST_FRAMES)
    if found == "shot":
        threshold = _number(given, "threshold", DEFAULT_THRESHOLD, 1, 100)
        return Extraction("shot", {"threshold": threshold, "frame_count": int(frames)})
    window = _number(given, "time", DEFAULT_WINDOW_SECONDS, SHORTEST_WINDOW_SECONDS, LONGEST_WINDOW_SECONDS)
    return Extraction("time", {"time": window, "frame_count": int(frames)})


def read_recorded_extraction(
    extraction_type: str | None, config: dict[str, Any] | None, length_seconds: float
) -> Extraction:
    """The same for a recording of this length, with the defaults that the SDKs name: one picture of each
    scene, the first of a window (contract §2, Videos). Who names nothing at all gets the windows of a stream.

    Raises InvalidRequest naming the field.
    """
    given = config or {}
    frames = DEFAULT_FRAMES if extraction_type is None and not given else 1
    found = read_extraction(extraction_type, {"frame_count": frames} | _without_nulls(given))
    if found.type != "time":
        return found
    places = given.get("select_frames") or list(PLACES[:1])
    if not isinstance(places, list) or not all(place in PLACES for place in places):
        field = "extraction_config.select_frames"
        raise InvalidRequest(f"{field} must be a list of first, middle and last", field=field)
    names = [place for place in PLACES if place in places]
    pictures = length_seconds / found.config["time"] * max(found.config["frame_count"], len(names))
    if pictures > MOST_PICTURES:
        raise InvalidRequest(
            f"extraction_config.time: at most {MOST_PICTURES} pictures are taken, not {pictures:.0f}",
            field="extraction_config.time",
        )
    return Extraction("time", found.config | {"select_frames": names})


def _without_nulls(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def _segmenter(given: dict[str, Any]) -> dict[str, Any]:
    segmenter = given.get("segmenter") or "word"
    if segmenter == "time":
        value = _number(
            given,
            "segmentation_value",
            DEFAULT_WINDOW_SECONDS,
            SHORTEST_WINDOW_SECONDS,
            LONGEST_WINDOW_SECONDS,
        )
    elif segmenter in ("word", "sentence"):
        default = DEFAULT_WORDS if segmenter == "word" else 1
        value = int(_number(given, "segmentation_value", default, 1, MOST_WORDS))
    else:
        raise InvalidRequest(
            "extraction_config.segmenter must be word, sentence or time", field="extraction_config.segmenter"
        )
    return {"segmenter": segmenter, "segmentation_value": value}


def _number(given: dict[str, Any], name: str, default: float, least: float, most: float) -> float:
    value = given.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        field = f"extraction_config.{name}"
        raise InvalidRequest(f"{field} must be a number from {least:g} to {most:g}", field=field)
    return value
