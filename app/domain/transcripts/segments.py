"""Cuts what was said into segments, of so many words or sentences or of so much time each."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal, Protocol

Segmenter = Literal["word", "sentence", "time"]


class Said(Protocol):
    """A sentence: an utterance's row, or what will be one. `words` as `Utterance.words`."""

    @property
    def text(self) -> str: ...
    @property
    def start_us(self) -> int: ...
    @property
    def end_us(self) -> int: ...
    @property
    def words(self) -> list[dict[str, Any]]: ...


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of speech; times in microseconds on its sentences' clock."""

    text: str
    start_us: int
    end_us: int


def segment_words(
    said: Sequence[Said],
    segmenter: Segmenter,
    length: int = 1,
    *,
    start_us: int | None = None,
    end_us: int | None = None,
) -> list[Segment]:
    """The words, or whole sentences, of which a part lies in `[start_us, end_us)`, in their order.

    `length` counts words or sentences, or is the seconds of a segment: those begin at whole multiples of it,
    hold the words that begin in them, and are left out where none does.
    """
    parts = [Segment(one.text, one.start_us, one.end_us) for one in said]
    if segmenter != "sentence":
        parts = [part for one in said for part in _words_of(one)]
    heard = sorted(
        (part for part in parts if _overlaps(part, start_us, end_us)), key=lambda part: part.start_us
    )
    if segmenter != "time":
        return [_joined(heard[at : at + length]) for at in range(0, len(heard), length)]
    return list(_by_time(heard, length * 1_000_000))


def _words_of(said: Said) -> Iterable[Segment]:
    """Its words; all of it where their times are not known."""
    if not said.words:
        return [Segment(said.text, said.start_us, said.end_us)]
    return [Segment(word["text"], word["start_us"], word["end_us"]) for word in said.words]


def _by_time(words: Sequence[Segment], length_us: int) -> Iterator[Segment]:
    for number, within in groupby(words, key=lambda word: word.start_us // length_us):
        yield Segment(_joined(list(within)).text, number * length_us, (number + 1) * length_us)


def _overlaps(part: Segment, start_us: int | None, end_us: int | None) -> bool:
    # A word may have no length, and is there all the same.
    after = start_us is None or part.end_us > start_us or part.start_us >= start_us
    return after and (end_us is None or part.start_us < end_us)


def _joined(parts: Sequence[Segment]) -> Segment:
    text = " ".join(part.text.strip() for part in parts)
    return Segment(text, parts[0].start_us, max(part.end_us for part in parts))
