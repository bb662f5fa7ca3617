from typing import Any

import pytest

from app.domain.passages.models import Passage
from app.domain.search import selectivity
from app.domain.search.selectivity import leaves_few
from app.process import Context
from tests.fixtures.factories import make_active, make_tenant, say


def scan(node_type: str, rows: int) -> dict[str, Any]:
    return {"Node Type": node_type, "Relation Name": "passages", "Plan Rows": rows}


@pytest.mark.parametrize(
    ("plan", "few"),
    [
        (scan("Index Only Scan", 19_000), True),
        (scan("Index Only Scan", 21_000), False),
        (scan("Index Scan", 19_000), False),
        (scan("Bitmap Heap Scan", 4_000), True),
        ({"Node Type": "Hash Join", "Plan Rows": 9_000, "Plans": [scan("Index Only Scan", 50_000)]}, True),
        ({"Node Type": "Nested Loop", "Plan Rows": 9_000, "Plans": [scan("Index Scan", 9_000)]}, False),
    ],
)
def test_more_are_read_from_an_index_that_holds_the_vectors(plan: dict[str, Any], few: bool) -> None:
    assert selectivity.are_few(plan) is few


async def test_the_planner_is_asked(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    _, opened = await make_active(context, await make_tenant(context))
    (stream_id,) = opened.values()
    await say(context, stream_id, "Hello.", at_us=1_760_000_000_000_000)
    async with context.db.transaction() as session:
        assert await leaves_few(session, [Passage.stream_id == stream_id])
        monkeypatch.setattr(selectivity, "READ_ALL_UP_TO", 0)
        monkeypatch.setattr(selectivity, "FETCH_ALL_UP_TO", 0)
        assert not await leaves_few(session, [Passage.stream_id == stream_id])
