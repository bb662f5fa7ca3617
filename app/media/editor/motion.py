"""How clips move: their effect for as long as they are shown, and their transitions as they come and go."""

from dataclasses import dataclass

from app.media.editor.geometry import Box
from app.media.editor.picture import Picture, cut, stretched
from app.media.editor.timeline import Effect, Move, PlacedClip

Canvas = tuple[int, int]

# By how much a clip grows while it is shown. A pan moves over as much, within a picture so much larger.
_AMOUNTS = {"": 0.25, "Slow": 0.12, "Fast": 0.5}
_SLIDE_SHARE = 0.2  # of the canvas; a carousel crosses all of it
_DIRECTIONS = {"Left": (-1, 0), "Right": (1, 0), "Up": (0, -1), "Down": (0, 1)}
_FADING = ("fade", "slide")


@dataclass(frozen=True, slots=True)
class _Step:
    """A transition under way: `level` is how much of the clip it has brought, or left, from 0 to 1."""

    move: Move
    level: float
    entering: bool


def opacity_at(placed: PlacedClip, seconds: float) -> float:
    """How opaque the clip is at this instant of the timeline, from 0 to 1."""
    opacity = placed.clip.opacity
    for step in _steps(placed, seconds):
        if step.move.startswith(_FADING):
            opacity *= step.level
    return opacity


def moved(
    pictures: list[Picture], placed: PlacedClip, seconds: float, canvas: Canvas, extent: Box | None = None
) -> list[Picture]:
    """The pictures as they lie at this instant; the same objects where nothing moves.

    They move about the middle of `extent`, or each about its own.
    """
    effect = placed.clip.effect
    steps = [step for step in _steps(placed, seconds) if step.level < 1 and step.move != "fade"]
    if not effect and not steps:
        return pictures
    made = []
    for picture in pictures:
        box = extent or Box(picture.left, picture.top, picture.width, picture.height)
        one = _moved(picture, box, placed, seconds, canvas, steps)
        if one is not None:
            made.append(one)
    return made


def _moved(
    picture: Picture,
    box: Box,
    placed: PlacedClip,
    seconds: float,
    canvas: Canvas,
    steps: list[_Step],
) -> Picture | None:
    factor, across, down = _panned(placed.clip.effect, box, _share(placed, seconds))
    for step in steps:
        level = step.level
        name, (right, below) = _direction(step.move)
        if name == "zoom":
            factor *= level
        elif name in ("wipe", "reveal"):
            shown = cut(picture, _wiped(box, (right, below), level, step.entering))
            if shown is None:
                return None
            picture = shown
        else:
            sign = -1 if step.entering else 1
            if name == "carousel":
                far = _off_canvas(box, canvas, (right * sign, below * sign))
            else:
                far = (right * sign * _SLIDE_SHARE * canvas[0], below * sign * _SLIDE_SHARE * canvas[1])
            across += far[0] * (1 - level)
            down += far[1] * (1 - level)
    middle = box.left + box.width / 2, box.top + box.height / 2
    left = middle[0] + (picture.left - middle[0]) * factor + across
    top = middle[1] + (picture.top - middle[1]) * factor + down
    return stretched(picture, factor, (left, top), canvas)


def _steps(placed: PlacedClip, seconds: float) -> tuple[_Step, _Step]:
    return (
        _Step(placed.enter, placed.entered_at(seconds), True),
        _Step(placed.leave, placed.staying_at(seconds), False),
    )


def _share(placed: PlacedClip, seconds: float) -> float:
    """How much of its time the clip has been shown."""
    return min(max((seconds - placed.start_seconds) / placed.duration_seconds, 0.0), 1.0)


def _panned(effect: Effect | None, box: Box, share: float) -> tuple[float, float, float]:
    """The factor and the shift, in pixels, of an effect when `share` of the clip's time has passed."""
    if not effect:
        return 1.0, 0.0, 0.0
    speed = next((speed for speed in ("Slow", "Fast") if effect.endswith(speed)), "")
    amount, name = _AMOUNTS[speed], effect.removesuffix(speed)
    if name == "zoomIn":
        return 1 + amount * share, 0.0, 0.0
    if name == "zoomOut":
        return 1 + amount * (1 - share), 0.0, 0.0
    right, below = _DIRECTIONS[name.removeprefix("slide")]
    return 1 + amount, right * (share - 0.5) * amount * box.width, below * (share - 0.5) * amount * box.height


def _direction(move: Move) -> tuple[str, tuple[int, int]]:
    """What a transition is, and which way it goes."""
    for name, direction in _DIRECTIONS.items():
        if move.endswith(name):
            return move.removesuffix(name), direction
    return move, _DIRECTIONS["Right"]


def _wiped(box: Box, direction: tuple[int, int], level: float, entering: bool) -> tuple[float, ...]:
    """The edges of what a wipe leaves. Its border goes in `direction`, and shows or hides what is behind."""
    edges = [float(box.left), float(box.top), float(box.left + box.width), float(box.top + box.height)]
    axis = 0 if direction[0] else 1
    length = edges[axis + 2] - edges[axis]
    keeps_near = (direction[axis] > 0) == entering
    if keeps_near:
        edges[axis + 2] = edges[axis] + length * level
    else:
        edges[axis] = edges[axis + 2] - length * level
    return tuple(edges)


def _off_canvas(box: Box, canvas: Canvas, direction: tuple[int, int]) -> tuple[float, float]:
    """The shift that brings the box off the canvas."""
    far = [0.0, 0.0]
    for axis, (begin, length) in enumerate(((box.left, box.width), (box.top, box.height))):
        far[axis] = {1: canvas[axis] - begin, -1: -(begin + length), 0: 0.0}[direction[axis]]
    return far[0], far[1]
