"""Where a picture lies on the canvas: cropped, fitted, scaled, positioned, and cut at the canvas's edges."""

import math
from dataclasses import dataclass

from app.media.editor.styles import Place
from app.media.editor.timeline import Crop, Fit, PlacedClip

_SHARES: dict[str, float] = {"left": 0.0, "top": 0.0, "right": 1.0, "bottom": 1.0}


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Window:
    """What to do with a picture: take `source` of it, scale that to `scaled`, take `visible` of that, and
    lay it on the canvas at `left`, `top`. Sides and corners on the canvas are even, as 4:2:0 wants them."""

    source: Box
    scaled: tuple[int, int]
    visible: Box
    left: int
    top: int


def cropped(crop: Crop, width: int, height: int) -> Box:
    """What `crop` leaves of a picture, empty where that is nothing."""
    left, right = _cut(crop.left, width), _cut(crop.right, width)
    top, bottom = _cut(crop.top, height), _cut(crop.bottom, height)
    return Box(left, top, max(width - left - right, 0), max(height - top - bottom, 0))


def fitted_size(width: int, height: int, canvas: tuple[int, int], fit: Fit, scale: float) -> tuple[int, int]:
    """Even sides of a picture fitted into `canvas` and then scaled; 0 by 0 where it vanishes."""
    across, down = canvas[0] / width, canvas[1] / height
    if fit == "crop":
        across = down = max(across, down)
    elif fit == "contain":
        across = down = min(across, down)
    elif fit == "none":
        across = down = 1.0
    sides = width * across * scale, height * down * scale
    if min(sides) < 1:
        return 0, 0
    return _even(sides[0]), _even(sides[1])


def corner(
    placed: PlacedClip, position: Place, size: tuple[int, int], canvas: tuple[int, int]
) -> tuple[int, int]:
    """Where the upper left corner of a picture of `size` lies, by `position` and the clip's offset."""
    if placed.corner is not None:
        inset = placed.corner.inset
        own = {"text_w": size[0] - 2 * inset, "text_h": size[1] - 2 * inset}
        sizes = {"main_w": canvas[0], "main_h": canvas[1], **own}
        left, top = placed.corner.left.evaluate(sizes), placed.corner.top.evaluate(sizes)
        return round(left) - inset, round(top) - inset
    across, down = shares(position)
    offset = placed.clip.offset
    left = (canvas[0] - size[0]) * across + offset.x * canvas[0]
    top = (canvas[1] - size[1]) * down + offset.y * canvas[1]
    return round(left), round(top)


def shares(place: Place) -> tuple[float, float]:
    """Where in the free room a picture lies, from 0 at the left and top to 1."""
    words = place.split("_")
    across = next((_SHARES[word] for word in words if word in ("left", "right")), 0.5)
    down = next((_SHARES[word] for word in words if word in ("top", "bottom")), 0.5)
    return across, down


def window(source: Box, size: tuple[int, int], at: tuple[int, int], canvas: tuple[int, int]) -> Window | None:
    """The part of `source`, scaled to `size` with its corner `at`, that is seen on the canvas; or None.

    Only what is seen is scaled, and the row or column around it: a picture may be many times the canvas.
    """
    left, top = (value // 2 * 2 for value in at)
    seen = Box(max(-left, 0), max(-top, 0), 0, 0)
    width = min(size[0], canvas[0] - left) - seen.left
    height = min(size[1], canvas[1] - top) - seen.top
    if width < 2 or height < 2 or not source.width or not source.height:
        return None
    first_x, last_x, scaled_x, skip_x = _span(source.width, size[0], seen.left, width)
    first_y, last_y, scaled_y, skip_y = _span(source.height, size[1], seen.top, height)
    return Window(
        source=Box(source.left + first_x, source.top + first_y, last_x - first_x, last_y - first_y),
        scaled=(scaled_x, scaled_y),
        visible=Box(skip_x, skip_y, width, height),
        left=max(left, 0),
        top=max(top, 0),
    )


def _span(length: int, scaled: int, begin: int, count: int) -> tuple[int, int, int, int]:
    """First and last source pixel, their scaled length, and how much of that lies before `begin`."""
    if begin == 0 and count == scaled:
        return 0, length, scaled, 0
    factor = scaled / length
    first = min(math.floor(begin / factor), length - 1)
    last = max(min(math.ceil((begin + count) / factor), length), first + 1)
    across = max(round((last - first) * factor), count)
    return first, last, across, min(max(round(begin - first * factor), 0), across - count)


def _cut(amount: float, side: int) -> int:
    return min(round(amount * side if amount < 1 else amount), side)


def _even(side: float) -> int:
    return max(round(side / 2) * 2, 2)
