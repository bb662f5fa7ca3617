"""How well rules are matched and queries answered, on sets of the project's own that are labelled by hand.

`--alerts`: event rules held against records, more than half of which nearly meet them, by the worker's own
judge. Precision and recall where an alert fires, and how far its confidence is from how often it is right,
beside the closeness of the embeddings alone and the words alone. Fitted on bench/labelled_alerts.py; what is
reported is bench/held_out_alerts.py, written before the judge was first run on it.
`--search`: queries over a capture of rendered desktops and speech, in a real Postgres, by the product's own
search: recall@5 and mean reciprocal rank, beside full text alone and vectors alone. Every second query was
for fitting, the others are reported.
`--fit` fits the judge's weights anew and prints them. Screen text and speech have benches of their own:
bench/quality_screens.py, bench/quality_speech.py.

    python -m bench.quality [--alerts] [--search] [--fit] [--misses] [--goal]
"""

import argparse
import asyncio
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.base.settings import Settings
from app.domain.matching.service import FIRES_AT
from app.engines.registry import open_sentence_engine
from bench.held_out_alerts import HELD_OUT
from bench.labelled_alerts import RULES, Labelled
from bench.labelled_search import report_search
from workers.matching.evidence import Evidence, evidence_of
from workers.matching.judge import Likeness, Signs, judge, signs_of

AT_US = 1_760_000_000_000_000
STRANGERS = (
    10,
    22,
    34,
)  # each rule is held against records of so many others, which have nothing to do with it
BINS = 5
DECAY = 0.15
GOAL_ALERTS = 0.9
Confidences = NDArray[np.float64]


@dataclass(frozen=True)
class Example:
    """A rule, a record, whether it meets the rule, and whether it nearly does."""

    rule: str
    record: str
    met: bool
    near_miss: bool = False


@dataclass(frozen=True)
class Score:
    """What came of deciding on some examples."""

    precision: float
    recall: float


def examples(rules: Sequence[Labelled]) -> Iterator[Example]:
    """Each rule with its records, and with some that other rules are met by."""
    for number, (rule, met, unmet) in enumerate(rules):
        for record in met:
            yield Example(rule, record, True)
        for record in unmet:
            yield Example(rule, record, False, near_miss=True)
        for step in STRANGERS:
            yield Example(rule, rules[(number + step) % len(rules)][1][0], False)


def evidence_from(record: str) -> Evidence:
    if record.startswith("~"):
        return evidence_of(record[1:], {"said": record[1:]}, AT_US)
    lines = [line.strip() for line in record.split("|")]
    return evidence_of("", {"screen_text": "\n".join(lines)}, AT_US)


def report_alerts(*, misses: bool) -> bool:
    """Print a table of both sets by each way of judging; whether the held-out one reaches the goals."""
    likeness = open_sentence_engine(Settings()).encode
    least = _best_threshold([*examples(RULES)], likeness)
    print(
        f"alerts: fitted on {len(RULES)} rules; {len(HELD_OUT)} rules held out, of which nothing was fitted"
    )
    print(f"{'':34}{'precision':>10}{'recall':>8}{'near misses':>14}{'calibration':>13}")
    held_out = Score(0.0, 0.0)
    for title, rules in (("fitted on", RULES), ("held out", HELD_OUT)):
        chosen = [*examples(rules)]
        for name, sure in (
            (f"closeness alone, from {least:.2f}", _closenesses(chosen, likeness) - least + FIRES_AT),
            ("words alone", _confidences(chosen, None)),
            ("judge", judged := _confidences(chosen, likeness)),
        ):
            held_out = _report_row(f"{title}, {name}", chosen, sure)
        if misses and rules is RULES:
            _list_misses(chosen, judged)
    return _met("alert precision, held out", held_out.precision, GOAL_ALERTS) & _met(
        "alert recall, held out", held_out.recall, GOAL_ALERTS
    )


def _confidences(chosen: Sequence[Example], likeness: Likeness | None) -> Confidences:
    return np.array([judge([one.rule], evidence_from(one.record), likeness)[0].confidence for one in chosen])


def _closenesses(chosen: Sequence[Example], likeness: Likeness) -> Confidences:
    """How near the nearest part of each record is to its rule in meaning."""
    found = []
    for one in chosen:
        vectors = likeness([one.rule, *evidence_from(one.record).parts])
        found.append(float((vectors[1:] @ vectors[0]).max()))
    return np.array(found)


def _best_threshold(chosen: Sequence[Example], likeness: Likeness) -> float:
    """The closeness that tells the fitted set apart best, by the mean of precision and recall."""
    near = _closenesses(chosen, likeness)
    scores = {least: score(chosen, near >= least) for least in np.arange(0.2, 0.9, 0.01)}
    return float(max(scores, key=lambda least: scores[least].precision + scores[least].recall))


def score(chosen: Sequence[Example], fired: Sequence[bool] | NDArray[np.bool_]) -> Score:
    """Precision and recall; nothing fired counts as no precision."""
    right = sum(one.met for one, fires in zip(chosen, fired, strict=True) if fires)
    return Score(right / max(1, sum(map(bool, fired))), right / max(1, sum(one.met for one in chosen)))


def _report_row(name: str, chosen: Sequence[Example], sure: Confidences) -> Score:
    found = score(chosen, sure >= FIRES_AT)
    fooled = sum(
        confidence >= FIRES_AT for one, confidence in zip(chosen, sure, strict=True) if one.near_miss
    )
    hard = f"{fooled} of {sum(one.near_miss for one in chosen)}"
    error = calibration_error([one.met for one in chosen], sure)
    print(f"{name:34}{found.precision:10.3f}{found.recall:8.3f}{hard:>14}{error:13.3f}")
    return found


def _list_misses(chosen: Sequence[Example], sure: Confidences) -> None:
    for one, confidence in zip(chosen, sure, strict=True):
        if (confidence >= FIRES_AT) != one.met:
            print(f"    {'missed' if one.met else 'fired '} {confidence:.2f} {one.rule!r}: {one.record}")


def _met(name: str, value: float, goal: float) -> bool:
    print(f"{name} {value:.3f}, goal {goal}: {'met' if value >= goal else 'missed'}")
    return value >= goal


def calibration_error(wanted: Sequence[bool], confidences: Confidences) -> float:
    """How far a confidence is from the share of records that meet the rule at it, on average."""
    met = np.array(wanted, float)
    bins = np.clip((confidences * BINS).astype(int), 0, BINS - 1)
    return float(
        sum(
            abs(met[bins == number].mean() - confidences[bins == number].mean()) * (bins == number).mean()
            for number in range(BINS)
            if (bins == number).any()
        )
    )


def fit(*, by_words: bool) -> list[float]:
    """Logistic regression with a little weight decay, by Newton's method.

    The weights in force choose the part that speaks for a record, so run it again with those it prints.
    """
    likeness = None if by_words else open_sentence_engine(Settings()).encode
    chosen = [*examples(RULES)]
    found = [signs_of([one.rule], evidence_from(one.record), likeness)[0] for one in chosen]
    return _regression(found, [one.met for one in chosen])


def _regression(signs: Sequence[Signs], met: Sequence[bool]) -> list[float]:
    rows, wanted = np.array([one.as_row() for one in signs]), np.array(met, float)
    weights = np.zeros(rows.shape[1])
    decay = np.diag([0.0] + [DECAY] * (rows.shape[1] - 1))
    for _ in range(50):
        guess = 1 / (1 + np.exp(-rows @ weights))
        slope = rows.T @ (guess - wanted) + decay @ weights
        curve = (rows * (guess * (1 - guess))[:, None]).T @ rows + decay
        weights -= np.linalg.solve(curve, slope)
    return [round(float(weight), 2) for weight in weights]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name in ("alerts", "search", "fit", "misses", "goal"):
        parser.add_argument(f"--{name}", action="store_true")
    return parser.parse_args()


def main() -> int:
    given = arguments()
    good = True
    if given.fit:
        print("WEIGHTS =", fit(by_words=False))
        print("WEIGHTS_OF_WORDS =", fit(by_words=True))
    if given.alerts:
        good &= report_alerts(misses=given.misses)
    if given.search:
        good &= asyncio.run(report_search(misses=given.misses))
    return 1 if given.goal and not good else 0


if __name__ == "__main__":
    sys.exit(main())
