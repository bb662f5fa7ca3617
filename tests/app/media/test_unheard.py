import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.media.pcm import SAMPLE_RATE_HZ, Utterance
from app.media.unheard import left_unheard

SECOND = 1_000_000


def utterance(start: float, end: float) -> Utterance:
    samples = np.arange(round((end - start) * SAMPLE_RATE_HZ), dtype=np.float32)
    return Utterance(samples, round(start * SECOND), round(end * SECOND))


@pytest.mark.parametrize(
    ("heard", "left"),
    [
        ([], [(2, 10)]),
        ([(0, 2), (10, 12)], [(2, 10)]),
        ([(2.3, 9.7)], []),
        ([(0, 5)], [(5, 10)]),
        ([(2.5, 4), (7, 20)], [(4, 7)]),
        ([(4, 7), (2.5, 5)], [(7, 10)]),
        ([(3.5, 4)], [(2, 3.5), (4, 10)]),
    ],
)
def test_what_is_not_understood_is_left(
    heard: list[tuple[float, float]], left: list[tuple[float, float]]
) -> None:
    in_us = [(round(start * SECOND), round(end * SECOND)) for start, end in heard]
    found = left_unheard(utterance(2, 10), in_us)
    assert [(one.started_at_us / SECOND, one.ended_at_us / SECOND) for one in found] == left
    for one in found:
        first = (one.started_at_us - 2 * SECOND) * SAMPLE_RATE_HZ // SECOND
        assert one.samples[0] == first
        assert len(one.samples) == (one.ended_at_us - one.started_at_us) * SAMPLE_RATE_HZ // SECOND


def test_a_short_word_that_nobody_heard_is_left() -> None:
    assert len(left_unheard(utterance(2, 2.4), [(0, SECOND)])) == 1


@given(st.lists(st.tuples(st.integers(0, 12 * SECOND), st.integers(0, 12 * SECOND)).map(sorted)))
def test_nothing_that_was_understood_is_left(stretches: list[list[int]]) -> None:
    heard = [(start, end) for start, end in stretches if start < end]
    for one in left_unheard(utterance(2, 10), heard):
        assert all(end <= one.started_at_us or start >= one.ended_at_us for start, end in heard)
