"""What an understanding is asked for: analyzers, segmentation and sampling, read into extractions."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.base.errors import InvalidRequest
from app.domain.indexes.extraction import (
    DEFAULT_FRAMES,
    DEFAULT_THRESHOLD,
    DEFAULT_WINDOW_SECONDS,
    LONGEST_WINDOW_SECONDS,
    MOST_FRAMES,
    SHORTEST_WINDOW_SECONDS,
    Extraction,
)

Json = dict[str, Any]

MOST_ANALYZERS = 10
MAX_NAME_CHARACTERS = 100
MAX_PROMPT_CHARACTERS = 10_000
VLM, OCR, SPOKEN_WORDS = "vlm", "ocr", "spoken_words"
# What an output is called that was given no name.
_OUTPUT_NAMES = {VLM: "scene", OCR: "ocr", SPOKEN_WORDS: "transcript"}
_PROMPTS = {OCR: "Read the text on the screen", SPOKEN_WORDS: "Say what is said"}
_SAME_TYPES = {
    "scene": VLM,
    "scene_vlm": VLM,
    "vlm_scene_understanding": VLM,
    "asr": SPOKEN_WORDS,
    "transcript": SPOKEN_WORDS,
    "spoken_word": SPOKEN_WORDS,
    "speech_transcription": SPOKEN_WORDS,
    "objects": "object_detection",
    "face_detection": "faces",
    "brands": "brand_detection",
    "activity": "activity_recognition",
    "location": "location_detection",
    "location_understanding": "location_detection",
    "audio_events": "audio_event_detection",
}
_WITHOUT_ENGINE = {
    "object_detection",
    "faces",
    "brand_detection",
    "activity_recognition",
    "location_detection",
    "audio_event_detection",
}
_WINDOW = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|sec|seconds?|m|min|minutes?)?\s*")
_UNIT_SECONDS = {"ms": 0.001, "m": 60.0, "min": 60.0, "minute": 60.0, "minutes": 60.0}


@dataclass(frozen=True, slots=True)
class AnalyzerRequest:
    """One analyzer as it was asked for; `extraction` is None where no engine here does such work."""

    name: str
    type: str
    extraction: Extraction | None
    prompt: str | None
    model: str | None
    language_code: str | None
    config: Json
    notice: str | None


def read_analyzers(
    analyzers: Sequence[Any] | None, segmentation: Json | None, sampling: Json | None
) -> list[AnalyzerRequest]:
    """The analyzers of a request in their order, each with a name of its own.

    Raises `InvalidRequest` naming the field, `analyzers[0].type`.
    """
    if not analyzers or len(analyzers) > MOST_ANALYZERS:
        raise _mistake("analyzers", f"must be a list of 1 to {MOST_ANALYZERS}")
    found: list[AnalyzerRequest] = []
    for number, given in enumerate(analyzers):
        where = f"analyzers[{number}]"
        if not isinstance(given, dict):
            raise _mistake(where, "must be an object")
        found.append(_read(given, segmentation or {}, sampling, where, {one.name for one in found}))
    return found


def _read(
    given: Json, segmentation: Json, sampling: Json | None, where: str, taken: set[str]
) -> AnalyzerRequest:
    asked = str(given.get("type"))
    type_ = _SAME_TYPES.get(asked, asked)
    config = _object(given.get("config"), f"{where}.config")
    prompt = _text(config.get("prompt"), f"{where}.config.prompt", MAX_PROMPT_CHARACTERS)
    model = _text(config.get("model"), f"{where}.config.model", MAX_NAME_CHARACTERS)
    name = _name(given, type_, where, taken)
    if type_ in _WITHOUT_ENGINE:
        return AnalyzerRequest(
            name, type_, None, prompt, model, None, given, f"no engine of this server does {type_}"
        )
    if type_ not in _OUTPUT_NAMES:
        known = ", ".join((*_OUTPUT_NAMES, *sorted(_WITHOUT_ENGINE)))
        raise _mistake(f"{where}.type", f"must be one of {known}")
    if type_ == SPOKEN_WORDS:
        extraction = _of_speech(segmentation)
    else:
        own = _object(given.get("sampling"), f"{where}.sampling")
        extraction = _of_pictures(
            segmentation, own or sampling or {}, f"{where}.sampling" if own else "sampling"
        )
    ignored = [
        key for key, there in (("inputs", given.get("inputs")), ("schema", config.get("schema"))) if there
    ]
    notice = f"{' and '.join(ignored)} of this analyzer have no effect here" if ignored else None
    language = _text(config.get("language"), f"{where}.config.language", MAX_NAME_CHARACTERS)
    return AnalyzerRequest(
        name, type_, extraction, prompt or _PROMPTS.get(type_), model, language, given, notice
    )


def _name(given: Json, type_: str, where: str, taken: set[str]) -> str:
    own = _text(given.get("name"), f"{where}.name", MAX_NAME_CHARACTERS)
    if own in taken:
        raise _mistake(f"{where}.name", "is another analyzer's")
    if own:
        return own
    usual = _OUTPUT_NAMES.get(type_, type_)
    names = [usual, *(f"{usual}-{number}" for number in range(2, MOST_ANALYZERS + 1))]
    return next(one for one in names if one not in taken)


def _of_speech(segmentation: Json) -> Extraction:
    """Sentences, or windows where these are asked for: scenes mean nothing to speech."""
    if segmentation.get("type") == "time":
        value = _window_seconds(segmentation)
        return Extraction("transcript", {"segmenter": "time", "segmentation_value": value})
    _check_segmentation(segmentation)
    return Extraction("transcript", {"segmenter": "sentence", "segmentation_value": 1})


def _of_pictures(segmentation: Json, sampling: Json, where: str) -> Extraction:
    _check_segmentation(segmentation)
    if segmentation.get("type") == "shot":
        threshold = _number(segmentation, "threshold", DEFAULT_THRESHOLD, 1, 100, "segmentation")
        return Extraction("shot", {"threshold": threshold, "frame_count": _frames(sampling, 1, None, where)})
    window = _window_seconds(segmentation)
    return Extraction(
        "time", {"time": window, "frame_count": _frames(sampling, DEFAULT_FRAMES, window, where)}
    )


def _check_segmentation(segmentation: Json) -> None:
    if segmentation.get("type", "time") not in ("time", "shot"):
        raise _mistake("segmentation.type", "must be time or shot")


def _window_seconds(segmentation: Json) -> float:
    """`window` is a text with a unit on streams, `seconds` a number on videos; either is read on both."""
    field = next((one for one in ("window", "seconds", "time") if segmentation.get(one) is not None), None)
    if field is None:
        return DEFAULT_WINDOW_SECONDS
    found = _WINDOW.fullmatch(str(segmentation[field])) if not isinstance(segmentation[field], bool) else None
    seconds = float(found[1]) * _UNIT_SECONDS.get(found[2] or "s", 1.0) if found else 0.0
    if not SHORTEST_WINDOW_SECONDS <= seconds <= LONGEST_WINDOW_SECONDS:
        least, most = SHORTEST_WINDOW_SECONDS, LONGEST_WINDOW_SECONDS
        raise _mistake(f"segmentation.{field}", f"must be a time such as 10s, from {least:g} to {most:g} s")
    return seconds


def _frames(sampling: Json, default: int, window_seconds: float | None, where: str) -> int:
    if sampling.get("strategy") == "interval" and window_seconds is not None:
        every = _number(sampling, "every", 1.0, 0.1, LONGEST_WINDOW_SECONDS, where)
        return max(1, min(MOST_FRAMES, math.ceil(window_seconds / every)))
    return int(_number(sampling, "frame_count", default, 1, MOST_FRAMES, where))


def _number(given: Json, name: str, default: float, least: float, most: float, where: str) -> float:
    value = given.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise _mistake(f"{where}.{name}", f"must be a number from {least:g} to {most:g}")
    return value


def _object(value: Any, where: str) -> Json:
    if value is not None and not isinstance(value, dict):
        raise _mistake(where, "must be an object")
    return value or {}


def _text(value: Any, where: str, most: int) -> str | None:
    if value is not None and (not isinstance(value, str) or len(value) > most):
        raise _mistake(where, f"must be a text of at most {most} characters")
    return value or None


def _mistake(field: str, message: str) -> InvalidRequest:
    return InvalidRequest(f"{field} {message}", field=field)
