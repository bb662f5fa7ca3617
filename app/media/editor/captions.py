"""Draws cues: words in lines by their margins, with outline, shadow, box and animation."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from app.media.editor.colours import Colour
from app.media.editor.cues import Cue, CueWord
from app.media.editor.fonts import Typeface, find_typeface
from app.media.editor.lettering import advance, box, stamp, write
from app.media.editor.styles import CaptionFont, CaptionStyle

_LINES_AT_ONCE = 2
_SUPERSIZE = 1.35
_HIGHLIGHT_PADDING = 0.12  # of the font's size
_ROW_SHARES = {"top": 0.0, "middle": 0.5, "bottom": 1.0}
_COLUMN_SHARES = {"left": 0.0, "center": 0.5, "right": 1.0}


@dataclass(frozen=True, slots=True)
class _Set:
    """A word on its line: its left edge and width, and the line's top and height, in pixels."""

    number: int
    one: CueWord
    left: float
    width: float
    top: float
    height: float


def fits_canvas(words: Sequence[CueWord], style: CaptionStyle, canvas: tuple[int, int]) -> bool:
    """Whether the words have room in the lines that are shown at once."""
    return len(_lines(words, _room(style, canvas))) <= _LINES_AT_ONCE


def active_word(cue: Cue, seconds: float) -> int:
    """The number of the word that is spoken at this instant, -1 before the first."""
    return sum(one.word.start_seconds <= seconds for one in cue.words) - 1


def draw_cue(cue: Cue, active: int, canvas: tuple[int, int]) -> Image.Image:
    """The cue in RGBA on a clear canvas, while the word of number `active` is spoken."""
    style = cue.style
    placed = _placed(cue, canvas)
    letters: dict[Colour, Image.Image] = {}
    outline, behind = Image.new("L", canvas), Image.new("L", canvas)
    for spot in placed:
        spoken, now = spot.number <= active, spot.number == active
        if style.animation == "reveal" and not spoken:
            continue
        lit = (style.animation == "karaoke" and spoken) or (style.animation == "color_highlight" and now)
        colour = style.secondary_color if lit else style.primary_color
        grown = _SUPERSIZE if style.animation == "supersize" and now else 1.0
        mask = letters.setdefault(colour, Image.new("L", canvas))
        _write(mask, spot, grown, 0.0)
        _write(outline, spot, grown, style.border.outline)
        if style.animation == "box_highlight" and now:
            pad = spot.height * _HIGHLIGHT_PADDING
            box(behind, spot.left - pad, spot.top, spot.left + spot.width + pad, spot.top + spot.height)
    picture = Image.new("RGBA", canvas)
    shadow = (round(style.border.shadow),) * 2
    if style.border.style == "opaque_box":
        outline = _line_boxes(placed, style.border.outline, canvas)
    stamp(picture, behind, style.secondary_color)
    if shadow != (0, 0):
        stamp(picture, outline, style.back_color, shadow)
    if style.border.outline or style.border.style == "opaque_box":
        stamp(picture, outline, style.border.outline_color)
    if style.border.style == "opaque_box":
        stamp(picture, behind, style.secondary_color)
    for colour, mask in letters.items():
        stamp(picture, mask, colour)
    if style.font.angle and placed:
        centre = _anchor(cue, canvas)
        picture = picture.rotate(style.font.angle, Image.Resampling.BICUBIC, center=centre)
    return picture


def _placed(cue: Cue, canvas: tuple[int, int]) -> list[_Set]:
    """Where each word stands."""
    lines = _lines(cue.words, _room(cue.style, canvas))
    heights = [max(_height(one.font) for one in line) for line in lines]
    row, column = _shares(cue.style)
    anchor = _anchor(cue, canvas)
    top = anchor[1] - sum(heights) * row
    placed, number = [], 0
    for line, height in zip(lines, heights, strict=True):
        widths = [_width(one) for one in line]
        gaps = [_width(one, " ") for one in line[:-1]]
        left = anchor[0] - (sum(widths) + sum(gaps)) * column
        for one, width, gap in zip(line, widths, [*gaps, 0.0], strict=True):
            placed.append(_Set(number, one, left, width, top, height))
            left += width + gap
            number += 1
        top += height
    return placed


def _anchor(cue: Cue, canvas: tuple[int, int]) -> tuple[float, float]:
    """The point that the block of lines hangs on."""
    if cue.at is not None:
        return cue.at
    row, column = _shares(cue.style)
    position = cue.style.position
    left, right = position.margin_l, canvas[0] - position.margin_r
    margin = {0.0: position.margin_v, 0.5: 0.0, 1.0: -position.margin_v}[row]
    return left + (right - left) * column, canvas[1] * row + margin


def _lines(words: Sequence[CueWord], room: float) -> list[list[CueWord]]:
    lines: list[list[CueWord]] = [[]]
    width = 0.0
    for one in words:
        gap = _width(one, " ") if lines[-1] else 0.0
        if lines[-1] and (lines[-1][-1].breaks or width + gap + _width(one) > room):
            lines.append([])
            width = gap = 0.0
        lines[-1].append(one)
        width += gap + _width(one)
    return [line for line in lines if line]


def _line_boxes(placed: Sequence[_Set], padding: float, canvas: tuple[int, int]) -> Image.Image:
    mask = Image.new("L", canvas)
    for top in {spot.top for spot in placed}:
        line = [spot for spot in placed if spot.top == top]
        first, last = line[0], line[-1]
        right = last.left + last.width
        box(mask, first.left - padding, top - padding, right + padding, top + first.height + padding)
    return mask


def _write(mask: Image.Image, spot: _Set, grown: float, stroke: float) -> None:
    font = spot.one.font
    face = _face(font, spot.one.word.text, grown)
    ascent, _ = face.font.getmetrics()
    stretch = font.scale_x / font.scale_y
    width = spot.width * grown
    left = spot.left - (width - spot.width) / 2
    # A grown word stands on the same line.
    foot = spot.top + _face(font, "", 1.0).font.getmetrics()[0]
    text, spacing = spot.one.word.text, font.spacing
    write(mask, (left, foot), text, face, stroke=stroke, spacing=spacing, stretch=stretch)
    thick = max(face.font.size / 18, 1) + 2 * stroke
    if font.underline:
        box(mask, left - stroke, foot + thick, left + width + stroke, foot + 2 * thick)
    if font.strikeout:
        middle = foot - ascent * 0.3
        box(mask, left - stroke, middle - thick / 2, left + width + stroke, middle + thick / 2)


def _face(font: CaptionFont, text: str, grown: float = 1.0) -> Typeface:
    """The typeface in the font's size, which in ASS is that of a line."""
    size = font.font_size * font.scale_y / 100 * grown
    asked = find_typeface(font.font_name, size, bold=font.bold, italic=font.italic, text=text)
    size *= size / asked.line_height
    return find_typeface(font.font_name, size, bold=font.bold, italic=font.italic, text=text)


def _width(one: CueWord, text: str | None = None) -> float:
    face = _face(one.font, one.word.text)
    return advance(face, one.word.text if text is None else text, one.font.spacing) * (
        one.font.scale_x / one.font.scale_y
    )


def _height(font: CaptionFont) -> float:
    return _face(font, "").line_height


def _room(style: CaptionStyle, canvas: tuple[int, int]) -> float:
    return max(canvas[0] - style.position.margin_l - style.position.margin_r, 1.0)


def _shares(style: CaptionStyle) -> tuple[float, float]:
    row, _, column = style.position.alignment.partition("_")
    return _ROW_SHARES[row], _COLUMN_SHARES[column]
