"""Reads the editor's timeline (contract §2.4): what the SDKs send, each mistake named by its place."""

from typing import Annotated, NamedTuple

from pydantic import BeforeValidator, Field

from app.domain.timelines.mistakes import mistake, read_part
from app.media.editor.colours import Colour, CssColour
from app.media.editor.cues import read_subtitles
from app.media.editor.parts import MAX_SIDE_PIXELS, Number, Part, Seconds
from app.media.editor.timeline import CaptionAsset, Clip, PlacedClip, Timeline, Transition

MAX_CLIPS = 500
MIN_SIDE_PIXELS = 16
_PLACED = ("fit", "scale", "position", "offset", "filter")
# A text is shown in its own size; captions have a position of their own, and lie over all of the canvas.
_UNSEEN: dict[str, tuple[str, ...]] = {
    "audio": (*_PLACED, "effect", "opacity"),
    "caption": _PLACED,
    "text": ("fit",),
}


class Size(NamedTuple):
    """Even sides in pixels."""

    width: int
    height: int


def read_resolution(value: object) -> Size:
    """`1280x720`. H.264 with 4:2:0 chroma has even sides, so odd ones lose a pixel. Raises `ValueError`."""
    if isinstance(value, Size):
        return value
    width, _, height = value.partition("x") if isinstance(value, str) else ("", "", "")
    if not (width.isascii() and width.isdecimal() and height.isascii() and height.isdecimal()):
        raise ValueError("must look like 1280x720")
    sides = int(width[:6]), int(height[:6])
    if not all(MIN_SIDE_PIXELS <= side <= MAX_SIDE_PIXELS for side in sides):
        raise ValueError(f"each side must have {MIN_SIDE_PIXELS} to {MAX_SIDE_PIXELS} pixels")
    return Size(sides[0] // 2 * 2, sides[1] // 2 * 2)


class TrackItem(Part):
    start: Seconds = 0.0
    clip: Clip


class Track(Part):
    clips: list[TrackItem]
    z_index: Number = 0


class EditorTimeline(Part):
    """Tracks from the bottom to the top where their `z_index` does not say otherwise; so the clips of one."""

    background: CssColour = Colour(0, 0, 0)
    resolution: Annotated[Size, BeforeValidator(read_resolution)] = Size(1280, 720)
    tracks: Annotated[list[Track], Field(min_length=1)]


def read_editor_timeline(spec: object) -> Timeline:
    """Check a timeline and return it. Raises `InvalidRequest` naming the clip and field that is wrong."""
    read = read_part(EditorTimeline, spec)
    found = [
        (track.z_index, number, item.clip.z_index, place, item)
        for number, track in enumerate(read.tracks)
        for place, item in enumerate(track.clips)
    ]
    if not found:
        raise mistake("tracks", "the timeline has no clips")
    if len(found) > MAX_CLIPS:
        raise mistake("tracks", f"a timeline may have {MAX_CLIPS} clips")
    clips = [
        _placed(item, f"tracks[{track}].clips[{place}]")
        for _, track, _, place, item in sorted(found, key=lambda row: row[:4])
    ]
    return Timeline(read.resolution.width, read.resolution.height, read.background, clips)


def _placed(item: TrackItem, where: str) -> PlacedClip:
    clip = item.clip
    if isinstance(clip.asset, CaptionAsset) and clip.asset.src != "auto":
        try:
            read_subtitles(clip.asset.src)
        except ValueError as error:
            raise mistake(f"{where}.clip.asset.src", str(error)) from error
    _check_looks(clip, f"{where}.clip")
    moves = clip.transition
    return PlacedClip(
        where,
        item.start,
        clip.duration,
        clip,
        fade_in_seconds=moves.duration if moves.enter else 0.0,
        fade_out_seconds=moves.duration if moves.leave else 0.0,
        enter=moves.enter or "fade",
        leave=moves.leave or "fade",
    )


def _check_looks(clip: Clip, where: str) -> None:
    """Refuse looks that would not show: their sender must not wonder where they are."""
    kind = clip.asset.type
    for name in _UNSEEN.get(kind, ()):
        if getattr(clip, name) not in (Clip.model_fields[name].default, "none"):
            raise mistake(f"{where}.{name}", f"does not apply to a clip of {kind}")
    if kind == "audio":
        for name in ("enter", "leave"):
            if getattr(clip.transition, name) not in (None, "fade"):
                alias = Transition.model_fields[name].alias
                raise mistake(f"{where}.transition.{alias}", "a clip of audio can fade only")
