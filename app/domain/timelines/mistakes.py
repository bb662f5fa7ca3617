"""A mistake in a timeline, named by its place: `tracks[0].clips[1].clip.asset.volume`."""

from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from app.base.errors import InvalidRequest

T = TypeVar("T", bound=BaseModel)

_ASSET_TYPES = {"video", "audio", "image", "text", "caption"}
_SAID: dict[str, str] = {
    "missing": "is required",
    "union_tag_invalid": "must be video, audio, image, text or caption",
    "union_tag_not_found": "is required: video, audio, image, text or caption",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "list_type": "must be a list",
}


def read_part(model: type[T], value: object, where: str = "") -> T:
    """`value` as a `model`. Raises `InvalidRequest` that names the first wrong field, below `where`."""
    if not isinstance(value, dict):
        raise mistake(where or "timeline", "must be an object")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
    field = _place(where, first["loc"])
    if first["type"].startswith("union_tag"):
        field += ".type"
    raise mistake(field, _said(first))


def mistake(field: str, message: str) -> InvalidRequest:
    """The error for a field."""
    return InvalidRequest(f"{field}: {message}", field=field)


def _said(error: Any) -> str:
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    said: str = error["msg"]
    return _SAID.get(error["type"], said[0].lower() + said[1:])


def _place(where: str, location: Sequence[str | int]) -> str:
    place = where
    for number, step in enumerate(location):
        if isinstance(step, int):
            place += f"[{step}]"
        elif not (step in _ASSET_TYPES and number and location[number - 1] == "asset"):
            # The type of an asset is a step of the reader's, not of the timeline.
            place += f".{step}" if place else step
    return place
