from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.fixtures.factories import Tenant, make_active, make_tenant
from tests.fixtures.indexing import AT_US, SECOND, record
from tests.fixtures.web import Web

Json = dict[str, Any]
AT_SECONDS = AT_US // SECOND
VLM = {"type": "vlm", "name": "scene", "sampling": {"frame_count": 2}, "config": {"prompt": "What is open?"}}


@pytest.fixture
async def tenant(web: Web) -> Tenant:
    return await make_tenant(web.context)


@pytest.fixture
async def client(web: Web, tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    async with web.client(tenant.api_key) as opened:
        yield opened


@pytest.fixture
async def streams(web: Web, tenant: Tenant) -> dict[str, str]:
    _, opened = await make_active(web.context, tenant, ("display:1", "mic"))
    return opened


def data(answer: httpx.Response) -> Json:
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()["data"]
    return found


async def understand(client: httpx.AsyncClient, stream_id: str, *analyzers: Json, **more: Any) -> Json:
    body = {
        "segmentation": {"type": "time", "window": "10s"},
        "analyzers": list(analyzers or [VLM]),
        "store": True,
    }
    return data(await client.post(f"/rtstream/{stream_id}/understand", json=body | more))


async def output_of(client: httpx.AsyncClient, stream_id: str) -> str:
    """The one output of the stream, which is an index of the older API too."""
    listed = data(await client.get(f"/rtstream/{stream_id}/index/scene"))["scene_indexes"]
    return str(listed[-1]["rtstream_index_id"])


async def test_an_analyzer_is_an_index_at_work(client: httpx.AsyncClient, streams: dict[str, str]) -> None:
    stream_id = streams["display:1"]
    made = await understand(client, stream_id, VLM, {"type": "ocr"})
    assert (made["status"], made["store"], made["rtstream_id"]) == ("running", True, stream_id)
    assert list(made["outputs"]) == ["scene", "ocr"]
    assert [one["status"] for one in made["analyzers"]] == ["running", "running"]
    listed = data(await client.get(f"/rtstream/{stream_id}/index/scene"))["scene_indexes"]
    assert [(one["name"], one["prompt"], one["extraction_config"]) for one in listed] == [
        ("scene", "What is open?", {"time": 10.0, "frame_count": 2}),
        ("ocr", "Read the text on the screen", {"time": 10.0, "frame_count": 5}),
    ]
    path = f"/rtstream/{stream_id}/understand"
    assert data(await client.get(path)) == {"understandings": [made]}
    status = f"{path}/{made['id']}/status"
    assert data(await client.patch(status, json={"action": "stop"}))["status"] == "stopped"
    assert data(await client.get(f"{path}/{made['id']}"))["status"] == "stopped"
    assert data(await client.patch(status, json={"action": "start"}))["status"] == "running"
    answer = await client.patch(status, json={"action": "pause"})
    assert (answer.status_code, answer.json()["field"]) == (400, "action")


async def test_what_was_said_in_windows(client: httpx.AsyncClient, streams: dict[str, str]) -> None:
    made = await understand(client, streams["mic:default"], {"type": "asr"})
    assert list(made["outputs"]) == ["transcript"]
    listed = data(await client.get(f"/rtstream/{streams['mic:default']}/index/scene"))["scene_indexes"]
    assert (listed[0]["index_type"], listed[0]["extraction_config"]) == (
        "audio",
        {"segmenter": "time", "segmentation_value": 10.0},
    )


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"analyzers": []}, "analyzers"),
        ({"analyzers": [{"type": "crystal ball"}]}, "analyzers[0].type"),
        ({"analyzers": [VLM, {"type": "faces"}]}, "analyzers[1].type"),
        ({"analyzers": [VLM, VLM]}, "analyzers[1].name"),
        ({"analyzers": [VLM], "segmentation": {"type": "time", "window": "soon"}}, "segmentation.window"),
        ({"analyzers": [VLM], "segmentation": {"type": "time", "window": "2h"}}, "segmentation.window"),
        ({"analyzers": [VLM], "segmentation": {"type": "chapter"}}, "segmentation.type"),
        ({"analyzers": [VLM | {"sampling": {"frame_count": 0}}]}, "analyzers[0].sampling.frame_count"),
        ({"analyzers": ["vlm"]}, "analyzers[0]"),
        ({"analyzers": [{"type": "spoken_words"}]}, "extraction_type"),
    ],
)
async def test_what_cannot_be_understood_says_why(
    client: httpx.AsyncClient, streams: dict[str, str], body: Json, field: str
) -> None:
    answer = await client.post(f"/rtstream/{streams['display:1']}/understand", json=body)
    assert (answer.status_code, answer.json()["field"]) == (400, field)
    assert data(await client.get(f"/rtstream/{streams['display:1']}/understand")) == {"understandings": []}


async def test_a_named_index_holds_its_outputs_records(
    web: Web, client: httpx.AsyncClient, streams: dict[str, str]
) -> None:
    stream_id = streams["display:1"]
    made = await understand(client, stream_id)
    output = await output_of(client, stream_id)
    await record(web.context, output, "A build has failed.")
    indexes = f"/rtstream/{stream_id}/indexes"
    index = data(await client.post(indexes, json={"source": made["outputs"]["scene"], "name": "screens"}))
    assert (index["name"], index["status"], index["output"]) == ("screens", "running", "scene")
    assert index["use_for"] == ["semantic", "query", "aggregate"]
    assert index["source_understanding_id"] == made["id"]
    assert data(await client.get(indexes)) == {"indexes": [index]}
    assert data(await client.get(f"{indexes}/{index['id']}")) == index
    await record(web.context, output, "A mailbox is open.", at_us=AT_US + 20 * SECOND)
    first = data(await client.get(f"{indexes}/{index['id']}/records", params={"page_size": 1}))
    (held,) = first["records"]
    assert (held["start"], held["end"], first["next_page"]) == (AT_SECONDS, AT_SECONDS + 10, True)
    assert held["text"] == held["data"]["scene_description"] == "A build has failed."
    of_run = f"/rtstream/{stream_id}/understand/{made['id']}/records"
    between = {"start": AT_SECONDS + 15, "end": AT_SECONDS + 40}
    (later,) = data(await client.get(of_run, params=between))["records"]
    assert later["text"] == "A mailbox is open."
    answer = await client.get(of_run, params=between | {"output": "words"})
    assert (answer.status_code, answer.json()["field"]) == (400, "output")
    found = data(
        await client.post(
            f"/rtstream/{stream_id}/search", json={"query": "mailbox", "scene_index_id": index["id"]}
        )
    )
    assert [one["text"] for one in found["results"]] == ["A mailbox is open."]


async def test_a_stopped_index_takes_no_more_records(
    web: Web, client: httpx.AsyncClient, streams: dict[str, str]
) -> None:
    stream_id = streams["display:1"]
    made = await understand(client, stream_id)
    output = await output_of(client, stream_id)
    path = f"/rtstream/{stream_id}/indexes"
    index = data(await client.post(path, json={"source": made["outputs"]["scene"]}))
    path = f"{path}/{index['id']}"
    await record(web.context, output, "Before.")
    assert data(await client.patch(f"{path}/status", json={"action": "stop"}))["status"] == "stopped"
    year_us = 366 * 86_400 * SECOND
    await record(web.context, output, "Afterwards.", at_us=AT_US + 5 * year_us)
    assert [one["text"] for one in data(await client.get(f"{path}/records"))["records"]] == ["Before."]
    assert data(await client.patch(f"{path}/status", json={"action": "start"}))["status"] == "running"
    await record(web.context, output, "Again.", at_us=AT_US + 6 * year_us)
    texts = [one["text"] for one in data(await client.get(f"{path}/records"))["records"]]
    assert texts == ["Before.", "Afterwards.", "Again."]  # its clock is ahead of the one that started it
    of_run = data(await client.get(f"/rtstream/{stream_id}/understand/{made['id']}/records"))
    assert len(of_run["records"]) == 3


async def test_alerts_of_a_named_index(web: Web, client: httpx.AsyncClient, streams: dict[str, str]) -> None:
    stream_id = streams["display:1"]
    made = await understand(client, stream_id)
    indexes = f"/rtstream/{stream_id}/indexes"
    index = data(await client.post(indexes, json={"source": made["outputs"]["scene"]}))
    other = data(await client.post(indexes, json={"source": made["outputs"]["scene"], "name": "other"}))
    event = {"event_prompt": "an error is shown", "label": "error"}
    event_id = data(await client.post("/rtstream/event", json=event))["event_id"]
    path = f"{indexes}/{index['id']}/alert"
    alert_id = data(await client.post(path, json={"event_id": event_id, "callback_url": ""}))["alert_id"]
    (row,) = data(await client.get(path))["alerts"]
    assert (row["alert_id"], row["status"], row["label"]) == (alert_id, "enabled", "error")
    assert data(await client.get(f"{indexes}/{other['id']}/alert")) == {"alerts": []}
    switch = f"{path}/{alert_id}/status"
    assert data(await client.patch(switch, json={"action": "disable"}))["status"] == "disabled"
    assert data(await client.patch(switch, json={"action": "enable"}))["status"] == "enabled"


@pytest.mark.parametrize("source", [None, {}, {"understanding_id": 7, "output": "scene"}])
async def test_a_source_that_is_none(
    client: httpx.AsyncClient, streams: dict[str, str], source: Json | None
) -> None:
    answer = await client.post(f"/rtstream/{streams['display:1']}/indexes", json={"source": source})
    assert (answer.status_code, answer.json()["field"]) == (400, "source")


async def test_another_accounts_are_not_found(
    web: Web, client: httpx.AsyncClient, streams: dict[str, str]
) -> None:
    stream_id = streams["display:1"]
    made = await understand(client, stream_id)
    source = made["outputs"]["scene"]
    index = data(await client.post(f"/rtstream/{stream_id}/indexes", json={"source": source}))
    stranger = await make_tenant(web.context)
    _, others = await make_active(web.context, stranger, ("display:1",))
    async with web.client(stranger.api_key) as strange:
        for own in (stream_id, others["display:1"]):
            for path in (
                f"understand/{made['id']}",
                f"indexes/{index['id']}",
                f"indexes/{index['id']}/records",
            ):
                assert (await strange.get(f"/rtstream/{own}/{path}")).status_code == 404
            answer = await strange.post(f"/rtstream/{own}/indexes", json={"source": source})
            assert answer.status_code == 404
        body = {"query": "anything", "scene_index_id": index["id"]}
        found = data(await strange.post(f"/rtstream/{others['display:1']}/search", json=body))
        assert found["results"] == []
