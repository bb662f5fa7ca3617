"""How texts and captions look, field by field as the SDKs' editor sends it (contract §2.4)."""

from typing import Annotated, Literal

from pydantic import Field

from app.media.editor.colours import AssColour, Colour, CssColour
from app.media.editor.parts import MAX_SIDE_PIXELS, Flag, Number, Part, Pixels, Share

Place = Literal[
    "top_left", "top", "top_right", "left", "center", "right", "bottom_left", "bottom", "bottom_right"
]
# In the order of the number pad, which ASS counts alignments by.
CaptionPlace = Literal[
    "bottom_left",
    "bottom_center",
    "bottom_right",
    "middle_left",
    "middle_center",
    "middle_right",
    "top_left",
    "top_center",
    "top_right",
]
Animation = Literal["box_highlight", "color_highlight", "reveal", "karaoke", "impact", "supersize"]
MAX_FONT_PIXELS = 1000
MAX_BORDER_PIXELS = 100

_FontPixels = Annotated[Number, Field(ge=1, le=MAX_FONT_PIXELS)]
_BorderPixels = Annotated[Number, Field(ge=0, le=MAX_BORDER_PIXELS)]
_Percent = Annotated[Number, Field(gt=0, le=1000)]
_Margin = Annotated[Number, Field(ge=0, le=MAX_SIDE_PIXELS)]
_BLACK, _WHITE = Colour(0, 0, 0), Colour(255, 255, 255)


class Font(Part):
    """`size` in pixels of the canvas."""

    family: str = Field("Clear Sans", max_length=100)
    size: _FontPixels = 48
    color: CssColour = _WHITE
    opacity: Share = 1.0
    weight: Annotated[Number, Field(ge=100, le=900)] = 400


class Border(Part):
    color: CssColour = _BLACK
    width: _BorderPixels = 0.0


class Shadow(Part):
    color: CssColour = _BLACK
    x: _BorderPixels = 0.0
    y: _BorderPixels = 0.0


class Background(Part):
    """A box behind the text; a side of 0 is as long as the text needs, `border_width` is its padding."""

    width: Pixels = 0.0
    height: Pixels = 0.0
    color: CssColour = _BLACK
    border_width: _BorderPixels = 0.0
    opacity: Share = 1.0
    text_alignment: Place = "center"


class Alignment(Part):
    horizontal: Literal["left", "center", "right"] = "center"
    vertical: Literal["top", "center", "bottom"] = "center"


class CaptionFont(Part):
    """`scale_x` and `scale_y` in percent, `angle` in degrees counterclockwise, `spacing` in pixels."""

    font_name: str = Field("Clear Sans", max_length=100)
    font_size: _FontPixels = 30
    bold: Flag = False
    italic: Flag = False
    underline: Flag = False
    strikeout: Flag = False
    scale_x: _Percent = 100
    scale_y: _Percent = 100
    spacing: Annotated[Number, Field(ge=-100, le=100)] = 0.0
    angle: Annotated[Number, Field(ge=-360, le=360)] = 0.0


class CaptionBorder(Part):
    style: Literal["outline_and_shadow", "opaque_box"] = "outline_and_shadow"
    outline: _BorderPixels = 1
    outline_color: AssColour = _BLACK
    shadow: _BorderPixels = 0


class CaptionPosition(Part):
    """Margins in pixels of the canvas."""

    alignment: CaptionPlace = "bottom_center"
    margin_l: _Margin = 30
    margin_r: _Margin = 30
    margin_v: _Margin = 30


class CaptionStyle(Part):
    """How captions look; `primary_color` is that of the words, `secondary_color` that of the word spoken."""

    font: CaptionFont = CaptionFont()
    primary_color: AssColour = _WHITE
    secondary_color: AssColour = Colour(255, 0, 0)
    back_color: AssColour = _BLACK
    border: CaptionBorder = CaptionBorder()
    position: CaptionPosition = CaptionPosition()
    animation: Animation | None = None
