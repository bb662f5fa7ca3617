"""Text assets as pictures of their own size, with their background, shadow and border."""

import math
from typing import cast

from PIL import Image

from app.media.editor.fonts import Typeface, find_typeface
from app.media.editor.geometry import shares
from app.media.editor.lettering import advance, bled, stamp, write
from app.media.editor.styles import Background, Border, Place, Shadow
from app.media.editor.timeline import TextAsset

_BOLD = 600
_SHARES = {"left": 0.0, "top": 0.0, "center": 0.5, "right": 1.0, "bottom": 1.0}


def draw_text(asset: TextAsset, canvas: tuple[int, int]) -> Image.Image:
    """The text in RGBA. Lines are broken at the width of the asset's box, or of the canvas.

    The text box is as large as the asset says or the lines need, at most the canvas; lines are aligned in
    it. The background's box holds it, and its own padding around that.
    """
    font = asset.font
    face = find_typeface(font.family, font.size, bold=font.weight >= _BOLD, italic=False, text=asset.text)
    border, shadow = asset.border or Border(), asset.shadow or Shadow()
    edge = math.ceil(border.width)
    lines = broken(asset.text.expandtabs(asset.tabsize), face, (asset.width or canvas[0]) - 2 * edge)
    step = face.line_height + asset.line_spacing
    needed = (
        max((advance(face, line) for line in lines), default=0) + 2 * edge,
        step * len(lines) - asset.line_spacing + 2 * edge,
    )
    inner = (
        asset.width or min(math.ceil(needed[0]), canvas[0]),
        asset.height or min(math.ceil(needed[1]), canvas[1]),
    )
    outer, at = _held(inner, asset.background)
    # A shadow reaches beyond the text; it makes the picture larger only where no background holds it.
    room = (0, 0) if asset.background else (math.ceil(shadow.x), math.ceil(shadow.y))
    # Even sides: it is shown in its own size, without being scaled by a pixel.
    sides = [max(-(-(side + more) // 2) * 2, 2) for side, more in zip(outer, room, strict=True)]
    picture = Image.new("RGBA", (sides[0], sides[1]))
    letters, outline = Image.new("L", picture.size), Image.new("L", picture.size)
    across, down = _SHARES[asset.alignment.horizontal], _SHARES[asset.alignment.vertical]
    top = at[1] + edge + max((inner[1] - needed[1]) * down, 0)
    for line in lines:
        if top > picture.height:
            break
        left = at[0] + edge + max((inner[0] - 2 * edge - advance(face, line)) * across, 0)
        at_foot = left, top + face.font.getmetrics()[0]
        write(letters, at_foot, line, face)
        write(outline, at_foot, line, face, stroke=border.width)
        top += step
    if asset.background:
        filled = Image.new("L", picture.size, 255)
        stamp(picture, filled, asset.background.color.with_opacity(asset.background.opacity))
    if shadow.x or shadow.y:
        stamp(picture, outline, shadow.color.with_opacity(font.opacity), (round(shadow.x), round(shadow.y)))
    if border.width:
        stamp(picture, outline, border.color.with_opacity(font.opacity))
    stamp(picture, letters, font.color.with_opacity(font.opacity))
    return bled(picture, font.color)


def text_place(asset: TextAsset, position: Place) -> Place:
    """Where a text without a box of its own lies: where its clip says, and where that says centre, as its
    alignment does."""
    words = position.split("_")
    across = next((word for word in words if word in ("left", "right")), "")
    down = next((word for word in words if word in ("top", "bottom")), "")
    if not across and asset.width is None and asset.alignment.horizontal != "center":
        across = asset.alignment.horizontal
    if not down and asset.height is None and asset.alignment.vertical != "center":
        down = asset.alignment.vertical
    return cast(Place, "_".join(filter(None, (down, across))) or "center")


def broken(text: str, face: Typeface, width: float) -> list[str]:
    """The lines of `text`, broken at spaces, and inside of words that alone are wider than `width` pixels."""
    lines: list[str] = []
    for paragraph in text.splitlines() or [""]:
        line = ""
        for number, word in enumerate(paragraph.split(" ")):
            longer = f"{line} {word}" if number else word
            if line and advance(face, longer) > width:
                lines.append(line)
                longer = word
            while len(longer) > 1 and advance(face, longer) > width:
                fitting = _fitting(longer, face, width)
                lines.append(longer[:fitting])
                longer = longer[fitting:]
            line = longer
        lines.append(line)
    return lines


def _fitting(word: str, face: Typeface, width: float) -> int:
    """How many letters of `word` fit, at least one."""
    reached = 0.0
    for count, letter in enumerate(word):
        reached += advance(face, letter)
        if reached > width:
            return max(count, 1)
    return len(word) - 1


def _held(inner: tuple[int, int], background: Background | None) -> tuple[tuple[int, int], tuple[int, int]]:
    """The size of the background's box around a box of size `inner`, and where that lies in it."""
    if background is None:
        return inner, (0, 0)
    pad = round(background.border_width)
    across, down = shares(background.text_alignment)
    sides = max(round(background.width), inner[0]), max(round(background.height), inner[1])
    at = pad + round((sides[0] - inner[0]) * across), pad + round((sides[1] - inner[1]) * down)
    return (sides[0] + 2 * pad, sides[1] + 2 * pad), at
