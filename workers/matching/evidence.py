"""What of a record a rule is held against: lines of the screen, sentences that were said, each alone."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from app.domain.passages.service import cut_lines

MOST_LINES = 60
MOST_CITED = 160  # characters
_SENTENCE = re.compile(r"(?<=[.!?…])\s+")
_LETTER = re.compile(r"\w")


@dataclass(frozen=True, slots=True)
class Evidence:
    """`parts` are what an alert may name, `whole` is all of them; `verb` tells where they were."""

    parts: Sequence[str]
    whole: str
    verb: str
    at: datetime

    def cited(self, part: str) -> str:
        """A sentence that names a part and when it was there."""
        cited = part if len(part) <= MOST_CITED else part[:MOST_CITED].rstrip() + "…"
        return f"“{cited}” was {self.verb} at {self.at:%H:%M:%S} UTC."


def evidence_of(text: str, details: dict[str, Any], start_us: int) -> Evidence:
    """The evidence of a record; `text` itself is evidence where it holds none."""
    at = datetime.fromtimestamp(start_us / 1e6, UTC)
    if said := details.get("said"):
        sentences = [one for one in _SENTENCE.split(said) if _LETTER.search(one)]
        joined = [f"{one} {other}" for one, other in pairwise(sentences)]
        return Evidence(_unlike([*sentences, *joined]), said, "said", at)
    lines = [*_lines(details.get("screen_text")), *details.get("passed", ())]
    if not lines:
        lines = _SENTENCE.split(text)
    lines = [line for line in lines if _LETTER.search(line)][:MOST_LINES]
    # A form's name and its value, a message's sender and its words, are lines of their own.
    joined = [f"{one} {other}" for one, other in pairwise(lines) if len(one) + len(other) < 120]
    return Evidence(_unlike([*lines, *joined, *cut_lines(lines)]), "\n".join(lines), "on the screen", at)


def _lines(text: str | None) -> list[str]:
    return (text or "").splitlines()


def _unlike(parts: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(parts))
