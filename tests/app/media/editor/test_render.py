from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image, ImageDraw

from app.base.errors import Unprocessable
from app.media.editor.colours import Colour, read_colour
from app.media.editor.render import render_timeline
from app.media.editor.timeline import Clip, PlacedClip, Timeline, Word
from app.media.hls import index_fragments
from app.media.writing import ExportedFile
from tests.fixtures.media import (
    OPUS_RATE_HZ,
    beep_seconds,
    beeps,
    export_recording,
    flash_seconds,
    h264_frames,
    opus_packets,
    record,
    sound_of,
    tone,
)

# A picture is shown at the next instant of 30 a second, and the asset's own begins 6.5 ms late: Opus' delay.
FRAME_SECONDS = 1 / 30 + 0.0066
BLUE, RED, GREEN = (0, 0, 255), (255, 0, 0), (0, 255, 0)
ABOUT = 14  # of 255: what limited range, 4:2:0 and x264 leave of a colour

Render = Callable[..., ExportedFile]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """`video` flashes white and beeps at each second; `quarters` is an image of four colours."""
    folder = tmp_path_factory.mktemp("assets")
    video = record(h264_frames(seconds=6.0), folder, "display")
    made = {
        "video": export_recording(video, [record(opus_packets(beeps(6.0)), folder, "mic")], folder / "a.mp4"),
        "sound": export_recording(None, [record(opus_packets(beeps(6.0)), folder, "mic2")], folder / "a.m4a"),
        "tone": export_recording(None, [record(opus_packets(tone(4.0)), folder, "tone")], folder / "t.m4a"),
    }
    quarters = Image.new("RGB", (80, 60), RED)
    draw = ImageDraw.Draw(quarters)
    draw.rectangle((40, 0, 79, 29), fill=GREEN)
    draw.rectangle((0, 30, 39, 59), fill=BLUE)
    draw.rectangle((40, 30, 79, 59), fill="white")
    quarters.save(folder / "quarters.png")
    ring = Image.new("RGBA", (80, 80), (0, 0, 0, 0))
    ImageDraw.Draw(ring).rectangle((20, 20, 59, 59), fill=(255, 0, 0, 128))
    ring.save(folder / "ring.png")
    Image.new("RGB", (64, 64), RED).save(folder / "red.png")
    (folder / "junk").write_bytes(b"junk" * 100)
    return {name: file.path for name, file in made.items()} | {
        "quarters": folder / "quarters.png",
        "ring": folder / "ring.png",
        "red": folder / "red.png",
        "junk": folder / "junk",
        "missing": folder / "missing",
    }


@pytest.fixture
def render(files: dict[str, Path], tmp_path: Path) -> Render:
    def rendered(
        *clips: PlacedClip,
        size: tuple[int, int] = (320, 180),
        background: str = "#000000",
        sentences: list[list[Word]] | None = None,
        **more: Any,
    ) -> ExportedFile:
        timeline = Timeline(*size, read_colour(background), clips, sentences or [])
        target = tmp_path / f"{len(list(tmp_path.iterdir()))}.mp4"
        return render_timeline(timeline, files, target, **more)

    return rendered


def placed(asset: dict[str, Any], start: float = 0.0, seconds: float = 1.0, **looks: Any) -> PlacedClip:
    fades = {name: looks.pop(name) for name in list(looks) if name.startswith(("fade_", "muted"))}
    clip = Clip.model_validate({"asset": asset, "duration": seconds, **looks})
    return PlacedClip("tracks[0].clips[0]", start, seconds, clip, **fades)


def video(start: float = 0.0, **more: Any) -> dict[str, Any]:
    return {"type": "video", "id": "video", "start": start, **more}


def image(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "image", "id": name, **more}


def picture_at(made: ExportedFile, seconds: float) -> np.ndarray:
    with av.open(str(made.path)) as container:
        shown = None
        for frame in container.decode(video=0):
            if shown is not None and frame.time > seconds:
                break
            shown = frame
    assert shown is not None
    return shown.to_ndarray(format="rgb24").astype(int)


def colour_at(made: ExportedFile, x: int, y: int, seconds: float = 0.5) -> list[int]:
    return picture_at(made, seconds)[y, x].tolist()


def is_about(colour: tuple[int, int, int], within: int = ABOUT) -> Any:
    return pytest.approx(list(colour), abs=within)


def test_a_clip_is_shown_and_heard_where_it_was_put(render: Render) -> None:
    told: list[float] = []
    made = render(placed(video(1.5), 1.0, 3.0), on_progress=told.append)
    # The asset's whole seconds 2, 3 and 4 lie half a second into each second of the timeline.
    assert flash_seconds(made.path) == pytest.approx([1.5, 2.5, 3.5], abs=FRAME_SECONDS)
    assert beep_seconds(made.path) == pytest.approx([1.5, 2.5, 3.5], abs=0.02)
    assert made.duration_seconds == pytest.approx(4.0, abs=FRAME_SECONDS)
    assert (made.has_video, made.has_audio, made.width, made.height) == (True, True, 320, 180)
    assert told == sorted(told)
    assert len(told) > 20
    assert told[-1] == 1.0
    assert picture_at(made, 0.5).max() < 20  # background before it


def test_clips_end_with_their_media(render: Render) -> None:
    made = render(placed(video(4.0), 0.0, 60.0), placed({"type": "audio", "id": "sound"}, 0.0, 60.0))
    assert made.duration_seconds == pytest.approx(6.0, abs=0.1)
    assert flash_seconds(made.path) == pytest.approx([0.0, 1.0], abs=FRAME_SECONDS)
    assert len(beep_seconds(made.path)) == 6
    assert picture_at(made, 4.0).max() < 20


def test_the_sound_of_a_video_can_be_used_alone(render: Render) -> None:
    made = render(placed({"type": "audio", "id": "video"}, 0.0, 3.0))
    assert len(beep_seconds(made.path)) == 3
    assert picture_at(made, 0.05).max() < 20


@pytest.mark.parametrize("volume", [0.5, 2.0])
def test_volume_is_applied(render: Render, volume: float) -> None:
    sounds = [{"type": "audio", "id": "tone", "volume": level} for level in (1.0, volume)]
    levels = [np.abs(sound_of(render(placed(sound)).path)[12_000:36_000]).max() for sound in sounds]
    assert levels[0] == pytest.approx(0.3, rel=0.15)
    assert levels[1] == pytest.approx(levels[0] * volume, rel=0.1)


def test_sound_fades_and_falls_silent(render: Render) -> None:
    sound = {"type": "audio", "id": "tone"}
    made = render(
        placed(sound, 0.0, 4.0, fade_in_seconds=1.0, fade_out_seconds=1.0, muted=((1.5, 2.0),)),
    )
    samples = np.abs(sound_of(made.path))
    levels = [
        samples[round(at * OPUS_RATE_HZ) : round((at + 0.04) * OPUS_RATE_HZ)].max()
        for at in (0.02, 0.48, 1.2, 1.75, 2.5, 3.48, 3.94)
    ]
    assert levels == pytest.approx([0.01, 0.15, 0.3, 0.0, 0.3, 0.15, 0.01], abs=0.04)


def test_pictures_fade_in_and_out(render: Render) -> None:
    made = render(placed(image("red"), 0.0, 4.0, fit="cover", fade_in_seconds=1.0, fade_out_seconds=2.0))
    reds = [colour_at(made, 160, 90, at)[0] for at in (0.0, 0.5, 1.5, 3.0, 3.9)]
    assert reds == pytest.approx([0, 128, 255, 128, 13], abs=ABOUT)


def test_layers_lie_above_each_other_with_opacity(render: Render) -> None:
    # At 0.05 s the asset is all white: half of it over blue is light blue.
    half = placed(video(volume=0), opacity=0.5)
    made = render(half, background="#0000ff")
    assert colour_at(made, 160, 90, 0.05) == is_about((128, 128, 255))
    assert not made.has_audio
    covered = render(half, placed(image("red"), fit="cover"))
    assert colour_at(covered, 160, 90, 0.05) == is_about(RED)


def test_what_an_image_leaves_clear_is_seen_through(render: Render) -> None:
    made = render(placed(image("ring"), fit="none"), background="#0000ff")
    assert colour_at(made, 160, 90) == is_about((128, 0, 127))
    assert colour_at(made, 160 - 35, 90) == is_about(BLUE)


@pytest.mark.parametrize(
    ("fit", "seen", "unseen"),
    [
        ("contain", [(90, 25), (10, 25)], [(90, 10), (90, 170)]),  # 180 by 135 on 180 by 180
        ("crop", [(2, 2), (177, 177)], []),
        ("cover", [(2, 2), (177, 177)], []),
        ("none", [(52, 62), (127, 117)], [(46, 90), (90, 56), (134, 90), (90, 124)]),  # 80 by 60
        (None, [(52, 62), (127, 117)], [(46, 90), (90, 56)]),
        ("None", [(52, 62), (127, 117)], [(46, 90), (90, 56)]),
    ],
)
def test_fit(
    fit: str | None, seen: list[tuple[int, int]], unseen: list[tuple[int, int]], render: Render
) -> None:
    made = render(placed(image("quarters"), fit=fit), size=(180, 180))
    shown = picture_at(made, 0.5)
    assert all(shown[y, x].max() > 200 for x, y in seen)
    assert all(shown[y, x].max() < 30 for x, y in unseen)


def test_crop_fit_keeps_the_proportions_and_cover_does_not(render: Render) -> None:
    # 80 by 60 fills 160 by 60: cropped it is shown from row 15 to 45 of 60, doubled; covered all of it.
    cropped = render(placed(image("quarters"), fit="crop"), size=(160, 60))
    assert colour_at(cropped, 10, 26) == is_about(RED)
    assert colour_at(cropped, 10, 34) == is_about(BLUE)
    covered = render(placed(image("quarters"), fit="cover"), size=(160, 60))
    assert colour_at(covered, 150, 4) == is_about(GREEN)
    assert colour_at(covered, 150, 56) == is_about((255, 255, 255))


@pytest.mark.parametrize(
    ("position", "offset", "left", "top"),
    [
        ("center", {}, 128, 58),
        ("top_left", {}, 0, 0),
        ("top", {}, 128, 0),
        ("top_right", {}, 256, 0),
        ("left", {}, 0, 58),
        ("right", {}, 256, 58),
        ("bottom_left", {}, 0, 116),
        ("bottom", {}, 128, 116),
        ("bottom_right", {}, 256, 116),
        ("center", {"x": 0.25, "y": -0.2}, 208, 22),
        ("top_left", {"x": -0.1, "y": 0.1}, -32, 18),
    ],
)
def test_position_and_offset(
    position: str, offset: dict[str, float], left: int, top: int, render: Render
) -> None:
    made = render(placed(image("red"), fit="none", position=position, offset=offset))
    red = np.argwhere(picture_at(made, 0.5)[..., 0] > 128)
    rows, columns = (red[:, 0].min(), red[:, 0].max()), (red[:, 1].min(), red[:, 1].max())
    assert rows == (top, top + 63)
    assert columns == (max(left, 0), left + 63)


@pytest.mark.parametrize(("scale", "side"), [(0.5, 32), (1.5, 96), (10, 640)])
def test_scale(scale: float, side: int, render: Render) -> None:
    made = render(placed(image("red"), fit="none", scale=scale))
    red = picture_at(made, 0.5)[..., 0] > 128
    assert (red[90].sum(), red[:, 160].sum()) == (min(side, 320), min(side, 180))


def test_a_large_scale_shows_the_middle_exactly(render: Render) -> None:
    made = render(placed(image("quarters"), fit="none", scale=10), size=(160, 90))
    assert colour_at(made, 74, 39) == is_about(RED)
    assert colour_at(made, 86, 39) == is_about(GREEN)
    assert colour_at(made, 74, 51) == is_about(BLUE)


def test_scale_zero_shows_nothing(render: Render) -> None:
    assert picture_at(render(placed(image("red"), scale=0)), 0.5).max() < 20


@pytest.mark.parametrize(
    ("crop", "colour"),
    [
        ({"right": 0.5, "bottom": 0.5}, RED),  # shares, by the vendor's guide
        ({"left": 40, "bottom": 30}, GREEN),  # pixels, by its SDK
        ({"right": 40, "top": 0.5}, BLUE),
    ],
)
def test_crop(crop: dict[str, float], colour: tuple[int, int, int], render: Render) -> None:
    shown = picture_at(render(placed(image("quarters", crop=crop), fit="cover")), 0.5)
    assert shown[3, 3].tolist() == is_about(colour)
    assert shown[176, 316].tolist() == is_about(colour)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("greyscale", (86, 86, 86)),
        ("negative", (55, 213, 215)),
        ("darken", (163, 4, 3)),
        ("lighten", (255, 105, 104)),
        ("muted", (150, 70, 70)),
        ("contrast", (182, 23, 22)),
        ("boost", (235, 12, 10)),
        ("blur", (200, 40, 40)),
    ],
)
def test_filters(
    name: str, expected: tuple[int, int, int], files: dict[str, Path], render: Render, tmp_path: Path
) -> None:
    files["plain"] = tmp_path / "plain.png"
    Image.new("RGB", (64, 64), (200, 40, 40)).save(files["plain"])
    made = render(placed(image("plain"), fit="cover", filter=name))
    assert colour_at(made, 160, 90) == is_about(expected)


def test_blur_blurs(render: Render) -> None:
    sharp, blurred = (
        picture_at(render(placed(image("quarters"), fit="cover", filter=name)), 0.5)[20, 150:170, 0]
        for name in (None, "blur")
    )
    assert np.abs(np.diff(blurred)).max() < np.abs(np.diff(sharp)).max() / 3


def test_a_still_picture_is_not_written_thirty_times_a_second(
    files: dict[str, Path], render: Render, tmp_path: Path
) -> None:
    still = record(h264_frames(times_seconds=[0.0, 3.0, 5.9], flash=False), tmp_path, "display")
    files["still"] = export_recording(still, [], tmp_path / "still.mp4").path
    made = render(placed({"type": "video", "id": "still"}, 0, 5.9))
    with av.open(str(made.path)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert len(times) < 12
    assert any(abs(time - 3.0) < FRAME_SECONDS for time in times)
    assert index_fragments(made.path).duration_seconds == pytest.approx(5.9, abs=FRAME_SECONDS)


def test_what_cannot_be_rendered_is_said_with_its_clip(render: Render, tmp_path: Path) -> None:
    for asset in (
        {"type": "video", "id": "sound"},
        {"type": "video", "id": "junk"},
        {"type": "image", "id": "junk"},
        {"type": "audio", "id": "missing"},
        video(100.0),
        image("quarters", crop={"left": 40, "right": 40}),
    ):
        with pytest.raises(Unprocessable) as failed:
            render(placed(asset))
        assert "tracks[0].clips[0]" in failed.value.message or asset.get("start") == 100.0
    assert not list(tmp_path.iterdir())


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


def lit(made: ExportedFile, seconds: float = 0.5) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what is brighter than the background."""
    found = np.argwhere(picture_at(made, seconds).max(axis=2) > 100)
    assert len(found)
    return found[:, 1].min(), found[:, 0].min(), found[:, 1].max(), found[:, 0].max()


@pytest.mark.parametrize(
    ("looks", "across", "down"),
    [
        ({}, 0.5, 0.5),
        ({"position": "top_left"}, 0, 0),
        ({"position": "bottom_right"}, 1, 1),
        ({"alignment": {"horizontal": "left", "vertical": "bottom"}}, 0, 1),
    ],
)
def test_text_lies_where_its_clip_or_its_alignment_says(
    looks: dict[str, Any], across: float, down: float, render: Render
) -> None:
    aligned = looks.pop("alignment", {})
    made = render(placed(text("Hi", font={"size": 40}, alignment=aligned), fit="crop", **looks))
    left, top, right, bottom = lit(made)
    assert right - left < 70
    assert bottom - top < 45
    assert (left + right) / 2 == pytest.approx(across * (320 - 44) + 22, abs=8)
    assert (top + bottom) / 2 == pytest.approx(down * (180 - 50) + 25, abs=12)


def test_text_is_aligned_and_broken_in_its_box(render: Render) -> None:
    box = {"width": 160, "height": 120, "font": {"size": 20}}
    right = text("two words", alignment={"horizontal": "right", "vertical": "top"}, **box)
    _, top, edge, _ = lit(render(placed(right)))
    assert edge == pytest.approx(80 + 160, abs=4)
    assert top == pytest.approx(30 + 5, abs=6)
    many = text("many words that need more lines than one", **box)
    _, top, _, bottom = lit(render(placed(many)))
    assert bottom - top > 45
    assert (top + bottom) / 2 == pytest.approx(90, abs=6)


def test_text_has_colour_background_border_and_shadow(render: Render) -> None:
    asset = text(
        "MMMM",
        font={"size": 60, "color": "#00ff00"},
        background={"color": "#0000ff", "border_width": 20, "opacity": 0.5},
        border={"color": "#ff0000", "width": 4},
    )
    shown = picture_at(render(placed(asset)), 0.5)
    found = {tuple(pixel) for pixel in (shown.reshape(-1, 3) // 64).tolist()}
    assert (0, 3, 0) in found or (0, 3, 1) in found  # letters
    assert (3, 0, 0) in found or (3, 0, 1) in found  # their border
    left, top, _, _ = lit(render(placed(asset)))
    background = shown[top, left].tolist()
    assert background[2] == pytest.approx(128, abs=25)
    shaded = render(
        placed(
            text("MMMM", font={"size": 60, "color": "#000000"}, shadow={"color": "#ff0000", "x": 6, "y": 6})
        ),
        background="#ffffff",
    )
    pixels = picture_at(shaded, 0.5)
    assert ((pixels[..., 0] > 150) & (pixels[..., 1] < 100)).sum() > 100


def test_an_empty_text_and_a_huge_one_are_rendered(render: Render) -> None:
    assert picture_at(render(placed(text(""))), 0.5).max() < 20
    for size in (200, 1000):
        huge = text("W" * 300, font={"size": size, "color": "#ffffff"}, background={"color": "#ff0000"})
        assert colour_at(render(placed(huge)), 160, 2) == is_about(RED)


def test_spoken_words_are_captioned_as_they_are_said(render: Render) -> None:
    said = [Word(word, 0.5 + number, 1.5 + number) for number, word in enumerate(["MMM", "WWW"])]
    style = {"font": {"font_size": 30}, "primary_color": "&H000000FF", "secondary_color": "&H00FF0000"}
    asset = {"type": "caption", "animation": "color_highlight", **style}
    made = render(placed(asset, 0.0, 3.0), sentences=[said])
    assert picture_at(made, 0.3).max() < 20
    before, after = picture_at(made, 1.0), picture_at(made, 2.0)
    for shown, blue_side in ((before, 0), (after, 1)):
        halves = shown[:, :160], shown[:, 160:]
        blue = [(half[..., 2] > 150).sum() for half in halves]
        red = [(half[..., 0] > 150).sum() for half in halves]
        assert blue[blue_side] > 50 > blue[1 - blue_side]
        assert red[1 - blue_side] > 50 > red[blue_side]
        assert np.argwhere(shown.max(axis=2) > 100)[:, 0].min() > 100  # at the bottom
    assert picture_at(made, 2.9).max() < 20


def test_a_background_may_be_any_colour(render: Render) -> None:
    made = render(placed(image("red"), scale=0), background="#336699")
    assert colour_at(made, 5, 5) == is_about((0x33, 0x66, 0x99))
    assert Colour(1, 2, 3).with_opacity(0.5).opacity == 128
