"""Benches are run by hand: what they import of the product must at least be there."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from bench.held_out_alerts import HELD_OUT
from bench.labelled_alerts import RULES
from bench.labelled_search import recall_and_rank
from bench.quality import Example, Score, calibration_error, examples, score
from bench.quality_screens import Recall

BENCH = Path(__file__).parents[2] / "bench"


@pytest.mark.parametrize("name", sorted(path.stem for path in BENCH.glob("*.py") if path.stem != "__init__"))
def test_a_bench_finds_what_it_measures(name: str) -> None:
    module = importlib.import_module(f"bench.{name}")
    assert module.__doc__


def test_what_is_fitted_on_and_what_is_held_out_have_nothing_in_common() -> None:
    fitted, held_out = ({one.record for one in examples(rules)} for rules in (RULES, HELD_OUT))
    assert not fitted & held_out
    assert not {rule for rule, _, _ in RULES} & {rule for rule, _, _ in HELD_OUT}
    assert len(HELD_OUT) >= 40


def test_precision_recall_and_calibration() -> None:
    chosen = [Example("rule", str(number), number < 2) for number in range(4)]
    assert score(chosen, [True, False, True, False]) == Score(0.5, 0.5)
    assert score(chosen, [False] * 4) == Score(0.0, 0.0)
    met = [one.met for one in chosen]
    assert calibration_error(met, np.array([1.0, 1.0, 0.0, 0.0])) == 0.0
    assert calibration_error(met, np.array([0.5] * 4)) == 0.0
    assert calibration_error(met, np.array([0.0, 0.0, 1.0, 1.0])) == 1.0


def test_recall_and_rank_of_searches() -> None:
    assert recall_and_rank([1, 2, 0, 8]) == (0.5, (1 + 1 / 2 + 1 / 8) / 4)


def test_a_word_that_stands_twice_is_to_be_read_twice() -> None:
    recall = Recall()
    recall.add("Total: 12 of 12 files", "total 12\nfiles")
    assert (recall.read, recall.there, recall.missed) == (3, 5, ["12", "of"])
