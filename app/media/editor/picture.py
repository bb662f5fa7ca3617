"""Pictures in 4:2:0 planes, laid over each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.media.editor.colours import Colour

Plane = NDArray[np.uint8]
Planes = tuple[Plane, Plane, Plane]
Weights = NDArray[np.uint16]


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """Planes of 4:2:0 video, wholly inside the canvas, with their corner at even `left`, `top`.

    `weights` is how much each pixel covers, from 0 to 256, for luma and for chroma; None: all of it.
    """

    planes: Planes
    left: int
    top: int
    weights: tuple[Weights, Weights] | None = None

    @property
    def width(self) -> int:
        return int(self.planes[0].shape[1])

    @property
    def height(self) -> int:
        return int(self.planes[0].shape[0])


def picture_from(frame: av.VideoFrame, left: int, top: int) -> Picture:
    """A picture of a `yuv420p` or `yuva420p` frame of even sides."""
    width, height = frame.width, frame.height
    luma, first, second = (_plane(frame.planes[number]) for number in range(3))
    weights = None
    if frame.format.name == "yuva420p":
        alpha = _plane(frame.planes[3]).astype(np.uint16)
        alpha += alpha >> 7  # 255 covers all
        pooled = alpha.reshape(height // 2, 2, width // 2, 2).sum(axis=(1, 3), dtype=np.uint16) >> 2
        weights = alpha, pooled.astype(np.uint16)
    return Picture((luma, first, second), left, top, weights)


def cut(picture: Picture, edges: Sequence[float]) -> Picture | None:
    """What of the picture lies between left, top, right and bottom, in pixels of the canvas, or None."""
    left, top = max(_even(edges[0]), picture.left), max(_even(edges[1]), picture.top)
    right = min(_even(edges[2]), picture.left + picture.width)
    bottom = min(_even(edges[3]), picture.top + picture.height)
    if right <= left or bottom <= top:
        return None

    def part(plane: NDArray[Any], step: int) -> NDArray[Any]:
        rows = slice((top - picture.top) // step, (bottom - picture.top) // step)
        return plane[rows, (left - picture.left) // step : (right - picture.left) // step]

    luma, first, second = picture.planes
    weights = (part(picture.weights[0], 1), part(picture.weights[1], 2)) if picture.weights else None
    return Picture((part(luma, 1), part(first, 2), part(second, 2)), left, top, weights)


def stretched(
    picture: Picture, factor: float, corner: tuple[float, float], canvas: tuple[int, int]
) -> Picture | None:
    """The picture `factor` times as large with its corner there, cut at the canvas; None if that is nothing.

    Between pixels it is interpolated, so that what moves slowly does not tremble.
    """
    left, top = max(_even(corner[0]), 0), max(_even(corner[1]), 0)
    right = min(_even(corner[0] + picture.width * factor), canvas[0])
    bottom = min(_even(corner[1] + picture.height * factor), canvas[1])
    if right <= left or bottom <= top:
        return None

    def made(plane: NDArray[Any], step: int) -> NDArray[Any]:
        height, width = plane.shape
        across = [min(max((edge - corner[0]) / factor / step, 0.0), width) for edge in (left, right)]
        down = [min(max((edge - corner[1]) / factor / step, 0.0), height) for edge in (top, bottom)]
        image = Image.fromarray(plane if plane.dtype == np.uint8 else plane.astype(np.float32))
        size = (right - left) // step, (bottom - top) // step
        box = (across[0], down[0], across[1], down[1])
        shown = np.asarray(image.resize(size, Image.Resampling.BILINEAR, box=box))
        return shown if plane.dtype == np.uint8 else np.rint(shown).astype(plane.dtype)

    luma, first, second = picture.planes
    weights = (made(picture.weights[0], 1), made(picture.weights[1], 2)) if picture.weights else None
    return Picture((made(luma, 1), made(first, 2), made(second, 2)), left, top, weights)


def plain_canvas(width: int, height: int, colour: Colour) -> Planes:
    """A canvas of even sides in one colour."""
    pixels = np.broadcast_to(np.array(colour.rgba[:3], np.uint8), (height, width, 3))
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    return picture_from(frame.reformat(format="yuv420p"), 0, 0).planes


def painted(background: Planes, layers: list[tuple[Picture, float]]) -> av.VideoFrame:
    """The background with pictures laid on it, each with its opacity, from the bottom to the top."""
    canvas = [plane.copy() for plane in background]
    for picture, opacity in layers:
        for number, (under, over) in enumerate(zip(canvas, picture.planes, strict=True)):
            step = 2 if number else 1
            top, left = picture.top // step, picture.left // step
            weights = picture.weights[1 if number else 0] if picture.weights else None
            _lay(under[top : top + over.shape[0], left : left + over.shape[1]], over, weights, opacity)
    packed = np.concatenate([plane.reshape(-1) for plane in canvas])
    return av.VideoFrame.from_ndarray(packed.reshape(-1, background[0].shape[1]), format="yuv420p")


def _lay(under: Plane, over: Plane, weights: Weights | None, opacity: float) -> None:
    share = round(opacity * 256)
    if share <= 0:
        return
    if weights is None and share >= 256:
        under[:] = over
        return
    weight = np.uint16(share) if weights is None else weights if share >= 256 else weights * share >> 8
    blended = under * (np.uint16(256) - weight) + over * weight
    under[:] = (blended >> 8).astype(np.uint8)


def _even(edge: float) -> int:
    return round(edge / 2) * 2


def _plane(plane: av.video.plane.VideoPlane) -> Plane:
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
    return np.ascontiguousarray(rows[:, : plane.width])
