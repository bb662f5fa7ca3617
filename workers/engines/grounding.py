"""Holds what a language model says to the evidence that it was given."""

import re
from collections.abc import Iterator
from functools import lru_cache

import snowballstemmer

from workers.engines.plain_words import CONNECTING, GENERIC, NUMBER_WORDS

_NUMBER = re.compile(r"\d+(?:[.,:/]\d+)*")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_QUOTED = re.compile(r"“([^”]+)”|\"([^\"]+)\"|`([^`]+)`|«([^»]+)»|(?<!\w)['‘]([^'’]{3,})['’](?!\w)")
_ELLIPSIS = re.compile(r"\.\.\.|…")
_SENTENCE_START = re.compile(r"(?:^|[.!?:;…]\s+|\n\s*|[-*•]\s+)[\"“'‘(\[]*$")
# Paths, addresses, file names and identifiers.
_TECHNICAL = re.compile(r"\w+(?:[._/@\\]+\w+)+")
# Sentences mostly begin with words like these, people's names seldom end so.
_NO_NAME = re.compile(r"(ing|ed|ly|tion|sion|ment|ity|ness|ers|ors)$")
_THOUSANDS = re.compile(r",(?=\d{3}\b)")
_GLUED = 4  # letters: shorter names are found in any line that has no blanks
_LEAST_QUOTED = 3  # letters or digits
_NAMELESS = CONNECTING | GENERIC | NUMBER_WORDS.keys()
_stemmer = snowballstemmer.stemmer("english")


class Evidence:
    """What may be said: its numbers, its words, and its letters in a row, since blanks are read wrongly."""

    def __init__(self, text: str) -> None:
        self._numbers = {number for one in _NUMBER.findall(text) for number in _readings(one)}
        words = {word.casefold() for word in _WORD.findall(text)}
        self._numbers |= {NUMBER_WORDS[word] for word in words if word in NUMBER_WORDS}
        self._words = words | {_stem(word) for word in words}
        self._letters = _letters(text)

    def lacks(self, text: str) -> str | None:
        """The first number, quotation or name in `text` that the evidence does not hold, in words."""
        for quoted in _quotations(text):
            if any(_letters(part) not in self._letters for part in _ELLIPSIS.split(quoted)):
                return f"the quotation “{quoted}”"
        for technical in _TECHNICAL.findall(text):
            if _letters(technical) not in self._letters:
                return f"“{technical}”"
        for number in _NUMBER.findall(text):
            if not self._numbers.intersection(_readings(number)):
                return f"the number {number}"
        for word in _WORD.findall(text.casefold()):
            if word in NUMBER_WORDS and NUMBER_WORDS[word] not in self._numbers:
                return f"the number {word}"
        for name in _names(text):
            if not self._holds(name):
                return f"the name “{name}”"
        return None

    def share(self, text: str, known: str = "") -> float:
        """How many of the words of `text` with a meaning the evidence holds, or `known`; 1.0 without any."""
        granted = {_stem(word.casefold()) for word in _WORD.findall(known)}
        words = [word.casefold() for word in _WORD.findall(text)]
        words = [word for word in words if word not in CONNECTING and word not in GENERIC]
        held = [word for word in words if self._holds(word) or _stem(word) in granted]
        return len(held) / len(words) if words else 1.0

    def _holds(self, name: str) -> bool:
        word = re.sub(r"['’]s?$", "", name.casefold())
        if word in self._words or _stem(word) in self._words:
            return True
        return len(word) >= _GLUED and _letters(word) in self._letters


def is_quoted(quote: str, text: str) -> bool:
    """Whether `text` holds what is quoted, blanks and signs aside; too little to tell is no quote."""
    letters = _letters(quote)
    return len(letters) >= _LEAST_QUOTED and letters in _letters(text)


def _quotations(text: str) -> Iterator[str]:
    for match in _QUOTED.finditer(text):
        yield next(group for group in match.groups() if group)


def _names(text: str) -> Iterator[str]:
    """Words with a capital letter that need not have one."""
    for match in _WORD.finditer(text):
        word = match.group()
        plain = re.sub(r"['’]s?$", "", word.casefold())
        if not any(letter.isupper() for letter in word) or plain in _NAMELESS:
            continue
        begins = _SENTENCE_START.search(text, max(0, match.start() - 8), match.start())
        if begins and word[1:].islower() and _NO_NAME.search(plain):
            continue
        yield word


def _readings(number: str) -> set[str]:
    """How a number may be told: 1,200 as 1200, 10:32:05 as 10:32, 05 as 5."""
    whole = _THOUSANDS.sub("", number)
    parts = whole.split(":")
    told = {whole, *(":".join(parts[:count]) for count in range(2, len(parts)))}
    return {one.lstrip("0") or "0" for one in told}


def _letters(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalnum())


@lru_cache(8192)
def _stem(word: str) -> str:
    stemmed: str = _stemmer.stemWord(word)
    return stemmed
