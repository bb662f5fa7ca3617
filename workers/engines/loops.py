"""Finds where a speech model has got stuck and says the same over and over."""

from collections.abc import Sequence

_LONGEST_PHRASE = 8
# Nobody repeats one word more than five times, or a phrase more than three, and is still worth quoting.
_MOST_WORDS, _MOST_PHRASES = 5, 3


def without_loops(words: Sequence[str]) -> list[int]:
    """The positions of the words that stay: of a phrase that is repeated too often, the first."""
    said = ["".join(letter for letter in word.lower() if letter.isalnum()) for word in words]
    kept: list[int] = []
    at = 0
    while at < len(said):
        length, times = _longest_loop(said, at)
        kept += range(at, at + length)
        at += length * times
    return kept


def _longest_loop(said: list[str], at: int) -> tuple[int, int]:
    """The length of the phrase that loops from `at` on, and how often; a word once where none does."""
    for length in range(1, _LONGEST_PHRASE + 1):
        phrase, times = said[at : at + length], 1
        while said[at + times * length : at + (times + 1) * length] == phrase:
            times += 1
        if times > (_MOST_WORDS if length == 1 else _MOST_PHRASES):
            return length, times
    return 1, 1
