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


async def test_each_doc_leads_to_its_moment(web: Web, client: httpx.AsyncClient, tenant: Tenant) -> None:
    asset = await make_asset(web.context, tenant)
    _, opened = await make_active(web.context, tenant)
    await say(web.context, opened["mic:default"], "We discussed the budget.", at_us=AT_US)
    async with web.context.db.transaction() as session:
        said = [Spoken("The budget.", 1_000_000, 3_500_000, "en", [])]
        await replace_asset_utterances(session, asset.id, "op-1", said)
    wanted = {"query": "budget"}
    (entry,) = data(await client.post("/collection/default/search", json=wanted))["results"]
    (doc,) = entry["docs"]
    assert doc["stream_link"] == doc["stream_url"]
    page, _, from_seconds = doc["player_url"].partition("&t=")
    assert (page, from_seconds) == (
        data(await client.get(f"/video/{asset.id}"))["player_url"],
        "1.0",
    )
    assert "?" not in doc["stream_link"]
    async with web.client() as anybody:
        playlist = await anybody.get(httpx.URL(doc["stream_link"]).path)
        assert playlist.status_code == 200
        durations = [
            float(line.removeprefix("#EXTINF:").rstrip(","))
            for line in playlist.text.splitlines()
            if line.startswith("#EXTINF:")
        ]
        assert sum(durations) == pytest.approx(2.5, abs=0.01)
        forged = httpx.URL(doc["stream_link"]).path.replace(asset.id, asset.id[:-1] + "0")
        assert (await anybody.get(forged)).status_code == 404
    download = await client.post("/download", json={"stream_link": doc["stream_link"], "name": "moment"})
    assert download.status_code == 200, download.text
    (doc,) = data(await client.post("/rtstream/collection/default/search", json=wanted))["results"]
    assert "stream.m3u8" in doc["stream_url"]
    assert "/watch?v=" in doc["player_url"]


async def test_docs_are_sorted_stitched_and_hold_what_is_asked_for(
    web: Web, client: httpx.AsyncClient, tenant: Tenant
) -> None:
    asset = await make_asset(web.context, tenant)
    async with web.context.db.transaction() as session:
        said = [
            Spoken(text, start_us, start_us + 1_500_000, "en", [])
            for text, start_us in (
                ("The budget.", 1_000_000),
                ("Budget and plans.", 3_000_000),
                ("The budget is fine.", 8_000_000),
            )
        ]
        await replace_asset_utterances(session, asset.id, "op-1", said)

    async def docs(**more: object) -> list[Json]:
        wanted = {"query": "budget plans", "search_type": "keyword"} | more
        (entry,) = data(await client.post("/collection/default/search", json=wanted))["results"]
        found: list[Json] = entry["docs"]
        return found

    assert [doc["start"] for doc in await docs(sort_docs_on="start")] == [1.0, 3.0, 8.0]
    assert next(doc["start"] for doc in await docs(sort_docs_on="score")) == 3.0
    assert [(doc["start"], doc["end"], doc["text"]) for doc in await docs(stitch=True)] == [
        (1.0, 4.5, "The budget. Budget and plans."),
        (8.0, 9.5, "The budget is fine."),
    ]
    held = [doc["metadata"]["indexes"] for doc in await docs(return_fields={"transcript": ["text"]})]
    assert held[0] == {"transcript": [{"start": 3.0, "end": 4.5, "data": {"text": "Budget and plans."}}]}
    assert all("indexes" not in doc["metadata"] for doc in await docs())
    for wrong, field in (
        ({"sort_docs_on": "colour"}, "sort_docs_on"),
        ({"return_fields": [3]}, "return_fields"),
        ({"return_fields": {"transcript": "text"}}, "return_fields"),
    ):
        answer = await client.post("/collection/default/search", json={"query": "budget"} | wrong)
        assert (answer.status_code, answer.json()["field"]) == (400, field)


async def test_records_of_indexes_beside_what_was_said(
    web: Web, client: httpx.AsyncClient, tenant: Tenant
) -> None:
    _, opened = await make_active(web.context, tenant, ("display:1",))
    index_id = await make_index(web.context, opened["display:1"], name="screens")
    other_id = await make_index(web.context, opened["display:1"], name="others")
    await record(web.context, index_id, "The screen shows a budget.", details={"app": "Sheets", "size": 3})
    await record(web.context, other_id, "Numbers.")
    for asked, held in (
        ("all", {"screens", "others"}),
        ("screens", {"screens"}),
        ([other_id], {"others"}),
        ({"screens": ["app", "none"]}, {"screens"}),
    ):
        wanted = {"query": "screen budget", "search_type": "keyword", "return_fields": asked}
        answer = data(await client.post(f"/rtstream/{opened['display:1']}/search", json=wanted))
        assert set(answer["results"][0]["metadata"]["indexes"]) == held
    (row,) = answer["results"][0]["metadata"]["indexes"]["screens"]
    assert row == {"start": AT_US / 1e6, "end": AT_US / 1e6 + 10, "data": {"app": "Sheets"}}


async def test_what_two_indexes_tell_alike_is_told_once(
    web: Web, client: httpx.AsyncClient, tenant: Tenant
) -> None:
    _, opened = await make_active(web.context, tenant, ("display:1",))
    for name in ("screens", "others"):
        index_id = await make_index(web.context, opened["display:1"], name=name)
        await record(web.context, index_id, "The screen shows a budget.")
    wanted = {"query": "screen budget", "search_type": "keyword"}
    answer = data(await client.post(f"/rtstream/{opened['display:1']}/search", json=wanted))
    assert [one["text"] for one in answer["results"]] == ["The screen shows a budget."]


async def test_titles_are_found_by_words_and_by_meaning(
    web: Web, client: httpx.AsyncClient, tenant: Tenant
) -> None:
    for name in ("Quarterly budget review", "A walk in the mountains", "Team meeting"):
        await make_asset(web.context, tenant, name=name)

    async def titles(query: str) -> list[str]:
        asked = {"query": query, "search_type": "llm"}
        answer = await client.post("/collection/default/search/title", json=asked)
        assert answer.status_code == 200, answer.text
        return [row["video"]["name"] for row in answer.json()["data"]]

    assert (await titles("budget"))[0] == "Quarterly budget review"
    assert (await titles("hiking in the Alps"))[0] == "A walk in the mountains"
    assert (await client.post("/collection/default/search/title", json={"query": " "})).status_code == 400


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
