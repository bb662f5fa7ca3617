from collections.abc import Sequence
from typing import Any

import pytest

from app.engines.contract import EngineFailed
from workers.describing.answering import NOTHING_FOUND, Answer, Source, answer_in_words, quote
from workers.engines.contract import LanguageCapabilities

SOURCES = [
    Source("The weather is fine. We ship the release on Friday.", "Standup", 72.4, is_said=True),
    Source("The screen shows “Release plan”.", "Review", 5.0, is_said=False),
    Source("we ship the release on Friday.", "Standup", 90.0, is_said=True),
]


def about(word: str, close: float = 0.8) -> Any:
    return lambda texts: [close if word in text.lower() else 0.1 for text in texts]


def test_the_closest_sentences_are_quoted_with_their_times() -> None:
    answer = quote(SOURCES, about("release"))
    assert answer.text == (
        "At 1:12 in “Standup”: “We ship the release on Friday.” "
        "On the screen at 0:05 in “Review”: The screen shows “Release plan”."
    )
    assert answer.rests_on == (0, 1, 2)


def test_what_is_far_from_the_question_is_no_answer() -> None:
    assert quote(SOURCES, about("release", 0.2)) == Answer(NOTHING_FOUND, ())
    assert quote([], about("release")) == Answer(NOTHING_FOUND, ())
    assert quote([Source(" ", "Silence", 0.0, is_said=True)], None) == Answer(NOTHING_FOUND, ())


def test_of_a_screen_the_line_is_quoted() -> None:
    shown = "The screen shows “Notes”. It reads: 00:12; - Review moved to Thursday; - Lunch. New is: Lunch."
    answer = quote([Source(shown, "Demo", 20.0, is_said=False)], about("review"))
    assert answer.text == "On the screen at 0:20 in “Demo”: Review moved to Thursday"


def test_without_meanings_the_best_sources_are_quoted() -> None:
    long = Source("word " * 200, "Talk", 0.0, is_said=True)
    answer = quote([long], None)
    assert len(answer.text) < 350
    assert answer.text.endswith("…”")


class Model:
    """A language engine that answers as a test wants."""

    capabilities = LanguageCapabilities(pictures=False)
    trouble: str | None = None

    def __init__(self, **answer: Any) -> None:
        self._answer = {"is_answered": True, "answer": "", "sources": [1]} | answer

    def load(self) -> None:
        """There is nothing to load."""

    async def answer(
        self,
        instructions: str,
        evidence: str,
        schema: dict[str, Any],
        *,
        pictures: Sequence[bytes] = (),
        limit_seconds: float | None = None,
    ) -> dict[str, Any]:
        assert "When do we ship?" in instructions
        assert "[1] (said at 1:12 in “Standup”) The weather is fine." in evidence
        if self._answer["answer"] == "down":
            raise EngineFailed("The language model does not answer.")
        return self._answer


async def test_a_models_answer_cites_the_times_that_it_rests_on() -> None:
    answer, reason = await answer_in_words(
        Model(answer="The release ships on Friday [1].", sources=[1, 1, 7]), "When do we ship?", SOURCES
    )
    assert (answer, reason) == (Answer("The release ships on Friday. (at 1:12 in “Standup”)", (0,)), None)


async def test_a_model_may_say_that_there_is_no_answer() -> None:
    found = await answer_in_words(Model(is_answered=False), "When do we ship?", SOURCES)
    assert found == (Answer(NOTHING_FOUND, ()), None)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"answer": "We ship 300 boxes on Friday."}, "says what the evidence does not"),
        ({"answer": "Anna ships the release."}, "says what the evidence does not"),
        ({"answer": "We ship on Friday.", "sources": []}, "names no evidence"),
        ({"answer": "We ship on Friday.", "sources": [9]}, "names no evidence"),
        ({"answer": ""}, "names no evidence"),
        ({"answer": "down"}, "does not answer"),
    ],
)
async def test_what_a_model_may_not_say(said: dict[str, Any], reason: str) -> None:
    answer, why = await answer_in_words(Model(**said), "When do we ship?", SOURCES)
    assert answer is None
    assert reason in (why or "")
