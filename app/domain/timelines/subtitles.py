"""A video with what is said in it written below, in the looks of the SDKs' SubtitleStyle."""

from collections.abc import Sequence
from typing import Annotated, Literal, get_args

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from app.domain.assets.models import Asset
from app.domain.timelines.canvas import canvas_of
from app.domain.timelines.mistakes import read_part
from app.media.editor.colours import AssColour, Colour
from app.media.editor.parts import Flag, Number, Part
from app.media.editor.styles import (
    MAX_BORDER_PIXELS,
    MAX_FONT_PIXELS,
    CaptionBorder,
    CaptionFont,
    CaptionPlace,
    CaptionPosition,
)
from app.media.editor.timeline import CaptionAsset, Clip, PlacedClip, Timeline, VideoAsset, Word

# Sizes are in lines of a picture of so many, which is what ASS renderers take where a script does not say.
SCRIPT_LINES = 288
_PLACES: tuple[CaptionPlace, ...] = get_args(CaptionPlace)
_NO_BORDER, _OPAQUE_BOX = 1, 3
_Lines = Annotated[Number, Field(ge=0, le=SCRIPT_LINES)]


class SubtitleStyle(Part):
    """Python sends the names as they are here, Node in camel case; `scale_x` and `scale_y` are factors,
    `alignment` is a key of the number pad, and the border is none (1), a box (3) or an outline (4)."""

    model_config = ConfigDict(alias_generator=to_camel)

    font_name: str = Field("Arial", max_length=100)
    font_size: Annotated[Number, Field(gt=0, le=SCRIPT_LINES)] = 18
    primary_colour: AssColour = Colour(255, 255, 255)
    secondary_colour: AssColour = Colour(255, 0, 0)
    outline_colour: AssColour = Colour(0, 0, 0)
    back_colour: AssColour = Colour(0, 0, 0)
    bold: Flag = False
    italic: Flag = False
    underline: Flag = False
    strike_out: Flag = False
    scale_x: Annotated[Number, Field(gt=0, le=10)] = 1.0
    scale_y: Annotated[Number, Field(gt=0, le=10)] = 1.0
    spacing: Annotated[Number, Field(ge=-20, le=20)] = 0.0
    angle: Annotated[Number, Field(ge=-360, le=360)] = 0.0
    border_style: Literal[1, 3, 4] = 4
    outline: _Lines = 1.0
    shadow: _Lines = 0.0
    alignment: Annotated[int, Field(ge=1, le=9)] = 2
    margin_l: _Lines = 10
    margin_r: _Lines = 10
    margin_v: _Lines = 10


def read_subtitle_style(value: object) -> SubtitleStyle:
    """Raises `InvalidRequest` that names the first wrong field, `subtitle_style.fontSize`."""
    return read_part(SubtitleStyle, {} if value is None else value, "subtitle_style")


def subtitled(asset: Asset, style: SubtitleStyle, sentences: Sequence[Sequence[Word]]) -> Timeline:
    """All of the video in its own size, its sentences upon it."""
    width, height = canvas_of([asset])
    seconds = asset.length_seconds
    picture = Clip(asset=VideoAsset(id=asset.id), duration=1, fit="contain")
    captions = Clip(asset=_captions(style, height / SCRIPT_LINES), duration=1)
    # A video may be longer than a clip may ask for, so the clips' own length says nothing.
    clips = [PlacedClip("video", 0.0, seconds, picture), PlacedClip("subtitles", 0.0, seconds, captions)]
    return Timeline(width, height, Colour(0, 0, 0), clips, sentences)


def _captions(style: SubtitleStyle, pixels: float) -> CaptionAsset:
    """The style where a line of its script is `pixels` high."""
    outline = 0.0 if style.border_style == _NO_BORDER else style.outline
    return CaptionAsset(
        font=CaptionFont(
            font_name=style.font_name,
            font_size=min(max(style.font_size * pixels, 1.0), MAX_FONT_PIXELS),
            bold=style.bold,
            italic=style.italic,
            underline=style.underline,
            strikeout=style.strike_out,
            scale_x=style.scale_x * 100,
            scale_y=style.scale_y * 100,
            spacing=min(max(style.spacing * pixels, -100.0), 100.0),
            angle=style.angle,
        ),
        primary_color=style.primary_colour,
        secondary_color=style.secondary_colour,
        back_color=style.back_colour,
        border=CaptionBorder(
            style="opaque_box" if style.border_style == _OPAQUE_BOX else "outline_and_shadow",
            outline=min(outline * pixels, MAX_BORDER_PIXELS),
            outline_color=style.outline_colour,
            shadow=min(style.shadow * pixels, MAX_BORDER_PIXELS),
        ),
        position=CaptionPosition(
            alignment=_PLACES[style.alignment - 1],
            margin_l=style.margin_l * pixels,
            margin_r=style.margin_r * pixels,
            margin_v=style.margin_v * pixels,
        ),
    )
