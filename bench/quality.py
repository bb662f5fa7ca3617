"""How well rules are matched and queries answered, on sets of the project's own that are labelled by hand.

`--alerts`: event rules held against records, half of which nearly meet them, by the worker's own judge.
Precision and recall where an alert fires, and how far its confidence is from how often it is right.
`--search`: queries over a capture of rendered desktops and speech, in a real Postgres, by the product's own
search: recall@5 and mean reciprocal rank, beside full text alone and vectors alone.
Each set is split: one half was for fitting, the other is reported. `--fit` fits the judge's weights anew and
prints them.

    python -m bench.quality [--alerts] [--search] [--fit] [--misses]
"""

import argparse
import asyncio
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from app.base.settings import Settings
from app.domain.matching.service import FIRES_AT
from app.engines.registry import open_sentence_engine
from bench.labelled_alerts import RULES
from bench.labelled_search import report_search
from workers.matching.evidence import Evidence, evidence_of
from workers.matching.judge import Signs, judge, signs_of

AT_US = 1_760_000_000_000_000
STRANGERS = (
    5,
    11,
    17,
)  # each rule is held against records of so many others, which have nothing to do with it
BINS = 5


@dataclass(frozen=True)
class Example:
    """A rule, a record, and whether it meets the rule; `half` is 0 for fitting and 1 for reporting."""

    rule: str
    record: str
    met: bool
    half: int


def examples() -> Iterator[Example]:
    for number, (rule, met, unmet) in enumerate(RULES):
        half = number % 2
        for record in met:
            yield Example(rule, record, True, half)
        for record in unmet:
            yield Example(rule, record, False, half)
        for step in STRANGERS:
            # An even step keeps to the same half.
            yield Example(rule, RULES[(number + step * 2) % len(RULES)][1][0], False, half)


def evidence_from(record: str) -> Evidence:
    if record.startswith("~"):
        return evidence_of(record[1:], {"said": record[1:]}, AT_US)
    lines = [line.strip() for line in record.split("|")]
    return evidence_of("", {"screen_text": "\n".join(lines)}, AT_US)


def report_alerts(*, misses: bool, by_words: bool) -> None:
    likeness = None if by_words else open_sentence_engine(Settings()).encode
    for half, name in ((0, "fitted on"), (1, "reported")):
        chosen = [one for one in examples() if one.half == half]
        sure = [judge([one.rule], evidence_from(one.record), likeness)[0].confidence for one in chosen]
        fired = [confidence >= FIRES_AT for confidence in sure]
        right = sum(one.met for one, fires in zip(chosen, fired, strict=True) if fires)
        met = sum(one.met for one in chosen)
        hard = [one for one in chosen if one.record in _near_misses(one.rule)]
        fooled = sum(fires for one, fires in zip(chosen, fired, strict=True) if one in hard)
        rules = len({one.rule for one in chosen})
        print(
            f"alerts, {name:9} half{' by words alone' if by_words else ''}: {rules} rules,"
            f" {len(chosen)} records, {met} met: precision {right / max(1, sum(fired)):.3f}"
            f" recall {right / met:.3f}; {fooled} of {len(hard)} near misses fire;"
            f" calibration error {_calibration_error(chosen, sure):.3f}"
        )
        if misses:
            for one, confidence, fires in zip(chosen, sure, fired, strict=True):
                if fires != one.met:
                    print(
                        f"    {'missed' if one.met else 'fired '} {confidence:.2f} {one.rule!r}: {one.record}"
                    )


def _near_misses(rule: str) -> list[str]:
    return next(unmet for words, _, unmet in RULES if words == rule)


def _calibration_error(chosen: Sequence[Example], sure: Sequence[float]) -> float:
    """How far a confidence is from the share of records that meet the rule at it, on average."""
    met = np.array([one.met for one in chosen], float)
    confidences = np.array(sure)
    bins = np.minimum((confidences * BINS).astype(int), BINS - 1)
    return float(
        sum(
            abs(met[bins == number].mean() - confidences[bins == number].mean()) * (bins == number).mean()
            for number in range(BINS)
            if (bins == number).any()
        )
    )


def fit(*, by_words: bool) -> list[float]:
    """Logistic regression with a little weight decay, by Newton's method."""
    likeness = None if by_words else open_sentence_engine(Settings()).encode
    chosen = [one for one in examples() if one.half == 0]
    found = [signs_of([one.rule], evidence_from(one.record), likeness)[0] for one in chosen]
    return _regression(found, [one.met for one in chosen])


def _regression(signs: Sequence[Signs], met: Sequence[bool]) -> list[float]:
    rows, wanted = np.array([one.as_row() for one in signs]), np.array(met, float)
    weights = np.zeros(rows.shape[1])
    decay = np.diag([0.0] + [0.3] * (rows.shape[1] - 1))
    for _ in range(50):
        guess = 1 / (1 + np.exp(-rows @ weights))
        slope = rows.T @ (guess - wanted) + decay @ weights
        curve = (rows * (guess * (1 - guess))[:, None]).T @ rows + decay
        weights -= np.linalg.solve(curve, slope)
    return [round(float(weight), 2) for weight in weights]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("alerts", "search", "fit", "misses"):
        parser.add_argument(f"--{name}", action="store_true")
    return parser.parse_args()


def main() -> int:
    given = arguments()
    if given.fit:
        print("WEIGHTS =", fit(by_words=False))
        print("WEIGHTS_OF_WORDS =", fit(by_words=True))
    if given.alerts:
        for by_words in (False, True):
            report_alerts(misses=given.misses and not by_words, by_words=by_words)
    if given.search:
        asyncio.run(report_search(misses=given.misses))
    return 0


if __name__ == "__main__":
    sys.exit(main())
