"""What was said, cut into segments and put into a sentence or two that answer the prompt.

Nothing is said that was not said.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workers.describing.screens import Closeness, Description

WHOLE_WORDS = 40  # so much is told as it was said
MOST_SENTENCES = 3
_SENTENCE = re.compile(r"(?<=[.!?…])\s+")
# What people say when they decide, and when somebody is to do something.
_DECIDED = re.compile(
    r"\b(decided?|decision|agreed?|approved?|we('ll| will| are going to)|let's|settled)\b", re.I
)
_TO_DO = re.compile(
    r"\b(need(s)? to|have to|has to|must|should|action item|to-?do|by (monday|tuesday|wednesday|thursday"
    r"|friday|tomorrow|next week|the end of)|please|can you|could you"
    r"|will (send|write|call|check|fix|prepare))\b",
    re.I,
)


@dataclass(frozen=True, slots=True)
class Said:
    """An utterance or a part of one; times in microseconds on its owner's clock."""

    text: str
    start_us: int
    end_us: int


def cut_words(said: Sequence[Said], words_each: int) -> list[list[Said]]:
    """Segments of `words_each` words, none over a pause; a short rest stays with the segment before it.

    `said` are the words of one utterance.
    """
    segments = [list(said[at : at + words_each]) for at in range(0, len(said), words_each)]
    if len(segments) > 1 and len(segments[-1]) < words_each / 2:
        rest = segments.pop()
        segments[-1].extend(rest)
    return segments


def cut_sentences(words: Sequence[Said]) -> list[Said]:
    """The words of one utterance as its sentences."""
    sentences: list[Said] = []
    current: list[Said] = []
    for word in words:
        current.append(word)
        if word.text.rstrip("\"'”)").endswith((".", "!", "?", "…")):
            sentences.append(joined(current))
            current = []
    return [*sentences, joined(current)] if current else sentences


def joined(parts: Sequence[Said]) -> Said:
    """Parts that follow each other as one."""
    return Said(" ".join(part.text for part in parts), parts[0].start_us, parts[-1].end_us)


def describe_speech(said: Said, closeness: Closeness | None) -> Description:
    """A short segment as it was said; of a long one what is closest to the prompt, and what was decided."""
    sentences = [sentence for sentence in _SENTENCE.split(said.text) if sentence]
    decided = [one for one in sentences if _DECIDED.search(one)]
    to_do = [one for one in sentences if _TO_DO.search(one) and one not in decided]
    details: dict[str, Any] = {"said": said.text, "decisions": decided, "actions": to_do}
    if len(said.text.split()) <= WHOLE_WORDS:
        return Description(said.text, details)
    near = closeness(sentences) if closeness else [0.0] * len(sentences)
    weight = [
        close + (0.2 if sentence in decided or sentence in to_do else 0.0)
        for sentence, close in zip(sentences, near, strict=True)
    ]
    order = sorted(range(len(sentences)), key=lambda number: -weight[number])[:MOST_SENTENCES]
    chosen = [sentences[number] for number in sorted(order)]
    labelled = [
        f"Decision: {one}" if one in decided else f"Action: {one}" if one in to_do else one for one in chosen
    ]
    return Description(" ".join(labelled), details)
