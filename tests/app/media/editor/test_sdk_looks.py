"""Every value that the SDK's editor can send is seen: each look unlike all others of its kind."""

import base64
import enum
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import av
import numpy as np
import pytest
from PIL import Image, ImageDraw
from videodb import editor

from app.domain.timelines.editor import read_editor_timeline
from app.media.editor.render import render_timeline
from app.media.editor.timeline import Effect, Move

SIDES = (160, 90)
SEEN_SECONDS = 1.1  # of 2: a word is spoken, and effects are under way
DIFFERENT = 0.2  # mean over all values of a picture; x264 alone makes less than 0.05 here
SUBTITLES = base64.b64encode(b"1\n00:00:00,000 --> 00:00:02,000\nWW MM WW\n").decode()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """`img-1` has three colours and a white ring; it is half as large as the canvas, and narrower."""
    path = tmp_path_factory.mktemp("looks") / "picture.png"
    picture = Image.new("RGB", (60, 44), (200, 40, 40))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((30, 0, 59, 21), fill=(40, 200, 40))
    draw.rectangle((0, 22, 29, 43), fill=(40, 40, 200))
    draw.ellipse((14, 10, 45, 33), outline=(255, 255, 255), width=3)
    picture.save(path)
    return {"img-1": path}


class Renderer:
    """Renders one clip alone; the same clip once."""

    def __init__(self, files: dict[str, Path], folder: Path) -> None:
        self._files = files
        self._target = folder / "looks.mp4"
        self._known: dict[str, dict[float, np.ndarray]] = {}

    def at(self, clip: editor.Clip, seconds: float = SEEN_SECONDS) -> np.ndarray:
        timeline = editor.Timeline(None)
        timeline.resolution = "{}x{}".format(*SIDES)
        timeline.background = "#606060"
        track = editor.Track()
        track.add_clip(0, clip)
        timeline.add_track(track)
        sent = json.dumps(timeline.to_json())
        if sent not in self._known:
            read = read_editor_timeline(json.loads(sent)["timeline"])
            render_timeline(read, self._files, self._target)
            with av.open(str(self._target)) as container:
                self._known[sent] = {
                    frame.time: frame.to_ndarray(format="rgb24").astype(int)
                    for frame in container.decode(video=0)
                }
        times = [time for time in self._known[sent] if time <= seconds + 0.01]
        return self._known[sent][max(times)]


@pytest.fixture(scope="module")
def renderer(files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Renderer:
    return Renderer(files, tmp_path_factory.mktemp("rendered"))


def image(**looks: Any) -> editor.Clip:
    return editor.Clip(editor.ImageAsset("img-1", crop=looks.pop("crop", None)), 2, **looks)


def small(**looks: Any) -> editor.Clip:
    return image(fit=editor.Fit.none, **looks)


def text(words: str = "Hg", **looks: Any) -> editor.Clip:
    looks = {"font": editor.Font(size=20), **looks}
    return editor.Clip(editor.TextAsset(words, **looks), 2)


def boxed(**looks: Any) -> editor.Clip:
    return text(width=120, height=70, **looks)


def backed(**looks: Any) -> editor.Clip:
    return text(background=editor.Background(**{"color": "#0000ff", **looks}))


def caption(**looks: Any) -> editor.Clip:
    looks = {"font": editor.FontStyling(size=16), **looks}
    return editor.Clip(editor.CaptionAsset(src=SUBTITLES, **looks), 2)


def lettered(**looks: Any) -> editor.Clip:
    return caption(font=editor.FontStyling(**{"size": 16, **looks}))


def bordered(**looks: Any) -> editor.Clip:
    return caption(border=editor.BorderAndShadow(**looks), back_color="&H0000FF00")


def placed(**looks: Any) -> editor.Clip:
    return caption(position=editor.Positioning(**looks))


Values = list[Any]
# What each class of the SDK takes, by its parameters: how a clip is made with one, and values to tell apart.
TABLE: dict[type, dict[str, tuple[Any, Values]]] = {
    editor.Clip: {
        "duration": (None, []),
        "transition": (None, []),
        "asset": (None, []),
        "z_index": (None, []),
        "effect": (lambda value: image(effect=value), [None, *get_args(Effect)]),
        "filter": (lambda value: image(filter=value), [None, *editor.Filter]),
        "scale": (lambda value: image(scale=value), [0, 0.5, 1, 2]),
        "opacity": (lambda value: image(opacity=value), [0, 0.3, 1]),
        "fit": (lambda value: image(fit=value), list(editor.Fit)),
        "position": (lambda value: small(position=value), list(editor.Position)),
        "offset": (lambda value: small(offset=value), [None, editor.Offset(0.1, 0), editor.Offset(0, 0.1)]),
    },
    editor.Offset: {
        "x": (lambda value: small(offset=editor.Offset(x=value)), [-0.2, 0, 0.2]),
        "y": (lambda value: small(offset=editor.Offset(y=value)), [-0.2, 0, 0.2]),
    },
    editor.Crop: {
        side: (lambda value, side=side: image(crop=editor.Crop(**{side: value})), [0, 10, 20])
        for side in ("top", "right", "bottom", "left")
    },
    editor.Font: {
        "family": (lambda value: text(font=editor.Font(family=value, size=20)), []),  # the machine's own
        "size": (lambda value: text(font=editor.Font(size=value)), [12, 20, 30]),
        "color": (lambda value: text(font=editor.Font(color=value, size=20)), ["#ff0000", "#00ff00"]),
        "opacity": (lambda value: text(font=editor.Font(opacity=value, size=20)), [0, 0.5, 1]),
    },
    editor.Border: {
        "color": (lambda value: text(border=editor.Border(color=value, width=2)), ["#000000", "#ff0000"]),
        "width": (lambda value: text(border=editor.Border(width=value)), [0, 1, 4]),
    },
    editor.Shadow: {
        "color": (lambda value: text(shadow=editor.Shadow(value, 3, 3)), ["#000000", "#ff0000"]),
        "x": (lambda value: text(shadow=editor.Shadow(x=value)), [0, 2, 5]),
        "y": (lambda value: text(shadow=editor.Shadow(y=value)), [0, 2, 5]),
    },
    editor.Background: {
        "width": (lambda value: backed(width=value), [0, 60, 100]),
        "height": (lambda value: backed(height=value), [0, 40, 70]),
        "color": (lambda value: backed(color=value), ["#0000ff", "#ff0000"]),
        "border_width": (lambda value: backed(border_width=value), [0, 5, 12]),
        "opacity": (lambda value: backed(opacity=value), [0, 0.5, 1]),
        "text_alignment": (
            lambda value: backed(text_alignment=value, width=120, height=70),
            list(editor.TextAlignment),
        ),
    },
    editor.Alignment: {
        "horizontal": (
            lambda value: boxed(alignment=editor.Alignment(horizontal=value)),
            list(editor.HorizontalAlignment),
        ),
        "vertical": (
            lambda value: boxed(alignment=editor.Alignment(vertical=value)),
            list(editor.VerticalAlignment),
        ),
    },
    editor.TextAsset: {
        "text": (text, ["Hg", "Wx", "Hg Wx"]),
        "font": (None, []),
        "border": (lambda value: text(border=value), [None, editor.Border(width=2)]),
        "shadow": (lambda value: text(shadow=value), [None, editor.Shadow(x=2, y=2)]),
        "background": (lambda value: text(background=value), [None, editor.Background()]),
        "alignment": (None, []),
        "tabsize": (lambda value: text("a\tb", tabsize=value), [2, 4, 8]),
        "line_spacing": (lambda value: text("a\nb", line_spacing=value), [0, 5, 15]),
        "width": (lambda value: text("Hg Wx Hg", width=value), [None, 30, 60]),
        "height": (
            lambda value: text(
                height=value, alignment=editor.Alignment(vertical=editor.VerticalAlignment.top)
            ),
            [30, 60, 80],
        ),
    },
    editor.FontStyling: {
        "name": (lambda value: lettered(name=value), []),  # the machine's own
        "size": (lambda value: lettered(size=value), [12, 16, 24]),
        **{
            flag: (lambda value, flag=flag: lettered(**{flag: value}), [False, True])
            for flag in ("bold", "italic", "underline", "strikeout")
        },
        "scale_x": (lambda value: lettered(scale_x=value), [70, 100, 140]),
        "scale_y": (lambda value: lettered(scale_y=value), [70, 100, 140]),
        "spacing": (lambda value: lettered(spacing=value), [0, 2, 4]),
        "angle": (lambda value: lettered(angle=value), [-15, 0, 15]),
    },
    editor.BorderAndShadow: {
        "style": (lambda value: bordered(style=value), list(editor.CaptionBorderStyle)),
        "outline": (lambda value: bordered(outline=value), [0, 1, 3]),
        "outline_color": (
            lambda value: bordered(outline_color=value, outline=2),
            ["&H00000000", "&H000000FF"],
        ),
        "shadow": (lambda value: bordered(shadow=value), [0, 2, 4]),
    },
    editor.Positioning: {
        "alignment": (lambda value: placed(alignment=value), list(editor.CaptionAlignment)),
        "margin_l": (lambda value: placed(margin_l=value), [0, 20, 50]),
        "margin_r": (lambda value: placed(margin_r=value), [0, 20, 50]),
        "margin_v": (lambda value: placed(margin_v=value), [0, 20, 50]),
    },
    editor.CaptionAsset: {
        "src": (None, []),
        "font": (None, []),
        "border": (None, []),
        "position": (None, []),
        "primary_color": (lambda value: caption(primary_color=value), ["&H00FFFFFF", "&H000000FF"]),
        "secondary_color": (
            lambda value: caption(secondary_color=value, animation=editor.CaptionAnimation.karaoke),
            ["&H000000FF", "&H0000FF00"],
        ),
        "back_color": (
            lambda value: caption(back_color=value, border=editor.BorderAndShadow(shadow=3)),
            ["&H00000000", "&H0000FF00"],
        ),
        "animation": (lambda value: caption(animation=value), [None, *editor.CaptionAnimation]),
    },
}
ROWS = [
    pytest.param(make, values, id=f"{owner.__name__}.{name}")
    for owner, fields in TABLE.items()
    for name, (make, values) in fields.items()
    if values
]


@pytest.mark.parametrize(("make", "values"), ROWS)
def test_each_value_looks_unlike_the_others(make: Any, values: Values, renderer: Renderer) -> None:
    seen = [renderer.at(make(value)) for value in values]
    for number, one in enumerate(seen):
        for other in range(number):
            assert np.abs(one - seen[other]).mean() > DIFFERENT, (values[number], values[other])


def classes() -> Iterator[type]:
    for _, found in inspect.getmembers(editor, inspect.isclass):
        if found.__module__ == editor.__name__:
            yield found


# Where other tests look: media with their start and volume, tracks, the timeline, and transitions below.
ELSEWHERE = {
    "Transition",
    "VideoAsset",
    "ImageAsset",
    "AudioAsset",
    "BaseAsset",
    "TrackItem",
    "Track",
    "Timeline",
}


def test_the_table_has_everything_that_the_sdk_has() -> None:
    for owner in classes():
        if issubclass(owner, enum.Enum) or owner.__name__ in ELSEWHERE:
            continue
        taken = set(inspect.signature(owner).parameters)
        assert set(TABLE[owner]) == taken, owner
    tried = {type(value) for fields in TABLE.values() for _, values in fields.values() for value in values}
    enums = {found for found in classes() if issubclass(found, enum.Enum)}
    assert enums - tried == {editor.AssetType}


@pytest.mark.parametrize("side", ["in_", "out"])
def test_transitions_look_unlike_each_other_under_way_and_end(side: str, renderer: Renderer) -> None:
    early, late = (0.3, 1.2) if side == "in_" else (1.7, 0.8)
    still = renderer.at(small(), late)
    halves = []
    for name in get_args(Move):
        clip = small(transition=editor.Transition(**{side: name}, duration=0.6))
        assert np.abs(renderer.at(clip, late) - still).mean() < 1.0, name  # it has been coded anew
        halves.append((name, renderer.at(clip, early)))
    for number, (name, half) in enumerate(halves):
        assert np.abs(half - still).mean() > DIFFERENT, name
        for other, seen in halves[:number]:
            if {name, other} != {"reveal", "wipeRight"}:  # the same thing by two names
                assert np.abs(half - seen).mean() > DIFFERENT, (name, other)


@pytest.mark.parametrize(
    ("move", "shown", "hidden"),
    [
        # Half way in: left, right, top and bottom of what is shown, as shares of the canvas.
        ("wipeRight", (0.2, 0.5), (0.8, 0.5)),
        ("wipeLeft", (0.8, 0.5), (0.2, 0.5)),
        ("wipeDown", (0.5, 0.2), (0.5, 0.8)),
        ("wipeUp", (0.5, 0.8), (0.5, 0.2)),
        ("carouselLeft", (0.8, 0.5), (0.2, 0.5)),
        ("carouselRight", (0.2, 0.5), (0.8, 0.5)),
        ("carouselUp", (0.5, 0.8), (0.5, 0.2)),
        ("carouselDown", (0.5, 0.2), (0.5, 0.8)),
        ("zoom", (0.4, 0.4), (0.1, 0.5)),
    ],
)
def test_transitions_come_from_their_side(
    move: str, shown: tuple[float, float], hidden: tuple[float, float], renderer: Renderer
) -> None:
    half = renderer.at(image(transition=editor.Transition(in_=move, duration=1)), 0.5)

    def is_background(share: tuple[float, float]) -> bool:
        pixel = half[round(share[1] * SIDES[1]), round(share[0] * SIDES[0])]
        return bool(np.abs(pixel - 0x60).max() < 20)

    assert not is_background(shown)
    assert is_background(hidden)


def test_what_goes_leaves_the_way_it_went(renderer: Renderer) -> None:
    for move, hidden in (("wipeRight", 20), ("wipeLeft", 140), ("carouselRight", 20), ("carouselLeft", 140)):
        half = renderer.at(image(transition=editor.Transition(out=move, duration=1)), 1.5)
        assert np.abs(half[45, hidden] - 0x60).max() < 20, move
        assert np.abs(half[45, 160 - hidden] - 0x60).max() > 20, move


def test_effects_cover_the_canvas_from_the_first_to_the_last_picture(renderer: Renderer) -> None:
    for effect in get_args(Effect):
        for seconds in (0.0, 1.0, 1.95):
            edges = renderer.at(image(effect=effect), seconds)[[2, 2, 86, 86], [2, 156, 2, 156]]
            assert (np.ptp(edges, axis=1) > 60).sum() >= 3, (effect, seconds)  # one corner is white in places


def test_a_zoom_goes_on_without_trembling(renderer: Renderer) -> None:
    """Its border moves by fractions of a pixel, and never back."""
    ring = []
    for number in range(6, 54, 3):
        row = renderer.at(image(effect="zoomInSlow"), number / 30)[45].min(axis=1)
        light = np.clip(row[:80] - 100, 0, None)
        ring.append(float((light * np.arange(80)).sum() / light.sum()))
    steps = np.diff(ring)
    assert (steps < 0.1).all()
    assert -8 < ring[-1] - ring[0] < -2
