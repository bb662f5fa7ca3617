from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.domain.transcripts.segments import segment_words
from app.domain.transcripts.service import Spoken

SECOND = 1_000_000


def sentence(text: str, start_us: int, step_us: int = SECOND // 2) -> Spoken:
    """A sentence whose words begin `step_us` after each other."""
    words: list[dict[str, Any]] = [
        {"text": word, "start_us": start_us + at * step_us, "end_us": start_us + (at + 1) * step_us}
        for at, word in enumerate(text.split())
    ]
    return Spoken(text, start_us, words[-1]["end_us"], "en", words)


SAID = [sentence("One two three.", 0), sentence("Four five.", 4 * SECOND), sentence("Six.", 5 * SECOND)]


def texts(*asked: Any, **more: Any) -> list[str]:
    return [segment.text for segment in segment_words(SAID, *asked, **more)]


def test_words_and_sentences_are_counted() -> None:
    assert texts("word") == ["One", "two", "three.", "Four", "five.", "Six."]
    assert texts("word", 4) == ["One two three. Four", "five. Six."]
    assert texts("sentence") == ["One two three.", "Four five.", "Six."]
    assert texts("sentence", 2) == ["One two three. Four five.", "Six."]


def test_time_is_cut_at_whole_multiples_and_silence_is_left_out() -> None:
    found = segment_words(SAID, "time", 1)
    assert [(one.text, one.start_us // SECOND, one.end_us // SECOND) for one in found] == [
        ("One two", 0, 1),
        ("three.", 1, 2),
        ("Four five.", 4, 5),
        ("Six.", 5, 6),
    ]


def test_a_part_holds_the_words_that_are_heard_in_it_and_whole_sentences() -> None:
    assert texts("word", start_us=SECOND // 4, end_us=4 * SECOND) == ["One", "two", "three."]
    assert texts("word", start_us=SECOND, end_us=SECOND) == []
    assert texts("sentence", start_us=SECOND, end_us=4 * SECOND + 1) == ["One two three.", "Four five."]
    assert texts("time", 2, start_us=5 * SECOND) == ["Six."]


def test_a_sentence_whose_words_have_no_times_is_one_word() -> None:
    bare = Spoken("As it is.", SECOND, 2 * SECOND, None, [])
    for segmenter in ("word", "sentence", "time"):
        assert [one.text for one in segment_words([bare], segmenter)] == ["As it is."]  # type: ignore[arg-type]


@st.composite
def speech(draw: st.DrawFn) -> list[Spoken]:
    """Sentences that follow each other, every word another."""
    at_us, number, said = 0, 0, []
    for _ in range(draw(st.integers(0, 6))):
        at_us += draw(st.integers(0, 3 * SECOND))
        words = []
        for _ in range(draw(st.integers(1, 8))):
            end_us = at_us + draw(st.integers(0, SECOND))
            words.append({"text": f"w{number}", "start_us": at_us, "end_us": end_us})
            number, at_us = number + 1, end_us
        text = " ".join(word["text"] for word in words)
        said.append(Spoken(text, words[0]["start_us"], at_us, "en", words))
    return said


@given(speech(), st.sampled_from(["word", "sentence", "time"]), st.integers(1, 20))
def test_segments_hold_all_words_in_order_and_their_times_never_go_back(
    said: list[Spoken], segmenter: Any, length: int
) -> None:
    found = segment_words(said, segmenter, length)
    held = [word for one in found for word in one.text.split()]
    assert held == [word["text"] for one in said for word in one.words]
    for one in found:
        assert one.start_us <= one.end_us
        assert one.text
    assert all(one.start_us <= other.start_us for one, other in pairwise(found))
    if segmenter == "time":
        assert len({one.start_us for one in found}) == len(found)
        assert all(one.end_us - one.start_us == length * SECOND for one in found)


@given(speech(), st.integers(0, 20 * SECOND), st.integers(0, 20 * SECOND))
def test_parts_that_follow_each_other_hold_all_words(said: list[Spoken], first: int, second: int) -> None:
    cut_us = sorted((first, second))
    bounds = [(None, cut_us[0]), (cut_us[0], cut_us[1]), (cut_us[1], None)]
    parts = [
        [one.text for one in segment_words(said, "word", start_us=start, end_us=end)] for start, end in bounds
    ]
    assert set().union(*parts) == {one.text for one in segment_words(said, "word")}
