"""Benches are run by hand: what they import of the product must at least be there."""

import importlib
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"


@pytest.mark.parametrize("name", sorted(path.stem for path in BENCH.glob("*.py") if path.stem != "__init__"))
def test_a_bench_finds_what_it_measures(name: str) -> None:
    module = importlib.import_module(f"bench.{name}")
    assert module.__doc__
