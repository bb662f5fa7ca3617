"""Search over HTTP: collections, kinds of index, times, and what is said where meaning cannot be compared."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.domain.transcripts.service import Spoken, replace_asset_utterances
from tests.fixtures.factories import Tenant, make_active, make_asset, make_tenant, say
from tests.fixtures.indexing import AT_US, make_index, record
from tests.fixtures.web import Web
from workers.tasks.embed_passages import embed_passages

Json = dict[str, Any]


@pytest.fixture
async def tenant(web: Web) -> Tenant:
    return await make_tenant(web.context)


@pytest.fixture
async def client(web: Web, tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    async with web.client(tenant.api_key) as opened:
        yield opened


def data(answer: httpx.Response) -> Json:
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()["data"]
    return found


async def test_a_collections_recordings_by_both_routes(
    web: Web, client: httpx.AsyncClient, tenant: Tenant
) -> None:
    asset_id = (await make_asset(web.context, tenant)).id
    async with web.context.db.transaction() as session:
        said = Spoken("The coffee machine is far too loud.", 1_000_000, 3_000_000, "en", [])
        await replace_asset_utterances(session, asset_id, "op-1", [said])
    await embed_passages(web.context, asset_id)
    wanted = {"query": "noisy espresso maker"}
    one = data(await client.post("/collection/default/search", json=wanted))
    other = data(await client.post("/collection/default/search/v2", json=wanted))
    assert one["results"] == other["results"]
    assert (other["response_type"], other["warnings"]) == ("shots", [])
    (found,) = one["results"]
    (doc,) = found["docs"]
    assert (found["video_id"], doc["start"], doc["end"]) == (asset_id, 1.0, 3.0)
    by_words = wanted | {"search_type": "keyword"}
    assert data(await client.post("/collection/default/search", json=by_words))["results"] == []


async def test_one_index_one_kind_and_a_stretch_of_time(
    web: Web, client: httpx.AsyncClient, tenant: Tenant
) -> None:
    _, opened = await make_active(web.context, tenant, ("mic", "display:1"))
    index_id = await make_index(web.context, opened["display:1"], name="screens")
    await record(web.context, index_id, "The screen shows a budget.")
    await say(web.context, opened["mic:default"], "We discussed the budget.", at_us=AT_US + 60_000_000)

    async def texts(**more: object) -> list[str]:
        answer = await client.post("/rtstream/collection/default/search", json={"query": "budget"} | more)
        return [row["text"] for row in data(answer)["results"]]

    assert len(await texts()) == 2
    assert await texts(index_type="scene") == ["The screen shows a budget."]
    assert await texts(index_type="spoken_word") == ["We discussed the budget."]
    assert await texts(scene_index_id=index_id) == ["The screen shows a budget."]
    assert await texts(scene_index_id="idx-none") == []
    assert await texts(start=AT_US / 1e6 + 30) == ["We discussed the budget."]
    assert await texts(end=AT_US / 1e6 + 30) == ["The screen shows a budget."]
    assert await texts(result_threshold=1, index_type="scene") == ["The screen shows a budget."]


async def test_without_the_sentence_engine_words_are_found_and_it_is_said(
    web: Web, client: httpx.AsyncClient, tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web.context.settings, "sentence_model", tmp_path)
    asset_id = (await make_asset(web.context, tenant)).id
    async with web.context.db.transaction() as session:
        said = Spoken("We discussed the budget.", 0, 2_000_000, "en", [])
        await replace_asset_utterances(session, asset_id, "op-1", [said])
    answer = data(await client.post("/collection/default/search/v2", json={"query": "budget"}))
    assert answer["results"][0]["docs"][0]["score"] == 1.0
    (warning,) = answer["warnings"]
    assert (warning["code"], warning["docs"]) == ("model_missing", [])


async def test_filters_on_streams(web: Web, client: httpx.AsyncClient, tenant: Tenant) -> None:
    session_id, opened = await make_active(
        web.context, tenant, ("mic", "display:1"), metadata={"team": {"name": "sales"}, "size": 3}
    )
    _, others = await make_active(web.context, tenant, end_user_id="user-2")
    index_id = await make_index(web.context, opened["display:1"], name="screens")
    await record(
        web.context,
        index_id,
        "The screen shows a budget.",
        details={"metadata": {"view": "far"}, "lines": [{"text": "a budget"}, {"text": "of 2026"}]},
    )
    await say(web.context, opened["mic:default"], "We discussed the budget.", at_us=AT_US + 60_000_000)
    await say(web.context, others["mic:default"], "Their budget.", at_us=AT_US)
    shown, said, theirs = "The screen shows a budget.", "We discussed the budget.", "Their budget."

    async def texts(filter_: object) -> set[str]:
        wanted = {"query": "budget", "filter": filter_}
        answer = await client.post("/rtstream/collection/default/search", json=wanted)
        return {row["text"] for row in data(answer)["results"]}

    assert await texts([]) == {shown, said, theirs}
    assert await texts([{"index_name": "screens"}]) == {shown}
    assert await texts({"field": "index_name", "op": "!=", "value": "screens"}) == {said, theirs}
    assert await texts({"field": "index_name", "op": "exists", "value": False}) == {said, theirs}
    assert await texts({"kind": ["visual", "audio"]}) == {shown}
    assert await texts({"field": "text", "op": "contains", "value": "DISCUSS"}) == {said}
    assert await texts({"field": "start", "op": ">=", "value": AT_US / 1e6 + 30}) == {said}
    assert await texts({"field": "start", "op": "<", "value": AT_US / 1e3 + 30_000}) == {shown, theirs}
    assert await texts({"rtstream_name": "mic:default"}) == {said, theirs}
    assert await texts({"channel_id": "screen"}) == {shown}
    assert await texts({"capture_session_id": session_id}) == {shown, said}
    assert await texts({"end_user_id": "user-2"}) == {theirs}
    assert await texts({"team.name": "sales"}) == {shown, said}
    assert await texts({"field": "metadata.size", "op": ">", "value": 2}) == {shown, said}
    assert await texts({"not": {"team.name": "sales"}}) == {theirs}
    assert await texts({"view": "far"}) == {shown}
    assert await texts({"field": "lines.text", "op": "contains", "value": "2026"}) == {shown}
    assert await texts({"lines.text": "of 2026"}) == {shown}
    assert await texts({"or": [{"view": "far"}, {"end_user_id": "user-2"}]}) == {shown, theirs}


async def test_filters_on_recordings_by_both_routes(
    web: Web, client: httpx.AsyncClient, tenant: Tenant
) -> None:
    assets = [await make_asset(web.context, tenant, name=name) for name in ("One", "Other")]
    async with web.context.db.transaction() as session:
        for asset in assets:
            said = [Spoken("The budget.", at * 1_000_000, (at + 2) * 1_000_000, "en", []) for at in (1, 6)]
            await replace_asset_utterances(session, asset.id, f"op-{asset.id}", said)

    async def found(filter_: object) -> list[tuple[str, float]]:
        wanted = {"query": "budget", "filter": filter_, "search_type": "keyword"}
        one = data(await client.post("/collection/default/search", json=wanted))
        other = data(await client.post("/collection/default/search/v2", json=wanted))
        assert one["results"] == other["results"]
        return [(entry["title"], doc["start"]) for entry in one["results"] for doc in entry["docs"]]

    assert len(await found([])) == 4
    assert sorted(await found([{"title": "One"}])) == [("One", 1.0), ("One", 6.0)]
    assert await found([{"video_id": assets[1].id}, {"field": "start", "op": ">", "value": 3}]) == [
        ("Other", 6.0)
    ]


@pytest.mark.parametrize(
    ("filter_", "field"),
    [
        ({"field": "colour", "op": "==", "value": "red"}, "colour"),
        ([{"colour": "red"}], "colour"),
        ({"field": "start", "op": "==", "value": "noon"}, "start"),
        ({"field": "start", "op": ">", "value": 1e17}, "start"),
        ({"field": "kind", "op": "==", "value": 3}, "kind"),
        ({"field": "kind", "op": "sounds like", "value": "x"}, "filter.op"),
        ("kind", "filter"),
    ],
)
async def test_a_wrong_filter_is_named(client: httpx.AsyncClient, filter_: object, field: str) -> None:
    for path in ("/rtstream/collection/default/search", "/collection/default/search/v2"):
        answer = await client.post(path, json={"query": "budget", "filter": filter_})
        assert (answer.status_code, answer.json()["field"]) == (400, field), answer.text
