from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.domain.transcripts.service import Spoken
from workers.describing.stretches import LONGEST_US, MOST_CHARACTERS, PAUSE_US, by_pauses, stretches

SECOND = 1_000_000


def said(*times: tuple[float, float], text: str = "A sentence.") -> list[Spoken]:
    return [Spoken(text, round(start * SECOND), round(end * SECOND), "en", []) for start, end in times]


def test_a_sentence_is_a_part_of_its_own_unless_more_is_asked_for() -> None:
    spoken = said((0, 2), (2, 4), (7, 9))
    assert stretches(spoken, "sentence") == ([slice(0, 1), slice(1, 2), slice(2, 3)], None)
    parts, notice = stretches(spoken, "llm")
    assert parts == [slice(0, 2), slice(2, 3)]
    assert notice is not None
    assert stretches([], "llm")[0] == []


@given(st.lists(st.tuples(st.integers(0, 3 * SECOND), st.integers(1, 20 * SECOND), st.integers(1, 500))))
def test_parts_cover_all_that_was_said_and_say_no_more_than_one_thing(
    rows: list[tuple[int, int, int]],
) -> None:
    at_us, spoken = 0, []
    for pause_us, length_us, characters in rows:
        spoken.append(Spoken("x" * characters, at_us + pause_us, at_us + pause_us + length_us, "en", []))
        at_us += pause_us + length_us
    parts = by_pauses(spoken)
    assert [at for part in parts for at in range(len(spoken))[part]] == list(range(len(spoken)))
    for part in parts:
        held = spoken[part]
        if len(held) > 1:
            assert sum(len(one.text) for one in held) <= MOST_CHARACTERS
            assert held[-1].end_us - held[0].start_us <= LONGEST_US
        for one, after in pairwise(held):
            assert after.start_us - one.end_us < PAUSE_US
