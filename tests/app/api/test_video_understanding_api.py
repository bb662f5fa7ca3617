from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from app.domain.assets.models import Asset
from app.domain.indexes.models import SceneIndex
from app.domain.indexes.service import Found, keep_record
from app.domain.scenes.indexing import index_built
from tests.fixtures.factories import Tenant, make_asset, make_tenant
from tests.fixtures.web import Web
from tests.fixtures.working import worker

Json = dict[str, Any]
SECOND = 1_000_000
SEGMENTS: list[Json] = [
    {"start": 0.0, "end": 4.0, "label": "intro", "score": 0.9, "summary": "the team says hello to everybody"},
    {
        "start": 4.0,
        "end": 8.0,
        "label": "demo",
        "score": 0.4,
        "summary": "the new search page is shown at work",
    },
    {
        "start": 8.0,
        "end": 10.0,
        "label": "demo",
        "score": 0.7,
        "summary": "somebody asks what the price will be",
    },
]


@pytest.fixture
async def tenant(web: Web) -> Tenant:
    return await make_tenant(web.context)


@pytest.fixture
async def client(web: Web, tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    async with web.client(tenant.api_key) as opened:
        yield opened


@pytest.fixture
async def video(web: Web, tenant: Tenant) -> str:
    asset = await make_asset(web.context, tenant)
    async with web.context.db.transaction() as session:
        await session.execute(update(Asset).where(Asset.id == asset.id).values(width=640, height=360))
    return f"/video/{asset.id}"


def data(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["field"]


async def segments(client: httpx.AsyncClient, video: str, **more: Any) -> Json:
    body = {"source": {"scenes": SEGMENTS}, "name": "segments", "use_for": None, "fields": None} | more
    found: Json = data(await client.post(f"{video}/indexes", json=body))
    return found


async def found_by(web: Web, analyzer: Json, *found: Found) -> None:
    """Let an analyzer have found this, as its operation leaves it."""
    async with web.context.db.transaction() as session:
        index = await session.get_one(SceneIndex, analyzer["index_id"])
        for one in found:
            await keep_record(session, index, one)
        await index_built(session, index.id, None)


async def started(client: httpx.AsyncClient, video: str, *analyzers: Json) -> Json:
    """A run, with the index behind each of its analyzers."""
    run: Json = data(await client.post(f"{video}/understand", json={"analyzers": list(analyzers)}))
    indexes = data(await client.get(f"{video}/index/scene"))["scene_indexes"]
    ids = {index["name"]: index["scene_index_id"] for index in indexes}
    for analyzer in run["analyzers"]:
        analyzer["index_id"] = ids.get(analyzer["name"])
    return run


async def test_a_run_is_done_when_its_analyzers_are(web: Web, client: httpx.AsyncClient, video: str) -> None:
    asked = [{"type": "vlm"}, {"type": "transcript", "name": "words"}, {"type": "faces"}]
    run = await started(client, video, *asked)
    path = f"{video}/understand/{run['id']}"
    states = {one["name"]: one["status"] for one in run["analyzers"]}
    assert (run["status"], states) == (
        "running",
        {"scene": "running", "words": "running", "faces": "skipped"},
    )
    assert "faces" in run["analyzers"][2]["notice"]
    seen = {
        "title": "Inbox",
        "headings": ["Messages"],
        "changed": True,
        "screen_text": "Lunch?",
        "frame_ids": ["f"],
    }
    await found_by(web, run["analyzers"][0], Found("s:0", 0, 5 * SECOND, "The screen shows “Inbox”.", seen))
    assert data(await client.get(path))["status"] == "running"
    said = {"said": "We take the red one.", "decisions": ["We take the red one."], "actions": []}
    await found_by(web, run["analyzers"][1], Found("s:0", 0, 2 * SECOND, "We take the red one.", said))
    shown = data(await client.get(path, params={"analyzer": "words"}))
    assert (shown["status"], [one["name"] for one in shown["analyzers"]]) == ("done", ["words"])
    assert data(await client.get(f"{path}/analyzers/scene/output"))["scenes"][0]["data"] == {
        "scene_description": "The screen shows “Inbox”.",
        "title": "Inbox",
        "headings": ["Messages"],
        "changed": True,
        "screen_text": "Lunch?",
    }
    words = data(await client.get(f"{path}/analyzers/{run['analyzers'][1]['id']}/output"))["scenes"]
    assert [(one["start"], one["end"], one["data"]["text"]) for one in words] == [
        (0, 2, "We take the red one.")
    ]
    assert data(await client.get(f"{path}/analyzers/faces/output"))["scenes"] == []
    assert refusal(await client.get(f"{path}/analyzers/none/output")) == (400, "analyzer")
    (listed,) = data(await client.get(f"{video}/understand"))["understanding_results"]
    assert listed["understanding_id"] == run["id"]


async def test_a_run_that_is_deleted_takes_what_it_found_along(
    web: Web, client: httpx.AsyncClient, video: str
) -> None:
    run = await started(client, video, {"type": "ocr"})
    seen = {"title": "Inbox", "headings": [], "changed": True, "screen_text": "Lunch on Friday?"}
    await found_by(web, run["analyzers"][0], Found("s:0", 0, SECOND, "The screen shows “Inbox”.", seen))
    source = {"understanding_id": run["id"], "analyzer_id": run["analyzers"][0]["id"], "analyzer_type": "ocr"}
    index = data(await client.post(f"{video}/indexes", json={"source": source}))
    assert (index["name"], index["record_count"], index["source"]) == ("ocr", 1, source)
    (record,) = data(await client.get(f"{video}/indexes/{index['index_id']}/records"))["records"]
    assert (record["understanding_id"], record["data"]["combined_text"]) == (run["id"], "Lunch on Friday?")
    data(await client.delete(f"{video}/understand/{run['id']}"))
    assert data(await client.get(f"{video}/indexes")) == {"indexes": []}
    assert (await client.get(f"{video}/understand/{run['id']}")).status_code == 404


async def test_a_run_that_finds_nothing_has_failed(web: Web, client: httpx.AsyncClient, video: str) -> None:
    run = await started(client, video, {"type": "vlm"})
    async with web.context.db.transaction() as session:
        of_run = SceneIndex.id == run["analyzers"][0]["index_id"]
        await session.execute(update(SceneIndex).where(of_run).values(status="failed", notice="no engine"))
    shown = data(await client.get(f"{video}/understand/{run['id']}"))
    assert (shown["status"], shown["analyzers"][0]["status"]) == ("failed", "failed")
    index = data(await client.post(f"{video}/indexes", json={"source": {"understanding_id": run["id"]}}))
    assert (index["status"], index["error"]) == ("failed", "no engine")


async def test_an_index_of_given_records(client: httpx.AsyncClient, video: str) -> None:
    index = await segments(client, video)
    assert (index["name"], index["record_count"]) == ("segments", 3)
    assert index["use_for"] == ["semantic", "query", "aggregate"]
    assert index["fields"]["semantic"] == ["summary"]
    assert index["field_schema"]["score"] == {
        "type": "number",
        "groups": ["filter", "aggregate", "sort"],
        "operators": ["==", "!=", ">", ">=", "<", "<=", "in", "exists"],
    }
    path = f"{video}/indexes/{index['index_id']}"
    first = data(await client.get(f"{path}/records", params={"limit": 2}))
    second = data(await client.get(f"{path}/records", params={"limit": 2, "cursor": first["next_cursor"]}))
    held = [*first["records"], *second["records"]]
    assert [one["data"]["label"] for one in held] == ["intro", "demo", "demo"]
    assert (held[0]["start"], held[0]["end"], second["next_cursor"]) == (0, 4, None)
    named = data(await client.get(f"{video}/indexes", params={"name": "segments"}))
    assert named["index_id"] == index["index_id"]
    assert (await client.get(f"{video}/indexes", params={"name": "nothing"})).status_code == 404
    again = await segments(client, video, source={"scenes": SEGMENTS[:1]})
    assert (again["index_id"], again["record_count"]) == (index["index_id"], 1)
    assert len(data(await client.get(f"{video}/index/scene"))["scene_indexes"]) == 1
    only = data(await client.get(f"{video}/indexes", params={"use_for": "query"}))["indexes"]
    assert [one["name"] for one in only] == ["segments"]
    data(await client.delete(path))
    assert (await client.get(path)).status_code == 404
    assert data(await client.get(f"{video}/index/scene"))["scene_indexes"] == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"source": None}, "source"),
        ({"source": {"scenes": []}}, "source.scenes"),
        ({"source": [{"start": 3, "end": 1}]}, "source.scenes[0].end"),
        ({"source": SEGMENTS, "use_for": ["magic"]}, "use_for"),
        ({"source": SEGMENTS, "fields": {"filter": ["colour"]}}, "colour"),
        ({"source": SEGMENTS, "name": ""}, "name"),
        ({"source": [{"start": 0, "end": 1, "label": "x"}], "use_for": ["semantic"]}, "use_for"),
    ],
)
async def test_indexes_that_are_refused(
    client: httpx.AsyncClient, video: str, body: Json, field: str
) -> None:
    assert refusal(await client.post(f"{video}/indexes", json=body)) == (400, field)
    assert data(await client.get(f"{video}/indexes")) == {"indexes": []}


async def test_records_are_asked_and_counted(client: httpx.AsyncClient, tenant: Tenant, video: str) -> None:
    await segments(client, video)
    asked = {
        "index_name": "segments",
        "filter": [{"field": "label", "op": "==", "value": "demo"}],
        "limit": 100,
    }
    for scope in (video, f"/collection/{tenant.collection_id}"):
        body = asked | {"sort": [["score", "desc"]]}
        (result,) = data(await client.post(f"{scope}/query", json=body))["results"]
        assert [doc["start"] for doc in result["docs"]] == [8, 4]
        assert result["docs"][0]["metadata"]["data"]["score"] == 0.7
        assert {doc["scene_index_name"] for doc in result["docs"]} == {"segments"}
        groups = {"index_name": "segments", "group_by": "label", "metric": "count"}
        assert data(await client.post(f"{scope}/aggregate", json=groups))["results"] == [
            {"label": "demo", "count": 2},
            {"label": "intro", "count": 1},
        ]
    nothing = asked | {"filter": {"field": "score", "op": ">", "value": 5}}
    assert data(await client.post(f"{video}/query", json=nothing))["results"] == []
    refused = [
        ("query", {"index_name": "nothing"}, "index_name"),
        ("query", {"index_id": "idx-nothing"}, "index_id"),
        ("query", {"filter": {"field": "colour", "value": "red"}}, "colour"),
        ("query", {"sort": "label"}, "label"),
        ("query", {"limit": 0}, "limit"),
        ("query", {"return_fields": 7}, "return_fields"),
        ("aggregate", {"group_by": "summary"}, "summary"),
        ("aggregate", {"group_by": "label", "metric": "sum"}, "metric"),
        ("aggregate", {"group_by": "label", "sort": "score"}, "score"),
        ("semantic-search", {"query": "x", "index_names": ["nothing"]}, "index_name"),
        ("semantic-search", {"query": ""}, "query"),
    ]
    for verb, body, field in refused:
        assert refusal(await client.post(f"{video}/{verb}", json=body)) == (400, field), (verb, body)


async def test_meaning_is_searched_within_the_named_indexes(client: httpx.AsyncClient, video: str) -> None:
    index = await segments(client, video)
    await segments(
        client, video, name="other", source=[{"start": 0, "end": 1, "note": "the price is not known yet"}]
    )
    body: Json = {
        "query": "price",
        "index_names": ["segments"],
        "return_fields": {"segments": ["label"], "other": None},
    }
    (result,) = data(await client.post(f"{video}/semantic-search", json=body))["results"]
    (doc,) = result["docs"]
    assert (doc["start"], doc["scene_index_id"], doc["scene_index_name"]) == (
        8,
        index["index_id"],
        "segments",
    )
    assert doc["metadata"]["indexes"] == {"segments": [{"start": 8, "end": 10, "data": {"label": "demo"}}]}
    intro = body | {"filter": {"field": "label", "op": "==", "value": "intro"}}
    (result,) = data(await client.post(f"{video}/semantic-search", json=intro | {"query": "hello"}))[
        "results"
    ]
    assert [one["start"] for one in result["docs"]] == [0]
    assert data(await client.post(f"{video}/semantic-search", json=intro))["results"] == []
    (everywhere,) = data(await client.post(f"{video}/semantic-search", json={"query": "price"}))["results"]
    assert len(everywhere["docs"]) == 2
    deep = {"query": "price", "mode": "deepsearch", "return_fields": "segments"}
    found = data(await client.post(f"{video}/search/v2", json=deep))
    assert (found["response_type"], len(found["results"][0]["docs"])) == ("shots", 2)
    beside = [doc["metadata"]["indexes"] for doc in found["results"][0]["docs"] if doc["start"] == 8]
    assert beside[0]["segments"][0]["data"]["label"] == "demo"
    assert "no_deepsearch" in {warning["code"] for warning in found["warnings"]}


async def test_a_question_is_answered_with_quotations(
    web: Web, client: httpx.AsyncClient, tenant: Tenant, video: str
) -> None:
    await segments(client, video)
    async with worker(web.context):
        body = {"question": "What is asked about the price?", "top_k": 5, "include_sources": True}
        for scope in (video, f"/collection/{tenant.collection_id}"):
            answer = data(await client.post(f"{scope}/ask", json=body))
            assert "somebody asks what the price will be" in answer["answer"]
            assert "0:08" in answer["answer"]
            assert answer["sources"][0]["docs"][0]["start"] == 8
            assert "no_language_model" in {warning["code"] for warning in answer["warnings"]}
        body = {"question": "Where do penguins hibernate?", "include_sources": True}
        nothing = data(await client.post(f"{video}/ask", json=body))
        assert (nothing["sources"], "Nothing" in nothing["answer"]) == ([], True)
    assert refusal(await client.post(f"{video}/ask", json={"question": " "})) == (400, "question")


async def test_another_accounts_are_not_found(
    web: Web, client: httpx.AsyncClient, tenant: Tenant, video: str
) -> None:
    index = await segments(client, video)
    run = await started(client, video, {"type": "vlm"})
    stranger = await make_tenant(web.context)
    own = f"/video/{(await make_asset(web.context, stranger)).id}"
    async with web.client(stranger.api_key) as strange:
        for scope in (video, own):
            for path in (f"indexes/{index['index_id']}", f"understand/{run['id']}"):
                assert (await strange.get(f"{scope}/{path}")).status_code == 404
                assert (await strange.delete(f"{scope}/{path}")).status_code == 404
            source = {"understanding_id": run["id"]}
            assert (await strange.post(f"{scope}/indexes", json={"source": source})).status_code == 404
        for scope in (video, f"/collection/{tenant.collection_id}"):
            for verb in ("query", "aggregate", "semantic-search", "ask"):
                body = {"query": "x", "question": "x"}
                assert (await strange.post(f"{scope}/{verb}", json=body)).status_code == 404
        body = {"index_id": index["index_id"]}
        assert refusal(await strange.post(f"{own}/query", json=body)) == (400, "index_id")
