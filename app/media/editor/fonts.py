"""Finds a typeface: the one named, where the machine has it, else the one that Pillow carries."""

import re
import string
from dataclasses import dataclass
from functools import lru_cache

from PIL import ImageFont

_NO_FILE_NAME = re.compile(r"[^A-Za-z0-9]")
# Pillow's own typeface has ASCII and little more; these are looked for where a text has other letters.
_WIDE = ("DejaVuSans", "NotoSans", "NotoSansCJK", "Arial Unicode")
_PLAIN = frozenset(string.printable)
_NO_LETTER = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Typeface:
    """A font of one size; `embolden` and `slant` say what it lacks and must be imitated."""

    font: ImageFont.FreeTypeFont
    embolden: bool
    slant: bool

    @property
    def line_height(self) -> int:
        return sum(self.font.getmetrics())


def find_typeface(family: str, size: float, *, bold: bool, italic: bool, text: str = "") -> Typeface:
    """The typeface `family` in `size` pixels, or the first that has every letter of `text`."""
    letters = frozenset(text) - _PLAIN
    faces = (_named(name, round(size, 2), bold, italic) for name in (family, "", *_WIDE))
    found = [face for face in faces if face is not None and _covers(face.font, letters)]
    return found[0] if found else _carried(round(size, 2), bold, italic)


@lru_cache(maxsize=256)
def _named(family: str, size: float, bold: bool, italic: bool) -> Typeface | None:
    # What is not a letter or digit goes: a family must never name a path.
    name = _NO_FILE_NAME.sub("", family)
    if not name:
        return _carried(size, bold, italic)
    for style, (has_bold, has_italic) in _styles(bold, italic):
        font = _opened(f"{name}{style}", size)
        if font is not None:
            return Typeface(font, bold and not has_bold, italic and not has_italic)
    return None


def _carried(size: float, bold: bool, italic: bool) -> Typeface:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return Typeface(font, bold, italic)


def _covers(font: ImageFont.FreeTypeFont, letters: frozenset[str]) -> bool:
    missing = bytes(font.getmask(_NO_LETTER)) if letters else b""
    return all(bytes(font.getmask(letter)) != missing for letter in letters)


def _styles(bold: bool, italic: bool) -> list[tuple[str, tuple[bool, bool]]]:
    """File name endings to try, with whether they are bold and italic."""
    found = []
    if bold and italic:
        found += [("-BoldItalic", (True, True)), ("-BoldOblique", (True, True))]
    if bold:
        found.append(("-Bold", (True, False)))
    if italic:
        found += [("-Italic", (False, True)), ("-Oblique", (False, True))]
    return [*found, ("-Regular", (False, False)), ("", (False, False))]


def _opened(name: str, size: float) -> ImageFont.FreeTypeFont | None:
    for ending in (".ttf", ".otf", ".ttc"):
        try:
            return ImageFont.truetype(name + ending, size)
        except OSError:
            continue
    return None
