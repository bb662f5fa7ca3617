"""What words alone say about a rule and a text: shared stems, opposites, negation, numbers, names, quotes."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import snowballstemmer

from workers.matching.lexicon import (
    DENIES_NOTHING,
    NEGATORS,
    PHRASES,
    SIDES,
    STOP_WORDS,
    SUPPOSING,
    UNIVERSAL,
)

_TOKEN = re.compile(r"\d+(?:[.,]\d+)*%?|[^\W\d_]+(?:['’][^\W\d_]+)*|\w+")
_QUOTED = re.compile(r"[\"“”'‘`]([^\"“”'‘’`]{2,})[\"“”'’`](?!\w)")
# How a rule is worded says nothing of what it is about.
_FRAMING = re.compile(
    r"^\s*(please\s+)?((alert|notify|tell|warn|inform|ping)\s+(me|us)\s+(when(ever)?|if|once|about)"
    r"|(detect|watch|look)\s+(for\s+)?(when(ever)?|if)?|when(ever)?|if)\s+"
    r"|\b(some(one|body)|any(one|body)|the\s+(speaker|user|person)|people|they)\s+"
    r"(says?|mentions?|talks?\s+about|speaks?\s+about|discuss(es)?|brings?\s+up|points?\s+out)\s+(that\s+)?"
    r"|^\s*(the|a)\s+(user|speaker|person|participant|customer|client|caller|host|presenter|attendee)\s+"
    r"(?=\w+s\b|is\b|are\b|has\b)"
    r"|^\s*(the\s+(user|person)\s+)?((is|are)\s+)?(open(s|ing)|us(es|ing)|watch(es|ing)|view(s|ing)|visit(s|ing)"
    r"|look(s|ing)\s+at)\s+"
    r"|\b(is|are)\s+(visible|shown|displayed|mentioned|discussed|on\s+(the\s+)?(screen|display))\b"
    r"|\b(appears?|shows?\s+up|pops?\s+up)(\s+on\s+(the\s+)?(screen|display))?\b"
    r"|^\s*the\s+(screen|display)\s+shows\s+|\bon\s+(the\s+)?screen\b",
    re.I,
)
_NEGATION_REACH = 3
_MORE = re.compile(
    r"\b(above|over|more\s+than|greater\s+than|higher\s+than|exceed(s|ed|ing)?|at\s+least|past)\s+\D{0,3}"
    r"(?P<number>\d[\d.,]*)",
    re.I,
)
_LESS = re.compile(
    r"\b(below|under|less\s+than|fewer\s+than|lower\s+than|at\s+most)\s+\D{0,3}(?P<number>\d[\d.,]*)", re.I
)
_NO = re.compile(r"\bsa(ys|id|y)\s+no\s+to\b", re.I)
_YES = re.compile(r"\bsa(ys|id|y)\s+yes\s+to\b", re.I)
_ASKS = re.compile(r"\b(ask(s|ed|ing)?|question|request(s|ed)?|wants?\s+to\s+know|inquir(y|es))\b", re.I)
# What may be supposed, asked or still to come, and meets the rule all the same.
_SPEECH = re.compile(
    r"\b(mention|talk|speak|spoke|discuss|ask|question|request|want|wonder|propos|suggest|offer|plan|promis|sa(y|id))"
    r"|\b(might|may|could|would|should|will|going\s+to)\b",
    re.I,
)
_PHRASE = re.compile(rf"\b({'|'.join(PHRASES)})\b", re.I)
_NUMBER = re.compile(r"\d[\d.,]*")
_STEMMER = snowballstemmer.stemmer("english")


@lru_cache(4096)
def _stem(word: str) -> str:
    stemmed: str = _STEMMER.stemWord(word)
    return stemmed


@dataclass(slots=True)
class Words:
    """A text's content stems and whether each is negated, the sides it is on, and its numbers."""

    stems: dict[str, bool] = field(default_factory=dict)  # to whether it is negated wherever it stands
    contents: list[str] = field(default_factory=list)  # a word for each stem, as it is written
    supposes: bool = False
    sides: set[tuple[int, int]] = field(default_factory=set)
    numbers: list[float] = field(default_factory=list)


_INNER = re.compile(r"_+|(?<=[a-z])(?=[A-Z])")


@lru_cache(8192)
def words_of(text: str) -> Words:
    """Read a text; the same object for the same text, not to be changed."""
    found = Words(numbers=[_value(number) for number in _NUMBER.findall(text)])
    for word, negated in _negations(_spelt_out(text)):
        found.supposes = found.supposes or word in SUPPOSING
        for axis, side in SIDES.get(word, ()):
            found.sides.add((axis, -side if negated else side))
        if word not in STOP_WORDS and word not in NEGATORS:
            stem = _stem(word)
            if stem not in found.stems and not word[0].isdigit():
                found.contents.append(word)
            found.stems[stem] = negated and found.stems.get(stem, True)
    return found


def _spelt_out(text: str) -> str:
    """With the words of a compound name apart, and a phrase as the word that it means."""
    return _PHRASE.sub(lambda phrase: PHRASES[" ".join(phrase[0].casefold().split())], _INNER.sub(" ", text))


def _negations(text: str) -> Iterator[tuple[str, bool]]:
    tokens = [token.casefold().replace("’", "'") for token in _TOKEN.findall(text)]
    since = _NEGATION_REACH + 1
    for number, token in enumerate(tokens):
        following = tokens[number + 1] if number + 1 < len(tokens) else ""
        negates = token in NEGATORS or token.endswith("n't")
        yield token, since <= _NEGATION_REACH and not negates
        since = 1 if negates and following not in DENIES_NOTHING else since + 1


def _value(number: str) -> float:
    try:
        return float(number.rstrip(".,").replace(",", ""))
    except ValueError:
        return float("nan")


@dataclass(frozen=True, slots=True)
class Rule:
    """An event rule as it is matched: what it is about, without how it is worded."""

    text: str
    words: Words
    quoted: tuple[str, ...]
    names: frozenset[str]
    asks: bool
    states: bool  # that something is so, rather than that it is spoken of
    universal: bool
    unit: str | None  # of the number that it compares with
    least: float | None
    most: float | None


@lru_cache(1024)
def rule_of(prompt: str) -> Rule:
    """Read a rule."""
    spoken = _YES.sub("accepts", _NO.sub("declines", prompt))
    about = " ".join(_FRAMING.sub(" ", spoken).split()) or prompt
    more, less = _MORE.search(about), _LESS.search(about)
    first = next(iter(_TOKEN.findall(prompt)), "")
    names = {
        token.casefold()
        for token in _TOKEN.findall(about)
        if token[0].isupper() and token != first and token.casefold() not in STOP_WORDS
    }
    return Rule(
        about,
        words_of(about),
        tuple(quoted.casefold().strip() for quoted in _QUOTED.findall(prompt)),
        frozenset(names),
        _ASKS.search(prompt) is not None,
        _SPEECH.search(prompt) is None,
        any(token.casefold() in UNIVERSAL for token in _TOKEN.findall(about)),
        _unit_of(about, more or less),
        _value(more["number"]) if more else None,
        _value(less["number"]) if less else None,
    )


def _unit_of(about: str, compared: re.Match[str] | None) -> str | None:
    behind = _TOKEN.findall(about[compared.start("number") :]) if compared else []
    return _unit_after(behind, 0) if behind else None


@dataclass(frozen=True, slots=True)
class Compared:
    """`shared` is how much of the rule's content the text holds, 0 to 1; the others are 1 or 0.

    `contradicts`: an opposite, a negation or a number stands against the rule. `confirms`: a quote or a
    number is as the rule wants it, or the same side of an axis. `supposes`: the text asks or supposes what
    the rule wants to be so.
    """

    shared: float
    contradicts: bool
    confirms: bool
    supposes: bool


def compare(rule: Rule, text: str) -> Compared:
    """Hold a text against a rule, by words alone."""
    found = words_of(text)
    common = [stem for stem in rule.words.stems if stem in found.stems]
    shared = len(common) / max(1, len(rule.words.stems))
    turned = any(rule.words.stems[stem] != found.stems[stem] for stem in common)
    axes = {axis for axis, _ in rule.words.sides}
    against = {side for side in found.sides if side[0] in axes} - rule.words.sides
    same = bool(found.sides & rule.words.sides)
    opposed = bool(against) and (rule.universal or not same)
    folded = text.casefold()
    quote_held = bool(rule.quoted) and all(quoted in folded for quoted in rule.quoted)
    wrong_number, right_number = _numbers(rule, text)
    asked = rule.asks and "?" in text
    return Compared(
        shared,
        (turned and not same) or opposed or (bool(rule.quoted) and not quote_held) or wrong_number,
        quote_held or right_number or same or asked,
        rule.states and (found.supposes or text.rstrip().endswith("?")),
    )


def _numbers(rule: Rule, text: str) -> tuple[bool, bool]:
    """Whether the text's numbers are wrong for the rule, and whether they are right."""
    if rule.least is not None or rule.most is not None:
        number = _number_of(rule, text)
        if number is None:
            return True, False
        fits = (rule.least is None or number > rule.least) and (rule.most is None or number < rule.most)
        return not fits, fits
    if not rule.words.numbers:
        return False, False
    numbers = words_of(text).numbers
    right = all(number in numbers for number in rule.words.numbers)
    return bool(numbers) and not right, right


def _number_of(rule: Rule, text: str) -> float | None:
    """The number that stands nearest to a word of the rule, else the first; among those of the rule's unit,
    where the text has any."""
    tokens = _TOKEN.findall(_spelt_out(text))
    numbers = [at for at, token in enumerate(tokens) if token[0].isdigit()]
    if not numbers:
        return None
    of_unit = [at for at in numbers if rule.unit and _unit_after(tokens, at) == rule.unit]
    topics = [
        at
        for at, token in enumerate(tokens)
        if (stem := _stem(token.casefold())) in rule.words.stems and stem != rule.unit
    ]
    # Of two as near as each other the one that follows: a value stands behind its name.
    best = min(
        of_unit or numbers,
        key=lambda at: min(((abs(at - topic), at < topic) for topic in topics), default=(at, False)),
    )
    return _value(tokens[best].rstrip("%"))


def _unit_after(tokens: Sequence[str], at: int) -> str | None:
    """What the number at `at` counts, as far as the word behind it tells."""
    if tokens[at].endswith("%"):
        return "%"
    return _stem(tokens[at + 1].casefold()) if at + 1 < len(tokens) else None
