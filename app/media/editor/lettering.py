"""Words as masks and masks as coloured pictures: what texts and captions are drawn with."""

import math

import numpy as np
from PIL import Image, ImageDraw

from app.media.editor.colours import Colour
from app.media.editor.fonts import Typeface

_SLANT = 0.2  # 11 degrees, what most oblique typefaces have
_BOLD_SHARE = 1 / 45


def advance(face: Typeface, text: str, spacing: float = 0.0) -> float:
    """How far `text` reaches, in pixels, with `spacing` after every letter."""
    return face.font.getlength(text) + spacing * len(text)


def write(
    mask: Image.Image,
    at: tuple[float, float],
    text: str,
    face: Typeface,
    *,
    stroke: float = 0.0,
    spacing: float = 0.0,
    stretch: float = 1.0,
) -> None:
    """Write `text` into a mask, beginning at `at` on its baseline; `stretch` makes it wider."""
    if face.embolden:
        stroke += face.font.size * _BOLD_SHARE
    if not face.slant and stretch == 1:
        _written(mask, at, text, face, stroke, spacing)
        return
    # On a sheet of its own, which leans or is stretched about the beginning of the baseline.
    ascent, descent = face.font.getmetrics()
    margin = math.ceil(stroke) + descent + 2
    foot = ascent + margin
    width = math.ceil(advance(face, text, spacing) * max(stretch, 1) + _SLANT * foot) + 2 * margin
    sheet = Image.new("L", (width, foot + descent + margin))
    _written(sheet, (margin + at[0] % 1, foot), text, face, stroke, spacing)
    lean = _SLANT if face.slant else 0.0
    moved = (1 / stretch, lean / stretch, margin - (margin + lean * foot) / stretch, 0, 1, 0)
    sheet = sheet.transform(sheet.size, Image.Transform.AFFINE, moved, Image.Resampling.BILINEAR)
    mask.paste(255, (math.floor(at[0]) - margin, round(at[1]) - foot), sheet)


def stamp(picture: Image.Image, mask: Image.Image, colour: Colour, shift: tuple[int, int] = (0, 0)) -> None:
    """Lay `colour` over `picture` where `mask` is, moved by `shift`."""
    if not colour.opacity:
        return
    if shift != (0, 0):
        moved = Image.new("L", mask.size)
        moved.paste(mask, shift)
        mask = moved
    solid = Image.new("RGBA", picture.size, colour.rgba[:3])
    solid.putalpha(mask.point([value * colour.opacity // 255 for value in range(256)]))
    picture.alpha_composite(solid)


def box(mask: Image.Image, left: float, top: float, right: float, bottom: float) -> None:
    """Fill a rectangle of a mask."""
    edges = (math.floor(left), math.floor(top), math.ceil(right) - 1, math.ceil(bottom) - 1)
    if edges[2] >= edges[0] and edges[3] >= edges[1]:
        ImageDraw.Draw(mask).rectangle(edges, fill=255)


def bled(picture: Image.Image, colour: Colour) -> Image.Image:
    """The picture with `colour` where nothing is seen: chroma is averaged over edges, and black would darken
    them."""
    pixels = np.array(picture)
    pixels[pixels[..., 3] == 0, :3] = colour.rgba[:3]
    return Image.fromarray(pixels)


def _written(
    mask: Image.Image, at: tuple[float, float], text: str, face: Typeface, stroke: float, spacing: float
) -> None:
    draw = ImageDraw.Draw(mask)
    if not spacing:
        draw.text(at, text, fill=255, font=face.font, anchor="ls", stroke_width=stroke)
        return
    left = at[0]
    for letter in text:
        draw.text((left, at[1]), letter, fill=255, font=face.font, anchor="ls", stroke_width=stroke)
        left += face.font.getlength(letter) + spacing
