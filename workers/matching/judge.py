"""How surely a rule is met by the evidence of a record.

For each part of the evidence: its closeness in meaning to the rule, and what its words say. The best part
decides, not the mean: a screen of forty lines says one thing in one of them.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from app.domain.alerts.service import Matched
from workers.matching.evidence import Evidence
from workers.matching.words import Compared, Rule, compare, rule_of, words_of

# Vectors of length 1, one a text.
Likeness = Callable[[Sequence[str]], NDArray[np.float32]]

KEPT_VECTORS = 8192  # of lines, which stay on a screen from window to window, and of words: 12 MB
# Of so many parts, the likeliest, the rule is held against each word: two hundred words take 0.1 s.
READ_BY_WORD = 4


@dataclass(frozen=True, slots=True)
class Signs:
    """What speaks for and against a match. All from 0 to 1; `closeness` may be below 0.

    `contradicts` and `confirms` are the part's own; `against` is how near to the rule the nearest part is
    that contradicts it. `covered` is how near the rule's words are to the nearest of the part's, on average;
    `supposes`: the part asks or supposes what should be so.
    """

    closeness: float
    contradicts: float
    confirms: float
    names_missing: float
    against: float
    covered: float
    supposes: float
    part: str

    def as_row(self) -> list[float]:
        return [
            1.0,
            self.closeness,
            self.contradicts,
            self.confirms,
            self.names_missing,
            self.against,
            self.covered,
            self.supposes,
        ]


# Logistic regression over `Signs.as_row`, fitted on bench/labelled_alerts.py.
_NEAR = 0.3
WEIGHTS = (-5.33, 6.6, -3.22, 1.39, -2.65, -4.17, 2.99, -5.2)
WEIGHTS_OF_WORDS = (-2.29, 0.0, -2.8, 1.43, -2.51, -4.65, 4.49, -4.76)
_kept: dict[str, NDArray[np.float32]] = {}


def judge(rules: Sequence[str], evidence: Evidence, likeness: Likeness | None) -> list[Matched]:
    """A verdict for each rule; without `likeness` by words alone. Raises what `likeness` raises."""
    return [
        Matched(_confidence(signs, likeness is not None), evidence.cited(signs.part))
        for signs in signs_of(rules, evidence, likeness)
    ]


def signs_of(rules: Sequence[str], evidence: Evidence, likeness: Likeness | None) -> list[Signs]:
    """What speaks for and against each rule; of its best part of the evidence."""
    read = [rule_of(prompt) for prompt in rules]
    parts = list(evidence.parts) or [evidence.whole]
    near = np.zeros((len(read), len(parts)), np.float32)
    if likeness is not None:
        vectors = vectors_of([*(rule.text for rule in read), *parts], likeness)
        near = vectors[: len(read)] @ vectors[len(read) :].T
    return [_best(rule, parts, near[number], evidence, likeness) for number, rule in enumerate(read)]


def _best(
    rule: Rule,
    parts: Sequence[str],
    near: NDArray[np.float32],
    evidence: Evidence,
    likeness: Likeness | None,
) -> Signs:
    whole = evidence.whole.casefold()
    missing = float(any(name not in whole for name in rule.names))
    compared = [compare(rule, part) for part in parts]
    against = max(
        (
            max(float(close), one.shared)
            for one, close in zip(compared, near, strict=True)
            if one.contradicts and (one.shared or close > _NEAR)
        ),
        default=0.0,
    )
    found = [
        _signs(one, float(close), missing, against, part)
        for one, part, close in zip(compared, parts, near, strict=True)
    ]
    weights = WEIGHTS if likeness else WEIGHTS_OF_WORDS
    if likeness:
        found.sort(key=lambda signs: -_weighed(signs, weights))
        found = [_by_word(rule, signs, likeness) for signs in found[:READ_BY_WORD]]
    # Among equals the shortest: it is what the explanation names.
    return max(found, key=lambda signs: (round(_weighed(signs, weights), 3), -len(signs.part)))


def _signs(compared: Compared, close: float, missing: float, against: float, part: str) -> Signs:
    return Signs(
        close,
        float(compared.contradicts),
        float(compared.confirms),
        missing,
        against,
        compared.shared,
        float(compared.supposes),
        part,
    )


def _by_word(rule: Rule, signs: Signs, likeness: Likeness) -> Signs:
    """The same signs with what the words' meanings say of how much of the rule the part covers."""
    wanted, there = rule.words.contents, words_of(signs.part).contents
    if not wanted or not there:
        return replace(signs, covered=signs.closeness)
    near = vectors_of(wanted, likeness) @ vectors_of(there, likeness).T
    return replace(signs, covered=float(near.max(axis=1).mean()))


def _weighed(signs: Signs, weights: Sequence[float]) -> float:
    return sum(weight * value for weight, value in zip(weights, signs.as_row(), strict=True))


def _confidence(signs: Signs, with_meaning: bool) -> float:
    weighed = _weighed(signs, WEIGHTS if with_meaning else WEIGHTS_OF_WORDS)
    return round(1 / (1 + math.exp(-max(-30.0, min(30.0, weighed)))), 3)


def vectors_of(texts: Sequence[str], likeness: Likeness) -> NDArray[np.float32]:
    """Their vectors, of which those of late are kept. Raises what `likeness` raises."""
    # Other threads fill and clear what is kept.
    known = {text: _kept.get(text) for text in texts}
    unknown = [text for text, vector in known.items() if vector is None]
    fresh = dict(zip(unknown, likeness(unknown), strict=True)) if unknown else {}
    if len(_kept) + len(fresh) > KEPT_VECTORS:
        _kept.clear()
    _kept.update(fresh)
    return np.array([fresh[text] if text in fresh else known[text] for text in texts], np.float32)
