import base64
from itertools import pairwise

import pytest

from app.media.editor.captions import draw_cue, fits_canvas
from app.media.editor.colours import Colour
from app.media.editor.cues import Cue, file_cues, read_subtitles, spoken_cues
from app.media.editor.styles import CaptionStyle
from app.media.editor.timeline import Word

CANVAS = (640, 360)
ASS = r"""[Script Info]
ScriptType: v4.00+
PlayResX: 320
PlayResY: 180

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Loud,Arial,20,&H0000FFFF,&H000000FF,&H00FF0000,&H80000000,-1,0,0,0,100,100,0,0,3,2,1,8,10,20,30,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:01.00,0:00:03.00,Loud,,0,0,0,,Hello {\i1}there{\i0}\Nworld
Dialogue: 0,0:00:04.00,0:00:05.00,Loud,,0,0,0,,{\an1\pos(30,40)}placed
Comment: 0,0:00:04.00,0:00:05.00,Loud,,0,0,0,,nobody sees this
"""  # noqa: E501 - a format line cannot be broken
SRT = "1\n00:00:00,500 --> 00:00:01,500\nPlain words\n\n2\n00:00:02,000 --> 00:00:03,000\nmore <b>words</b>\n"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_an_ass_file_keeps_its_styles_scaled_to_the_canvas() -> None:
    first, second = file_cues(read_subtitles(encoded(ASS)), CaptionStyle(), CANVAS, 10.0)
    assert (first.start_seconds, first.end_seconds) == (11.0, 13.0)
    assert [one.word.text for one in first.words] == ["Hello", "there", "world"]
    assert [one.font.italic for one in first.words] == [False, True, False]
    assert [one.breaks for one in first.words] == [False, True, False]
    style = first.style
    assert (style.font.font_size, style.font.bold, style.font.font_name) == (40, True, "Arial")
    assert style.primary_color == Colour(255, 255, 0)
    assert style.back_color == Colour(0, 0, 0, 127)
    assert (style.border.style, style.border.outline, style.border.shadow) == ("opaque_box", 4, 2)
    position = style.position
    assert (position.alignment, position.margin_l, position.margin_r, position.margin_v) == (
        "top_center",
        20,
        40,
        60,
    )
    assert second.style.position.alignment == "bottom_left"
    assert second.at == (60, 80)


def test_an_srt_file_takes_the_style_that_is_asked_for() -> None:
    asked = CaptionStyle.model_validate({"font": {"font_size": 44, "italic": True}})
    cues = file_cues(read_subtitles(encoded(SRT)), asked, CANVAS, 0.0)
    assert [(cue.start_seconds, cue.end_seconds) for cue in cues] == [(0.5, 1.5), (2.0, 3.0)]
    assert cues[0].style == asked
    assert [one.font.bold for one in cues[1].words] == [False, True]
    assert all(one.font.italic for cue in cues for one in cue.words)
    plain, words = (one.word for one in cues[0].words)
    assert (plain.start_seconds, words.end_seconds) == (0.5, 1.5)
    assert plain.end_seconds == words.start_seconds == 1.0


@pytest.mark.parametrize(
    "source", ["not base64!", encoded("no subtitles at all"), "", encoded("\x00\xff"), "/w=="]
)
def test_what_is_no_subtitle_file_is_said(source: str) -> None:
    with pytest.raises(ValueError, match="subtitle"):
        read_subtitles(source)


def words(text: str, seconds: float = 0.5) -> list[Word]:
    return [Word(word, at * seconds, at * seconds + 0.4) for at, word in enumerate(text.split())]


def test_a_long_sentence_is_cut_into_what_has_room() -> None:
    style = CaptionStyle.model_validate({"font": {"font_size": 60}})
    sentence = words("it was the best of times it was the worst of times it was the age of wisdom")
    cues = spoken_cues([sentence], style, lambda some: fits_canvas(some, style, CANVAS))
    assert len(cues) > 1
    assert [one.word for cue in cues for one in cue.words] == sentence
    assert all(cue.end_seconds == after.start_seconds for cue, after in pairwise(cues))
    assert cues[-1].end_seconds == sentence[-1].end_seconds


def test_impact_shows_one_word_at_a_time() -> None:
    style = CaptionStyle(animation="impact")
    cues = spoken_cues([words("one two three")], style, lambda some: True)
    assert [[one.word.text for one in cue.words] for cue in cues] == [["one"], ["two"], ["three"]]
    assert [cue.end_seconds for cue in cues] == [0.5, 1.0, 1.4]


def cue(text: str = "MMM WWW", **style: object) -> Cue:
    asked = CaptionStyle.model_validate({"font": {"font_size": 40}, **style})
    return spoken_cues([words(text)], asked, lambda some: True)[0]


def box(made: Cue, active: int = 0) -> tuple[int, int, int, int]:
    found = draw_cue(made, active, CANVAS).getbbox()
    assert found is not None
    return found


@pytest.mark.parametrize("row", ["top", "middle", "bottom"])
@pytest.mark.parametrize("column", ["left", "center", "right"])
def test_a_cue_lies_by_its_margins(row: str, column: str) -> None:
    position = {"alignment": f"{row}_{column}", "margin_l": 20, "margin_r": 50, "margin_v": 40}
    left, top, right, bottom = box(cue(position=position))
    across = {"left": left - 20, "center": (left + right) / 2 - 305, "right": right - 590}[column]
    down = {"top": top - 40, "middle": (top + bottom) / 2 - 180, "bottom": bottom - 320}[row]
    assert abs(across) <= 5
    assert abs(down) <= 16  # letters do not fill their line


def colours(made: Cue, active: int) -> dict[tuple[int, int, int], int]:
    """How many pixels each opaque colour has, in red and white and what else there is."""
    pixels = draw_cue(made, active, CANVAS).get_flattened_data()
    found: dict[tuple[int, int, int], int] = {}
    for red, green, blue, opacity in pixels:
        if opacity == 255:
            found[red, green, blue] = found.get((red, green, blue), 0) + 1
    return found


WHITE, RED, BLACK = (255, 255, 255), (255, 0, 0), (0, 0, 0)


@pytest.mark.parametrize(
    ("animation", "active", "red"),
    [(None, 1, False), ("color_highlight", 1, True), ("karaoke", 0, True), ("box_highlight", 1, True)],
)
def test_animations_colour_the_word_that_is_spoken(animation: str | None, active: int, red: bool) -> None:
    found = colours(cue(animation=animation), active)
    assert (found.get(RED, 0) > 100) is red
    assert found[WHITE] > 100


def test_reveal_shows_what_was_said_and_supersize_enlarges_it() -> None:
    revealed = cue(animation="reveal")
    assert draw_cue(revealed, -1, CANVAS).getbbox() is None
    assert box(revealed, 0)[2] < box(revealed, 1)[2]
    large = cue(animation="supersize")
    assert box(large, 0)[1] < box(cue(), 0)[1]


def test_outline_shadow_and_box_surround_the_words() -> None:
    bare = box(cue(border={"outline": 0}))
    outlined = box(cue(border={"outline": 4}))
    assert outlined[0] == bare[0] - 4
    shaded = box(cue(border={"outline": 0, "shadow": 6}))
    assert (shaded[2], shaded[3]) == (bare[2] + 6, bare[3] + 6)
    boxed = cue(border={"style": "opaque_box", "outline": 5, "outline_color": "&H00000000"})
    assert colours(boxed, 0)[BLACK] > 3000


def test_fonts_are_stretched_spaced_turned_and_lined() -> None:
    middle = {"alignment": "middle_center"}
    plain = box(cue("MMM", position=middle))
    width, height = plain[2] - plain[0], plain[3] - plain[1]

    def sides(**font: object) -> tuple[int, int]:
        left, top, right, bottom = box(cue("MMM", font={"font_size": 40, **font}, position=middle))
        return right - left, bottom - top

    assert sides(scale_x=150)[0] == pytest.approx(width * 1.5, abs=4)
    assert sides(scale_y=150)[1] == pytest.approx(height * 1.5, abs=4)
    assert sides(spacing=10)[0] == pytest.approx(width + 20, abs=3)
    assert sides(angle=90) == pytest.approx((height, width), abs=3)
    assert sides(underline=True)[1] > height
    assert sides(bold=True)[0] > width
    assert sides(italic=True)[0] > width + 3
    assert sides(strikeout=True)[0] >= width
