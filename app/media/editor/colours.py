"""Colours as the editor's clients write them: CSS, FFmpeg's `name@opacity`, and ASS."""

import re
from dataclasses import dataclass
from typing import Annotated

from PIL import ImageColor
from pydantic import BeforeValidator

_ASS = re.compile(r"&H(?P<digits>[0-9A-F]{1,8})&?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Colour:
    """Channels and opacity from 0 to 255."""

    red: int
    green: int
    blue: int
    opacity: int = 255

    def with_opacity(self, share: float) -> "Colour":
        """This colour with `share`, from 0 to 1, of its opacity."""
        return Colour(self.red, self.green, self.blue, round(self.opacity * share))

    @property
    def rgba(self) -> tuple[int, int, int, int]:
        return self.red, self.green, self.blue, self.opacity


def read_colour(value: object) -> Colour:
    """`#rrggbb` and other CSS, `0xrrggbb`, or either with `@0.5` behind. Raises `ValueError`."""
    if isinstance(value, Colour):
        return value
    name, _, share = value.strip().partition("@") if isinstance(value, str) else ("", "", "")
    name = "#" + name[2:] if name[:2].lower() == "0x" else name
    try:
        opacity = float(share or 1)
        found = Colour(*ImageColor.getrgb(name))
    except (ValueError, TypeError):
        found, opacity = Colour(0, 0, 0), -1.0
    if not 0 <= opacity <= 1:
        raise ValueError("must be a colour like #1a2b3c")
    return found.with_opacity(opacity)


def read_ass_colour(value: object) -> Colour:
    """`&HAABBGGRR`, where AA is transparency. Raises `ValueError`."""
    if isinstance(value, Colour):
        return value
    found = _ASS.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError("must be an ASS colour like &H00FFFFFF")
    number = int(found["digits"], 16)
    return Colour(number & 255, number >> 8 & 255, number >> 16 & 255, 255 - (number >> 24 & 255))


CssColour = Annotated[Colour, BeforeValidator(read_colour)]
AssColour = Annotated[Colour, BeforeValidator(read_ass_colour)]
