from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.domain.search.clipping import LONGEST_US, SHORTEST_US, cut_clips
from app.domain.search.service import Match
from app.domain.search.stitching import stitched

SECOND = 1_000_000
LENGTH_US = 600 * SECOND


def match(
    start: float, end: float, score: float = 0.8, text: str = "x", index_id: str | None = None
) -> Match:
    kind = "visual" if index_id else "spoken"
    start_us, end_us = round(start * SECOND), round(end * SECOND)
    return Match(None, "m-1", kind, start_us, end_us, text, score, index_id, index_id)  # type: ignore[arg-type]


def clips(
    matches: list[Match], said: list[tuple[float, float]] | None = None, *, whole_sentences: bool = True
) -> list[tuple[float, float]]:
    spoken = [(round(start * SECOND), round(end * SECOND)) for start, end in said or []]
    found = cut_clips(matches, spoken, LENGTH_US, whole_sentences=whole_sentences)
    return [(one.start_us / SECOND, one.end_us / SECOND) for one in found]


def test_neighbours_are_one_clip_and_others_come_in_the_order_of_time() -> None:
    assert clips([match(40, 44), match(10, 14, 0.9), match(15, 20)]) == [(10, 20), (40, 44)]


def test_what_is_far_worse_than_the_best_is_left_out() -> None:
    assert clips([match(10, 14, 0.9), match(40, 44, 0.4)]) == [(10, 14)]
    assert clips([]) == []


def test_a_clip_begins_and_ends_with_whole_sentences() -> None:
    said = [(8.5, 11.0), (11.5, 13.0), (18.0, 21.5)]
    seen = [match(10, 20, index_id="idx-1")]
    assert clips(seen, said) == [(8.5, 21.5)]
    assert clips(seen, said, whole_sentences=False) == [(10, 20)]


def test_a_short_clip_grows_by_sentences_and_else_by_what_is_around_it() -> None:
    assert clips([match(10, 11)], [(10, 11), (11.5, 14), (7, 9.5)]) == [(10, 14)]
    assert clips([match(10, 11)], [(10, 11), (30, 34), (7, 9.5)]) == [(7, 11)]
    assert clips([match(10, 11)], [(10, 11)]) == [(9, 12)]
    assert clips([match(0, 0.5)]) == [(0, 3)]
    assert clips([match(599.5, 600)]) == [(597, 600)]


def test_no_clip_goes_on_for_ever() -> None:
    found = clips([match(at, at + 10) for at in range(0, 200, 10)])
    assert found[0] == (0, 60)
    assert sum(end - start for start, end in found) == 200


def test_neighbours_of_one_source_are_stitched_where_the_best_of_them_stood() -> None:
    rows = [
        match(50, 52, 0.9, "late"),
        match(12, 14, 0.8, "b"),
        match(12, 20, 0.7, "seen", index_id="idx-1"),
        match(10, 12, 0.5, "a"),
    ]
    assert [
        (one.text, one.start_us // SECOND, one.end_us // SECOND, one.score) for one in stitched(rows)
    ] == [
        ("late", 50, 52, 0.9),
        ("a b", 10, 14, 0.8),
        ("seen", 12, 20, 0.7),
    ]


TIMES = st.tuples(st.integers(0, 590 * SECOND), st.integers(1, 10 * SECOND))


@given(st.lists(TIMES, max_size=12), st.lists(TIMES, max_size=12), st.booleans())
def test_clips_lie_in_the_video_in_order_and_hold_what_was_found(
    found: list[tuple[int, int]], said: list[tuple[int, int]], whole: bool
) -> None:
    matches = [match(start / SECOND, (start + length) / SECOND) for start, length in found]
    spoken = [(start, start + length) for start, length in said]
    made = cut_clips(matches, spoken, LENGTH_US, whole_sentences=whole)
    assert bool(made) is bool(matches)
    for one in made:
        assert 0 <= one.start_us < one.end_us <= LENGTH_US
        assert one.end_us - one.start_us <= LONGEST_US + SHORTEST_US
    for one, after in pairwise(made):
        assert one.end_us <= after.start_us
    for wanted in matches:
        held = sum(
            max(0, min(one.end_us, wanted.end_us) - max(one.start_us, wanted.start_us)) for one in made
        )
        assert held == wanted.end_us - wanted.start_us
