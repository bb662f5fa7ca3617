"""A language model's verdict counts where the judge is unsure and the evidence holds what it quotes."""

from collections.abc import Iterator

import pytest

from app.domain.alerts.service import Matched
from tests.fakes.language_server import Json, LanguageServer, Reply, language_server, says
from workers.engines.openai_compatible import OpenAiCompatible
from workers.matching.evidence import evidence_of
from workers.matching.second_opinion import MOST_RULES, with_second_opinion

EVIDENCE = evidence_of("", {"screen_text": "Terminal - make\nerror: cannot find module foo\nexit code 2"}, 0)
UNSURE = Matched(0.45, "the judge's own")


@pytest.fixture
def server() -> Iterator[LanguageServer]:
    with language_server() as opened:
        yield opened


def engine_of(server: LanguageServer) -> OpenAiCompatible:
    return OpenAiCompatible(
        server.url, key=None, model="tiny", timeout_seconds=10, requests_at_once=2, pictures=False
    )


def verdict(
    rule: int = 1, *, match: bool = True, quote: str = "Cannot find module foo", sure: float = 0.9
) -> Json:
    return {"rule": rule, "match": match, "confidence": sure, "quote": quote}


def verdicts(*given: Json) -> Reply:
    return says({"verdicts": given})


@pytest.mark.parametrize(
    ("reply", "confidence", "explained"),
    [
        (verdicts(verdict()), 0.75, "“Cannot find module foo” was on the screen at"),
        (verdicts(verdict() | {"rule": 1.0}), 0.75, "“Cannot find module foo” was on the screen at"),
        (verdicts(verdict(sure=0.5)), 0.45, "the judge's own"),
        (verdicts(verdict(match=False, quote="")), 0.217, "the judge's own"),
        (verdicts(verdict(match=False, quote="", sure=0.5)), 0.45, "the judge's own"),
        (verdicts(verdict(quote="the dependency is unresolved")), 0.45, "the judge's own"),
        (verdicts(verdict(quote="")), 0.45, "the judge's own"),
        (verdicts(verdict(sure=90)), 0.45, "the judge's own"),
        (verdicts(verdict(7)), 0.45, "the judge's own"),
        (verdicts(), 0.45, "the judge's own"),
        (says("yes"), 0.45, "the judge's own"),
        (Reply(status=500), 0.45, "the judge's own"),
    ],
)
async def test_who_decides(server: LanguageServer, reply: Reply, confidence: float, explained: str) -> None:
    server.reply(reply)
    (found,) = await with_second_opinion(engine_of(server), ["a dependency is missing"], EVIDENCE, [UNSURE])
    assert found.confidence == confidence
    assert found.explanation.startswith(explained)


@pytest.mark.parametrize(("before", "match", "after"), [(0.21, True, 0.5), (0.79, False, 0.49)])
async def test_the_model_decides_on_which_side_of_the_threshold_it_is(
    server: LanguageServer, before: float, match: bool, after: float
) -> None:
    server.reply(verdicts(verdict(match=match, sure=0.6)))
    judged = [Matched(before, "the judge's own")]
    (found,) = await with_second_opinion(engine_of(server), ["a rule"], EVIDENCE, judged)
    assert found.confidence == after


async def test_only_the_unsure_ones_are_asked_the_nearest_to_the_threshold_first(
    server: LanguageServer,
) -> None:
    confidences = [0.1, 0.3, 0.95, 0.5, 0.7, 0.45, 0.55, 0.21]
    judged = [Matched(one, "the judge's own") for one in confidences]
    server.reply(verdicts(*(verdict(number) for number in range(1, MOST_RULES + 1))))
    rules = [f"rule at {one}" for one in confidences]
    found = await with_second_opinion(engine_of(server), rules, EVIDENCE, judged)
    changed = [one for one, before, after in zip(confidences, judged, found, strict=True) if before != after]
    assert sorted(changed) == [0.45, 0.5, 0.55, 0.7]
    asked = server.asked[0]["messages"][1]["content"]
    assert "1. rule at 0.5\n" in asked
    assert "rule at 0.95" not in asked


async def test_of_what_the_judge_is_sure_nobody_is_asked(server: LanguageServer) -> None:
    judged = [Matched(0.1, ""), Matched(0.9, "")]
    assert await with_second_opinion(engine_of(server), ["a", "b"], EVIDENCE, judged) == judged
    assert await with_second_opinion(None, ["a"], EVIDENCE, [UNSURE]) == [UNSURE]
    assert server.asked == []
