"""Reads the SDKs' old timeline: videos one after the other, with sounds, images and texts laid over them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from app.domain.assets.models import Asset
from app.domain.timelines.canvas import canvas_of
from app.domain.timelines.editor import MAX_CLIPS
from app.domain.timelines.mistakes import mistake, read_part
from app.media.editor.colours import Colour, CssColour
from app.media.editor.expressions import Expression
from app.media.editor.parts import MAX_SECONDS, MAX_SIDE_PIXELS, Flag, Number, Part, Seconds, Share
from app.media.editor.styles import MAX_FONT_PIXELS, Alignment, Background, Border, Font, Shadow
from app.media.editor.timeline import (
    MAX_TEXT_CHARACTERS,
    AssetId,
    AudioAsset,
    Clip,
    Corner,
    ImageAsset,
    PlacedClip,
    TextAsset,
    Timeline,
    VideoAsset,
)

_BLACK = Colour(0, 0, 0)
_DEFAULT_SECONDS = 5.0  # of an overlay without an end on a timeline without a video
_HORIZONTAL = {"L": "left", "C": "center", "R": "right"}


def _expression(value: object) -> Expression:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("must be a number or an expression like (main_w-text_w)/2")
    return Expression(value)


def _number(value: object) -> object:
    """Widths come as numbers and as text; of drawtext's `10|20` the first counts."""
    text = value.partition("|")[0].strip() if isinstance(value, str) else ""
    return float(text) if text.replace(".", "", 1).isdecimal() and text.isascii() else value


_Place = Annotated[Expression, BeforeValidator(_expression)]
_Width = Annotated[Number, BeforeValidator(_number), Field(ge=0, le=100)]
_Side = Annotated[Number, BeforeValidator(_number), Field(ge=0, le=MAX_SIDE_PIXELS)]
_Fade = Annotated[Number, Field(ge=0, le=60)]


class _Item(Part):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    asset_id: AssetId
    overlay_start: Seconds | None = None


class InlineVideo(_Item):
    start: Seconds = 0.0
    end: Seconds | None = None


class OverlayAudio(_Item):
    start: Seconds = 0.0
    end: Seconds | None = None
    disable_other_tracks: Flag = True
    fade_in_duration: _Fade = 0.0
    fade_out_duration: _Fade = 0.0


class OverlayImage(_Item):
    width: _Side = 100
    height: _Side = 100
    x: _Place = Expression(80)
    y: _Place = Expression(20)
    duration: Seconds | None = None


class TextStyle(Part):
    """FFmpeg's drawtext options that show; Python writes them as there, Node in camel case."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    fontsize: Annotated[Number, Field(ge=1, le=MAX_FONT_PIXELS)] = 24
    fontcolor: CssColour = _BLACK
    alpha: Share = 1.0
    font: str = Field("Sans", max_length=100)
    box: Flag = True
    boxcolor: CssColour = Colour(255, 255, 255)
    boxborderw: _Width = 10
    boxw: _Side = 0
    boxh: _Side = 0
    linespacing: Annotated[Number, Field(ge=0, le=1000)] = 0
    textalign: str = Field("T", max_length=20)
    borderw: _Width = 0
    bordercolor: CssColour = _BLACK
    shadowcolor: CssColour = _BLACK
    shadowx: Annotated[Number, Field(ge=-100, le=100)] = 0
    shadowy: Annotated[Number, Field(ge=-100, le=100)] = 0
    tabsize: Annotated[int, Field(ge=1, le=64)] = 4
    x: _Place = Expression("(main_w-text_w)/2")
    y: _Place = Expression("(main_h-text_h)/2")

    @model_validator(mode="before")
    @classmethod
    def _same_names(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {name.replace("_", "").lower(): field for name, field in value.items()}
        return value


class OverlayText(_Item):
    text: str = Field(max_length=MAX_TEXT_CHARACTERS)
    duration: Seconds | None = None
    style: TextStyle = TextStyle()


_KINDS: dict[str, type[_Item]] = {
    "m": InlineVideo,
    "a": OverlayAudio,
    "img": OverlayImage,
    "txt": OverlayText,
}


def read_items(spec: object) -> list[_Item]:
    """The timeline's items, told apart by their ids' prefixes. Raises `InvalidRequest` naming the item."""
    if not isinstance(spec, list) or not spec:
        raise mistake("timeline", "must be a list with a video in it")
    if len(spec) > MAX_CLIPS:
        raise mistake("timeline", f"may have {MAX_CLIPS} items")
    return [_read_item(value, f"timeline[{number}]") for number, value in enumerate(spec)]


def file_asset(item: _Item) -> VideoAsset | AudioAsset | ImageAsset | None:
    """What the item needs from storage."""
    match item:
        case InlineVideo(asset_id=asset_id, start=start):
            return VideoAsset(id=asset_id, start=start)
        case OverlayAudio(asset_id=asset_id, start=start):
            return AudioAsset(id=asset_id, start=start)
        case OverlayImage(asset_id=asset_id):
            return ImageAsset(id=asset_id)
    return None


def place_items(items: Sequence[_Item], assets: Mapping[str, Asset]) -> Timeline:
    """The timeline in the size of its first video, as long as its videos are."""
    inline: list[PlacedClip] = []
    overlays: list[tuple[str, _Item]] = []
    ended = 0.0
    for number, item in enumerate(items):
        where = f"timeline[{number}]"
        if item.overlay_start is not None:
            overlays.append((where, item))
        elif isinstance(item, InlineVideo):
            seconds = _media_seconds(item.start, item.end, assets[item.asset_id], where)
            asset = VideoAsset(id=item.asset_id, start=item.start)
            inline.append(
                PlacedClip(where, ended, seconds, Clip(asset=asset, duration=seconds, fit="contain"))
            )
            ended += seconds
        else:
            raise mistake(f"{where}.overlay_start", "is required")
    laid = [_overlay(where, item, assets, ended) for where, item in overlays]
    quiet = tuple(
        (clip.start_seconds, clip.end_seconds)
        for clip, (_, item) in zip(laid, overlays, strict=True)
        if isinstance(item, OverlayAudio) and item.disable_other_tracks
    )
    inline_assets = (assets.get(item.asset_id) for item in items if isinstance(item, InlineVideo))
    width, height = canvas_of(asset for asset in inline_assets if asset is not None)
    clips = [*(replace(clip, muted=quiet) for clip in inline), *laid]
    return Timeline(width, height, _BLACK, clips)


def _read_item(value: object, where: str) -> _Item:
    asset_id = value.get("asset_id") if isinstance(value, dict) else None
    kind = _KINDS.get(asset_id.partition("-")[0]) if isinstance(asset_id, str) else None
    if kind is None:
        raise mistake(f"{where}.asset_id", "must be the id of a video, an audio, an image or a text")
    return read_part(kind, value, where)


def _overlay(where: str, item: _Item, assets: Mapping[str, Asset], ended: float) -> PlacedClip:
    start = item.overlay_start or 0.0
    rest = max(ended - start, 0.0) or _DEFAULT_SECONDS
    match item:
        case OverlayAudio():
            seconds = _media_seconds(item.start, item.end, assets[item.asset_id], where)
            seconds = min(seconds, rest) if ended else seconds
            placed = _placed(where, start, seconds, AudioAsset(id=item.asset_id, start=item.start))
            return replace(
                placed, fade_in_seconds=item.fade_in_duration, fade_out_seconds=item.fade_out_duration
            )
        case OverlayImage():
            seconds = min(item.duration or rest, rest) if ended else item.duration or rest
            size = _even(item.width), _even(item.height)
            placed = _placed(where, start, seconds, ImageAsset(id=item.asset_id))
            return replace(placed, size=size, corner=Corner(item.x, item.y))
        case OverlayText(style=style):
            seconds = min(item.duration or rest, rest) if ended else item.duration or rest
            pad = round(style.boxborderw) if style.box else 0
            placed = _placed(where, start, seconds, _text(item.text, style))
            return replace(placed, corner=Corner(style.x, style.y, inset=pad))
    raise mistake(f"{where}.asset_id", "a video cannot be laid over others in this timeline")


def _placed(where: str, start: float, seconds: float, asset: Any) -> PlacedClip:
    seconds = max(seconds, 0.001)
    return PlacedClip(where, start, seconds, Clip(asset=asset, duration=seconds))


def _text(text: str, style: TextStyle) -> TextAsset:
    # Letters as drawtext combines them, such as `T+C`; lines begin at the left where none says otherwise.
    letters = [letter for letter in style.textalign.upper() if letter in _HORIZONTAL]
    aligned = _HORIZONTAL[letters[0]] if letters else "left"
    background = Background(
        width=style.boxw, height=style.boxh, color=style.boxcolor, border_width=style.boxborderw
    )
    return TextAsset(
        text=text,
        font=Font(family=style.font, size=style.fontsize, color=style.fontcolor, opacity=style.alpha),
        border=Border(color=style.bordercolor, width=style.borderw),
        shadow=Shadow(color=style.shadowcolor, x=max(style.shadowx, 0), y=max(style.shadowy, 0)),
        background=background if style.box else None,
        alignment=Alignment.model_validate({"horizontal": aligned}),
        tabsize=style.tabsize,
        line_spacing=style.linespacing,
    )


def _media_seconds(start: float, end: float | None, asset: Asset, where: str) -> float:
    last = min(end if end is not None else asset.length_seconds, asset.length_seconds)
    if last - start < 0.001:
        raise mistake(f"{where}.start", f"{asset.id} has nothing from {start:g} s on")
    return min(last - start, MAX_SECONDS)


def _even(side: float) -> int:
    return max(round(side / 2) * 2, 2)
