from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.base.errors import InvalidRequest
from app.domain.passages.models import Passage
from app.domain.search.service import MAX_QUERY_CHARACTERS, Question, search_passages
from app.process import Context
from tests.fixtures.factories import make_active, make_tenant, say

SAID = [
    "We should discuss the quarterly budget next week.",
    "The meeting was about running shoes.",
    "It was the best of times, it was the worst of times.",
    "Don't touch the database server at example.com/it's/there.",
    "A budget meeting is not the same as a meeting about the budget.",
]


@dataclass
class Library:
    context: Context
    stream_id: str

    async def find(self, query: str, **more: Any) -> list[tuple[int, float]]:
        """Which utterances match, best first, and their scores."""
        which = more.pop("owned", Passage.stream_id == self.stream_id)
        async with self.context.db.transaction() as session:
            found = await search_passages(session, Question(query, None, **{"limit": 10} | more), which)
        return [(SAID.index(match.text), round(match.score, 2)) for match in found]


@pytest.fixture
async def library(context: Context) -> Library:
    _, opened = await make_active(context, await make_tenant(context))
    (stream_id,) = opened.values()
    for number, text in enumerate(SAID):
        await say(context, stream_id, text, at_us=1_760_000_000_000_000 + number * 10_000_000)
    return Library(context, stream_id)


async def test_words_are_found_by_their_stems_whatever_their_case(library: Library) -> None:
    assert await library.find("BUDGETS") == await library.find("budget")
    assert {number for number, _ in await library.find("budget")} == {0, 4}
    assert await library.find("discussing") == [(0, 1.0)]
    assert await library.find("run") == [(1, 1.0)]


async def test_the_score_is_the_share_of_the_words_that_were_said(library: Library) -> None:
    found = await library.find("the budget discussion in Paris")
    assert found[0] == (0, 0.67)  # budget and discuss, not Paris; "the" and "in" count for nothing
    assert (4, 0.33) in found
    assert await library.find("budget discussion Paris", score_threshold=0.5) == [(0, 0.67)]
    assert await library.find("budget", score_threshold=1.1) == []


async def test_words_said_close_together_come_first(library: Library) -> None:
    assert (await library.find("budget meeting"))[0][0] == 4
    assert [number for number, _ in await library.find("best of times")] == [2]


async def test_nothing_matches_nothing(library: Library) -> None:
    assert await library.find("zebra") == []
    assert await library.find("the of it") == []  # stop words alone
    assert await library.find("!?! …") == []
    assert await library.find("budget", owned=Passage.stream_id == "rts-none") == []
    assert await library.find("budget", owned=Passage.asset_id == "m-none") == []
    assert await library.find("budget", limit=1) == [(4, 1.0)]


async def test_queries_that_are_refused(library: Library) -> None:
    for query in ["", "  \n", "x" * (MAX_QUERY_CHARACTERS + 1)]:
        with pytest.raises(InvalidRequest) as refused:
            await library.find(query)
        assert refused.value.field == "query"


async def test_every_query_of_allowed_length_is_answered(library: Library) -> None:
    letters = "bcdfghjklmnpqrstvwxz"
    words = [one + other for one in letters for other in letters]
    assert await library.find(" ".join(words[:333])) == []
    assert (await library.find("budget " + " ".join(words[:300])))[0][1] == 0.0


INJECTIONS = [
    "' or 1=1 --",
    "a' & b | !c",
    "budget:*",
    "(((",
    "\\",
    "'\\' budget",
    "$1 %s :x",
    "a<->b <2>",
    "/etc/passwd example.com/it's/there",
    "-1.5e10 v2.0 a_b",
]


async def test_what_means_something_to_sql_means_nothing(library: Library) -> None:
    for query in INJECTIONS:
        await library.find(query)
    assert {number for number, _ in await library.find("'budget' | !meeting")} == {0, 1, 4}


@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@example("it's\\ example.com/it's/\\there")
@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60))
async def test_whatever_is_asked(library: Library, query: str) -> None:
    try:
        found = await library.find(query)
    except InvalidRequest:
        assert not query.strip()
        return
    assert all(0 < score <= 1 for _, score in found)
