"""What a person would say of a screen: its title and headings, what is new, and the text that was asked for.

Nothing is said that is not written on the screen.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from statistics import median
from typing import Any

from workers.engines.contract import ScreenLine

# How close in meaning each of these texts is to what was asked for, -1 to 1.
Closeness = Callable[[Sequence[str]], Sequence[float]]

MOST_LINES = 8
MOST_CHARACTERS = 600
MOST_NEW = 6
_TITLE_SHARE = 0.14  # a window's title stands in the uppermost part of the screen
# Times the usual width of a letter. Heights say less: a box is as high as its highest letter.
_HEADING_WIDTH = 1.3
_SAME = 0.84  # two readings of one line differ by a letter or two
_WORD = re.compile(r"\w{2,}")
_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2})?([.,]\d+)?\s*([ap]\.?m\.?)?", re.I)
_LETTERS = re.compile(r"[^\W\d_]{3,}")


@dataclass(frozen=True, slots=True)
class Shown:
    """A screen and what is written on it, as far as it `is_read`; `at_us` on its owner's clock."""

    frame_id: str
    at_us: int
    lines: Sequence[ScreenLine]
    height: int
    is_read: bool = True


@dataclass(frozen=True, slots=True)
class Description:
    """Sentences, and the evidence behind them."""

    text: str
    details: dict[str, Any]


def describe_screens(
    shown: Sequence[Shown], before: Shown | None, closeness: Closeness | None
) -> Description:
    """Describe the last of `shown` and what appeared in all of them since `before`.

    `shown` holds at least one screen. Without `closeness` the largest lines come first.
    """
    last = shown[-1]
    lines = [line for line in last.lines if _WORD.search(line.text)]
    title = _title(lines, last.height)
    headings = _headings([line for line in lines if line is not title])
    known = [line.text for line in before.lines] if before else []
    appeared = _new(known, [line.text for line in lines])
    passed = _new([*known, *(line.text for line in last.lines)], _texts_of(shown[:-1]))
    rest = [line for line in lines if line is not title and line not in headings]
    chosen = _chosen(rest, set(appeared) if before else set(), closeness)
    unchanged = last.is_read and before is not None and before.is_read and not appeared and not passed
    sentences = [
        _opening(title, headings, unchanged=unchanged) if last.is_read else "The screen has not been read.",
        _listing("It reads", [line.text for line in chosen]),
        _listing("New is", appeared[:MOST_NEW]) if before and not unchanged else "",
        _listing("Shown in between", passed[:MOST_NEW]),
    ]
    details = {
        "title": title.text if title else None,
        "headings": [line.text for line in headings],
        "appeared": appeared[:50],
        "passed": passed[:50],
        "changed": not unchanged,
        "frame_ids": [screen.frame_id for screen in shown],
        "screen_text": "\n".join(line.text for line in last.lines)[:20_000],
    }
    return Description(" ".join(part for part in sentences if part), details)


def _opening(title: ScreenLine | None, headings: Sequence[ScreenLine], *, unchanged: bool) -> str:
    if title is None and not headings:
        return "The screen shows no text." if not unchanged else "The screen still shows no text."
    verb = "still shows" if unchanged else "shows"
    named = f" “{title.text}”" if title else ""
    headed = " and ".join(f"“{line.text}”" for line in headings)
    joined = (", headed " if title else " ") + headed if headed else ""
    return f"The screen {verb}{named}{joined}."


def _listing(opening: str, texts: Sequence[str]) -> str:
    return f"{opening}: {'; '.join(text.rstrip('.;') for text in texts)}." if texts else ""


def _title(lines: Sequence[ScreenLine], height: int) -> ScreenLine | None:
    """The leftmost of the uppermost row; a clock, which is mostly digits, is no title."""
    upper = [line for line in lines if line.top < height * _TITLE_SHARE and _LETTERS.search(line.text)]
    if not upper:
        return None
    row_ends = min(upper, key=lambda line: line.top).bottom
    return min((line for line in upper if line.top < row_ends), key=lambda line: line.left)


def _headings(lines: Sequence[ScreenLine]) -> list[ScreenLine]:
    """Up to two lines in clearly larger letters than usual."""
    if len(lines) < 2:
        return []
    usual_width = median(_letter_width(line) for line in lines)
    usual_height = median(line.height for line in lines)
    large = [
        line
        for line in lines
        if _letter_width(line) >= usual_width * _HEADING_WIDTH and line.height >= usual_height
    ]
    return sorted(sorted(large, key=lambda line: -line.height)[:2], key=lambda line: line.top)


def _letter_width(line: ScreenLine) -> float:
    return (line.right - line.left) / len(line.text)


def _chosen(lines: Sequence[ScreenLine], appeared: set[str], closeness: Closeness | None) -> list[ScreenLine]:
    """The lines that matter most, in reading order."""
    if not lines:
        return []
    near = closeness([line.text for line in lines]) if closeness else [0.0] * len(lines)
    tallest = max(line.height for line in lines)
    worth = [
        close + (0.25 if line.text in appeared else 0.0) + 0.15 * line.height / tallest
        for line, close in zip(lines, near, strict=True)
    ]
    order = sorted(range(len(lines)), key=lambda number: -worth[number])
    taken: list[int] = []
    characters = 0
    for number in order[:MOST_LINES]:
        characters += len(lines[number].text)
        if characters > MOST_CHARACTERS and taken:
            break
        taken.append(number)
    return [lines[number] for number in sorted(taken)]


def _texts_of(screens: Sequence[Shown]) -> list[str]:
    return [line.text for screen in screens for line in screen.lines if _WORD.search(line.text)]


def _new(known: Sequence[str], texts: Sequence[str]) -> list[str]:
    """Those of `texts` that `known` has not, each once, although a reading may be a letter off.

    A clock goes on by itself: nothing is new for it.
    """
    seen = {_plain(text) for text in known}
    found = []
    for text in texts:
        plain = _plain(text)
        if _CLOCK.fullmatch(text.strip()) or plain in seen or any(_alike(plain, other) for other in seen):
            continue
        seen.add(plain)
        found.append(text)
    return found


def _alike(one: str, other: str) -> bool:
    if abs(len(one) - len(other)) > 0.3 * max(len(one), len(other)):
        return False
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    return matcher.quick_ratio() >= _SAME and matcher.ratio() >= _SAME


def _plain(text: str) -> str:
    return re.sub(r"\W+", "", text).casefold()
