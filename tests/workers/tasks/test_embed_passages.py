"""Vectors are made where they are missing, and search finds by meaning what shares no word."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from app.base.ids import utc_now
from app.base.settings import Settings
from app.domain.passages.models import Passage
from app.domain.passages.service import cut_lines, ring_waiting_passages
from app.domain.search.service import Match, Question, search_passages
from app.engines.registry import open_sentence_engine
from app.process import Context
from tests.fixtures.factories import clear_jobs, jobs_of, make_active, make_tenant, say
from tests.fixtures.indexing import make_index, record
from workers.tasks.embed_passages import embed_passages

SAID = [
    "Let us move the launch to the fourteenth of May.",
    "The coffee machine makes a terrible noise.",
    "Our customers are leaving because support answers too late.",
]


@pytest.fixture
async def stream_id(context: Context) -> str:
    _, opened = await make_active(context, await make_tenant(context))
    (found,) = opened.values()
    for number, text in enumerate(SAID):
        await say(context, found, text, at_us=1_760_000_000_000_000 + number * 10_000_000)
    return found


async def find(context: Context, query: str, **more: object) -> list[Match]:
    (vector,) = open_sentence_engine(context.settings).encode([query]).tolist()
    which = more.pop("which", Passage.id.is_not(None))
    async with context.db.transaction() as session:
        return await search_passages(session, Question(query, vector, **{"limit": 5} | more), which)  # type: ignore[arg-type]


async def without_vector(context: Context) -> int:
    async with context.db.transaction() as session:
        return await session.scalar(select(func.count()).where(Passage.vector.is_(None))) or 0


async def test_meaning_is_found_where_no_word_is_shared(context: Context, stream_id: str) -> None:
    assert await find(context, "loud espresso maker") == []
    await embed_passages(context, stream_id)
    assert await without_vector(context) == 0
    assert (await find(context, "loud espresso maker"))[0].text == SAID[1]
    assert (await find(context, "why do we lose clients"))[0].text == SAID[2]
    assert await find(context, "photosynthesis of algae") == []


async def test_thresholds_and_filters(context: Context, stream_id: str) -> None:
    await embed_passages(context, stream_id)
    found = await find(context, "the noise of the coffee machine")
    assert found[0].score == 1.0  # every word of it was said
    assert all(match.score >= 0.6 for match in await find(context, "coffee machine", score_threshold=0.6))
    assert len(await find(context, "coffee machine", dynamic_score_percentage=1.0)) == 1
    assert await find(context, "coffee machine", which=Passage.kind == "visual") == []
    assert await find(context, "coffee", which=Passage.start_us < 1_760_000_000_000_000) == []
    assert found[0].start_us == 1_760_000_010_000_000


async def test_a_record_is_found_by_any_of_its_lines_once(context: Context) -> None:
    _, opened = await make_active(context, await make_tenant(context), ("display:1",))
    index_id = await make_index(context, opened["display:1"], name="screens")
    await record(context, index_id, "The screen shows “Grafana”. It reads: replication lag 94 s.")
    await embed_passages(context, opened["display:1"])
    (found,) = await find(context, "the replica is behind")
    assert (found.index_id, found.index_name, found.kind) == (index_id, "screens", "visual")


async def test_housekeeping_asks_for_vectors_that_are_missing(context: Context, stream_id: str) -> None:
    assert set(await jobs_of(context, "embed_passages")) == {stream_id}
    await clear_jobs(context)
    async with context.db.transaction() as session:
        await ring_waiting_passages(session)
    assert await jobs_of(context, "embed_passages") == []  # not due yet
    async with context.db.transaction() as session:
        await session.execute(update(Passage).values(due_at=utc_now() - timedelta(seconds=1)))
        await ring_waiting_passages(session)
    assert await jobs_of(context, "embed_passages") == [stream_id]


async def test_without_an_engine_passages_stay_as_they_are(
    context: Context, stream_id: str, tmp_path: Path
) -> None:
    lacking = Settings(**context.settings.model_dump() | {"sentence_model": tmp_path})
    await embed_passages(Context(lacking, context.db, context.redis, context.storage), stream_id)
    assert await without_vector(context) == len(SAID)


def test_lines_are_joined_into_stretches() -> None:
    assert cut_lines([]) == []
    assert cut_lines(["a" * 150, "b" * 40, "c" * 40]) == ["a" * 150 + " " + "b" * 40, "c" * 40]
