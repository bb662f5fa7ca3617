"""Captions as cues: words shown together for a time, from what was said or from a subtitle file."""

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import get_args

import pysubs2
from pysubs2.formats.substation import parse_tags

from app.media.editor.colours import Colour
from app.media.editor.styles import (
    MAX_FONT_PIXELS,
    CaptionBorder,
    CaptionFont,
    CaptionPlace,
    CaptionPosition,
    CaptionStyle,
)
from app.media.editor.timeline import Word

MAX_CUES = 20_000
_PLACES: tuple[CaptionPlace, ...] = get_args(CaptionPlace)
_ALIGNMENT = re.compile(r"\\an([1-9])")
_POSITION = re.compile(r"\\pos\(\s*(-?[\d.]{1,9})\s*,\s*(-?[\d.]{1,9})\s*\)")
_OPAQUE_BOX = 3
_LONGEST_WORD = 30  # letters
_DEFAULT_SCRIPT_HEIGHT = 288  # what renderers take where a file does not say


@dataclass(frozen=True, slots=True)
class CueWord:
    """A word with its time and font; `breaks` ends the line behind it."""

    word: Word
    font: CaptionFont
    breaks: bool = False


@dataclass(frozen=True, slots=True)
class Cue:
    """Words shown from `start_seconds` to `end_seconds`; `at` is where they are anchored, in pixels, instead
    of by margins."""

    start_seconds: float
    end_seconds: float
    words: tuple[CueWord, ...]
    style: CaptionStyle
    at: tuple[float, float] | None = None


def read_subtitles(source: str) -> pysubs2.SSAFile:
    """A subtitle file (ASS, SSA, SRT or WebVTT) in base64. Raises `ValueError`."""
    try:
        text = base64.b64decode(source, validate=True).decode("utf-8-sig")
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise ValueError('must be "auto" or a subtitle file in base64') from error
    try:
        found = pysubs2.SSAFile.from_string(text)
    except (pysubs2.Pysubs2Error, ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError("is no subtitle file that can be read (ASS, SSA, SRT or WebVTT)") from error
    if len(found) > MAX_CUES:
        raise ValueError(f"may have {MAX_CUES} events")
    return found


def file_cues(
    subtitles: pysubs2.SSAFile, style: CaptionStyle, canvas: tuple[int, int], offset_seconds: float
) -> list[Cue]:
    """The file's events, moved by `offset_seconds`. A file without styles of its own takes `style`."""
    styled = "PlayResY" in subtitles.info or bool(set(subtitles.styles) - {"Default"})
    scale = _script_scale(subtitles, canvas)
    cues = []
    for event in subtitles:
        if event.is_comment:
            continue
        base = subtitles.styles.get(event.style, pysubs2.SSAStyle())
        shown = _style_from(base, style, scale) if styled else style
        shown, at = _overridden(shown, event.text, scale)
        start, end = (offset_seconds + value / 1000 for value in (event.start, event.end))
        words = tuple(_event_words(event, base, shown, subtitles, start, end))
        if words and end > start:
            cues += split_for(Cue(start, end, words, shown, at))
    return sorted(cues, key=lambda cue: cue.start_seconds)


def spoken_cues(
    sentences: Sequence[Sequence[Word]], style: CaptionStyle, fits: Callable[[Sequence[CueWord]], bool]
) -> list[Cue]:
    """Sentences cut so that what is shown at once `fits`; each part stands until the next begins."""
    cues: list[Cue] = []
    for sentence in sentences:
        parts: list[list[CueWord]] = []
        for word in sentence:
            one = CueWord(word, style.font)
            if parts and fits([*parts[-1], one]):
                parts[-1].append(one)
            else:
                parts.append([one])
        starts = [part[0].word.start_seconds for part in parts]
        ends = [*starts[1:], *(word.end_seconds for word in sentence[-1:])]
        for part, start, end in zip(parts, starts, ends, strict=False):
            cues += split_for(Cue(start, end, tuple(part), style))
    return sorted(cues, key=lambda cue: cue.start_seconds)


def split_for(cue: Cue) -> list[Cue]:
    """The cue itself, or with the animation `impact` one of each word."""
    if cue.style.animation != "impact":
        return [cue]
    starts = [one.word.start_seconds for one in cue.words]
    ends = [*starts[1:], cue.end_seconds]
    return [
        replace(cue, start_seconds=start, end_seconds=end, words=(replace(one, breaks=False),))
        for one, start, end in zip(cue.words, starts, ends, strict=True)
    ]


def _event_words(
    event: pysubs2.SSAEvent,
    base: pysubs2.SSAStyle,
    style: CaptionStyle,
    subtitles: pysubs2.SSAFile,
    start: float,
    end: float,
) -> Iterator[CueWord]:
    """The event's words, their times spread over it by their lengths: a file does not say them."""
    found: list[tuple[str, CaptionFont, bool]] = []
    for text, look in parse_tags(event.text, base, subtitles.styles):
        if look.drawing:
            continue
        # Where the text's own tags change a flag; else it is that of the style in force.
        changed = {
            flag: bool(getattr(look, flag))
            for flag in ("bold", "italic", "underline", "strikeout")
            if getattr(look, flag) != getattr(base, flag)
        }
        font = style.font.model_copy(update=changed)
        lines = text.replace("\\h", " ").replace("\\n", " ").split("\\N")
        for number, line in enumerate(lines):
            words = [(piece, font, False) for word in line.split() for piece in _pieces(word)]
            found += words
            if number < len(lines) - 1 and found:
                found[-1] = (*found[-1][:2], True)
    letters = sum(len(word) for word, _, _ in found)
    passed = 0
    for word, font, breaks in found:
        times = [start + (end - start) * count / letters for count in (passed, passed + len(word))]
        yield CueWord(Word(word, times[0], times[1]), font, breaks)
        passed += len(word)


def _pieces(word: str) -> list[str]:
    """The word in pieces that a line can hold: not every script has spaces."""
    return [word[begin : begin + _LONGEST_WORD] for begin in range(0, len(word), _LONGEST_WORD)]


def _script_scale(subtitles: pysubs2.SSAFile, canvas: tuple[int, int]) -> tuple[float, float]:
    height = _positive(subtitles.info.get("PlayResY")) or _DEFAULT_SCRIPT_HEIGHT
    width = _positive(subtitles.info.get("PlayResX")) or height * canvas[0] / canvas[1]
    return canvas[0] / width, canvas[1] / height


def _positive(value: str | None) -> float:
    return float(value) if value and value.strip().isdecimal() else 0.0


def _style_from(style: pysubs2.SSAStyle, asked: CaptionStyle, scale: tuple[float, float]) -> CaptionStyle:
    """A file's style in pixels of the canvas; the animation is the asset's."""
    across, down = scale
    size = min(max(float(style.fontsize) * down, 1), MAX_FONT_PIXELS)
    return CaptionStyle.model_construct(
        font=CaptionFont.model_construct(
            font_name=str(style.fontname)[:100],
            font_size=size,
            bold=bool(style.bold),
            italic=bool(style.italic),
            underline=bool(style.underline),
            strikeout=bool(style.strikeout),
            scale_x=min(max(float(style.scalex), 1), 1000),
            scale_y=min(max(float(style.scaley), 1), 1000),
            spacing=float(style.spacing) * across,
            angle=float(style.angle),
        ),
        primary_color=_colour(style.primarycolor),
        secondary_color=_colour(style.secondarycolor),
        back_color=_colour(style.backcolor),
        border=CaptionBorder.model_construct(
            style="opaque_box" if style.borderstyle == _OPAQUE_BOX else "outline_and_shadow",
            outline=min(max(float(style.outline) * down, 0), 100),
            outline_color=_colour(style.outlinecolor),
            shadow=min(max(float(style.shadow) * down, 0), 100),
        ),
        position=CaptionPosition.model_construct(
            alignment=_alignment(int(style.alignment)),
            margin_l=style.marginl * across,
            margin_r=style.marginr * across,
            margin_v=style.marginv * down,
        ),
        animation=asked.animation,
    )


def _overridden(
    style: CaptionStyle, text: str, scale: tuple[float, float]
) -> tuple[CaptionStyle, tuple[float, float] | None]:
    """The style with the alignment, and the place, that an event's own tags ask for."""
    if aligned := _ALIGNMENT.search(text):
        position = style.position.model_copy(update={"alignment": _alignment(int(aligned[1]))})
        style = style.model_copy(update={"position": position})
    placed = _POSITION.search(text)
    try:
        at = (float(placed[1]) * scale[0], float(placed[2]) * scale[1]) if placed else None
    except ValueError:
        at = None
    return style, at


def _alignment(number: int) -> CaptionPlace:
    """The place of a key of the number pad."""
    return _PLACES[min(max(number, 1), 9) - 1]


def _colour(colour: pysubs2.Color) -> Colour:
    return Colour(colour.r, colour.g, colour.b, 255 - colour.a)
